"""A program that is ready to run: checked instructions, and all that they refer to."""

from __future__ import annotations

from bisect import bisect_right

from pylibbpf.engine.emulator.vm.memory import CODE, Memory, Region
from pylibbpf.errors import RunError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.check import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pylibbpf.engine.emulator.vm.run import Run
    from pylibbpf.engine.emulator.vm.translator import Bound
    from pylibbpf.isa.insn import Insn

    # A helper or kfunc: it gets the run and r1 to r5 as unsigned numbers, and gives r0, as any
    # int: its low 64 bits count. What it raises ends the run.
    Helper = Callable[["Run", int, int, int, int, int], int]
    # Finds the program of bpf_tail_call(ctx, map, index), from the run and r1 to r3; None: there
    # is none at that index.
    TailCall = Callable[["Run", int, int, int], "Program | None"]

__all__ = ["Program"]


class Program:
    """Instructions that were checked, in a memory, with what they call and point to.

    ``helpers`` are by number, ``kfuncs`` by number and ``off`` of the calling instruction.
    ``constants`` gives the value of each LD_IMM64 that refers to something (a map, map value or
    variable), by instruction; pointers to functions of the program are found here.
    ``probes`` are the instructions that may fault: a load gives 0 then, anything else does nothing
    (the kernel's BPF_PROBE_MEM and BPF_PROBE_MEM32, which its verifier chooses). ``arena`` is the
    region that arena pointers point into, ``arena_user`` where user space sees it.
    ``exception_callback`` is the function (its first instruction) that gets what bpf_throw was
    given. ``source`` tells the C line of an instruction. ``depths`` are bytes of stack by function
    (its first instruction), where a verifier has counted them; else what can be seen from the
    instructions.

    Raises:
        InsnError: these are no instructions that could run.
    """

    def __init__(
        self,
        insns: Sequence[Insn],
        memory: Memory,
        *,
        name: str = "",
        helpers: Mapping[int, Helper] | None = None,
        kfuncs: Mapping[tuple[int, int], Helper] | None = None,
        tail_call: TailCall | None = None,
        constants: Mapping[int, int] | None = None,
        probes: frozenset[int] = frozenset(),
        arena: Region | None = None,
        arena_user: int = 0,
        exception_callback: int | None = None,
        source: Callable[[int], str] | None = None,
        depths: Mapping[int, int] | None = None,
    ) -> None:
        layout = check(insns, () if exception_callback is None else (exception_callback,))
        self.insns = tuple(insns)
        self.memory = memory
        self.name = name
        self.helpers = helpers or {}
        self.kfuncs = kfuncs or {}
        self.tail_call = tail_call
        self.probes = probes
        self.arena = arena
        self.arena_user = arena_user
        self.exception_callback = exception_callback
        self.source = source
        self.starts = layout.starts
        """Where functions start, in order; the first is 0."""
        self.depths: dict[int, int] = {**layout.depths, **(depths or {})}
        """Bytes of stack by function."""
        self.translated: Bound | None = None
        """What the translator made of it."""
        self.tail_callers = layout.tail_callers
        """Functions (their starts) that do tail calls."""
        self.loops = layout.loops
        """Functions (their starts) that jump back."""
        self.fatal = layout.fatal
        """Instructions that end a run which comes to them, and why."""
        self.constants: dict[int, int] = {}
        """The value of every LD_IMM64, by instruction."""
        given = constants or {}
        for at in layout.constants:
            if self.insns[at].src not in (0, isa.PSEUDO_FUNC) and at not in given:
                error = RunError("nothing says what this constant refers to")
                raise self.locate(error, at)
        size = len(self.insns) * isa.INSN_SIZE
        self.code = memory.map(Region(None, CODE, name, size=size, permissions=0, owner=self))
        for at in layout.constants:
            self.constants[at] = self._constant(at, given)

    def __repr__(self) -> str:
        return f"<Program {self.name!r}, {len(self.insns)} instructions>"

    def unload(self) -> None:
        """Take the addresses of its functions away: nothing may run it, or call into it, now.

        Raises:
            ValueError: it was unloaded.
        """
        self.memory.free(self.code)

    def _constant(self, at: int, given: Mapping[int, int]) -> int:
        kind = self.insns[at].src
        if kind == 0:
            return isa.imm64(self.insns, at)
        if kind == isa.PSEUDO_FUNC:
            return self.address(at + 1 + self.insns[at].imm)
        return given[at]

    def address(self, insn: int) -> int:
        """Give the address of a function, or of an instruction in a table of them (gotox)."""
        return self.code.base + insn * isa.INSN_SIZE

    def indirect(self, start: int, address: int) -> int:
        """Tell which instruction an indirect jump goes to, in the function that starts there.

        Raises:
            RunError: to none of this function.
        """
        insn, rest = divmod(address - self.code.base, isa.INSN_SIZE)
        inside = not rest and 0 <= insn < len(self.insns) and insn - 1 not in self.constants
        if not inside or self.function(insn) != start:
            raise RunError(f"jumps to {address:#x}, where no instruction of this function is")
        return insn

    def function(self, insn: int) -> int:
        """Give the start of the function that an instruction is in."""
        return self.starts[bisect_right(self.starts, insn) - 1]

    def locate(self, error: RunError, insn: int) -> RunError:
        """Complete an error by the instruction that it happened at, unless it has one."""
        if error.insn is None:
            from pylibbpf.isa.disasm import text

            error.program = self.name
            error.insn = insn
            error.text = text(self.insns, insn)
            if self.source is not None:
                error.source = self.source(insn)
        return error
