"""What is left behind: nothing."""

from __future__ import annotations

import compileall
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import pylibbpf


def _rss() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def _in_child(body) -> str:
    """Run ``body`` in a forked child; gives what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(body())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


def test_a_thousand_cycles_leave_nothing(engine, objects):
    data = (objects / "attach.bpf.o").read_bytes()

    def cycle() -> None:
        with pylibbpf.open_object(data, engine=engine) as obj:
            obj.load()
            obj.attach(skip=["getpgid"])
            with obj.ringbuf("events", timeout=0):
                pass
            obj.globals["calls"] = 1

    for _ in range(50):
        cycle()
    gc.collect()
    fds, threads, rss = len(os.listdir("/proc/self/fd")), threading.active_count(), _rss()
    for _ in range(1000):
        cycle()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads
    assert _rss() - rss < 2048


def test_forked_child(load_test_object, run):
    obj = load_test_object("attach")
    link = obj.programs["raw"].attach()
    events = obj.ringbuf("events")

    assert "parent" in _in_child(lambda: obj.globals["raw_calls"])
    assert _in_child(lambda: link.fd).startswith("ClosedError")
    assert "parent" in _in_child(lambda: events.read(0))
    assert "parent" in _in_child(lambda: obj.load())
    assert "parent" in _in_child(lambda: obj.maps["events"].fd)
    assert _in_child(lambda: [events.close(), link.close(), obj.close()]) == "[None, None, None]"

    before = obj.globals["raw_calls"]
    os.getppid()
    assert obj.globals["raw_calls"] > before
    assert not link.closed
    assert events.read(0) is None


def test_forked_child_does_not_keep_it_attached(load_test_object, objects):
    """The child outlives its parent's link; the program must be detached all the same."""
    obj = load_test_object("attach")
    obj.programs["raw"].attach()
    obj.programs["getpgid"].attach()
    obj.ringbuf("events")
    read, write = os.pipe()
    ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.close(ready[0])
        os.write(ready[1], b"x")
        os.read(read, 1)
        os._exit(0)
    try:
        assert os.read(ready[0], 1)
        fds = os.listdir(f"/proc/{pid}/fd")
        targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in fds]
        assert not [each for each in targets if "bpf" in each or "perf_event" in each]
    finally:
        os.close(write)
        os.close(read)
        os.close(ready[0])
        os.close(ready[1])
        os.waitpid(pid, 0)


def test_descriptors_are_close_on_exec(load_test_object):
    obj = load_test_object("attach")
    link = obj.programs["raw"].attach()
    events = obj.ringbuf("events")
    fds = [link.fd, events.fileno(), obj.maps["events"].fd, obj.programs["raw"].fd]
    assert not any(os.get_inheritable(fd) for fd in fds)


SLEEPER = """
    import sys, time, pylibbpf
    obj = pylibbpf.open_object(sys.argv[1], engine=sys.argv[2])
    obj.load()
    obj.attach(skip=["getpgid"])
    print(obj.programs["raw"].fd, flush=True)
    time.sleep(60)
"""


def test_killed_process_leaves_nothing(engine, objects, program_ids):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLEEPER), objects / "attach.bpf.o", engine],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        fd = child.stdout.readline().strip()
        about = Path(f"/proc/{child.pid}/fdinfo/{fd}").read_text()
        loaded = next(int(line.split()[1]) for line in about.splitlines() if "prog_id" in line)
        assert loaded in program_ids()
    finally:
        child.kill()
        child.communicate()
    assert _eventually(lambda: loaded not in program_ids())


def _eventually(condition) -> bool:
    import time

    for _ in range(100):
        if condition():
            return True
        time.sleep(0.05)
    return False


MEMORY = """
    import sys
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    before = peak()
    import pylibbpf
    obj = pylibbpf.open_object(sys.argv[1])
    obj.load()
    print(peak() - before)
    heavy = ["typing", "re", "logging", "dataclasses", "json", "numpy", "elftools", "pyroute2",
             "rich", "argparse", "ctypes", "subprocess", "inspect", "enum"]
    print([name for name in heavy if name in sys.modules])
    obj.close()
"""


def test_memory_of_one_loaded_object(bpf, examples):
    """At most 14 MB over bare Python, of which libbpf 1.1 takes 11.

    With compiled bytecode, as set-up leaves it: what was edited since is compiled first.
    """
    assert compileall.compile_dir(Path(pylibbpf.__file__).parent, quiet=1)
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), examples / "opensnoop.bpf.o"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert int(out[0]) <= 14 * 1024
    assert out[1] == "[]"


@pytest.mark.parametrize("module", ["pylibbpf"])
def test_import_is_light(module):
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    assert not {"elftools", "pyroute2", "numpy", "rich", "_cffi_backend"} & set(loaded)


def test_attaching_is_light(bpf, examples):
    """What takes long to import would be most of the time from load to attached."""
    code = """
        import sys
        import pylibbpf
        with pylibbpf.open_object(sys.argv[1]) as obj:
            obj.load()
            obj.attach()
            heavy = ["typing", "re", "logging", "dataclasses", "json", "numpy", "elftools",
                     "pyroute2", "rich", "argparse", "ctypes", "subprocess", "inspect"]
            print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), examples / "syscount.bpf.o"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
