"""Runs one command in a guest, with or without KVM.

Nothing of a run lies on disk: the initramfs is an unnamed file in memory, the ports are socket
pairs, and QEMU dies with the process that started it. So whatever happens to that process, nothing
is left behind.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pylibbpf.guest import cache, image, qemu, vmlinux
from pylibbpf.guest.kernels import Say
from pylibbpf.guest.outcome import BootFailed, GuestError, Outcome, Stopped
from pylibbpf.guest.session import Job, Output, Session, panic_in


def run(job: Job, output: Output, say: Say) -> Outcome:
    """Boot a guest, run the job in it, and say how it ended.

    ``output`` is called with what the command writes (standard output and error, as one), as it
    comes; ``say`` with a line for people, when a guest is started a second time. QEMU dies with
    the *thread* that calls this. Whatever is raised meanwhile (Ctrl-C too) ends the guest.

    Needs no privilege. The guest reads the host's files with the rights of this process.

    Raises:
        GuestError: the guest could not be started.
    """
    check(job)
    folder = cache.place()
    program = qemu.find()
    base = image.base(job.kernel, folder, say)
    if qemu.kvm(program, folder).kvm:
        outcome = Session(job, base, program, qemu.KVM, output).run()
        if not isinstance(outcome, BootFailed):
            return outcome
        # Whether KVM or the kernel is to blame shows without KVM.
        say(f"with KVM, {outcome.message}: starting again without KVM")
        without = _emulated(job, base, program, folder, output, say)
        if not isinstance(without, (BootFailed, Stopped)):
            try:
                qemu.remember(outcome.reason, program, folder)
            except OSError as error:  # the command has run: how it ended is what counts
                say(f"KVM will be tried again, since {folder} takes no note: {error.strerror}")
        return without
    return _emulated(job, base, program, folder, output, say)


def _emulated(
    job: Job, base: bytes, program: str, folder: Path, output: Output, say: Say
) -> Outcome:
    quick = vmlinux.uncompressed(job.kernel, folder)
    first = job if quick is None else replace(job, kernel=replace(job.kernel, image=quick))
    outcome = Session(first, base, program, qemu.TCG, output).run()
    if not isinstance(outcome, BootFailed):
        return outcome
    # Emulated kernels were seen to panic at random early in boot. The command has not run yet, and
    # a kernel that truly cannot boot does the same again: as its bzImage, if it was not that.
    silent = quick is not None and "boot" not in outcome.seconds
    if panic_in(outcome.console) or silent:
        say(f"{outcome.message}: booting once more")
        outcome = Session(job, base, program, qemu.TCG, output).run()
    return outcome


def check(job: Job) -> None:
    """Raises: GuestError, for a job that no guest can be given."""
    if not job.command:
        raise GuestError("no command to run")
    for share in job.shares:
        if not os.path.isdir(share):
            raise GuestError(f"cannot share {share}: it is no folder")
        if os.path.realpath(share) == "/":
            raise GuestError("cannot share /: the guest could write to all of this host")
    if not 96 <= job.memory <= 1 << 20:
        raise GuestError(f"a guest cannot have {job.memory}M of memory: give 96M to 1024G")
