"""The cpio archive that a kernel unpacks at boot (Documentation/driver-api/early-userspace)."""

from __future__ import annotations

import stat


class Cpio:
    """Writes an archive in "newc" format, owned by root and without times: the same each time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def folder(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def fifo(self, name: str, mode: int) -> None:
        self._add(name, stat.S_IFIFO | mode)

    def device(self, name: str, mode: int, major: int, minor: int) -> None:
        """A character device."""
        self._add(name, stat.S_IFCHR | mode, device=(major, minor))

    def finish(self) -> bytes:
        """The archive. Several, one after the other, are unpacked as one."""
        self._add("TRAILER!!!", 0)
        data = b"".join(self._parts)
        return data + bytes(-len(data) % 512)

    def _add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        path = name.encode(errors="surrogateescape") + b"\0"
        self._count += 1
        # inode, mode, uid, gid, links, time, size, device of the file (2), device (2), name, sum
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
