#!/usr/bin/env python3
"""Builds the wheel and proves what a wheel can silently lack: the extension.

The extension is optional, so that the package installs where there is no compiler; a release
must have it all the same. The wheel is built from the source distribution, installed into an
empty environment in which no compiler is found, and used there. Then a stranger's project
(tests/stranger) runs its tests with it, in a guest of each kernel: where CI is set that must work,
elsewhere they are skipped for want of QEMU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap import ZIG
from kernels import KERNELS

from pylibbpf.guest import cache

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import sys
import pylibbpf
from pylibbpf.engine.kernel import _libbpf
assert sys.prefix in pylibbpf.__file__, pylibbpf.__file__
assert sys.prefix in _libbpf.__file__, _libbpf.__file__
print(pylibbpf.__version__, _libbpf.__file__.rpartition("/")[2])
"""


def main() -> int:
    """Build and try; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, str(ROOT))
        (wheel,) = out.glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        wrong = [
            f"{wheel.name} is {problem}"
            for problem, found in {
                "without the extension": not any("/_libbpf." in n and ".so" in n for n in names),
                "without what guests boot from": not {
                    f"pylibbpf/guest/{name}"
                    for name in ("kernels.toml", "init.sh", "run.sh", "modprobe.sh")
                }
                <= set(names),
                "without py.typed": "pylibbpf/py.typed" not in names,
                "without the command": not any(n.endswith("/entry_points.txt") for n in names),
                "with more than the package": any(
                    not n.startswith(("pylibbpf/", "pylibbpf_cffi-")) for n in names
                ),
                "with a libbpf that is not ours to ship": any(".so." in n for n in names),
                "not for every CPython from 3.11 on": "-cp311-abi3-" not in wheel.name,
            }.items()
            if found
        ]
        if wrong:
            print("\n".join(wrong), file=sys.stderr)
            return 1
        place = out / "venv"
        venv.create(place, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        run(*pip, "--python", str(place / "bin" / "python"), "install", "-q", str(wheel))
        empty = {"PATH": f"{place}/bin", "HOME": folder}
        run(str(place / "bin" / "python"), "-c", PROBE, cwd=folder, env=empty, shown=True)
        inspect = [str(place / "bin" / "pylibbpf"), "inspect", "--json"]
        run(*inspect, str(ROOT / "examples" / "opensnoop.bpf.o"), cwd=folder, env=empty)
        stranger(out, place, pip)
        print(f"{wheel.name}: holds the extension, and works where it is installed")
    return 0


def stranger(out: Path, place: Path, pip: Sequence[str]) -> None:
    """Run the tests of a project that has the wheel, pytest and a compiler, and nothing of ours."""
    project = out / "project"
    shutil.copytree(ROOT / "tests" / "stranger", project)
    python = str(place / "bin" / "python")
    run(*pip, "--python", python, "install", "-q", "pytest", f"ziglang=={ZIG}")
    environment = {
        **os.environ,
        "PATH": f"{place}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(out),
        "PYLIBBPF_CACHE": str(cache.place()),
    }
    guests = "require" if os.environ.get("CI") else "auto"
    tests = ("-m", "pytest", "-q", "-rs", f"--bpf-kernels={KERNELS}", f"--bpf-guests={guests}")
    run(python, *tests, cwd=str(project), env=environment, shown=True)


def run(
    *command: str,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    shown: bool = False,
) -> None:
    """Run it; its output is shown where it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ if env is None else env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if shown or done.returncode:
        print(done.stdout, end="", file=sys.stderr, flush=True)
    if done.returncode:
        sys.exit(f"wheel_check: {' '.join(command[:4])} ... failed with status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
