"""Turn the log of a rejected BPF program into data.

The kernel's verifier explains itself in a text made for its own authors. :func:`explain` finds in
it the sentence that matters, the instruction and the C line it is about, where the offending value
came from, what kind of mistake it is, and says in plain words what usually mends it.

Needs no privilege and no kernel; not loaded before something was rejected.
"""

from __future__ import annotations

import errno as _errno
from dataclasses import dataclass

from pylibbpf.explain.log import Reading, SourceLine, read
from pylibbpf.explain.rules import Category, judge
from pylibbpf.explain.value import ValueChange, register_of
from pylibbpf.explain.value import history as changes

__all__ = ["Category", "Explanation", "SourceLine", "ValueChange", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a program was rejected.

    ``message`` is the verifier's last meaningful line and ``details`` the lines of the same
    complaint that come before it. ``insn`` is the kernel's instruction index (both halves of a
    64-bit load count), ``register`` the register complained about, and ``history`` the changes of
    its value on the rejected path, oldest first, followed through moves and the stack.
    Everything the log does not tell is empty or None.
    """

    message: str = ""
    category: Category = Category.UNKNOWN
    hint: str = ""
    insn: int | None = None
    insn_text: str = ""
    register: str | None = None
    history: tuple[ValueChange, ...] = ()
    source: SourceLine | None = None
    function: str | None = None
    details: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    program: str | None = None
    errno: int | None = None

    @property
    def place(self) -> str:
        """Where it happened, on one line: ``prog.bpf.c:12: x = *p; (instruction 7: r1 = ...)``."""
        if self.insn is None:
            return str(self.source or "")
        code = f"instruction {self.insn}" + (f": {self.insn_text}" if self.insn_text else "")
        return f"{self.source} ({code})" if self.source else code

    def text(self) -> str:
        """Everything on several lines, for people."""
        said = self.message or "the verifier gave no reason"
        lines = [f"{self.program}: {said}" if self.program else said]
        lines += [f"  {detail}" for detail in self.details]
        if self.place:
            lines.append(f"  at {self.place}")
        if self.function:
            lines.append(f"  in {self.function}()")
        lines.append(f"  category: {self.category}")
        if self.history:
            lines.append(f"  history of {self.register or 'the value'}:")
            lines += [f"    {change}" for change in self.history]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def explain(log: str, *, errno: int | None = None, program: str | None = None) -> Explanation:
    """Explain a rejection from the verifier's log. Never raises, whatever the text."""
    reading = read(log)
    complaint = reading.complaint or reading.said_by_libbpf
    if not complaint:
        return _without_complaint(reading, errno, program)
    category, hint, groups = judge(complaint)
    step = reading.failing_step(groups)
    register = register_of(complaint, step, category)
    return Explanation(
        message=complaint[-1],
        category=category,
        hint=hint,
        insn=step.insn if step else None,
        insn_text=step.text if step else "",
        register=register,
        history=tuple(changes(reading, step, register, groups)),
        source=step.source if step else None,
        function=reading.function,
        details=tuple(line for line in complaint[:-1] if not step or line != step.text),
        notes=tuple(reading.notes),
        program=program,
        errno=errno,
    )


# What an empty log means, by error number.
_SILENT = {
    _errno.ENOSPC: (
        Category.LOG_CUT,
        "the log buffer was too small for the whole log: load again with a larger one",
    ),
    _errno.E2BIG: (
        Category.TOO_COMPLEX,
        "the program has more instructions than the kernel takes (4096, or a million with CAP_BPF)",
    ),
    _errno.EPERM: (Category.PRIVILEGE, "the kernel refused before it looked at the program"),
}


def _without_complaint(reading: Reading, errno: int | None, program: str | None) -> Explanation:
    category, hint = _SILENT.get(errno or 0, (Category.UNKNOWN, ""))
    step = reading.failing_step({})
    return Explanation(
        category=category,
        hint=hint,
        insn=step.insn if step else None,
        insn_text=step.text if step else "",
        source=step.source if step else None,
        function=reading.function,
        notes=tuple(reading.notes),
        program=program,
        errno=errno,
    )
