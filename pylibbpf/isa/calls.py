"""Find the calls that send records to user space: to which map, and of what size.

The type of what a ring buffer or perf buffer carries is not stored in the map. What the program
hands to the helper tells something about it: the size, and where the bytes lie. A small forward
dataflow follows constants, references to maps and pointers into the stack through registers and
spills. It judges nothing; what it cannot follow is unknown.
"""

from __future__ import annotations

from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pylibbpf.isa.insn import Insn

    # What a register or a stack slot is known to hold; None: anything.
    #   ("const", n)              the unsigned 64-bit number n
    #   ("map", name, ...)        a reference to the map itself, one of those named
    #   ("value", name, offset)   a pointer into a value of the map
    #   ("stack", offset)         a pointer into the frame, counted from r10
    #   ("frame",)                a pointer somewhere into the frame
    #   ("record", index)         what the reserve call at this instruction gave
    Value = tuple[object, ...] | None
    State = tuple[tuple[Value, ...], dict[int, Value]]

__all__ = [
    "ENTRY",
    "OUTPUT_HELPERS",
    "SEQ_FILE",
    "VISITS",
    "Flow",
    "OutputCall",
    "in_frame",
    "operand",
    "output_calls",
]


class OutputHelper:
    """Which registers of a sending helper hold the map, the data (0: none) and the size.

    Map 0 is an iterator's output, which is no map: see ``SEQ_FILE``.
    """

    __slots__ = ("data", "map", "name", "size")

    def __init__(self, name: str, map: int, data: int, size: int) -> None:
        self.name = name
        self.map = map
        self.data = data
        self.size = size


# Helper numbers and arguments: the comments of uapi linux/bpf.h.
OUTPUT_HELPERS = {
    25: OutputHelper("perf_event_output", 2, 4, 5),
    111: OutputHelper("skb_output", 2, 4, 5),
    121: OutputHelper("xdp_output", 2, 4, 5),
    130: OutputHelper("ringbuf_output", 1, 2, 3),
    131: OutputHelper("ringbuf_reserve", 1, 0, 2),
    198: OutputHelper("ringbuf_reserve_dynptr", 1, 0, 2),
    127: OutputHelper("seq_write", 0, 2, 3),
}
# What stands for the map in the calls of iterators; no map has such a name.
SEQ_FILE = "(seq_file)"
_RESERVE = 131

# Helpers whose first argument is a map and whose result points at the start of one of its values:
# map_lookup_elem, get_local_storage, sk_, inode_ and task_storage_get, map_lookup_percpu_elem,
# cgrp_storage_get.
_LOOKUPS = frozenset((1, 81, 107, 145, 156, 195, 210))


class OutputCall:
    """One call that sends or reserves a record; one for each map, where it may be one of several.

    ``map`` is None where the dataflow lost the map, ``size`` is None where it is not one constant.
    ``data`` says where the bytes come from: ``("stack", offset)``, ``("value", map, offset)`` for
    a value of a map, ``("record", index)`` for the result of a reserving call (for which this is
    its own index), or None.
    """

    __slots__ = ("data", "helper", "insn_index", "map", "size")

    def __init__(
        self, map: str | None, helper: int, size: int | None, insn_index: int, data: Value = None
    ) -> None:
        self.map = map
        self.helper = helper
        self.size = size
        self.insn_index = insn_index
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OutputCall):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        name = OUTPUT_HELPERS[self.helper].name
        return f"OutputCall({self.map!r}, {name}, size={self.size}, insn {self.insn_index})"

    def _key(self) -> tuple[object, ...]:
        return (self.map, self.helper, self.size, self.insn_index, self.data)


ENTRY: State = ((None,) * isa.R10 + (("stack", 0),), {})

# Each visit of a block either lowers a register or a slot, or ends. Real programs settle after at
# most 3 visits per instruction; code made to be slow is given up on, and all its calls are unknown.
VISITS = 10

_FRAME = 512  # MAX_BPF_STACK

# A reference that may be to one of more maps than this is to any of them.
_CHOICES = 8


