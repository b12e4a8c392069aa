"""One suite, every engine: each test here runs once for each engine that this host can use."""

from __future__ import annotations

import ctypes
import platform
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

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
def pins() -> Iterator[str]:
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
