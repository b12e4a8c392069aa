"""What DWARF knows of the records that a program sends: rule 3 of :mod:`pylibbpf.events`.

At a call that outputs a record, the record lies in a C variable, or a C variable points at it.
DWARF says where each variable lives, instruction by instruction: in a register or at a place of
the frame. A type is given only where nothing contradicts it: at every call that may send to the
map a variable must be found, and all must be of one type.

Written for the DWARF 4 and 5 of clang 11 to 22. pyelftools trusts what it reads, so damaged
files make it raise anything at all; that ends here.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pylibbpf.errors import BtfError, ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.calls import OUTPUT_HELPERS, OutputCall
from pylibbpf.isa.insn import Insn
from pylibbpf.loader.dwarf_lists import Entry, Lists
from pylibbpf.loader.dwarf_scan import top_level
from pylibbpf.loader.dwarf_types import (
    DIE_STEPS,
    TypeBuilder,
    attribute,
    byte_size,
    children,
    is_open_ended,
    same_type,
    stripped,
    target_of,
)
from pylibbpf.loader.elf import SHF_COMPRESSED, SHT_PROGBITS, Elf
from pylibbpf.loader.link import sending_calls
from pylibbpf.loader.object import read
from pylibbpf.spec import FunctionSpec

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf

__all__ = ["named_type", "record_types"]

# pyelftools has no types of its own to check against.
Die = Any

# A damaged file must not keep anybody waiting. A step takes one or two microseconds; the largest
# real object seen took 60,000.
_STEPS = 1_000_000

_T = TypeVar("_T")


def record_types(data: bytes) -> dict[str, tuple[Btf, int]]:
    """Find the record types of all ring and perf buffers that the object's DWARF tells.

    Raises:
        ElfError, BtfError: the object or its DWARF is damaged.
    """
    outcome = _outcome(data)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@functools.lru_cache(maxsize=1)
def _outcome(data: bytes) -> dict[str, tuple[Btf, int]] | ElfError | BtfError:
    """All maps of an object are asked for one after the other; damage must cost its time once."""
    try:
        spec = read(data)
        calls = sending_calls(spec) if spec.has_dwarf else []
        return _guarded(lambda: _Reader(data).record_types(calls)) if calls else {}
    except (ElfError, BtfError) as error:
        return error


def named_type(data: bytes, text: str) -> tuple[Btf, int] | None:
    """Look up a type by the name that C gives it: ``"struct event"``, or ``"event_t"``.

    Raises:
        ElfError, BtfError: the object's DWARF is damaged.
    """
    if not any(section.name == ".debug_info" for section in Elf(data).sections):
        return None
    return _guarded(lambda: _Reader(data).named_type(text))


def _guarded(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except (ElfError, BtfError):
        raise
    except Exception as error:
        # pyelftools checks little: KeyError, AssertionError, construct's and struct's errors,
        # RecursionError and more have been seen on damaged files. All mean the same.
        raise ElfError(f"the DWARF of the object cannot be read ({error!r:.100})") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a variable is from byte ``low`` of its section to before byte ``high``.

    ``kind`` is "reg" for register n, "stack" for r10 + n, "frame" for n bytes above the lowest
    byte of the frame.
    """

    low: int
    high: int
    kind: str
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """A variable or parameter, of the function itself or of one inlined into it."""

    type: Die
    places: tuple[Place, ...]

    def at(self, pc: int) -> Iterator[Place]:
        """The places that hold at an address; usually one."""
        return (place for place in self.places if place.low <= pc < place.high)


def _relocated(data: bytes) -> bytes:
    """Fill in the relocations of the DWARF sections.

    pyelftools can do it, in two seconds for an object that includes vmlinux.h; nearly all of them
    are against sections, whose value is 0, and change nothing.
    """
    elf = Elf(data)
    image = bytearray(data)
    for section in elf.sections:
        if not section.name.startswith(".debug_") or section.type != SHT_PROGBITS:
            continue
        if section.flags & SHF_COMPRESSED:
            raise ElfError("the DWARF of the object is compressed")
        for relocation in elf.relocations(section):
            width = _WIDTHS.get(relocation.type)
            change = relocation.symbol.value + relocation.addend
            if width is None or not change or relocation.offset + width > section.size:
                continue
            at = section.offset + relocation.offset
            value = int.from_bytes(image[at : at + width], "little") + change
            image[at : at + width] = (value % (1 << width * 8)).to_bytes(width, "little")
    return bytes(image)


