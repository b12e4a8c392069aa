"""BTF that is in the kernel, by its id."""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load

# struct bpf_btf_info (include/uapi/linux/bpf.h): btf, btf_size, id, name, name_len, kernel_btf.
_INFO_WORDS = 8


def by_id(number: int) -> bytes:
    """The bytes of the BTF of an id. Privilege: CAP_SYS_ADMIN."""
    ffi, lib = load()
    name = f"id {number}"
    fd = check(lib.bpf_btf_get_fd_by_id(number), "open BTF by id", name)
    try:
        info, size = ffi.new("uint64_t[]", _INFO_WORDS), ffi.new("uint32_t *")
        size[0] = ffi.sizeof(info)
        check(lib.bpf_obj_get_info_by_fd(fd, info, size), "read BTF", name)
        room = info[1] & 0xFFFFFFFF
        data = ffi.new("char[]", room)
        ffi.memmove(info, bytes(ffi.sizeof(info)), ffi.sizeof(info))
        info[0], info[1] = int(ffi.cast("uintptr_t", data)), room
        check(lib.bpf_obj_get_info_by_fd(fd, info, size), "read BTF", name)
        return bytes(ffi.buffer(data))
    finally:
        os.close(fd)
