"""The exceptions of pylibbpf.

Everything that this library raises on its own account derives from :class:`Error`::

    Error
    ├── BpfError (also OSError)          bpf(2), perf_event_open(2) or libbpf said no
    │   ├── BpfPermissionError (also PermissionError)   EPERM or EACCES for want of privilege
    │   └── VerifierError                the kernel's verifier refused a program
    ├── NotSupportedError                this libbpf, kernel or engine does not have it
    ├── ElfError (also ValueError)       the file is not a BPF object that can be read
    ├── BtfError (also ValueError)       type information is broken or missing
    ├── RelocationError (also ValueError)  the object and this kernel do not fit together
    │   └── CoreError                    a CO-RE relocation that no loader can carry out
    ├── InsnError (also ValueError)      bytes or text are no BPF instructions
    ├── RunError                         a program did what none may, and was stopped
    │   ├── MemoryFault                  it read or wrote where it may not
    │   └── BudgetError                  it did not end within its instructions or time
    └── ClosedError (also ValueError)    the object was closed, or belongs to the parent process

Python's own exceptions keep their meaning: a missing key is ``KeyError``, a key of the wrong
type ``TypeError``, an integer that does not fit ``OverflowError``.

All of them can be pickled, so that they cross process boundaries whole.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.explain import Explanation

__all__ = [
    "BpfError",
    "BpfPermissionError",
    "BtfError",
    "BudgetError",
    "ClosedError",
    "CoreError",
    "ElfError",
    "Error",
    "InsnError",
    "MemoryFault",
    "NotSupportedError",
    "RelocationError",
    "RunError",
    "VerifierError",
]


class Error(Exception):
    """Root of all errors of this library."""


class BpfError(Error, OSError):
    """The kernel or libbpf refused an operation.

    ``errno`` is the positive error number, ``operation`` what was tried ("load", "map update",
    "attach"), ``object`` the name of the program, map or file it was tried on, ``cause`` a
    sentence in plain words where the cause is known, and ``log`` what libbpf and the kernel
    wrote meanwhile.
    """

    def __init__(
        self,
        errno: int,
        operation: str,
        object: str | None = None,
        cause: str | None = None,
        *,
        log: str = "",
    ) -> None:
        super().__init__(errno, os.strerror(errno))
        self.operation = operation
        self.object = object
        self.cause = cause
        self.log = log

    def __str__(self) -> str:
        what = f"{self.operation} {self.object!r}" if self.object else self.operation
        number = self.errno or 0
        text = f"{what}: {errno_text(number)}"
        return f"{text}: {self.cause}" if self.cause else text

    def __reduce__(self) -> tuple[object, ...]:
        return (
            _rebuild,
            (type(self), self.errno, self.operation, self.object, self.cause, self.log),
        )


class BpfPermissionError(BpfError, PermissionError):
    """The kernel refused for want of privilege; the message says which one where that is known.

    Its text says what the privilege probes showed: the missing capability, lockdown, a user
    namespace, seccomp, or, when none of them explains the refusal, what was ruled out.
    """

    @property
    def explained(self) -> bool:
        """Whether a probe shows which privilege is missing."""
        return self.cause is not None and not self.cause.startswith("no probe shows the cause")


class VerifierError(BpfError):
    """The kernel's verifier refused a program.

    ``log`` is the complete log of the verifier; ``explanation`` is the same as data (category,
    instruction, C line, register history, hint), parsed when it is first asked for. The
    message starts with the last meaningful line of the log.
    """

    @property
    def explanation(self) -> Explanation:
        from pylibbpf.explain import explain

        return explain(self.log, errno=self.errno, program=self.object)

    def __str__(self) -> str:
        what = f"program {self.object!r}" if self.object else "program"
        said = self.explanation
        lines = [f"{said.message or errno_text(self.errno or 0)} ({what})"]
        if said.place:
            lines.append(f"  at {said.place}")
        lines += [f"  {detail}" for detail in said.details]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        elif said.hint:
            lines.append(f"  hint: {said.hint}")
        return "\n".join(lines)


class NotSupportedError(Error):
    """This libbpf, this kernel or this engine lacks what was asked for."""


class ElfError(Error, ValueError):
    """The file is not an ELF object for BPF, or is damaged."""


class BtfError(Error, ValueError):
    """Type information (BTF) is damaged, missing, or describes what cannot exist."""


class RelocationError(Error, ValueError):
    """The object asks the kernel for what it does not have, or has otherwise.

    A symbol, a configuration value, a type: the text says which, and what was found instead.
    """


class CoreError(RelocationError):
    """A CO-RE relocation that cannot be carried out: the object cannot be loaded there.

    The types that the program asks about are ambiguous, the object is damaged, or the answer does
    not fit into the instruction. (What is merely missing is no error: the instruction is poisoned,
    and only the verifier minds if it is reached.) ``kind`` is libbpf's word for the question
    ("byte_off"), ``details`` are further lines: which types were looked at, and ``errno`` is what
    libbpf gives up with. ``program``, ``insn`` and ``source`` ("file.c:12: text") say who asked;
    None or empty: not known.
    """

    def __init__(
        self,
        problem: str,
        *,
        errno: int = 22,
        kind: str = "",
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.errno = errno
        self.kind = kind
        self.details = details
        self.program: str | None = None
        self.insn: int | None = None
        self.source = ""

    def __str__(self) -> str:
        lines = [self.problem, *(f"  {detail}" for detail in self.details)]
        if self.insn is not None:
            name = f"program {self.program!r}, " if self.program else ""
            asked = f" (CO-RE {self.kind})" if self.kind else ""
            lines.append(f"  at {name}instruction {self.insn}{asked}")
        if self.source:
            lines.append(f"  in {self.source}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_with_state, (type(self), self.args, self.__dict__))


class InsnError(Error, ValueError):
    """Bytes, or lines of text, that are no BPF instructions.

    ``insn`` is the instruction's number for bytes; ``line`` and ``column`` (both from 1) are the
    place in a text. None: not of one instruction, or not from a text.
    """

    def __init__(
        self,
        problem: str,
        *,
        insn: int | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.insn = insn
        self.line = line
        self.column = column

    def __str__(self) -> str:
        if self.line is not None:
            return f"line {self.line}, column {self.column}: {self.problem}"
        return self.problem if self.insn is None else f"instruction {self.insn}: {self.problem}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_with_state, (type(self), self.args, self.__dict__))


class RunError(Error):
    """A program that the emulator runs did what no program may; it was stopped there.

    ``program`` and ``insn`` say where, ``text`` is that instruction as the kernel's logs print it,
    ``source`` the C line ("file.c:12: text") where it is known. None or empty: not known.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.program: str | None = None
        self.insn: int | None = None
        self.text = ""
        self.source = ""

    def __str__(self) -> str:
        lines = [self._what()]
        if self.insn is not None:
            name = f"program {self.program!r}, " if self.program else ""
            text = f": {self.text}" if self.text else ""
            lines.append(f"  at {name}instruction {self.insn}{text}")
        if self.source:
            lines.append(f"  in {self.source}")
        return "\n".join(lines)

    def _what(self) -> str:
        return self.problem

    def __reduce__(self) -> tuple[object, ...]:
        return (_with_state, (type(self), self.args, self.__dict__))