def output_calls(insns: Sequence[Insn], maps: Mapping[int, str]) -> list[OutputCall]:
    """List the sending calls of a program and of the functions linked to it, in code order.

    ``maps`` says which ``LD_IMM64`` refers to which map (the map itself, not its value: not
    ``PSEUDO_MAP_VALUE``). Arguments are followed into functions that are called by relative
    offset. Ends on any input.
    """
    return Flow(insns, maps).run()


class Flow:
    """What registers and stack slots hold, followed through the blocks of a program."""

    def __init__(self, insns: Sequence[Insn], maps: Mapping[int, str]) -> None:
        self.insns = insns
        self.maps = maps
        self.leaders = self._find_leaders()
        self.states: dict[int, State] = {}
        self.work: list[int] = []
        self.found: dict[int, list[OutputCall]] = {}
        self.seen = bytearray(len(insns))

    def run(self) -> list[OutputCall]:
        """Find the calls that send records, in code that nothing reaches as well."""
        if not any(_sends(insn) for insn in self.insns):
            return []
        budget = VISITS * len(self.insns) + 1000
        self._enter(0, ENTRY)
        start = 0
        while budget > 0:
            while self.work and budget > 0:
                budget -= self._block(self.work.pop())
            # What no path reaches may be a callback or a function called by other means.
            start = self._unseen(start)
            if start < 0:
                return [call for i in sorted(self.found) for call in self.found[i]]
            self._enter(start, ENTRY)
        return [
            OutputCall(None, insn.imm, None, index)
            for index, insn in enumerate(self.insns)
            if _sends(insn)
        ]

    def _find_leaders(self) -> frozenset[int]:
        """Where control can arrive other than from the instruction before."""
        leaders = {0}
        skip = False
        for index, insn in enumerate(self.insns):
            if skip:
                skip = False
                continue
            skip = insn.code == isa.LD_IMM64
            for target in _targets(insn, index):
                leaders.add(target)
            if skip and insn.src == isa.PSEUDO_FUNC:
                leaders.add(index + 1 + insn.imm)
        return frozenset(leaders)

    def _unseen(self, start: int) -> int:
        return self.seen.find(0, start)

    def _enter(self, index: int, state: State) -> None:
        """Join a state into what is known at the start of a block."""
        if not 0 <= index < len(self.insns):
            return
        old = self.states.get(index)
        new = state if old is None else _join(old, state)
        if old is None or new != old:
            self.states[index] = new
            self.work.append(index)

    def _block(self, index: int) -> int:
        """Walk from a leader to the end of its block; tell how many instructions that was."""
        registers, slots = self.states[index]
        r = list(registers)
        slots = dict(slots)
        first = index
        while True:
            insn = self.insns[index]
            code = insn.code
            kind = code & isa.CLASS_MASK
            self.seen[index] = 1
            step = 1
            if kind in (isa.ALU, isa.ALU64):
                if insn.dst < isa.R10:
                    r[insn.dst] = _alu(insn, r)
            elif code == isa.LD_IMM64:
                step = 2
                if index + 1 < len(self.seen):
                    self.seen[index + 1] = 1
                if insn.dst < isa.R10:
                    r[insn.dst] = self._constant(index)
                if insn.src == isa.PSEUDO_FUNC:
                    self._enter(index + 1 + insn.imm, ENTRY)
            elif kind == isa.LDX:
                if insn.dst < isa.R10:
                    r[insn.dst] = self._load(insn, r, slots)
            elif kind in (isa.ST, isa.STX):
                _store(insn, r, slots)
            elif kind == isa.LD:
                r[0:6] = (None,) * 6  # ABS and IND: the legacy packet loads clobber like a call
            elif code == isa.CALL_CODE:
                self._call(index, r, slots)
            elif code == isa.CALL_CODE | isa.X:  # a call through a register: to anywhere
                _clobber(r, slots)
                r[0:6] = (None,) * 6
            elif code == isa.EXIT_CODE:
                break
            else:
                taken = self._decide(insn, r)
                if taken is not False:
                    for target in _targets(insn, index):
                        self._enter(target, (tuple(r), dict(slots)))
                if taken or code & isa.OP_MASK == isa.JA:
                    break
            index += step
            if index >= len(self.insns):
                break
            if index in self.leaders:
                self._enter(index, (tuple(r), slots))
                break
        return index - first + 1

    def _constant(self, index: int) -> Value:
        name = self.maps.get(index)
        if name is not None:
            return ("map", name)
        if self.insns[index].src:
            return None
        return ("const", isa.imm64(self.insns, index))

    def _load(self, insn: Insn, r: list[Value], slots: dict[int, Value]) -> Value:
        where = _address(insn.src, insn.off, r)
        if where is None or where[0] != "stack" or insn.code != isa.LDX | isa.MEM | isa.DW:
            return None
        return slots.get(where[1]) if isinstance(where[1], int) else None

    def _decide(self, insn: Insn, r: list[Value]) -> bool | None:
        """Whether a jump is taken, where that is to be told; None for both ways."""
        return None

    def _call(self, index: int, r: list[Value], slots: dict[int, Value]) -> None:
        insn = self.insns[index]
        result: Value = None
        if insn.src == isa.HELPER:
            helper = OUTPUT_HELPERS.get(insn.imm)
            if helper is not None:
                self._output(index, helper, r)
            if insn.imm == _RESERVE:
                result = ("record", index)
            elif insn.imm in _LOOKUPS:
                where = r[1]
                if where is not None and where[0] == "map" and len(where) == 2:
                    result = ("value", where[1], 0)
        elif insn.src == isa.PSEUDO_CALL:
            # The callee has a frame of its own: a pointer into ours is nothing it can follow.
            arguments = tuple(None if in_frame(value) else value for value in r[1:6])
            entry = (None, *arguments, *(None,) * 4, ("stack", 0))
            self._enter(index + 1 + insn.imm, (entry, {}))
        _clobber(r, slots)
        r[0:6] = (result, None, None, None, None, None)

    def _output(self, index: int, helper: OutputHelper, r: list[Value]) -> None:
        where = r[helper.map] if helper.map else ("map", SEQ_FILE)
        size = r[helper.size]
        names = where[1:] if where is not None and where[0] == "map" else (None,)
        number = size[1] if size is not None and size[0] == "const" else None
        if isinstance(number, int):
            number &= alu.U32  # all of these helpers take a u32, or refuse a larger u64
        data = r[helper.data] if helper.data else ("record", index)
        if data is not None and data[0] not in ("stack", "value", "record"):
            data = None
        self.found[index] = [
            OutputCall(
                name if isinstance(name, str) else None,
                self.insns[index].imm,
                number if isinstance(number, int) else None,
                index,
                data,
            )
            for name in names
        ]