# Relocation types to bytes. Up to version 12, clang used the types for code in DWARF as well.
_WIDTHS = {1: 8, 2: 8, 3: 4, 4: 4, 10: 4}


class _Reader:
    def __init__(self, data: bytes) -> None:
        from elftools.dwarf.dwarf_expr import DWARFExprParser
        from elftools.elf.elffile import ELFFile

        self.left = _STEPS
        file = io.BytesIO(_relocated(data))
        self.dwarf: Any = ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False)
        self.locations = self._lists("debug_loc_sec", "debug_loclists_sec", locations=True)
        self.scopes = self._lists("debug_ranges_sec", "debug_rnglists_sec", locations=False)
        self.expressions: Any = DWARFExprParser(self.dwarf.structs)
        self.builder = TypeBuilder(self.tick)

    def _lists(self, old: str, new: str, *, locations: bool) -> dict[bool, Lists]:
        """The lists before DWARF 5 and of it, which have sections of their own."""
        found = {}
        for recent, name in ((False, old), (True, new)):
            section = getattr(self.dwarf, name, None)
            data = section.stream.getvalue() if section is not None else b""
            found[recent] = Lists(data, locations=locations, tick=self.tick)
        return found

    def tick(self, steps: int = 1) -> None:
        """Pay for work; counted in steps and not in time, so that slow machines agree."""
        self.left -= steps
        if self.left < 0:
            raise ElfError("the DWARF of the object has no end")

    def top_level(self, tags: Container[str]) -> Iterator[Die]:
        """The entries of these kinds that are not inside others."""
        data = self.dwarf.debug_info_sec.stream.getvalue()
        for unit in self.dwarf.iter_CUs():
            for offset, tag in top_level(unit, data):
                self.tick()
                if tag in tags:
                    self.tick(DIE_STEPS)
                    yield unit.get_DIE_from_refaddr(offset)

    def named_type(self, text: str) -> tuple[Btf, int] | None:
        words = text.split()
        tag = _TAGS.get(words[0]) if len(words) == 2 else None
        name = (words[1] if tag is not None else " ".join(words)).encode()
        best = None
        for die in self.top_level(_RANK if tag is None else (tag,)):
            attributes = die.attributes
            if "DW_AT_declaration" in attributes or "DW_AT_name" not in attributes:
                continue
            if attributes["DW_AT_name"].value != name:
                continue
            if best is None or _RANK[die.tag] < _RANK[best.tag]:
                best = die
        return self._built(best) if best is not None else None

    def _built(self, die: Die) -> tuple[Btf, int]:
        type_id = self.builder.add(die)
        return self.builder.btf(), type_id

    def record_types(
        self, calls: Collection[tuple[OutputCall, FunctionSpec, int]]
    ) -> dict[str, tuple[Btf, int]]:
        if any(call.map is None for call, _, _ in calls):
            return {}  # it may send to any of them
        functions = self._functions({(function.name, function.offset) for _, function, _ in calls})
        bodies: dict[int, _Body] = {}
        found: dict[str, Die | None] = {}
        for call, function, insn in calls:
            die = functions.get((function.name, function.offset))
            name = call.map or ""
            if die is None or (name in found and found[name] is None):
                found[name] = None
                continue
            body = bodies.get(die.offset)
            if body is None:
                body = bodies[die.offset] = _Body(function, self._variables(die), self.tick)
            record = _Site(body, insn, call).record()
            if record is None or not same_type(found.setdefault(name, record), record):
                found[name] = None
        decided = {name: self.builder.add(die) for name, die in found.items() if die is not None}
        btf = self.builder.btf()
        return {name: (btf, type_id) for name, type_id in decided.items()}

    def _functions(self, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Die]:
        """Find functions by name and address.

        Each section starts at 0, so that the address alone does not tell them apart.
        """
        found = {}
        for die in self.top_level(("DW_TAG_subprogram",)):
            if "DW_AT_low_pc" in die.attributes:
                name = attribute(die, "DW_AT_name")
                if name is not None:
                    key = (name.decode("utf-8", "backslashreplace"), _low(die))
                    if key in wanted:
                        found[key] = die
        return found

    def _variables(self, function: Die) -> list[Variable]:
        """All variables of a function and of what was inlined into it."""
        variables = []
        work = [(function, self._ranges(function))]
        while work:
            scope, ranges = work.pop()
            for die in children(scope):
                self.tick(DIE_STEPS)
                if die.tag in ("DW_TAG_variable", "DW_TAG_formal_parameter"):
                    variable = self._variable(die, ranges)
                    if variable is not None:
                        variables.append(variable)
                elif die.tag in ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine"):
                    work.append((die, self._ranges(die) or ranges))
        return variables

    def _variable(self, die: Die, ranges: list[tuple[int, int]]) -> Variable | None:
        location = die.attributes.get("DW_AT_location")
        if location is None:
            return None
        type = target_of(die)
        if type is None:
            return None
        places = []
        if location.form.startswith(("DW_FORM_exprloc", "DW_FORM_block")):
            place = self._place(bytes(location.value))
            if place is not None:
                places = [Place(low, high, *place) for low, high in ranges]
        else:
            for entry in self._listed(self.locations, location.value, die.cu):
                place = self._place(entry.expression)
                if place is not None:
                    places.append(Place(entry.low, entry.high, *place))
        return Variable(type, tuple(places))

    def _place(self, expression: bytes) -> tuple[str, int] | None:
        return _place(self.expressions.parse_expr(expression)) if expression else None

    def _listed(self, lists: dict[bool, Lists], offset: int, unit: Any) -> Iterator[Entry]:
        version = unit["version"]
        return lists[version >= 5].at(
            offset,
            version,
            _low(unit.get_top_DIE()),
            lambda index: int(self.dwarf.get_addr(unit, index)),
        )

    def _ranges(self, die: Die) -> list[tuple[int, int]]:
        """The addresses of a scope; empty where it does not say."""
        attributes = die.attributes
        if "DW_AT_high_pc" in attributes:
            high = attributes["DW_AT_high_pc"]
            low = _low(die)
            end = high.value if high.form.startswith("DW_FORM_addr") else low + high.value
            return [(low, end)]
        ranges = attributes.get("DW_AT_ranges")
        if ranges is None:
            return []
        listed = self._listed(self.scopes, ranges.value, die.cu)
        return [(entry.low, entry.high) for entry in listed]


