"""How long a guest takes beside a bare boot: ``vm run -- true``, and QEMU with an empty initramfs.

The bare boot is the same kernel as its packages have it (a bzImage), on the same machine, processor
and memory, with the same command line but for ``panic=-1``: it ends with the panic that it finds no
init. The two take turns, in one run, and medians are printed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pylibbpf.guest import cache, kernels, qemu
from pylibbpf.guest.cpio import Cpio
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.session import MEMORY

GOAL = 1.5


def timed(command: list[str]) -> float:
    begun = time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=300, check=True)
    return time.monotonic() - begun


def bare(program: str, accelerator: str, kernel: Kernel, initramfs: Path) -> list[str]:
    return [
        *(program, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "null"),
        *("-machine", "q35", "-accel", accelerator, "-cpu", qemu.processor(kernel, accelerator)),
        *("-smp", "1", "-m", f"{MEMORY}M", "-no-reboot"),
        *("-kernel", str(kernel.image), "-initrd", str(initramfs)),
        *("-append", qemu.APPEND.replace("panic=1", "panic=-1")),
    ]


def main(rounds: int) -> None:
    """Run both ways in turn on each kernel and print the medians."""
    folder = cache.place()
    program = qemu.find()
    accelerator = qemu.KVM if qemu.kvm(program, folder).kvm else qemu.TCG
    print(f"seconds, {accelerator}, medians of {rounds} rounds [lowest to highest]")
    print(f"{'':6} {'bare boot':>24} {'vm run -- true':>24} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as work:
        initramfs = Path(work, "empty")
        initramfs.write_bytes(Cpio().finish())
        for name in kernels.table(folder):
            kernel = kernels.get(name, folder, print)
            ours = [sys.executable, "-m", "pylibbpf", "vm", "run", "--kernel", name, "--", "true"]
            ways = bare(program, accelerator, kernel, initramfs), ours
            found: list[list[float]] = [[], []]
            for number in range(rounds + 1):
                for figures, command in zip(found, ways, strict=True):
                    seconds = timed(command)
                    if number:  # the first fills caches
                        figures.append(seconds)
            shown = [f"{statistics.median(f):7.2f} [{min(f):.2f} to {max(f):.2f}]" for f in found]
            ratio = statistics.median(found[1]) / statistics.median(found[0])
            print(f"{name:6} {shown[0]:>24} {shown[1]:>24} {ratio:7.2f}", flush=True)
    print(f"goal: at most {GOAL}")
