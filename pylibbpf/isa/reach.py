"""Which instructions a program can come to, as far as constants tell.

The verifier goes only one way where it knows how a comparison ends, and never looks at what lies
behind the other. That is what makes ``if (bpf_core_field_exists(...))`` work: CO-RE puts 0 or 1
into the instruction, and what is guarded may be an instruction that no kernel takes.
"""

from __future__ import annotations

from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa
from pylibbpf.isa.calls import ENTRY, VISITS, Flow, in_frame, operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pylibbpf.isa.calls import State, Value
    from pylibbpf.isa.insn import Insn

__all__ = ["reachable"]


def reachable(
    insns: Sequence[Insn],
    places: Mapping[int, tuple[str, int]] | None = None,
    contents: Mapping[str, bytes] | None = None,
    apart: Iterable[int] = (),
) -> bytearray:
    """Give a 1 for each instruction that can be reached from the first, and 0 for the others.

    ``places`` says which ``LD_IMM64`` loads an address in which section of data, ``contents`` what
    is in the sections that a program cannot write to: their values count as constants. ``apart``
    are the starts of global functions, whose arguments the verifier does not follow. Paths that
    join are looked at as one, so that more may be marked than the verifier would visit, but
    never less. Ends on any input.
    """
    return _Reach(insns, places or {}, contents or {}, frozenset(apart)).marks()


class _Reach(Flow):
    def __init__(
        self,
        insns: Sequence[Insn],
        places: Mapping[int, tuple[str, int]],
        contents: Mapping[str, bytes],
        apart: frozenset[int],
    ) -> None:
        super().__init__(insns, {})
        self._apart = apart
        self._places = places
        self._contents = contents

    def marks(self) -> bytearray:
        budget = VISITS * len(self.insns) + 1000
        if any(insn.code == isa.GOTOX for insn in self.insns):
            budget = 0  # a table says where it goes, and is not looked at
        self._enter(0, ENTRY)
        while self.work and budget > 0:
            budget -= self._block(self.work.pop())
        return self.seen if budget > 0 else bytearray(b"\1" * len(self.insns))

    def _constant(self, index: int) -> Value:
        place = self._places.get(index)
        if place is not None:
            return ("value", *place)
        return super()._constant(index)

    def _load(self, insn: Insn, r: list[Value], slots: dict[int, Value]) -> Value:
        base = r[insn.src] if insn.src < isa.REGISTERS else None
        if base is None or base[0] != "value":
            return super()._load(insn, r, slots)
        content = self._contents.get(str(base[1]))
        if content is None or insn.code & isa.MODE_MASK != isa.MEM or not isinstance(base[2], int):
            return None
        at, size = base[2] + insn.off, isa.SIZES[insn.code & isa.SIZE_MASK]
        if not 0 <= at <= len(content) - size:
            return None
        return ("const", int.from_bytes(content[at : at + size], "little"))

    def _decide(self, insn: Insn, r: list[Value]) -> bool | None:
        op, kind = insn.code & isa.OP_MASK, insn.code & isa.CLASS_MASK
        if op not in alu.COMPARISONS or insn.dst >= isa.REGISTERS:
            return None
        one, other = r[insn.dst], operand(insn, r)
        if one is None or other is None or one[0] != "const" or other[0] != "const":
            return None
        a, b = one[1], other[1]
        if not isinstance(a, int) or not isinstance(b, int):
            return None
        return alu.compare(op, a, b, 64 if kind == isa.JMP else 32)

    def _call(self, index: int, r: list[Value], slots: dict[int, Value]) -> None:
        # A function that gets at the frame, by an argument or by a pointer that was stored, may
        # write anywhere in it.
        if self.insns[index].src == isa.PSEUDO_CALL and any(
            map(in_frame, (*r[1:6], *slots.values()))
        ):
            slots.clear()
        super()._call(index, r, slots)

    def _enter(self, index: int, state: State) -> None:
        super()._enter(index, ENTRY if index in self._apart else state)