_TAGS = {
    "struct": "DW_TAG_structure_type",
    "union": "DW_TAG_union_type",
    "enum": "DW_TAG_enumeration_type",
}
_RANK = {
    "DW_TAG_typedef": 0,
    "DW_TAG_structure_type": 1,
    "DW_TAG_union_type": 2,
    "DW_TAG_enumeration_type": 3,
    "DW_TAG_base_type": 4,
}


def _low(die: Die) -> int:
    attribute = die.attributes.get("DW_AT_low_pc")
    return int(attribute.value) if attribute is not None else 0


def _place(operations: Iterable[Any]) -> tuple[str, int] | None:
    """Read the forms of location that clang writes: one place, or a variable cut into pieces.

    LLVM keeps track of assignments to parts of a variable; then a location is a list of pieces,
    some in memory, some constants, some nowhere. The pieces in memory say where the whole would
    start, and must agree.
    """
    starts = set()
    place: tuple[str, int] | None = None
    done = 0
    for operation in operations:
        name, arguments = operation.op_name, operation.args
        if name == "DW_OP_piece":
            if place is not None and place[0] != "reg":
                starts.add((place[0], place[1] - done))
            done += arguments[0]
            place = None
        elif name == "DW_OP_fbreg" or name == f"DW_OP_breg{isa.R10}":
            # From the lowest byte of the frame; see _Site. Only a negative number can be from r10.
            place = ("frame" if arguments[0] >= 0 else "stack", arguments[0])
        elif name == "DW_OP_plus_uconst" and place is not None and place[0] != "reg":
            place = (place[0], place[1] + arguments[0])
        elif name.startswith("DW_OP_reg"):
            place = ("reg", operation.op - _OP_REG0)
        elif name.startswith("DW_OP_breg") and not arguments[0]:
            place = ("value", operation.op - _OP_BREG0)
        elif name == "DW_OP_stack_value" and place is not None and place[0] == "value":
            place = ("reg", place[1])
        else:
            place = None
    if done:
        return starts.pop() if len(starts) == 1 else None
    return place if place is not None and place[0] != "value" else None


