"""The benchmarks: this library beside C, BCC and PyPI's pylibbpf, in one run.

    python bench [--rounds N] [--only NAME] [--json FILE]

Each measurement runs in a process of its own, the peers take turns, and medians are printed, with
the lowest and highest in brackets. Times of ``data`` are CPU time of the measuring thread; load is
from before the import of the library (C: from before opening the object) until it is attached.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bring
import btf
import guest_session
import loader_speed
import memory
import vm_boot
import vm_speed

HERE = Path(__file__).resolve().parent
OBJECT = HERE / "peers.bpf.o"
# What the project set itself as goals: how many times quicker than BCC.
GOALS = {"load wall": 20.0, "m[k]": 1.3}
UNITS = {"load wall": "ms", "load CPU": "ms"}
JOBS = ("load", "data")  # beside the peers
# What measures and prints by itself, given the rounds; those in LONG only when named.
OTHERS = {
    "memory": memory.main,
    "btf": btf.main,
    "loader": loader_speed.main,
    "vm": vm_speed.main,
    "vm-boot": vm_boot.main,
    "guest-session": guest_session.main,
}
LONG = ("loader", "vm", "vm-boot", "guest-session")

Peer = Callable[[str], "subprocess.CompletedProcess[str]"]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def peers() -> dict[str, Peer]:
    """Every peer that can be had here; says which can not."""
    ways: dict[str, Peer] = {}
    scripts = HERE / "peers"

    def ours(job: str) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, str(scripts / "ours.py"), job, str(OBJECT))

    def in_c() -> Peer:
        program = str(bring.c_peer())
        return lambda job: run(program, job, str(OBJECT))

    def bcc() -> Peer:
        headers = str(bring.bcc_peer())
        script = str(scripts / "bcc_peer.py")
        return lambda job: run(bring.SYSTEM_PYTHON, script, job, BCC_KERNEL_SOURCE=headers)

    def pypi() -> Peer:
        python = str(bring.pypi_peer())
        return lambda job: run(python, str(scripts / "pypi_peer.py"), job, str(OBJECT))

    ways["pylibbpf-cffi"] = ours
    for name, make in (("C", in_c), ("BCC", bcc), ("PyPI pylibbpf", pypi)):
        try:
            ways[name] = make()
        except (bring.Missing, bring.debpkg.DebianError) as why:
            print(f"without {name}: {why}", file=sys.stderr)
    return ways


def measure(jobs: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Figures by name and peer; the peers take turns."""
    found: dict[str, dict[str, list[float]]] = {}
    ways = peers()
    for number in range(rounds + 1):
        for job in jobs:
            for name, way in list(ways.items()):
                done = way(job)
                if done.returncode:
                    print(f"{name} failed at {job}:\n{done.stderr[-1500:]}", file=sys.stderr)
                    del ways[name]
                    continue
                if number == 0:
                    continue  # warms caches: of files, of bytecode
                for what, figure in json.loads(done.stdout.splitlines()[-1]).items():
                    found.setdefault(what, {}).setdefault(name, []).append(figure)
    return found


def show(found: dict[str, dict[str, list[float]]]) -> None:
    for what, by_peer in found.items():
        print(f"\n{what}, {UNITS.get(what, 'ns each')}")
        ours = statistics.median(by_peer.get("pylibbpf-cffi", [0.0]))
        for name, figures in by_peer.items():
            median = statistics.median(figures)
            spread = f"[{min(figures):.4g} to {max(figures):.4g}]"
            ratio = "" if name == "pylibbpf-cffi" or not ours else f"  {median / ours:7.2f} x ours"
            print(f"  {name:16} {median:10.4g} {spread:24}{ratio}")
        if what in GOALS and "BCC" in by_peer and ours:
            reached = statistics.median(by_peer["BCC"]) / ours
            print(f"  goal: BCC at least {GOALS[what]} x ours; {reached:.2f} here")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--only", choices=(*JOBS, *OTHERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, too")
    args = parser.parse_args()
    # As set-up leaves it: what was edited since would be compiled anew in each process, where
    # PYTHONDONTWRITEBYTECODE is set.
    compileall.compile_dir(HERE.parent / "pylibbpf", quiet=1)
    jobs = [job for job in JOBS if args.only in (None, job)]
    found = measure(jobs, args.rounds) if jobs else {}
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    for name, main_of in OTHERS.items():
        if args.only == name or (args.only is None and name not in LONG):
            print()
            main_of(args.rounds)


if __name__ == "__main__":
    main()
