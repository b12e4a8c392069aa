"""What a process can see of its own privileges and of the machine: files of /proc and /sys.

Everything answers None where a file is missing, may not be read, or says what nobody expected.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from itertools import islice

__all__ = ["BPF_SYSCALL", "CAPABILITIES", "PERF_SYSCALL", "Host"]

# include/uapi/linux/capability.h: the name of each bit of CapEff.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"),
    *("IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT"),
    *("SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"),
    *("LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG"),
    *("WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
PERF_SYSCALL = {"x86_64": 298, "aarch64": 241}


class Host:
    """What the probes read; ``root``, ``call`` and ``perf`` stand in for the machine in tests."""

    def __init__(
        self,
        root: str = "/",
        call: Callable[[], int | None] | None = None,
        perf: Callable[[], int | None] | None = None,
    ) -> None:
        self.root = root
        self._call = call or _bpf_answer
        self._perf = perf or _perf_answer

    def read(self, path: str) -> str | None:
        """The text of a file, or None where it is missing or may not be read."""
        data = self.read_bytes(path)
        return None if data is None else data.decode(errors="replace")

    def read_bytes(self, path: str) -> bytes | None:
        """The bytes of a file, or None where it is missing or may not be read."""
        try:
            with open(self._path(path), "rb") as file:
                return file.read()
        except (OSError, ValueError):
            return None

    def number(self, path: str) -> int | None:
        """A file that holds one number."""
        try:
            return int((self.read(path) or "").split()[0])
        except (ValueError, IndexError):
            return None

    def link(self, path: str) -> str | None:
        """Where a symbolic link points to."""
        try:
            return os.readlink(self._path(path))
        except (OSError, ValueError):
            return None

    def why_unreadable(self, path: str) -> int | None:
        """None where a folder can be listed, else the errno."""
        try:
            os.listdir(self._path(path))
        except OSError as error:
            return error.errno or errno.EIO
        return None

    def why_no_tracefs(self, place: str = "sys/kernel/tracing") -> int | None:
        """None where events can be looked up below a tracefs, else the errno.

        Since Linux 5.15 its files are root's and their group's alone, whatever its folder's mode.
        """
        number = self.why_unreadable(f"{place}/events")
        if number is not None:
            return number
        try:
            with open(self._path(f"{place}/events/sched/sched_switch/id"), "rb"):
                return None
        except OSError as error:
            return error.errno if error.errno in (errno.EACCES, errno.EPERM) else None

    def listing(self, path: str) -> list[str]:
        """The names in a folder; none where it cannot be listed."""
        try:
            return sorted(os.listdir(self._path(path)))
        except OSError:
            return []

    def mode(self, path: str) -> int | None:
        """The permissions of a file or folder."""
        try:
            return stat.S_IMODE(os.stat(self._path(path)).st_mode)
        except OSError:
            return None

    def size(self, path: str) -> int | None:
        """The size of a file that may be read."""
        try:
            with open(self._path(path), "rb") as file:
                return os.fstat(file.fileno()).st_size
        except OSError:
            return None

    def writable(self, path: str) -> bool:
        """Whether this process may write to a file or folder."""
        return os.access(self._path(path), os.W_OK, effective_ids=True)

    def addresses_shown(self) -> bool | None:
        """Whether the kernel tells this process where its functions are; None where unknown."""
        try:
            with open(self._path("proc/kallsyms"), "rb") as file:
                # The first symbols of a kernel may truly be at zero (per-CPU variables).
                return any(line.split()[0].strip(b"0") for line in islice(file, 2000))
        except (OSError, IndexError):
            return None

    def status(self, name: str) -> str | None:
        """A field of /proc/self/status."""
        for line in (self.read("proc/self/status") or "").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
        return None

    def capabilities(self, which: str = "CapEff") -> frozenset[str] | None:
        """The names of the capabilities in a set of this process, or None where unknown."""
        try:
            bits = int(self.status(which) or "", 16)
        except ValueError:
            return None
        return frozenset(name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1)

    def release(self) -> str | None:
        """The kernel's release: ``6.12.9-amd64``."""
        found = (self.read("proc/sys/kernel/osrelease") or "").strip()
        return found or (os.uname().release if self.root == "/" else None)

    def kernel(self) -> tuple[int, int] | None:
        """Major and minor version of the kernel."""
        release = self.release() or ""
        try:
            major, minor = release.split(".")[:2]
            return int(major), int("".join(_leading_digits(minor)))
        except ValueError:
            return None

    def mounted(self, kind: str) -> str | None:
        """The first mount point of a file system type."""
        for line in (self.read("proc/self/mounts") or "").splitlines():
            fields = line.split()
            if len(fields) > 2 and fields[2] == kind:
                return fields[1]
        return None

    def descriptor(self, fd: int | None, name: str, base: int = 10) -> int | None:
        """A number that the kernel tells of a descriptor in /proc/self/fdinfo."""
        if fd is None or fd < 0:
            return None
        for line in (self.read(f"proc/self/fdinfo/{fd}") or "").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                try:
                    return int(value, base)
                except ValueError:
                    return None
        return None

    def bpf_answer(self) -> int | None:
        """The errno of bpf(2) for a command that does not exist: EINVAL where calls get through."""
        return _answer(self._call)

    def perf_answer(self) -> int | None:
        """The errno of perf_event_open(2) for a flag that does not exist: EINVAL likewise."""
        return _answer(self._perf)

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)


def _leading_digits(text: str) -> Iterator[str]:
    for character in text:
        if not character.isdigit():
            return
        yield character


def _answer(call: Callable[[], int | None]) -> int | None:
    try:
        return call()
    except Exception:  # a probe must not hide the error that it is to explain
        return None


def _bpf_answer() -> int | None:
    return _errno_of(BPF_SYSCALL, 0x7FFF, None, 0)


def _perf_answer() -> int | None:
    # kernel/events/core.c looks at the flags before anything else.
    return _errno_of(PERF_SYSCALL, None, 0, -1, -1, 0x7FFF0000)


def _errno_of(numbers: dict[str, int], *arguments: int | None) -> int | None:
    import ctypes

    number = numbers.get(os.uname().machine)
    if number is None:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    words = [each if each is None else ctypes.c_long(each) for each in arguments]
    return ctypes.get_errno() if libc.syscall(number, *words) < 0 else 0
