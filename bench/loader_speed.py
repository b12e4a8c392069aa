"""Open and relocate an object without libbpf: time and memory, beside libbpf's own.

``loader.bpf.o`` (some 5,700 instructions, 534 CO-RE relocations) against the BTF of this kernel.
Each round is a process of its own: it opens the object twice, and the two are timed apart. The
first time includes reading the kernel's BTF (and, where nothing is cached yet, making its index),
which is kept for the second.

* ``ours, nothing cached``: the first open on a machine, in an empty cache folder.
* ``ours``: in later processes.
* ``libbpf``: bpf_object__open and bpf_object__prepare (1.6 and later), which relocates and
  creates maps, through ctypes; or, of an older libbpf, bpf_object__load with an unknown flag
  in every program: the kernel refuses the first at once, and all were relocated before.

Times are CPU ms of the process, which other work disturbs less, with wall ms of the first time;
without imports. Memory is the peak of resident memory (VmHWM) over that of a bare Python.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OBJECT = HERE / "loader.bpf.o"
FIRST_MS, AFTER_MS, MEMORY_MB = 300, 50, 80

MEASURE = """
import json, sys, time
{imports}
times = []
for _ in range(2):
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    times += [(time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3]
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
print(json.dumps([times[1], times[0], times[2], peak]))
"""
OURS = """
from pylibbpf.loader.object import read
from pylibbpf.loader.relocate import relocate
from pylibbpf.loader.this_kernel import this_kernel
kernel = None
def run():
    global kernel
    kernel = kernel or this_kernel()
    made = relocate(read(sys.argv[1]), target=kernel)
    assert sum(len(each.insns) for each in made.programs) > 5000
"""
LIBBPF = """
import ctypes, os
lib = ctypes.CDLL(os.environ.get("PYLIBBPF_LIBBPF", "libbpf.so.1"))
lib.libbpf_set_print(None)
void = ctypes.c_void_p
lib.bpf_object__open_file.restype = lib.bpf_object__next_program.restype = void
def run():
    obj = void(lib.bpf_object__open_file(sys.argv[1].encode(), None))
    assert obj
    if hasattr(lib, "bpf_object__prepare"):
        assert lib.bpf_object__prepare(obj) == 0
    else:
        program = lib.bpf_object__next_program(obj, None)
        while program:
            lib.bpf_program__set_flags(void(program), 1 << 31)
            program = lib.bpf_object__next_program(obj, void(program))
        assert lib.bpf_object__load(obj) == -22
    lib.bpf_object__close(obj)
"""
PASS = "def run(): pass"


def measure(imports: str, cache: Path) -> list[float]:
    """Wall ms and CPU ms of the first time, CPU ms of the second, peak MB, of one process."""
    out = subprocess.run(
        [sys.executable, "-c", MEASURE.format(imports=imports), str(OBJECT)],
        env={**os.environ, "PYLIBBPF_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(each) for each in json.loads(out.stdout)]


def main(rounds: int) -> None:
    """Run all ways in turn and print the medians."""
    results: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            kept, empty = Path(folder, "kept"), Path(folder, f"empty{number}")
            ways = [
                ("bare", PASS, kept),
                ("ours, nothing cached", OURS, empty),
                ("ours", OURS, kept),
            ]
            if os.geteuid() == 0:
                ways.append(("libbpf", LIBBPF, kept))
            for name, imports, cache in ways:
                found = measure(imports, cache)
                if number or name != "ours":  # the first of these has filled the cache
                    results.setdefault(name, []).append(found)
    bare = statistics.median(each[3] for each in results.pop("bare"))
    print(f"{'':22} {'wall ms':>9} {'CPU ms':>9} {'again':>9} {'peak MB':>9} {'over bare':>10}")
    for name, runs in results.items():
        wall, first, again, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:22} {wall:9.1f} {first:9.1f} {again:9.1f} {peak:9.1f} {peak - bare:10.1f}")
    print(f"goals: first {FIRST_MS} ms with nothing cached, {AFTER_MS} ms after, {MEMORY_MB} MB")


if __name__ == "__main__":
    main(5)
