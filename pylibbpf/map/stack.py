"""Stack traces."""

from __future__ import annotations

import struct
import sys
from collections import namedtuple

from pylibbpf.map.entries import HashMap
from pylibbpf.uapi.flags import BPF_F_STACK_BUILD_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from pylibbpf.map.base import Coder

__all__ = ["BuildIdFrame", "StackTraceMap"]

BPF_STACK_BUILD_ID_EMPTY = 0
BPF_STACK_BUILD_ID_VALID = 1
# struct bpf_stack_build_id: status, build id, offset or address.
_FRAME = struct.Struct("=i20sQ")


class BuildIdFrame(namedtuple("BuildIdFrame", "build_id offset address")):  # noqa: PYI024  # typing is heavy
    """A frame of a stack by file: ``build_id`` (bytes) of the file, ``offset`` into it.

    Where the kernel did not find them both are None, and ``address`` is the instruction's; else
    that is None.
    """

    __slots__ = ()


class StackTraceMap(HashMap):
    """Stack traces by id, as ``bpf_get_stackid()`` gives it: tuples, innermost frame first.

    Frames are addresses (int), or :class:`BuildIdFrame` where the map has the flag
    BPF_F_STACK_BUILD_ID. Only programs add; ``del``, ``pop`` and ``clear`` make room.
    """

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.scalars = None
        if not self._handle.key_type_id:
            coder.encode_key = self._encode_id
            coder.decode_key = lambda data: int.from_bytes(data, sys.byteorder)
        coder.encode_value = self._no_value
        by_file = self._handle.flags & BPF_F_STACK_BUILD_ID
        coder.decode_value = _files if by_file else _addresses
        return coder

    def _encode_id(self, key: Any) -> bytes:
        if not isinstance(key, int):
            raise TypeError(f"a stack's id is an int, not {type(key).__name__}")
        return key.to_bytes(4, sys.byteorder)

    def _no_value(self, value: object) -> NoReturn:
        raise TypeError(f"only programs add to map {self.name!r} (bpf_get_stackid())")


def _addresses(data: bytes) -> tuple[int, ...]:
    frames = struct.unpack(f"={len(data) // 8}Q", data)
    return frames[: frames.index(0)] if 0 in frames else frames


def _files(data: bytes) -> tuple[BuildIdFrame, ...]:
    frames = []
    for status, build_id, place in _FRAME.iter_unpack(data):
        if status == BPF_STACK_BUILD_ID_EMPTY:
            break
        if status == BPF_STACK_BUILD_ID_VALID:
            frames.append(BuildIdFrame(build_id, place, None))
        else:
            frames.append(BuildIdFrame(None, None, place))
    return tuple(frames)
