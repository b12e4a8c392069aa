"""What outlives the process that attached it, written down so that it can be found again.

XDP and tc programs attached by netlink, cgroup programs attached without a link and programs of
sockmaps stay when their process is killed. So an entry is written before each such attachment is
made and removed after it is undone: a JSON file in a folder of the user,

    PYLIBBPF_RUNTIME_DIR            where that is set,
    /run/pylibbpf                   for root,
    $XDG_RUNTIME_DIR/pylibbpf       for others,
    /tmp/pylibbpf-UID               where that is not set either.

The folder must be the user's and writable by nobody else. Where it cannot be made or written,
nothing is attached: an attachment of which nobody knows would be worse than an error that says
which variable to set. An entry names a program by its id, tag and time of load, and a process by
its id and time of start, so that neither is mistaken for one that came later.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import asdict, dataclass, replace

from pylibbpf.engine.kernel.library import load
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ENVIRONMENT", "Entry", "Process", "Record", "entries", "folder", "remove"]

ENVIRONMENT = "PYLIBBPF_RUNTIME_DIR"
_FORMAT = 1


def folder() -> str:
    """The folder of this user's entries; it need not exist."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return named
    if os.geteuid() == 0:
        return "/run/pylibbpf"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return f"{runtime}/pylibbpf"
    return f"/tmp/pylibbpf-{os.geteuid()}"  # noqa: S108  # owner and mode are checked when opened


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from others that had or will have its id."""

    pid: int
    start: int  # clock ticks after boot (/proc/PID/stat, field 22)
    boot: str  # /proc/sys/kernel/random/boot_id
    pid_namespace: int  # inode
    command: str

    @classmethod
    def own(cls) -> Process:
        with open("/proc/self/cmdline", "rb") as file:
            command = os.fsdecode(file.read().rstrip(b"\0").replace(b"\0", b" "))
        found = _state("self")
        return cls(
            os.getpid(),
            found[1] if found else 0,
            _boot(),
            os.stat("/proc/self/ns/pid").st_ino,
            command[:200],
        )

    @property
    def since_another_boot(self) -> bool:
        """Whether it ran before this machine was started the last time."""
        return self.boot != _boot()

    def alive(self) -> bool | None:
        """Whether it runs still; None where that cannot be seen from here."""
        if self.since_another_boot:
            return False
        if self.pid_namespace != os.stat("/proc/self/ns/pid").st_ino:
            return None
        found = _state(str(self.pid))
        if found is not None:
            state, start = found
            # A zombie has closed all it had.
            return start == self.start and state not in "ZX"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return None  # it is there, and /proc hides it (hidepid)


def _state(pid: str) -> tuple[str, int] | None:
    """State and time of start of a process, by /proc/PID/stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[19])


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


@dataclass(frozen=True, slots=True)
class Entry:
    """One attachment that its process has to undo."""

    kind: str  # what finds the place again: see legacy.places
    place: dict[str, Any]
    program: dict[str, Any]  # id, tag, name, load_time
    process: Process
    netns: int  # inode of the network namespace that the process was in
    mntns: int
    time: float  # seconds since the epoch
    name: str = ""  # of the file


class Record:
    """This process's entry for one attachment."""

    def __init__(self, kind: str, place: dict[str, Any], program: dict[str, Any]) -> None:
        self._folder = folder()
        self._entry = Entry(
            kind,
            place,
            program,
            Process.own(),
            os.stat("/proc/thread-self/ns/net").st_ino,
            os.stat("/proc/self/ns/mnt").st_ino,
            time.time(),
        )
        self.name = f"{kind}-{os.getpid()}-{os.urandom(6).hex()}.json"

    def write(self) -> None:
        """Put it on the ledger.

        Raises:
            BpfError: that is not possible.
        """
        try:
            with _Folder(self._folder, make=True) as at:
                content = {"format": _FORMAT, **asdict(self._entry)}
                del content["name"]
                at.write(self.name, content)
        except OSError as error:
            raise BpfError(
                error.errno or 0,
                "attach",
                str(self._entry.program["name"]),
                f"without a link of the kernel's it would outlive a process that is killed, and "
                f"no entry of it could be written to {self._folder} "
                f"({error.strerror or error}): set {ENVIRONMENT} to a folder of your own",
            ) from None

    def update(self, place: dict[str, Any]) -> None:
        """Have the entry say what is known of the place by now."""
        if place != self._entry.place:
            self._entry = replace(self._entry, place=place)
            self.write()

    def remove(self) -> None:
        """Take it off the ledger. A second call does nothing.

        Raises:
            BpfError: the folder may not be written any more.
        """
        remove(self.name, self._folder)


