"""Load an object: wall time, CPU time and peak memory, over that of Python itself.

Each way runs in a process of its own, the ways take turns, and the medians are printed. Memory
is the peak of resident memory (VmHWM) over that of a Python that does nothing.

* ``bare``: the interpreter alone.
* ``ctypes``: libbpf called through ctypes, with nothing around it: the floor for Python.
* ``pylibbpf``: ``open_object(...)`` and ``load()``.
* ``pylibbpf, attached and read``: also ``attach()``, a ring buffer and its first record.
* ``bpftrace, attached``: where it is installed, a script that attaches to the same tracepoint
  and ends with its first event; CPU time is that of the whole command.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OBJECT = ROOT / "examples" / "opensnoop.bpf.o"

MEASURE = """
import json, resource, sys, time
begin = time.perf_counter()
{body}
wall = (time.perf_counter() - begin) * 1e3
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
peak = used[1].ru_maxrss or peak
cpu = sum(each.ru_utime + each.ru_stime for each in used)
print(json.dumps([wall, cpu * 1e3, peak / 1024]))
"""

CTYPES = """
import ctypes
libbpf = ctypes.CDLL("libbpf.so.1")
libbpf.bpf_object__open_file.restype = ctypes.c_void_p
obj = libbpf.bpf_object__open_file(sys.argv[1].encode(), None)
assert libbpf.bpf_object__load(ctypes.c_void_p(obj)) == 0
"""

LOAD = """
import pylibbpf
obj = pylibbpf.open_object(sys.argv[1])
obj.load()
"""

READ = """
from pylibbpf.cli.mounts import private_mounts
private_mounts()
obj.attach()
events = obj.ringbuf("events")
open("/dev/null").close()
assert events.read(5) is not None
"""

# As root and where tracefs is mounted, as for pylibbpf above.
BPFTRACE = """
import subprocess
from pylibbpf.cli.mounts import private_mounts
private_mounts()
child = subprocess.Popen(
    ["bpftrace", "-e", "tracepoint:syscalls:sys_enter_openat { exit(); }"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
while child.poll() is None:
    open("/dev/null").close()
    time.sleep(0.002)
assert child.returncode == 0
"""

WAYS = {
    "bare": "",
    "ctypes": CTYPES,
    "pylibbpf": LOAD,
    "pylibbpf, attached and read": LOAD + READ,
}


def measure(body: str) -> list[float]:
    """Wall ms, CPU ms and peak MB of one run."""
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE.format(body=body), str(OBJECT)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(each) for each in json.loads(out.stdout)]


def main(rounds: int) -> None:
    """Run all ways in turn and print the medians."""
    ways = WAYS | ({"bpftrace, attached": BPFTRACE} if shutil.which("bpftrace") else {})
    results: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, body in ways.items():
            results[name].append(measure(body))
    bare = statistics.median(each[2] for each in results["bare"])
    print(f"{'':30} {'wall ms':>9} {'CPU ms':>9} {'peak MB':>9} {'over bare':>10}")
    for name, runs in results.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:30} {wall:9.1f} {cpu:9.1f} {peak:9.1f} {peak - bare:10.1f}")