_OP_REG0, _OP_BREG0 = 0x50, 0x70


# How many instructions around a call are looked at for the variable.
_REACH = 400


class _Body:
    """A function as both compiler and DWARF see it."""

    def __init__(
        self, function: FunctionSpec, variables: list[Variable], tick: Callable[[int], None]
    ) -> None:
        self.tick = tick
        self.offset = function.offset
        self.insns = isa.decode(function.code)
        self.frame = _frame_size(self.insns)
        self.variables = variables


class _Site:
    """One call that sends, and the search for the variable that is sent there."""

    def __init__(self, body: _Body, insn: int, call: OutputCall) -> None:
        self.body = body
        self.index = insn
        self.call = call
        self.insns = body.insns

    def record(self) -> Die | None:
        """Give the one type that fits, if there is just one."""
        data = self.call.data
        if data is not None and data[0] == "stack" and isinstance(data[1], int):
            return self._decide(self._on_stack(data[1]))
        if OUTPUT_HELPERS[self.call.helper].data == 0:
            return self._decide(self._pointed(self._after()))
        return self._decide(self._pointed(self._before()))

    def _decide(self, candidates: Iterable[Die]) -> Die | None:
        """Choose among the types of the variables found; sizes decide between several."""
        fitting: list[Die] = []
        size = self.call.size
        for die in candidates:
            self.body.tick(DIE_STEPS)
            length = byte_size(die)
            if length is None or (length == 1 and size != 1):
                continue  # void * or char *: bytes of anything
            if not any(same_type(die, other) for other in fitting):
                fitting.append(die)
        if size is not None:
            fitting = [die for die in fitting if byte_size(die) == size] or [
                die for die in fitting if (byte_size(die) or 0) < size and is_open_ended(die)
            ]
        return fitting[0] if len(fitting) == 1 else None

    def _on_stack(self, offset: int) -> Iterator[Die]:
        pc = self.body.offset + self.index * isa.INSN_SIZE
        for variable in self.body.variables:
            if any(self._stack_offset(place) == offset for place in variable.at(pc)):
                type = stripped(variable.type, typedefs=False)
                if type is not None:
                    yield type

    def _stack_offset(self, place: Place) -> int | None:
        """Where a place in the frame is, counted from r10.

        LLVM gives offsets from the lowest address of the frame but names r10, its highest, as
        frame base (TargetFrameLowering::getFrameIndexReference adds the frame's size).
        """
        if place.kind == "stack":
            return place.number
        return place.number - self.body.frame if place.kind == "frame" else None

    def _pointed(self, states: Iterable[tuple[int, frozenset[int]]]) -> Iterator[Die]:
        """What the variables point to that are in the registers or slots given, at each place."""
        for index, holders in states:
            self.body.tick(1 + len(self.body.variables))
            pc = self.body.offset + index * isa.INSN_SIZE
            for variable in self.body.variables:
                for place in variable.at(pc):
                    where = place.number if place.kind == "reg" else self._stack_offset(place)
                    if where not in holders:
                        continue
                    pointer = stripped(variable.type)
                    if pointer is not None and pointer.tag == "DW_TAG_pointer_type":
                        target = stripped(target_of(pointer), typedefs=False)
                        if target is not None:
                            yield target

    # Holders of a value are registers (0 to 10) and slots of the frame (below 0).

    def _after(self) -> Iterator[tuple[int, frozenset[int]]]:
        """Follow the result of the call forward; yield who holds it before each instruction."""
        work = [(self.index + 1, frozenset((0,)))]
        seen = set(work)
        while work and len(seen) < _REACH:
            index, holders = work.pop()
            if not 0 <= index < len(self.insns):
                continue
            yield index, holders
            insn = self.insns[index]
            holders = _moved(insn, holders)
            if not holders:
                continue
            for following in _successors(insn, index):
                if (following, holders) not in seen:
                    seen.add((following, holders))
                    work.append((following, holders))

    def _before(self) -> Iterator[tuple[int, frozenset[int]]]:
        """Follow the data argument of the call back to where it comes from, in straight line."""
        holders = frozenset((OUTPUT_HELPERS[self.call.helper].data,))
        yield self.index, holders
        for index in range(self.index - 1, max(-1, self.index - _REACH), -1):
            insn = self.insns[index]
            if not insn.code and index and isa.is_ld_imm64(self.insns[index - 1]):
                continue
            if insn.code in (isa.JMP | isa.JA, isa.EXIT_CODE):
                return
            written = _written(insn)
            for register in written & holders:
                holders -= {register}
                source = _copied_from(insn)
                if source is not None:
                    holders |= {source}
            if not holders:
                return
            yield index, holders


