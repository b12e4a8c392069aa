"""``vmlinux.h`` of this kernel: wall time, CPU time and peak memory; and what reading BTF takes.

Each way runs in a process of its own, the ways take turns, and the medians are printed.

* ``read``: this kernel's BTF, and one type of it by name.
* ``pylibbpf btf c``: the header; ``--type task_struct``: what that needs.
* ``bpftool``: its header, where it is installed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time

KERNEL = "/sys/kernel/btf/vmlinux"
READ = f"""
from pylibbpf.btf.parse import Btf
with open({KERNEL!r}, "rb") as file:
    btf = Btf(file.read())
assert btf.sizeof(btf.find("task_struct")[0])
"""


def ways() -> dict[str, list[str]]:
    command = [sys.executable, "-m", "pylibbpf", "btf", "c"]
    found = {
        "read": [sys.executable, "-c", READ],
        "pylibbpf btf c --type task_struct": [*command, "--type", "task_struct"],
        "pylibbpf btf c": command,
    }
    bpftool = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if bpftool is None:
        print("without bpftool: it is not installed", file=sys.stderr)
    else:
        found["bpftool"] = [bpftool, "btf", "dump", "file", KERNEL, "format", "c"]
    return found


def once(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU time in seconds, peak memory in MB."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} failed")
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(rounds: int) -> None:
    figures: dict[str, list[tuple[float, float, float]]] = {}
    commands = ways()
    for number in range(rounds + 1):
        for name, command in commands.items():
            figure = once(command)
            if number:  # the first warms caches
                figures.setdefault(name, []).append(figure)
    print(f"types of {os.uname().release}: wall time, CPU time, peak memory")
    for name, rows in figures.items():
        wall, cpu, memory = map(statistics.median, zip(*rows, strict=True))
        print(f"  {name:34} {wall:6.2f} s {cpu:6.2f} s {memory:6.1f} MB")
