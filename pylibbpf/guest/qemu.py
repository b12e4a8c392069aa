"""QEMU's command line, and whether KVM can be trusted on this host."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.outcome import GuestError

PROGRAM = "qemu-system-x86_64"
KVM, TCG = "kvm", "tcg"

# Without KVM the clock is QEMU's own; a guest is thrown away, and needs no mitigations. For a
# second after a panic it stays: QEMU then hands on what the guest wrote faster than we read.
APPEND = (
    "console=ttyS0 rdinit=/init panic=1 oops=panic quiet loglevel=4 nokaslr mitigations=off "
    "no_timer_check tsc=reliable random.trust_cpu=on cryptomgr.notests"
)
# With an event descriptor, QEMU would look at what the guest wrote only later, in another thread.
# Without it, what write(2) has taken has left the guest when it returns: a panic comes too late.
_SERIAL = "virtio-serial-pci,ioeventfd=off"
# Where the processor says that it moves strings of bytes fast, kernel and libc do so byte by byte,
# each of which QEMU emulates.
_EMULATED = "erms=off"


def find() -> str:
    """The path of QEMU.

    Raises:
        GuestError: it is not installed, or this machine's programs do not run on its guests.
    """
    machine = platform.machine()
    if machine != "x86_64":
        raise GuestError(
            f"guests run this host's programs, on kernels for x86-64; this host is {machine}"
        )
    found = shutil.which(PROGRAM)
    if found is None:
        raise GuestError(
            f"{PROGRAM} is missing: apt-get install --no-install-recommends qemu-system-x86"
        )
    return found


def processor(kernel: Kernel, accelerator: str) -> str:
    """The model that a guest gets."""
    return "host" if accelerator == KVM else f"{kernel.cpu},{_EMULATED}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to run with KVM, and why not."""

    kvm: bool
    reason: str = ""


def kvm(qemu: str, folder: Path, root: Path = Path("/")) -> Verdict:
    """Whether KVM is worth a try: what costs nothing to see, then what was seen before.

    A device that opens proves nothing: under some hypervisors it does, and no guest ever starts.
    So KVM is believed only where the processor has it and no other hypervisor emulates it, and a
    guest that fails to start under it is started again without (:func:`remember`).
    """
    device = root / "dev/kvm"
    if not os.access(device, os.R_OK | os.W_OK):
        missing = "may not be opened by this user" if device.exists() else "is not there"
        return Verdict(False, f"/dev/kvm {missing}")
    flags = re.search(r"^flags\s*:(.*)", _text(root / "proc/cpuinfo"), re.M)
    if not flags or not {"vmx", "svm"} & set(flags[1].split()):
        return Verdict(False, "the processor shows neither vmx nor svm")
    if (root / "sys/module/kvm_pvm").exists():
        return Verdict(False, "KVM is emulated by a hypervisor (kvm_pvm)")
    try:
        kept = json.loads((folder / "kvm.json").read_text())
        if kept["host"] == _host(qemu, root):
            return Verdict(False, str(kept["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing is remembered, or nothing that is of use
    return Verdict(True)


def remember(reason: str, qemu: str, folder: Path, root: Path = Path("/")) -> None:
    """Note for the rest of this boot that KVM failed, so that no other run waits for it."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".part-", delete=False) as file:
        json.dump({"host": _host(qemu, root), "reason": reason}, file)
    os.replace(file.name, folder / "kvm.json")


def _host(qemu: str, root: Path) -> list[object]:
    boot = _text(root / "proc/sys/kernel/random/boot_id").strip()
    return [boot, qemu, os.stat(qemu).st_mtime_ns]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one QEMU is given. Numbers are file descriptors that it inherits."""

    kernel: Kernel
    accelerator: str
    memory: int
    """MiB"""
    initramfs: int
    console: int
    control: int
    output: int
    records: int | None = None
    terminal: bool = False
    append: str = ""
    shares: Sequence[str] = ()

    def command(self, qemu: str) -> list[str]:
        """The command line."""
        return [qemu, *self._arguments()]

    def _arguments(self) -> Iterator[str]:
        yield from ("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35")
        yield from ("-accel", self.accelerator)
        yield from ("-cpu", processor(self.kernel, self.accelerator))
        # One: under TCG, a second one slows a guest down.
        yield from ("-smp", "1", "-m", f"{self.memory}M", "-no-reboot")
        yield from ("-kernel", str(self.kernel.image))
        yield from ("-initrd", f"/proc/self/fd/{self.initramfs}")
        yield from ("-append", f"{APPEND} {self.append}".rstrip())
        yield from ("-chardev", f"socket,id=console,fd={self.console}")
        yield from ("-serial", "chardev:console", "-device", _SERIAL)
        yield from ("-chardev", f"socket,id=control,fd={self.control}")
        yield from ("-device", "virtserialport,chardev=control,name=guest.control")
        yield from ("-chardev", f"socket,id=output,fd={self.output}")
        if self.terminal:
            yield from ("-device", "virtconsole,chardev=output")
        else:
            yield from ("-device", "virtserialport,chardev=output,name=guest.output")
        if self.records is not None:
            yield from ("-chardev", f"socket,id=records,fd={self.records}")
            yield from ("-device", "virtserialport,chardev=records,name=guest.records")
        yield from ("-virtfs", _files("/", "host", "readonly=on,"))
        for number, share in enumerate(self.shares):
            yield from ("-virtfs", _files(share, f"share{number}"))


def _files(path: str, tag: str, more: str = "") -> str:
    # Owners are not mapped: to the host, all that a guest does is done by the user of QEMU.
    path = path.replace(",", ",,")
    return f"local,path={path},mount_tag={tag},security_model=none,{more}multidevs=remap"