class MemoryFault(RunError):
    """A program read or wrote where it may not.

    ``address``, ``size`` and ``write`` are the access; ``region`` names the memory it was in, or
    next to (None: nothing is near), and ``offset`` is counted from that region's start.
    ``register`` is the number of the register that held the pointer, if an instruction did it.
    """

    def __init__(
        self,
        problem: str,
        address: int = 0,
        size: int = 0,
        write: bool = False,
        region: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(problem)
        self.address = address
        self.size = size
        self.write = write
        self.region = region
        self.offset = offset
        self.register: int | None = None

    def _what(self) -> str:
        return self.problem if self.register is None else f"r{self.register}: {self.problem}"


class BudgetError(RunError):
    """A program did not end within the instructions, or the time, that it was given."""


class ClosedError(Error, ValueError):
    """The object, map, link or ring was closed, or was opened by the parent of this process."""


# Numbers that the kernel gives and the C library cannot name (include/linux/errno.h), and
# libbpf's own (libbpf.h, enum libbpf_errno).
_UNNAMED = {
    524: ("ENOTSUPP", "Operation is not supported"),
    4000: ("LIBBPF_ERRNO__LIBELF", "Something wrong in libelf"),
    4001: ("LIBBPF_ERRNO__FORMAT", "BPF object format invalid"),
    4002: ("LIBBPF_ERRNO__KVERSION", "'version' section incorrect or lost"),
    4003: ("LIBBPF_ERRNO__ENDIAN", "Endian mismatch"),
    4004: ("LIBBPF_ERRNO__INTERNAL", "Internal error in libbpf"),
    4005: ("LIBBPF_ERRNO__RELOC", "Relocation failed"),
    4006: ("LIBBPF_ERRNO__LOAD", "Failed to load program"),
    4007: ("LIBBPF_ERRNO__VERIFY", "Kernel verifier blocks program loading"),
    4008: ("LIBBPF_ERRNO__PROG2BIG", "Program too big"),
    4009: ("LIBBPF_ERRNO__KVER", "Incorrect kernel version"),
    4010: ("LIBBPF_ERRNO__PROGTYPE", "Kernel doesn't support this program type"),
    4011: ("LIBBPF_ERRNO__WRNGPID", "Wrong pid in netlink message"),
    4012: ("LIBBPF_ERRNO__INVSEQ", "Invalid netlink sequence"),
    4013: ("LIBBPF_ERRNO__NLPARSE", "Incorrect netlink message parsing"),
}


def errno_text(number: int) -> str:
    """Name and meaning of an error number: ``ENOENT (No such file or directory)``."""
    import errno

    if number in _UNNAMED:
        name, meaning = _UNNAMED[number]
    else:
        name, meaning = errno.errorcode.get(number, f"errno {number}"), os.strerror(number)
    return f"{name} ({meaning})"


def _rebuild(
    cls: type[BpfError],
    errno: int,
    operation: str,
    object: str | None,
    cause: str | None,
    log: str,
) -> BpfError:
    return cls(errno, operation, object, cause, log=log)


def _with_state(cls: type[Error], args: tuple[object, ...], state: dict[str, object]) -> Error:
    error = cls(*args)
    error.__dict__.update(state)
    return error
