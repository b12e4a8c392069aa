"""What must hold of instructions before anything runs them or looks at them further.

This is what the kernel asks before its verifier follows a single path (kernel/bpf/verifier.c,
check_subprogs, check_cfg and resolve_pseudo_ldimm64, 6.18), and no more: a program that passes
can still read registers that it never set, or memory that is not there.
"""

from __future__ import annotations

from bisect import bisect_right

from pylibbpf.errors import InsnError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import find, problem, writes_r10

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pylibbpf.isa.insn import Insn

__all__ = ["MOST", "Layout", "check"]

MOST = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS: what a privileged user may load


class Layout:
    """How a program is made up.

    ``starts``: first instructions of its functions, in order. ``constants``: its LD_IMM64.
    ``depths``: bytes of stack of each function, as far as its instructions show them; see
    :func:`check`. ``tail_callers``: functions that do tail calls. ``fatal``: instructions that end
    a run which comes to them, and why. The kernel takes a program where none does.
    """

    __slots__ = ("constants", "depths", "fatal", "starts", "tail_callers")

    def __init__(
        self,
        starts: tuple[int, ...],
        constants: tuple[int, ...],
        depths: dict[int, int],
        tail_callers: frozenset[int],
        fatal: dict[int, str],
    ) -> None:
        self.starts = starts
        self.constants = constants
        self.depths = depths
        self.tail_callers = tail_callers
        self.fatal = fatal


def check(insns: Sequence[Insn], functions: Iterable[int] = ()) -> Layout:
    """Check a program, and tell how it is made up.

    ``functions``: where others start than those that are called or pointed to.
    The stack of a function is what it reads and writes of its frame directly, and what it
    makes pointers to by ``r2 = r10; r2 += -16``; rounded up to 16 as the kernel does for its
    compilers (round_up_stack_depth). A verifier may find more.

    Raises:
        InsnError: what it is that is no program.
    """
    if not insns:
        raise InsnError("a program has one instruction at least")
    if len(insns) > MOST:
        raise InsnError(f"{len(insns)} instructions are more than {MOST}")
    second: set[int] = set()  # the other slots of LD_IMM64: nothing may jump there
    starts = {0, *functions}
    fatal: dict[int, str] = {}
    for at, insn in enumerate(insns):
        if at in second:
            continue
        row = find(insn)
        if row is None:
            raise InsnError(problem(insn) or "", insn=at)
        if writes_r10(row, insn):
            fatal[at] = "writes r10, which can only be read"
        if row.kind == "gotox":
            raise InsnError("jumps to where a register points (gotox) cannot be run", insn=at)
        if row.kind == "const":
            _check_wide(insns, at)
            second.add(at + 1)
            if insn.src == isa.PSEUDO_FUNC:
                starts.add(at + 1 + insn.imm)
        elif row.kind == "call" and insn.src == isa.PSEUDO_CALL:
            starts.add(at + 1 + insn.imm)
    order = tuple(sorted(starts))
    for start in order:
        if not 0 <= start < len(insns) or start in second:
            raise InsnError(f"a function is said to start at {start}, where no instruction does")
    _check_jumps(insns, second, order)
    depths, callers = _depths(insns, second, order)
    wide = tuple(sorted(at - 1 for at in second))
    return Layout(order, wide, depths, callers, fatal)


def _check_wide(insns: Sequence[Insn], at: int) -> None:
    if at + 1 >= len(insns):
        raise InsnError("the second half of this 64-bit constant is missing", insn=at)
    other = insns[at + 1]
    if other.code or other.dst or other.src or other.off:
        raise InsnError("the second half of this 64-bit constant is something else", insn=at)
    if other.imm and insns[at].src in (isa.PSEUDO_MAP_FD, isa.PSEUDO_MAP_IDX, isa.PSEUDO_FUNC):
        raise InsnError("the second half of this reference is not 0", insn=at)


def _check_jumps(insns: Sequence[Insn], second: set[int], order: tuple[int, ...]) -> None:
    ends = (*order[1:], len(insns))
    last = {end - 1 for end in ends}
    for at, insn in enumerate(insns):
        if at in second:
            if at in last:
                raise InsnError("runs on past the end of its function", insn=at - 1)
            continue
        target = isa.jump_target(insn, at)
        if target is not None:
            function = bisect_right(order, at) - 1
            if not order[function] <= target < ends[function]:
                raise InsnError(f"jumps to {target}, out of its function", insn=at)
            if target in second:
                raise InsnError(f"jumps to {target}, into a 64-bit constant", insn=at)
        ends_here = insn.code in (isa.EXIT_CODE, isa.JMP | isa.JA, isa.JMP32 | isa.JA)
        if at in last and not ends_here:
            raise InsnError("runs on past the end of its function", insn=at)


def _depths(
    insns: Sequence[Insn], second: set[int], order: tuple[int, ...]
) -> tuple[dict[int, int], frozenset[int]]:
    depths = dict.fromkeys(order, 0)
    callers = set()
    function = 0
    copies: set[int] = set()  # registers that hold r10 just here
    for at, insn in enumerate(insns):
        if function + 1 < len(order) and at == order[function + 1]:
            function += 1
            copies.clear()
        if at in second:
            continue
        lowest = _lowest(insn, copies)
        if lowest < -depths[order[function]]:
            depths[order[function]] = -lowest
        if insn.code == isa.CALL_CODE and insn.src == isa.HELPER and insn.imm == isa.TAIL_CALL:
            callers.add(order[function])
        if insn.code == isa.ALU64 | isa.MOV | isa.X and insn.src == isa.R10 and not insn.off:
            copies = {insn.dst}
        else:
            copies = set()
    return {start: -(-depth // 16) * 16 for start, depth in depths.items()}, frozenset(callers)


def _lowest(insn: Insn, copies: set[int]) -> int:
    """The lowest offset from r10 that an instruction shows; 0: none."""
    kind = insn.code & isa.CLASS_MASK
    base = None
    if kind == isa.LDX or (kind == isa.STX and insn.imm == isa.LOAD_ACQ):
        base = insn.src
    elif kind in (isa.ST, isa.STX):
        base = insn.dst
    elif insn.code == isa.ALU64 | isa.ADD | isa.K and insn.dst in copies:
        return max(insn.imm, -isa.STACK_SIZE) if insn.imm < 0 else 0
    if base == isa.R10 and -isa.STACK_SIZE <= insn.off < 0:
        return insn.off
    return 0