def _sends(insn: Insn) -> bool:
    return insn.code == isa.CALL_CODE and insn.src == isa.HELPER and insn.imm in OUTPUT_HELPERS


def _targets(insn: Insn, index: int) -> tuple[int, ...]:
    """Where a jump or a call to a function of the program goes."""
    if insn.code == isa.CALL_CODE and insn.src == isa.PSEUDO_CALL:
        return (index + 1 + insn.imm,)
    target = isa.jump_target(insn, index)
    return () if target is None else (target,)


def _join_value(a: Value, b: Value) -> Value:
    if a == b:
        return a
    if a is None or b is None:
        return None
    if a[0] == b[0] == "map":
        names = sorted({str(name) for name in (*a[1:], *b[1:])})
        return ("map", *names) if len(names) <= _CHOICES else None
    return ("frame",) if in_frame(a) and in_frame(b) else None


def _join(a: State, b: State) -> State:
    registers = tuple(map(_join_value, a[0], b[0]))
    slots: dict[int, Value] = {}
    for offset, value in a[1].items():
        joined = _join_value(value, b[1].get(offset))
        if joined is not None:
            slots[offset] = joined
    return registers, slots


def in_frame(value: Value) -> bool:
    """Tell whether a value points into the stack frame, at a known place or not."""
    return value is not None and value[0] in ("stack", "frame")


def operand(insn: Insn, r: list[Value]) -> Value:
    """Give what an instruction works with beside its dst: a register or its constant."""
    if insn.code & isa.X:
        return r[insn.src] if insn.src < isa.REGISTERS else None
    return ("const", insn.imm & alu.U64)


