"""What must hold of instructions before anything runs them or looks at them further.

This is what the kernel asks before its verifier follows a single path (kernel/bpf/verifier.c,
check_subprogs, check_cfg and resolve_pseudo_ldimm64, 6.18), and no more: a program that passes
can still read registers that it never set, or memory that is not there.
"""

from __future__ import annotations

from bisect import bisect_right

from pylibbpf.errors import InsnError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import BY_CODE, find, problem, writes_r10

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pylibbpf.isa.insn import Insn
    from pylibbpf.isa.opcodes import Opcode

__all__ = ["MOST", "Layout", "check"]

# Behind these comes nothing by itself.
_ENDS = (isa.EXIT_CODE, isa.JMP | isa.JA, isa.JMP32 | isa.JA, isa.GOTOX)

MOST = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS: what a privileged user may load


class Layout:
    """How a program is made up.

    ``starts``: first instructions of its functions, in order. ``constants``: its LD_IMM64.
    ``depths``: bytes of stack of each function, as far as its instructions show them; see
    :func:`check`. ``tail_callers``: functions that do tail calls. ``loops``: functions that jump
    back. ``fatal``: instructions that end a run which comes to them, and why. The kernel takes a
    program where none does.
    """

    __slots__ = ("constants", "depths", "fatal", "loops", "starts", "tail_callers")

    def __init__(
        self,
        starts: tuple[int, ...],
        constants: tuple[int, ...],
        depths: dict[int, int],
        tail_callers: frozenset[int],
        loops: frozenset[int],
        fatal: dict[int, str],
    ) -> None:
        self.starts = starts
        self.constants = constants
        self.depths = depths
        self.tail_callers = tail_callers
        self.loops = loops
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
    jumps: list[int] = []
    frame: list[int] = []  # instructions that name r10
    tail_calls: list[int] = []
    first = _FIRST.get
    for at, insn in enumerate(insns):
        code, dst, src = insn.code, insn.dst, insn.src
        what, dsts, srcs, off, imm = first(code, _UNKNOWN)
        # Most instructions fit the first row of their code.
        if dst not in dsts or src not in srcs or (insn.off and off) or (insn.imm and imm):
            if at in second:
                continue
            if find(insn) is None:
                raise InsnError(problem(insn) or "", insn=at)
        if dst == isa.R10 or src == isa.R10:
            frame.append(at)
            row = find(insn)
            if row is not None and writes_r10(row, insn):
                fatal[at] = "writes r10, which can only be read"
        if not what:
            continue
        if what == "const":
            _check_wide(insns, at)
            second.add(at + 1)
            if src == isa.PSEUDO_FUNC:
                starts.add(at + 1 + insn.imm)
        elif what != "call":
            jumps.append(at)
        elif src == isa.PSEUDO_CALL and code == isa.CALL_CODE:
            starts.add(at + 1 + insn.imm)
        elif code == isa.CALL_CODE and src == isa.HELPER and insn.imm == isa.TAIL_CALL:
            tail_calls.append(at)
    order = tuple(sorted(starts))
    for start in order:
        if not 0 <= start < len(insns) or start in second:
            raise InsnError(f"a function is said to start at {start}, where no instruction does")
    loops = _check_jumps(insns, second, order, jumps)
    depths = _depths(insns, order, frame)
    callers = frozenset(order[bisect_right(order, at) - 1] for at in tail_calls)
    wide = tuple(sorted(at - 1 for at in second))
    return Layout(order, wide, depths, callers, loops, fatal)


def _check_wide(insns: Sequence[Insn], at: int) -> None:
    if at + 1 >= len(insns):
        raise InsnError("the second half of this 64-bit constant is missing", insn=at)
    other = insns[at + 1]
    if other.code or other.dst or other.src or other.off:
        raise InsnError("the second half of this 64-bit constant is something else", insn=at)
    if other.imm and insns[at].src in (isa.PSEUDO_MAP_FD, isa.PSEUDO_MAP_IDX, isa.PSEUDO_FUNC):
        raise InsnError("the second half of this reference is not 0", insn=at)


def _check_jumps(
    insns: Sequence[Insn], second: set[int], order: tuple[int, ...], jumps: list[int]
) -> frozenset[int]:
    """Check where functions jump to, and how they end; give those that jump back."""
    ends = (*order[1:], len(insns))
    last = {end - 1 for end in ends}
    loops = set()
    for at in sorted(last.union(jumps)):
        if at in second:
            raise InsnError("runs on past the end of its function", insn=at - 1)
        insn = insns[at]
        target = isa.jump_target(insn, at)
        if target is not None:
            function = bisect_right(order, at) - 1
            if not order[function] <= target < ends[function]:
                raise InsnError(f"jumps to {target}, out of its function", insn=at)
            if target in second:
                raise InsnError(f"jumps to {target}, into a 64-bit constant", insn=at)
            if target <= at:
                loops.add(order[function])
        elif insn.code == isa.GOTOX:
            loops.add(order[bisect_right(order, at) - 1])  # it may
        if at in last and insn.code not in _ENDS:
            raise InsnError("runs on past the end of its function", insn=at)
    return frozenset(loops)


def _depths(insns: Sequence[Insn], order: tuple[int, ...], frame: list[int]) -> dict[int, int]:
    depths = dict.fromkeys(order, 0)
    for at in frame:
        insn = insns[at]
        lowest = _lowest(insn)
        if insn.code == isa.ALU64 | isa.MOV | isa.X and insn.src == isa.R10 and not insn.off:
            # A pointer is often made by two instructions.
            then = insns[at + 1]
            if then.code == isa.ALU64 | isa.ADD | isa.K and then.dst == insn.dst and then.imm < 0:
                lowest = max(then.imm, -isa.STACK_SIZE)
        if lowest:
            start = order[bisect_right(order, at) - 1]
            if lowest < -depths[start]:
                depths[start] = -lowest
    return {start: -(-depth // 16) * 16 for start, depth in depths.items()}


def _lowest(insn: Insn) -> int:
    """The lowest offset from r10 that an access shows; 0: none."""
    kind = insn.code & isa.CLASS_MASK
    base = None
    if kind == isa.LDX or (kind == isa.STX and insn.imm == isa.LOAD_ACQ):
        base = insn.src
    elif kind in (isa.ST, isa.STX):
        base = insn.dst
    if base == isa.R10 and -isa.STACK_SIZE <= insn.off < 0:
        return insn.off
    return 0


_ANY = frozenset(range(isa.REGISTERS))
_NONE: frozenset[int] = frozenset()


def _first(rows: list[Opcode]) -> tuple[str, frozenset[int], frozenset[int], bool, bool]:
    """What :func:`check` does further with a code; fields of its first row: off, imm must be 0."""
    row = rows[0]
    kind = {"cond": "jump", "may_goto": "jump"}.get(row.kind, row.kind)
    what = kind if kind in ("const", "call", "gotox", "jump") else ""
    dsts, srcs = (
        _ANY if isinstance(want, str) else frozenset((want,)) for want in (row.dst, row.src)
    )
    if any(isinstance(want, int) and want for want in (row.off, row.imm)):
        return what, _NONE, _NONE, True, True
    return what, dsts, srcs, row.off == 0, row.imm == 0


_FIRST = {code: _first(rows) for code, rows in BY_CODE.items()}
_UNKNOWN = ("", _NONE, _NONE, True, True)
