"""Who has a program attached, as far as can be seen: for errors that say what is in the way."""

from __future__ import annotations

import os

from pylibbpf.engine.kernel import ledger
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.errors import BpfError

__all__ = ["describe"]

# Of the descriptors that hold an attachment or its program.
_KINDS = ("anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:bpf-prog")


def describe(program_id: int) -> str:
    """A program in words: "program 12 'drop' (held by process 812, xdp-filter)"."""
    name = _name(program_id)
    said = f"program {program_id}" + (f" {name!r}" if name else "")
    left = _left_by(program_id)
    if left is not None:
        return (
            f"{said} (left by process {left.pid}, {left.command[:60]!r}, which is dead: "
            f"pylibbpf detach --stale removes it)"
        )
    who = _processes(program_id)
    if not who:
        return said
    more = ", ..." if len(who) > 3 else ""
    return f"{said} (held by {', '.join(who[:3])}{more})"


def _name(program_id: int) -> str | None:
    try:
        with program_by_id(program_id) as fd:
            return program_info(fd).name or None if fd is not None else None
    except BpfError:
        return None  # without CAP_SYS_ADMIN only the id is known


def _left_by(program_id: int) -> ledger.Process | None:
    try:
        found, _ = ledger.entries()
    except BpfError:
        return None
    for entry in found:
        if entry.program["id"] == program_id and entry.process.alive() is False:
            return entry.process
    return None


def _processes(program_id: int) -> list[str]:
    """Processes with a descriptor of the program, or of a link that holds it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if _holds(pid, program_id):
            if int(pid) == os.getpid():
                found.append("this process")
                continue
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    found.append(f"process {pid}, {file.read().strip()}")
            except OSError:
                continue  # it has ended
    return found


def _holds(pid: str, program_id: int) -> bool:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for number in numbers:
        try:
            if os.readlink(f"/proc/{pid}/fd/{number}") not in _KINDS:
                continue
            with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii", errors="replace") as file:
                if any(line.split() == ["prog_id:", str(program_id)] for line in file):
                    return True
        except OSError:
            continue
    return False