def _alu(insn: Insn, r: list[Value]) -> Value:
    op = insn.code & isa.OP_MASK
    wide = insn.code & isa.CLASS_MASK == isa.ALU64
    other = operand(insn, r)
    if op == isa.MOV:
        if insn.off:  # movsx, and address space casts
            return None
        if wide:
            return other
        if other is not None and other[0] == "const" and isinstance(other[1], int):
            return ("const", other[1] & alu.U32)
        return None
    mine = r[insn.dst]
    number = other[1] if other is not None and other[0] == "const" else None
    if mine is None:
        # A pointer into the frame that is added to an index: it lies somewhere in the frame.
        return ("frame",) if wide and op == isa.ADD and in_frame(other) else None
    if in_frame(mine) or mine[0] == "value":
        if wide and op in (isa.ADD, isa.SUB) and isinstance(number, int):
            change = number - (1 << 64) if number >> 63 else number
            if op == isa.SUB:
                change = -change
            at = mine[-1]
            if isinstance(at, int) and abs(at + change) < 1 << 31:
                return (*mine[:-1], at + change)
        return ("frame",) if in_frame(mine) else None
    if (op, insn.off) not in alu.BINARY or mine[0] != "const":
        return ("frame",) if op == isa.ADD and wide and in_frame(other) else None
    if not isinstance(number, int) or not isinstance(mine[1], int):
        return ("frame",) if op == isa.ADD and wide and in_frame(other) else None
    return ("const", alu.binary(op, insn.off, mine[1], number, 64 if wide else 32))


def _address(register: int, off: int, r: list[Value]) -> Value:
    """Where in the frame an access goes: ("stack", offset), ("frame",), or None for elsewhere."""
    base = r[register] if register < isa.REGISTERS else None
    if base is None or not in_frame(base):
        return None
    at = base[1] if base[0] == "stack" else None
    return ("stack", at + off) if isinstance(at, int) else ("frame",)


def _store(insn: Insn, r: list[Value], slots: dict[int, Value]) -> None:
    if insn.code & isa.MODE_MASK == isa.ATOMIC and insn.imm == isa.LOAD_ACQ:
        if insn.dst < isa.R10:
            r[insn.dst] = None  # of all atomic operations, this one writes dst and no memory
        return
    if insn.code & isa.MODE_MASK == isa.ATOMIC and insn.imm & 0x01 and insn.src < isa.R10:
        r[insn.src] = None  # BPF_FETCH: the old value comes back in the source register
        if insn.imm & 0xF0 == 0xF0:
            r[0] = None  # CMPXCHG answers in r0
    where = _address(insn.dst, insn.off, r)
    if where is None:
        return
    at = where[1] if where[0] == "stack" else None
    if not isinstance(at, int):
        slots.clear()
        return
    size = isa.SIZES[insn.code & isa.SIZE_MASK]
    _forget(slots, at, at + size)
    if insn.code & isa.MODE_MASK != isa.MEM or size != 8 or at % 8 or not -_FRAME <= at < 0:
        return
    if insn.code & isa.CLASS_MASK == isa.STX:
        value = r[insn.src] if insn.src < isa.REGISTERS else None
    else:
        value = ("const", insn.imm & alu.U64)
    if value is not None:
        slots[at] = value


def _forget(slots: dict[int, Value], low: int, high: int) -> None:
    for at in [at for at in slots if at < high and at + 8 > low]:
        del slots[at]


def _clobber(r: list[Value], slots: dict[int, Value]) -> None:
    """Forget the stack slots that a called function may have written through its arguments.

    A pointer is followed by its length in every helper that writes to memory; where the next
    argument is no constant, all above the pointer may have changed.
    """
    if not slots:
        return
    for n in range(1, 6):
        value = r[n]
        if value is None or not in_frame(value):
            continue
        at = value[1] if value[0] == "stack" else None
        if not isinstance(at, int):
            slots.clear()
            return
        length = r[n + 1] if n < 5 else None
        size = length[1] if length is not None and length[0] == "const" else None
        _forget(slots, at, at + (size & alu.U32) if isinstance(size, int) else 1)