def _frame_size(insns: list[Insn]) -> int:
    """How much of the stack the function uses: the lowest address that it takes or touches."""
    lowest = 0
    pointer = set()
    for insn in insns:
        kind = insn.code & isa.CLASS_MASK
        base = insn.src if kind == isa.LDX else insn.dst
        if kind in (isa.LDX, isa.ST, isa.STX) and base == isa.R10:
            lowest = min(lowest, insn.off)
        elif insn.code == isa.ALU64 | isa.MOV | isa.X:
            if insn.src == isa.R10:
                pointer.add(insn.dst)
            else:
                pointer.discard(insn.dst)
            continue
        elif insn.code == isa.ALU64 | isa.ADD | isa.K and insn.dst in pointer:
            lowest = min(lowest, insn.imm)
        pointer -= _written(insn)
    return (-lowest + 7) // 8 * 8


def _written(insn: Insn) -> frozenset[int]:
    kind = insn.code & isa.CLASS_MASK
    if kind in (isa.ALU, isa.ALU64, isa.LDX) or insn.code == isa.LD_IMM64:
        return frozenset((insn.dst,))
    if insn.code in (isa.CALL_CODE, isa.CALL_CODE | isa.X):
        return frozenset(range(6))
    if kind == isa.STX and insn.code & isa.MODE_MASK == isa.MEM and insn.dst == isa.R10:
        return frozenset((insn.off,))
    return frozenset()


def _copied_from(insn: Insn) -> int | None:
    """The register or slot whose whole value this instruction copies."""
    if insn.code == isa.ALU64 | isa.MOV | isa.X and not insn.off:
        return insn.src
    if insn.code == isa.LDX | isa.MEM | isa.DW and insn.src == isa.R10 and insn.off < 0:
        return insn.off
    if insn.code == isa.STX | isa.MEM | isa.DW and insn.dst == isa.R10 and insn.off < 0:
        return insn.src
    return None


def _moved(insn: Insn, holders: frozenset[int]) -> frozenset[int]:
    """Who holds the value after an instruction."""
    source = _copied_from(insn)
    kept = holders - _written(insn)
    if source is not None and source in holders:
        kept |= _written(insn)
    return kept


def _successors(insn: Insn, index: int) -> tuple[int, ...]:
    kind = insn.code & isa.CLASS_MASK
    if insn.code == isa.LD_IMM64:
        return (index + 2,)
    if kind not in (isa.JMP, isa.JMP32) or insn.code & ~isa.X == isa.CALL_CODE:
        return (index + 1,)
    if insn.code == isa.EXIT_CODE:
        return ()
    if insn.code == isa.JMP | isa.JA:
        return (index + 1 + insn.off,)
    if insn.code == isa.JMP32 | isa.JA:
        return (index + 1 + insn.imm,)
    return (index + 1, index + 1 + insn.off)
