"""What is known at a place of a program: ranges of registers, and what they point to."""

from __future__ import annotations

from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.isa.insn import Insn

    Range = tuple[int, int]

__all__ = ["FULL", "HALF", "LOWEST", "Known"]

U64, U32 = alu.U64, alu.U32
FULL = (0, U64)
HALF = (0, U32)
LOWEST = 1 << 44  # no region lies below


class Known:
    """What is known at a place: of each register its range, and what it points to.

    ``frame``: offset from r10, for pointers into the stack. ``root``: registers with the same root
    differ by what their roots say. ``found``: regions that were looked up, by root and
    whether for writing: names of the bytes and of the offset, and what the root then said.
    ``held``: registers that are no less than the start of a region that a loop looked up before it
    began, by the number of that.
    """

    __slots__ = ("found", "frame", "held", "ranges", "root")

    def __init__(self) -> None:
        self.ranges: list[Range] = [FULL] * isa.REGISTERS
        self.frame: dict[int, int] = {isa.R10: 0}
        self.root: dict[int, tuple[int, int]] = {}
        self.found: dict[tuple[int, bool], tuple[str, str, int]] = {}
        self.held: dict[int, int] = {}

    def copy(self) -> Known:
        new = Known.__new__(Known)
        new.ranges = self.ranges.copy()
        new.frame = self.frame.copy()
        new.root = self.root.copy()
        new.found = self.found.copy()
        new.held = self.held.copy()
        return new

    def called(self) -> None:
        """Regions may be gone now."""
        self.found.clear()
        self.held.clear()

    def join(self, other: Known) -> None:
        """Know only what both do."""
        mine, its = self.ranges, other.ranges
        for r, range_ in enumerate(its):
            known = mine[r]
            if known is not range_ and known != range_:
                low, high = known
                least, most = range_
                mine[r] = (low if low < least else least, high if high > most else most)
        if self.frame != other.frame:
            self.frame = {r: off for r, off in self.frame.items() if other.frame.get(r) == off}
        # What is the same came from before the ways parted: the names have their values.
        if self.root != other.root:
            self.root = {r: root for r, root in self.root.items() if other.root.get(r) == root}
        if self.found != other.found:
            self.found = {
                key: found for key, found in self.found.items() if other.found.get(key) == found
            }
        if self.held != other.held:
            self.held = {r: held for r, held in self.held.items() if other.held.get(r) == held}

    def refine(self, insn: Insn, taken: bool) -> None:
        """Know what a conditional jump, taken or not, says of its registers."""
        op = insn.code & isa.OP_MASK
        if not taken:
            op = _OPPOSITE.get(op, op)
            if op == isa.JSET:
                return
        ranges = self.ranges
        wide = insn.code & isa.CLASS_MASK == isa.JMP
        most = U64 if wide else U32
        low, high = ranges[insn.dst]
        if low < 0 or high > most:
            return
        if insn.code & isa.X:
            other = ranges[insn.src]
            if other[0] < 0 or other[1] > most:
                return
        else:
            imm = insn.imm & most
            other = (imm, imm)
        if op in _UNSIGNED_OF:
            top = (most + 1) >> 1
            if other[1] >= top:
                return
            if high >= top and op in (isa.JSLT, isa.JSLE):
                return
            # Greater than a number that is not negative: it is not negative itself.
            high = min(high, top - 1)
            op = _UNSIGNED_OF[op]
        mine, its = _narrow(op, (low, high), other)
        if mine[0] <= mine[1]:
            ranges[insn.dst] = mine
        if insn.code & isa.X and its[0] <= its[1]:
            ranges[insn.src] = its


def _narrow(op: int, a: Range, b: Range) -> tuple[Range, Range]:
    """What remains of two ranges where an unsigned comparison holds."""
    if op == isa.JEQ:
        both = (max(a[0], b[0]), min(a[1], b[1]))
        return both, both
    if op == isa.JLT:
        return (a[0], min(a[1], b[1] - 1)), (max(b[0], a[0] + 1), b[1])
    if op == isa.JLE:
        return (a[0], min(a[1], b[1])), (max(b[0], a[0]), b[1])
    if op in (isa.JGT, isa.JGE):
        its, mine = _narrow(isa.JLT if op == isa.JGT else isa.JLE, b, a)
        return mine, its
    if op == isa.JNE and b[0] == b[1]:
        if a[0] == b[0]:
            return (a[0] + 1, a[1]), b
        if a[1] == b[0]:
            return (a[0], a[1] - 1), b
    return a, b


_OPPOSITE = {
    isa.JEQ: isa.JNE,
    isa.JNE: isa.JEQ,
    isa.JGT: isa.JLE,
    isa.JLE: isa.JGT,
    isa.JGE: isa.JLT,
    isa.JLT: isa.JGE,
    isa.JSGT: isa.JSLE,
    isa.JSLE: isa.JSGT,
    isa.JSGE: isa.JSLT,
    isa.JSLT: isa.JSGE,
}
_UNSIGNED_OF = {
    isa.JSGT: isa.JGT,
    isa.JSGE: isa.JGE,
    isa.JSLT: isa.JLT,
    isa.JSLE: isa.JLE,
}
