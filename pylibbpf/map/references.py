"""Arrays of programs, perf events and cgroups."""

from __future__ import annotations

import sys

from pylibbpf.map.descriptor import Opened, descriptor, program_fd
from pylibbpf.map.entries import Indexed, SlotArray, WriteOnly
from pylibbpf.uapi.flags import BPF_ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

    from pylibbpf.map.base import Coder

__all__ = ["CgroupArray", "PerfEventArray", "ProgramArray"]


def _encode(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


class ProgramArray(SlotArray):
    """Programs to tail-call: ``jumps[3] = obj.programs["parse"]``; reading gives a program's id.

    A value is a loaded program, or a descriptor of one. All are of one type, that of the
    programs which call them. ``del jumps[3]`` empties a place: the tail call then goes on. The
    array is emptied when nothing but programs holds it any more: keep the object open, or pin.
    """

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.scalars = None
        coder.encode_value = lambda value: _encode(program_fd(value))
        coder.decode_value = lambda data: int.from_bytes(data, sys.byteorder)
        return coder


class PerfEventArray(Indexed, WriteOnly):
    """Perf events, by CPU as a rule: for programs that read or write them.

    A value is the descriptor of a perf event, or what has one as ``fileno()``. As a stream of
    records it is :meth:`Object.perfbuf`, which fills it. It cannot be read. Linux closes what is
    in it with the descriptor that it was set by, unless the flag BPF_F_PRESERVE_ELEMS is set.
    """

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.encode_value = lambda value: _encode(descriptor(value, "a perf event"))
        return coder


class CgroupArray(Indexed, WriteOnly):
    """Cgroups, for programs that ask whether a task or packet is below one. cgroup v2 only.

    A value is the path of a cgroup's folder, or a descriptor of it. It cannot be read.
    """

    def update_elem(
        self, key: Any, value: str | os.PathLike[str] | int, flags: int = BPF_ANY
    ) -> None:
        """Put a cgroup into a place.

        Raises:
            OSError: there is no such folder.
            BpfError: EBADF, it is no cgroup.
        """
        with Opened(value, "a cgroup's path or descriptor") as fd:
            self._handle.update(self._coder.encode_key(key), _encode(fd), flags)