class _Folder:
    """The folder, open and found to be nobody else's."""

    def __init__(self, path: str, *, make: bool = False) -> None:
        ffi, lib = load()
        self._path, self._make = path, make
        # Closed when it is collected, too: whatever interrupts us.
        self._cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)

    @property
    def _fd(self) -> int:
        return int(self._cell[0])

    def __enter__(self) -> _Folder:
        ffi, lib = load()
        if self._make:
            try:
                os.mkdir(self._path, 0o700)
            except FileExistsError:
                pass
        path = ffi.new("char[]", os.fsencode(self._path))
        rc = lib.plb_fd_open(self._cell, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if rc < 0:
            raise OSError(-rc, os.strerror(-rc))  # which becomes FileNotFoundError and its like
        found = os.fstat(self._fd)
        if found.st_uid != os.geteuid():
            raise PermissionError(1, f"it belongs to user {found.st_uid}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(1, "others may write to it (chmod go-w)")
        return self

    def __exit__(self, *exception: object) -> None:
        _, lib = load()
        lib.plb_fd_close(self._cell)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file that is whole when it appears."""
        hidden = f".{name}"
        try:
            # open(), not os.open(): a descriptor that is a number may be lost to a signal.
            with open(f"/proc/self/fd/{self._fd}/{hidden}", "x", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            os.rename(hidden, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException:
            self._unlink(hidden)
            raise

    def remove(self, name: str) -> None:
        self._unlink(name)
        self._unlink(f".{name}")

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            pass

    def read(self, name: str) -> Any:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        with open(fd, encoding="utf-8") as file:
            return json.load(file)

    def names(self) -> list[str]:
        return sorted(
            name
            for name in os.listdir(self._fd)
            if name.endswith(".json") and not name.startswith(".")
        )


def entries() -> tuple[list[Entry], dict[str, str]]:
    """All entries of this user, and why others could not be read, by file name.

    Raises:
        BpfError: the folder is there and may not be read, or is somebody else's.
    """
    found: list[Entry] = []
    broken: dict[str, str] = {}
    path = folder()
    try:
        with _Folder(path) as at:
            for name in at.names():
                try:
                    found.append(_parse(name, at.read(name)))
                except FileNotFoundError:
                    continue  # removed meanwhile
                except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                    broken[name] = f"{type(error).__name__}: {error}"
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        raise BpfError(
            error.errno or 0, "read the entries in", path, error.strerror or str(error)
        ) from None
    return found, broken


def remove(name: str, path: str | None = None) -> None:
    """Take an entry of any process off the ledger; nothing if it is gone.

    Raises:
        BpfError: the folder may not be written.
    """
    path = path or folder()
    try:
        with _Folder(path) as at:
            at.remove(name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BpfError(
            error.errno or 0, "remove the entry", f"{path}/{name}", error.strerror or str(error)
        ) from None


def _parse(name: str, content: Any) -> Entry:
    if content["format"] != _FORMAT:
        raise ValueError(f"written by another version of pylibbpf (format {content['format']})")
    program = content["program"]
    for key, kind in (("id", int), ("tag", str), ("name", str), ("load_time", int)):
        if not isinstance(program[key], kind):
            raise TypeError(f"program.{key} is {program[key]!r}")
    process = content["process"]
    for key in ("pid", "start", "pid_namespace"):
        if not isinstance(process[key], int):
            raise TypeError(f"process.{key} is {process[key]!r}")
    if not isinstance(content["place"], dict):
        raise TypeError("place is no table")
    return Entry(
        str(content["kind"]),
        content["place"],
        program,
        Process(**process),
        int(content["netns"]),
        int(content["mntns"]),
        float(content["time"]),
        name,
    )
