"""What the kernel tells of a program (BPF_OBJ_GET_INFO_BY_FD), as far as we ask."""

from __future__ import annotations

import errno
import os
import struct

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load

__all__ = ["ProgramInfo", "program_by_id", "program_info"]

# struct bpf_prog_info (include/uapi/linux/bpf.h), to the name: type, id, tag, two lengths and two
# pointers of instructions, load_time, created_by_uid, nr_map_ids, map_ids, name.
_PROGRAM = struct.Struct("=II8sIIQQQIIQ16s")


class ProgramInfo:
    """A loaded program's identity: no other of this boot has the same id and time of load."""

    __slots__ = ("id", "load_time", "name", "tag", "type")

    def __init__(self, type: int, id: int, tag: str, name: str, load_time: int) -> None:
        self.type = type
        self.id = id
        self.tag = tag
        self.name = name
        """The first 15 bytes of the C function's name."""
        self.load_time = load_time  # nanoseconds after boot

    def facts(self) -> dict[str, int | str]:
        """What the ledger holds of it."""
        return {"id": self.id, "tag": self.tag, "name": self.name, "load_time": self.load_time}


def program_info(fd: int) -> ProgramInfo:
    """Ask for the identity of the program behind a descriptor."""
    ffi, lib = load()
    data = ffi.new("char[]", _PROGRAM.size)
    size = ffi.new("__u32 *", _PROGRAM.size)
    check(lib.bpf_obj_get_info_by_fd(fd, data, size), "ask for the program's information")
    kind, number, tag, _, _, _, _, when, _, _, _, name = _PROGRAM.unpack(ffi.buffer(data))
    text = os.fsdecode(name.split(b"\0")[0])
    return ProgramInfo(kind, number, tag.hex(), text, when)


class program_by_id:  # noqa: N801  # reads as a statement: with program_by_id(id) as fd
    """A descriptor of the program of that id, or None if there is none.

    Privileges: CAP_SYS_ADMIN.
    """

    __slots__ = ("_cell", "_id")

    def __init__(self, id: int) -> None:
        ffi, lib = load()
        self._id = id
        self._cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)

    def __enter__(self) -> int | None:
        _, lib = load()
        rc = lib.plb_fd_program(self._cell, self._id)
        if rc == -errno.ENOENT:
            return None
        check(rc, "open by id the program", str(self._id))
        return int(self._cell[0])

    def __exit__(self, *exception: object) -> None:
        _, lib = load()
        lib.plb_fd_close(self._cell)
