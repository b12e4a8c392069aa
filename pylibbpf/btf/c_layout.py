"""Where a C compiler would put the members of a struct, and what makes it put them elsewhere.

BTF says where members lie, C says only their types and order. The rules by which compilers turn
one into the other (System V ABI; clang's RecordLayoutBuilder, GCC's PCC_BITFIELD_TYPE_MATTERS) are
played here for each struct. Where the outcome is not what BTF says, padding goes in between: bit-
fields without names, which raise no alignment. Where no padding helps, the struct is packed, and
every gap is padding.
"""

from __future__ import annotations

from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Plan", "Slot", "arrange", "arrange_union"]

# A gap of more bytes is a member: an array takes one line.
LARGEST_GAP = 4096

# (bits, what the padding is declared as), widest first.
_UNITS = ((64, "long long"), (32, "int"), (16, "short"), (8, "char"))
_UNITS_LONG = ((64, "long"), *_UNITS[1:])
_UNITS_32 = ((32, "int"), (16, "short"), (8, "char"))

# What is written for a gap, one declaration each: (type, bits), or ("", bytes) for an array.
Pads = tuple[tuple[str, int], ...]


class Slot:
    """Where a member is to be: first bit, width in bits, alignment in bytes.

    ``unit`` is 0, or for a bit-field the bits of its declared type.
    """

    __slots__ = ("align", "start", "unit", "width")

    def __init__(self, start: int, width: int, align: int, unit: int = 0) -> None:
        self.start = start
        self.width = width
        self.align = align
        self.unit = unit


class Plan:
    """How to write a struct: packed or not, its alignment in bytes, and padding.

    ``pads`` holds what goes before the member of that index; its last index is their number.
    ``aligned``: the alignment is to be said, because no member has it.
    """

    __slots__ = ("align", "aligned", "packed", "pads")

    def __init__(
        self, packed: bool, align: int, pads: dict[int, Pads], aligned: bool = False
    ) -> None:
        self.packed = packed
        self.align = align
        self.pads = pads
        self.aligned = aligned


def arrange(slots: Sequence[Slot], size: int, pointer_size: int) -> Plan:
    """Plan a struct of ``size`` bytes whose members lie at ``slots``, in this order.

    Raises:
        BtfError: members overlap, or leave the struct.
    """
    units = _UNITS_LONG if pointer_size == 8 else _UNITS_32
    plan = _natural(slots, size, units)
    return _packed(slots, size, units) if plan is None else plan


def arrange_union(slots: Sequence[Slot], size: int) -> Plan:
    """Plan a union; padding, if any, is to be the only member of a struct in it.

    Raises:
        BtfError: a member does not start where the union does, or leaves it.
    """
    align, widest = 1, 0
    for slot in slots:
        if slot.start:
            index = [each is slot for each in slots].index(True)
            raise BtfError(f"member {index} of a union is at bit {slot.start}, not 0")
        align = max(align, slot.align)
        widest = max(widest, slot.width)
    packed = bool(size % align)
    if packed:
        align = 1
    end = _up(widest, 8) // 8
    if end > size:
        raise BtfError(f"a member of {widest} bits leaves the union of {size} bytes")
    if _up(end, align) == size:
        return Plan(packed, align, {})
    # Most probably because it is aligned; what has no size to say so is padding.
    while align < size and _up(end, align) < size:
        align *= 2
    if _up(end, align) == size:
        return Plan(packed, align, {}, aligned=True)
    align = 1 if packed else max([1, *[slot.align for slot in slots]])
    return Plan(packed, align, {len(slots): _exact(0, 8 * size, _UNITS_LONG)})


def _natural(slots: Sequence[Slot], size: int, units: tuple[tuple[int, str], ...]) -> Plan | None:
    """A plan without ``packed``; None where there is none."""
    pads: dict[int, Pads] = {}
    end = 0
    largest = 1
    for index, slot in enumerate(slots):
        start, align = slot.start, 8 * slot.align
        if slot.unit:
            # A bit-field goes on where the last ended, unless it would cross its type's bounds.
            if start % align + slot.width > slot.unit:
                return None
            placed = end if end % align + slot.width <= slot.unit else _up(end, align)
        else:
            if start % align:
                return None
            placed = _up(end, align)
        if placed != start:
            if start < end:
                return None
            pads[index] = _implied(end, start, 1 if slot.unit else align, units)
        largest = max(largest, slot.align)
        end = start + slot.width
    whole = 8 * size
    took = _up(end, 8 * largest)
    if took > whole or size % largest:
        return None
    if took < whole:
        pads[len(slots)] = _implied(end, whole, 8 * largest, units)
    return Plan(False, largest, pads)


def _packed(slots: Sequence[Slot], size: int, units: tuple[tuple[int, str], ...]) -> Plan:
    pads: dict[int, Pads] = {}
    end = 0
    for index, slot in enumerate(slots):
        start = slot.start
        if not slot.unit:
            if start % 8:
                raise BtfError(f"member {index} starts at bit {start}, within a byte")
            end = _up(end, 8)
        if start < end:
            raise BtfError(f"member {index}, at bit {start}, overlaps the one before it")
        if start > end:
            pads[index] = _exact(end, start, units)
        end = start + slot.width
    end = _up(end, 8)
    if end > 8 * size:
        raise BtfError(f"its members end at byte {end // 8} of {size}")
    if end < 8 * size:
        pads[len(slots)] = _exact(end, 8 * size, units)
    return Plan(True, 1, pads)


def _implied(end: int, start: int, align: int, units: tuple[tuple[int, str], ...]) -> Pads:
    """Padding from bit ``end`` to ``start``; what comes next is aligned to ``align`` bits."""
    if start - end > 8 * LARGEST_GAP:
        return _array(end, start)
    pads: list[tuple[str, int]] = []
    for bits, unit in units:
        # The first of them goes to its own boundary by itself.
        count = (start - _up(end, bits)) // bits
        if count > 0:
            pads += [(unit, bits)] * count
            end = _up(end, bits) + count * bits
        if _up(end, align) == start:
            return tuple(pads)
    return (*pads, *_rest(end, start, units))


def _exact(end: int, start: int, units: tuple[tuple[int, str], ...]) -> Pads:
    """Padding for every bit from ``end`` to ``start``, where nothing is aligned."""
    if start - end > 8 * LARGEST_GAP:
        return _array(end, start)
    pads: list[tuple[str, int]] = []
    if end % 8:
        pads += _rest(end, min(start, _up(end, 8)), units)
        end = min(start, _up(end, 8))
    for bits, unit in units:
        count = (start - end) // bits
        pads += [(unit, bits)] * count
        end += count * bits
    return (*pads, *_rest(end, start, units))


def _rest(end: int, start: int, units: tuple[tuple[int, str], ...]) -> Pads:
    """Padding of some bits that no type covers whole."""
    pads: list[tuple[str, int]] = []
    while end < start:
        for bits, unit in reversed(units):
            if end % bits + start - end <= bits:
                return (*pads, (unit, start - end))
        step = _up(end + 1, 8) - end  # over a boundary of each type: up to the next byte first
        pads.append(("char", step))
        end += step
    return tuple(pads)


def _array(end: int, start: int) -> Pads:
    return (*_rest(end, _up(end, 8), _UNITS_32), ("", (start - _up(end, 8)) // 8),
            *_rest(start - start % 8, start, _UNITS_32))  # fmt: skip


def _up(number: int, to: int) -> int:
    return -(-number // to) * to
