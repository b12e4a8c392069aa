"""What a process can see of its own privileges and of the machine: files of /proc and /sys.

Everything answers None where a file is missing, may not be read, or says what nobody expected.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

__all__ = ["CAPABILITIES", "Host"]

# include/uapi/linux/capability.h: the name of each bit of CapEff.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"),
    *("IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT"),
    *("SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"),
    *("LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG"),
    *("WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}


class Host:
    """What the probes read; ``root`` and ``call`` stand in for the machine in tests."""

    def __init__(self, root: str = "/", call: Callable[[], int | None] | None = None) -> None:
        self.root = root
        self._call = call

    def read(self, path: str) -> str | None:
        """The text of a file, or None where it is missing or may not be read."""
        try:
            with open(self._path(path), errors="replace") as file:
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

    def kernel(self) -> tuple[int, int] | None:
        """Major and minor version of the kernel."""
        release = self.read("proc/sys/kernel/osrelease") or ""
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
        try:
            return self._call() if self._call else _bpf_answer()
        except Exception:  # a probe must not hide the error that it is to explain
            return None

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)


def _leading_digits(text: str) -> Iterator[str]:
    for character in text:
        if not character.isdigit():
            return
        yield character


def _bpf_answer() -> int | None:
    import ctypes

    number = _BPF_SYSCALL.get(os.uname().machine)
    if number is None:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, 0x7FFF, None, 0) < 0 else 0
