"""Network namespaces and their interfaces.

What has to happen in another namespace happens in a thread of C's (shim/netns.c), which enters it
and ends there. So no thread of Python is ever in a namespace that is not its own, and looking up
an interface costs neither pyroute2 (24 MB) nor a child process.
"""

from __future__ import annotations

import errno
import operator
import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.links import attaching
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.errors import BpfError, BpfPermissionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    NetnsArgument: TypeAlias = "str | int | os.PathLike[str] | None"

__all__ = ["FOLDER", "Interface", "Netns"]

FOLDER = "/run/netns"  # where ip-netns(8) and pyroute2 put the names
_OWN = "/proc/thread-self/ns/net"
_NS_GET_NSTYPE = 0xB703  # include/uapi/linux/nsfs.h, Linux 4.11
_CLONE_NEWNET = 0x40000000
_IFNAMSIZ = 16


class Netns:
    """A network namespace that is held open; ``fd`` is -1 where it is this thread's own.

    It is closed when it is collected, too.
    """

    __slots__ = ("_cell", "_device", "inode", "name")

    def __init__(self, which: NetnsArgument = None) -> None:
        """Open a namespace: by name in /run/netns, by path or by descriptor; None is our own.

        Raises:
            BpfError: there is none of that name, or what was named is no network namespace.
        """
        ffi, lib = load()
        self._cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)
        self.name: str | None = None
        """Name or path, as it was given."""
        own = os.stat(_OWN)
        if which is None:
            self._device, self.inode = own.st_dev, own.st_ino
            return
        with attaching:  # no child is forked while the descriptor is nobody's
            self._open(which)
        try:
            self._check_kind()
            found = os.fstat(self.fd)
        except BaseException:
            self.close()
            raise
        self._device, self.inode = found.st_dev, found.st_ino
        if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
            self.close()  # entering it would need CAP_SYS_ADMIN for nothing

    @property
    def fd(self) -> int:
        return int(self._cell[0])

    @property
    def entrance(self) -> int:
        """Its descriptor, or -1 for our own: but this thread may have left that meanwhile.

        Raises:
            BpfError: it has, and the namespace is not to be seen from where it is.
        """
        if self.fd < 0 and os.stat(_OWN).st_ino != self.inode:
            self._cell = Netns.find(self.facts())._cell
        return self.fd

    def _open(self, which: str | int | os.PathLike[str]) -> None:
        _, lib = load()
        if isinstance(which, str | os.PathLike):
            name = path = os.fspath(which)
            if isinstance(which, str) and "/" not in which:
                path = f"{FOLDER}/{which}"
            self.name = name
        else:
            fd = operator.index(which)
            path = f"/proc/self/fd/{fd}"
            name = self.name = f"descriptor {fd}"
        rc = (
            lib.plb_fd_open(self._cell, c_string(path, "path"), os.O_RDONLY)
            if name
            else -errno.ENOENT
        )
        if rc < 0:
            cause = _near(name, -rc) if isinstance(which, str) else None
            if rc == -errno.ENOENT and not isinstance(which, str | os.PathLike):
                rc, cause = -errno.EBADF, "it is not open"
            if -rc in (errno.EACCES, errno.EPERM):
                raise BpfPermissionError(
                    -rc,
                    "open network namespace",
                    name,
                    "this user may not open that file (another user's process takes "
                    "CAP_SYS_PTRACE)",
                )
            raise BpfError(-rc, "open network namespace", name, cause)

    def _check_kind(self) -> None:
        import fcntl

        try:
            kind = fcntl.ioctl(self.fd, _NS_GET_NSTYPE)
        except OSError:
            kind = None  # ENOTTY: no namespace at all
        if kind != _CLONE_NEWNET:
            raise BpfError(
                errno.EINVAL, "open network namespace", self.name, "that is no network namespace"
            )

    @classmethod
    def find(cls, facts: dict[str, Any]) -> Netns:
        """Find again the namespace of :meth:`facts`, wherever it is to be seen.

        Raises:
            BpfError: it is not to be seen from here.
        """
        wanted = (int(facts["device"]), int(facts["inode"]))
        paths = [_OWN, f"{facts['name']}", f"{FOLDER}/{facts['name']}"]
        for folder, rest in ((FOLDER, ""), ("/proc", "/ns/net")):
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            paths += [f"{folder}/{name}{rest}" for name in names if not rest or name.isdigit()]
        for path in paths:
            try:
                seen = os.stat(path)
            except (OSError, ValueError):
                continue
            if (seen.st_dev, seen.st_ino) == wanted:
                try:
                    found = cls(path)
                except BpfError:
                    continue  # a process that has just ended
                if (found._device, found.inode) == wanted:
                    if path in paths[1:3]:
                        found.name = facts["name"]
                    return found
                found.close()
        raise BpfError(
            errno.ENOENT,
            "find network namespace",
            str(facts["name"] or facts["inode"]),
            "it is gone, with what was attached in it, or kept by what cannot be seen from here",
        )

    def facts(self) -> dict[str, Any]:
        """What :meth:`find` needs, as JSON can hold it."""
        return {"device": self._device, "inode": self.inode, "name": self.name}

    def where(self) -> str:
        """The namespace as the end of a phrase; nothing for this thread's own."""
        return f" of network namespace {self.name or self.inode}" if self.fd >= 0 else ""

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        _, lib = load()
        with attaching:
            lib.plb_fd_close(self._cell)

    def interface(self, which: str | int) -> Interface:
        """Look up an interface by name or index.

        Raises:
            BpfError: there is none; names that are near are told.
            BpfPermissionError: the namespace may not be entered.
        """
        ffi, lib = load()
        if isinstance(which, str):
            index = self._entered(lib.plb_netns_ifindex(self.fd, c_string(which, "interface")))
            if index < 0:
                raise self._no_interface(which)
            return Interface(index, which)
        index = operator.index(which)
        name = ffi.new("char[]", _IFNAMSIZ)
        found = 0 < index < 1 << 31
        if found:
            found = self._entered(lib.plb_netns_ifname(self.fd, index, name)) == 0
        if not found:
            raise self._no_interface(index)
        return Interface(index, os.fsdecode(ffi.string(name)))

    def interfaces(self) -> list[Interface]:
        """All interfaces of the namespace."""
        ffi, lib = load()
        size = 4096
        while True:
            text = ffi.new("char[]", size)
            used = lib.plb_netns_interfaces(self.fd, text, size)
            check(self._entered(used), "list interfaces", self.name)
            if used <= size:
                break
            size = used * 2  # more may come meanwhile
        found = []
        for line in bytes(ffi.buffer(text, used)).split(b"\0")[:-1]:
            index, _, name = line.partition(b" ")
            found.append(Interface(int(index), os.fsdecode(name)))
        return found

    def need_entry(self) -> None:
        """Make sure that the namespace may be entered.

        Raises:
            BpfPermissionError: it may not.
        """
        ffi, lib = load()
        self._entered(lib.plb_netns_ifname(self.fd, 1, ffi.new("char[]", _IFNAMSIZ)))

    def _entered(self, rc: int) -> int:
        """A look-up needs no privilege: where one is missing, it is that to enter."""
        if rc in (-errno.EPERM, -errno.EINVAL) and self.fd >= 0:
            check(rc, "enter network namespace", self.name)
        return rc

    def _no_interface(self, which: str | int) -> BpfError:
        import difflib

        names = {each.name for each in self.interfaces()}
        near = difflib.get_close_matches(str(which), names, 3, cutoff=0.5) or sorted(names)[:8]
        what = repr(which) if isinstance(which, str) else f"of index {which}"
        where = f"network namespace {self.name!r}" if self.name else "this network namespace"
        there = f": it has {', '.join(near)}" if near else ""
        return BpfError(
            errno.ENODEV, "find interface", str(which), f"{where} has no interface {what}{there}"
        )

    def __repr__(self) -> str:
        return f"<Netns {self.name or 'own'!r} {self.inode}>"


class Interface:
    """A network interface, as it was when it was looked up."""

    __slots__ = ("index", "name")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name

    def __repr__(self) -> str:
        return f"<Interface {self.name!r} {self.index}>"


def _near(name: str, number: int) -> str | None:
    """What there is instead of a namespace that could not be opened."""
    if number != errno.ENOENT or "/" in name:
        return None
    try:
        names = sorted(os.listdir(FOLDER))
    except OSError:
        names = []
    if not names:
        return f"no network namespace has a name ({FOLDER} is empty): give a path or descriptor"
    import difflib

    near = difflib.get_close_matches(name, names, 3, cutoff=0.5) or names[:8]
    return f"no network namespace has that name: {FOLDER} has {', '.join(near)}"
