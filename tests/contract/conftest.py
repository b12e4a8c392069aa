"""One suite, every engine: each test here runs once for each engine that this host can use."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import os
import platform
import re
import shutil
import signal
import socket
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pylibbpf
from pylibbpf.engine.select import ENGINES


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine."""
    if request.param == "kernel":
        request.getfixturevalue("bpf")
    return str(request.param)


@pytest.fixture
def open_test_object(engine: str, objects: Path) -> Iterator[Callable[[str], pylibbpf.Object]]:
    """Open one of tests/objects by name; what the test leaves open is closed."""
    opened = []

    def open_one(name: str, **options: object) -> pylibbpf.Object:
        obj = pylibbpf.open_object(objects / f"{name}.bpf.o", engine=engine, **options)  # type: ignore[arg-type]
        opened.append(obj)
        return obj

    yield open_one
    for obj in opened:
        obj.close()


@pytest.fixture
def load_test_object(
    open_test_object: Callable[[str], pylibbpf.Object],
) -> Callable[[str], pylibbpf.Object]:
    """Open one of tests/objects by name, and load it."""

    def load_one(name: str) -> pylibbpf.Object:
        obj = open_test_object(name)
        obj.load()
        return obj

    return load_one


@pytest.fixture
def pins(bpf: None) -> Iterator[str]:
    """A folder for pins, in a bpffs that only the tests see (or the host's, if it has one)."""
    folder = tempfile.mkdtemp(prefix="pylibbpf-", dir="/sys/fs/bpf")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def run() -> Callable[..., int]:
    """Run a raw_tp program once, with up to five arguments; gives its return value."""

    def run_one(obj: pylibbpf.Object, program: str, *args: int) -> int:
        words = struct.pack("=5Q", *args, *[0] * (5 - len(args)))
        return obj.programs[program].test_run(ctx=words).retval

    return run_one


@pytest.fixture
def program_ids() -> Callable[[], set[int]]:
    """Ask the kernel for the ids of all programs that are loaded (BPF_PROG_GET_NEXT_ID)."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    syscall = ctypes.CDLL(None, use_errno=True).syscall

    def ids() -> set[int]:
        found: set[int] = set()
        attr = (ctypes.c_uint32 * 4)()
        while syscall(number, 11, ctypes.byref(attr), ctypes.sizeof(attr)) == 0:
            found.add(attr[1])
            attr[0] = attr[1]
        return found

    return ids


@pytest.fixture(scope="session")
def kernel_version() -> tuple[int, int]:
    """Major and minor version of the kernel that runs."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


@pytest.fixture(scope="session")
def cgroup2() -> Path:
    """Where the cgroup v2 file system is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(where, os.W_OK):
            return Path(where)
    pytest.skip("needs a cgroup v2 file system that may be written (a container may have none)")


@pytest.fixture
def make_cgroup(cgroup2: Path) -> Iterator[Callable[..., Path]]:
    """Make a cgroup of a test's own, below another one; all are removed at its end."""
    made: list[Path] = []

    def make_one(below: Path | None = None) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="pylibbpf-", dir=below or cgroup2)))
        return made[-1]

    yield make_one
    for each in reversed(made):
        _remove_cgroup(each)


def _remove_cgroup(folder: Path) -> None:
    """Remove it, when those in it have ended: a process that was killed takes a moment."""
    for _ in range(200):
        try:
            return folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.02)
    pytest.fail(f"{folder} is still in use")


@pytest.fixture
def inside(namespaces: None) -> Callable[..., Any]:
    """Call a function in a child of its own, in a cgroup and in a network namespace.

    Gives what it returned, or raises its OSError. The namespace (of the descriptor ``netns``, or
    a new one) has a loopback interface.
    """

    def call(body: Callable[[], Any], cgroup: Path | None = None, netns: int | None = None) -> Any:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _enter_network(netns)
                if cgroup is not None:
                    (cgroup / "cgroup.procs").write_text("0")
                said: Any = ("result", body())
            except pylibbpf.Error:
                said = ("failure", traceback.format_exc())
            except OSError as error:
                said = ("errno", error.errno)
            except BaseException:
                said = ("failure", traceback.format_exc())
            os.write(write, json.dumps(said).encode())
            os._exit(0)
        os.close(write)
        with open(read) as file:
            text = file.read()
        os.waitpid(pid, 0)
        kind, value = json.loads(text)
        if kind == "errno":
            raise OSError(value, os.strerror(value))
        assert kind == "result", value
        return value

    return call


def _enter_network(netns: int | None) -> None:
    """Leave for another network namespace, or for a new one, with its loopback interface up."""
    libc = ctypes.CDLL(None, use_errno=True)
    new = 0x40000000  # CLONE_NEWNET
    if (libc.unshare(new) if netns is None else libc.setns(netns, new)) < 0:
        raise OSError(ctypes.get_errno(), "network namespace")
    if netns is not None:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh", b"lo", 1)  # struct ifreq, IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up.ljust(40, b"\0"))  # SIOCSIFFLAGS


@pytest.fixture
def netns(namespaces: None) -> Iterator[int]:
    """A network namespace with a loopback interface, by descriptor; a process is in it."""
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(done[1])
        with contextlib.suppress(OSError):
            _enter_network(None)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.close(ready[1])
    try:
        assert os.read(ready[0], 1), "no network namespace could be made"
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            yield fd
        finally:
            os.close(fd)
    finally:
        for each in (ready[0], *done):
            os.close(each)
        os.waitpid(pid, 0)


@pytest.fixture(scope="session")
def kernel_has() -> Callable[[str], bool]:
    """Whether this kernel has a kind of hook, from what it was built with.

    ``"BPF_TRACE_KPROBE_SESSION"`` and its like are looked for among the enumerators in its BTF.
    """
    btf = Path("/sys/kernel/btf/vmlinux")

    @functools.cache
    def has(what: str) -> bool:
        if what == "kprobes":
            return Path("/sys/bus/event_source/devices/kprobe").exists()
        if what == "fprobe":
            return b" register_fprobe\n" in Path("/proc/kallsyms").read_bytes()
        if what == "trampolines":
            # A kernel that is built without kprobes refuses these programs, too, at load: for
            # want of a reason that could be asked for, the one stands for the other.
            return has("kprobes")
        return b"\0" + what.encode() + b"\0" in btf.read_bytes()

    return has
