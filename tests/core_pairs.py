"""Random types of a program, a kernel's that are nearly the same, and questions about them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from core_objects import KINDS

from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Volatile,
)

INTS = [
    Int("unsigned char", 1, 8),
    Int("signed char", 1, 8, 0, True),
    Int("char", 1, 8, 0, True, True),
    Int("_Bool", 1, 8, 0, False, False, True),
    Int("short", 2, 16, 0, True),
    Int("unsigned short", 2, 16),
    Int("int", 4, 32, 0, True),
    Int("unsigned int", 4, 32),
    Int("long", 8, 64, 0, True),
    Int("unsigned long", 8, 64),
    Int("__int128", 16, 128, 0, True),
    Int("int", 4, 5, 3, True),  # a bit-field of the times before kind_flag
]
MODIFIERS = (Const, Volatile, Restrict, TypeTag, Typedef)
TAGS = ["one", "two", "two___x", "two___y", "three", "a___b___c", "___", "x____y"]
MEMBERS = ["a", "b", "c", "d", "e", "f___g", ""]
VALUES = ["RED", "GREEN", "GREEN___dark", "BLUE", "BLUE___light"]
NUMBERS = [0, 1, 2, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@dataclass
class World:
    """Types that grow: each is made of those before it, or points to any."""

    pick: random.Random
    types: list[Type] = field(default_factory=list)
    limit: int = 1 << 30  # the last id that may be chosen

    def add(self, made: Type) -> int:
        self.types.append(made)
        return len(self.types)

    def any_id(self) -> int:
        return self.pick.randint(1, min(len(self.types), self.limit))

    def sized_id(self) -> int:
        """A type that a member can have: no function, void or declaration."""
        for _ in range(50):
            found = self.any_id()
            if self._sized(found):
                return found
        return 1

    def _sized(self, type_id: int) -> bool:
        found = self.types[type_id - 1] if type_id else None
        while isinstance(found, (*MODIFIERS, Array)):
            found = self.types[found.type_id - 1] if found.type_id else None
        return found is not None and not isinstance(found, (Fwd, FuncProto))

    def grow(self) -> None:
        """Begin with the integers, then add some of everything."""
        self.types += INTS
        for _ in range(self.pick.randint(8, 30)):
            self.add(self.some())

    def some(self) -> Type:
        pick = self.pick
        tag = pick.choice([*TAGS, ""])
        roll = pick.random()
        if roll < 0.35:
            cls = pick.choice([Struct, Struct, Union])
            return self.composite(cls, tag)
        if roll < 0.5:
            return self.enum(tag)
        if roll < 0.62:
            return Array(self.sized_id(), 8, pick.choice([0, 1, 2, 3, 5]))
        if roll < 0.72:
            return Ptr(pick.choice([0, self.any_id()]))
        if roll < 0.86:
            cls = pick.choice(MODIFIERS)
            named = {Typedef: pick.choice(TAGS), TypeTag: "tag"}
            return cls(named.get(cls, ""), self.any_id())
        if roll < 0.9:
            return Fwd(pick.choice(TAGS), pick.random() < 0.3)
        if roll < 0.96:
            count = pick.randint(0, 3)
            return FuncProto(
                pick.choice([0, self.any_id()]),
                tuple((f"p{i}", self.any_id()) for i in range(count)),
            )
        return Float(pick.choice(["float", "double"]), pick.choice([4, 8]))

    def composite(self, cls: type[Struct | Union], tag: str) -> Struct | Union:
        pick = self.pick
        members, at = [], 0
        names = pick.sample(MEMBERS[:-1], len(MEMBERS) - 1)
        for name in names[: pick.randint(0, 6)]:
            type_id = self.sized_id()
            anonymous = isinstance(self.types[type_id - 1], (Struct, Union)) and pick.random() < 0.6
            width = 0
            if not anonymous and self.is_integer(type_id) and pick.random() < 0.3:
                width = pick.randint(1, 8 * self.size(type_id))
            elif not pick.randrange(40):
                at += pick.choice([1, 3, 1 << 15, 1 << 20])  # where no compiler puts it
            if not width:
                at += -at % 8
            where = 0 if cls is Union else at & 0xFFFFFF
            members.append(Member("" if anonymous else name, type_id, where, width))
            at += width or 8 * self.size(type_id)
        return cls(tag, (at + 7) // 8, tuple(members))

    def enum(self, tag: str) -> Enum | Enum64:
        pick = self.pick
        wide = pick.random() < 0.4
        names = pick.sample(VALUES, pick.randint(0, len(VALUES)))
        signed = pick.random() < 0.5
        numbers = [*NUMBERS, *([1 << 40, (1 << 64) - 1] if wide else [])]
        values = tuple((name, pick.choice(numbers)) for name in names)
        if wide:
            return Enum64(tag, pick.choice([8, 8, 4]), signed, values)
        return Enum(tag, pick.choice([4, 4, 1, 8]), signed, values)

    def is_integer(self, type_id: int) -> bool:
        found = self.types[type_id - 1]
        while isinstance(found, MODIFIERS):
            if not found.type_id:
                return False
            found = self.types[found.type_id - 1]
        return isinstance(found, (Int, Enum, Enum64)) and found.size <= 8

    def size(self, type_id: int) -> int:
        found = self.types[type_id - 1]
        times = 1
        while isinstance(found, (*MODIFIERS, Array)):
            if isinstance(found, Array):
                times *= found.nelems
            found = self.types[found.type_id - 1]
        return times * getattr(found, "size", 8)


def changed(pick: random.Random, local: list[Type]) -> list[Type]:
    """A kernel's types: those of the program, here and there another way, and some more."""
    world = World(pick, list(local))
    rate = pick.choice([0.0, 0.1, 0.3, 0.6])
    for at, found in enumerate(local):
        if at and pick.random() < rate:
            world.limit = at  # what came before: nothing may contain itself
            world.types[at] = _another(world, found)
    world.limit = len(local)
    for _ in range(pick.randint(0, 8)):
        if pick.random() < 0.6:
            # Another candidate of the same name.
            world.add(_another(world, pick.choice(world.types)))
        else:
            world.add(world.some())
    # libbpf divides by the size of a bit-field's type, whatever it is.
    for at, found in enumerate(world.types):
        if isinstance(found, (Struct, Union)):
            members = tuple(
                m if world.is_integer(m.type_id) else Member(m.name, m.type_id, m.bit_offset)
                for m in found.members
            )
            world.types[at] = type(found)(found.name, found.size, members)
    return world.types


def _another(world: World, found: Type) -> Type:
    pick = world.pick
    if isinstance(found, (Struct, Union)):
        members = list(found.members)
        for _ in range(pick.randint(1, 3)):
            what = pick.randrange(7)
            if what == 0 and members:
                members.pop(pick.randrange(len(members)))
            elif what == 1 and members:
                at = pick.randrange(len(members))
                old = members[at]
                members[at] = Member(old.name, world.sized_id(), old.bit_offset, 0)
            elif what == 2:
                pick.shuffle(members)
            elif what == 3:
                shift = pick.choice([8, 32, 64, 1 << 18])
                members = [
                    Member(m.name, m.type_id, m.bit_offset + shift & 0xFFFFFF, m.bitfield_size)
                    for m in members
                ]
            elif what == 4 and members:
                at = pick.randrange(len(members))
                old = members[at]
                width = pick.choice([0, 1, 3, 8]) if world.is_integer(old.type_id) else 0
                members[at] = Member(old.name, old.type_id, old.bit_offset, width)
            elif what == 5 and members:
                # The same one step further down.
                half = pick.randrange(len(members))
                inner = world.add(Struct("", found.size, tuple(members[half:])))
                members[half:] = [Member("", inner, pick.choice([0, 64]))]
                return Struct(found.name, found.size, tuple(members[:half]))
            elif what == 6:
                return type(found)(_flavour(pick, found.name), found.size, tuple(members))
        return type(found)(found.name, found.size + pick.choice([0, 8]), tuple(members))
    if isinstance(found, (Enum, Enum64)):
        values = [(n, pick.choice(NUMBERS)) if pick.random() < 0.3 else (n, v & 0xFFFFFFFF)
                  for n, v in found.values]  # fmt: skip
        if pick.random() < 0.3:
            pick.shuffle(values)
            values = values[1:]
        cls = pick.choice([Enum, Enum64])
        return cls(_flavour(pick, found.name), found.size, pick.random() < 0.5, tuple(values))
    if isinstance(found, Array):
        return Array(found.type_id, 8, pick.choice([0, 1, 2, 3, 6]))
    if isinstance(found, Typedef):
        return Typedef(_flavour(pick, found.name), pick.choice([found.type_id, world.any_id()]))
    return world.some()


def _flavour(pick: random.Random, name: str) -> str:
    return name if not name or pick.random() < 0.6 else f"{name}___{pick.choice(['z', 'old', '_'])}"


def path(pick: random.Random, types: list[Type], type_id: int) -> str:
    """A way into a type, as a compiler would write it, or nearly."""
    steps = [pick.choice([0, 0, 0, 0, 1, 2, -1])]
    for _ in range(pick.choice([0, 1, 1, 1, 2, 2, 3, 5, 70])):
        found = types[type_id - 1] if type_id else None
        while isinstance(found, MODIFIERS):
            found = types[found.type_id - 1] if found.type_id else None
        if isinstance(found, (Struct, Union)) and found.members:
            step = pick.randrange(len(found.members))
            type_id = found.members[step].type_id
        elif isinstance(found, Array):
            step = pick.randrange(max(1, found.nelems)) + (not pick.randrange(20))
            type_id = found.type_id
        elif not pick.randrange(10):
            step = pick.randrange(3)  # nonsense
        else:
            break
        steps.append(step)
    return ":".join(map(str, steps))


def asked(pick: random.Random, types: list[Type]) -> tuple[str, int, str]:
    """Kind, type and path of a question."""
    named = [i for i, found in enumerate(types, 1) if found.name and i > len(INTS)] or [1]
    kind = pick.choice(KINDS)
    type_id = pick.choice(named) if pick.random() < 0.97 else pick.randint(1, len(types))
    if kind.startswith("enumval"):
        enums = [i for i in named if isinstance(types[i - 1], (Enum, Enum64))]
        if enums and pick.random() < 0.95:
            type_id = pick.choice(enums)
        found = types[type_id - 1]
        count = len(found.values) if isinstance(found, (Enum, Enum64)) else 0
        return kind, type_id, str(pick.randrange(max(1, count)))
    if KINDS.index(kind) < 6:
        composites = [i for i in named if isinstance(types[i - 1], (Struct, Union, Typedef))]
        if composites and pick.random() < 0.95:
            type_id = pick.choice(composites)
        return kind, type_id, path(pick, types, type_id)
    return kind, type_id, "0" if pick.random() < 0.98 else "0:0"


_U64 = (1 << 64) - 1
_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}


def _slot(code: int, registers: int, off: int, imm: int) -> bytes:
    imm = (imm + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    off = (off + (1 << 15) & 0xFFFF) - (1 << 15)
    return struct.pack("<BBhi", code, registers, off, imm)


def instruction(pick: random.Random, kind: str, original: int, size: int) -> bytes:
    """An instruction as a compiler would make it to hold ``original``, or nearly."""
    if not pick.randrange(60):
        original += 1
    shape = pick.randrange(10) if kind == "byte_off" else pick.choice([0, 1, 1, 2, 2, 2])
    if not pick.randrange(60):
        return _slot(pick.choice([0x05, 0x0F, 0x20, 0x15]), 1, 0, original)
    if shape == 0:
        return _slot(0x18, 1, 0, original) + _slot(0, 0, 0, original >> 32)
    if shape <= 3:
        return _slot(pick.choice([0xB7, 0xB4, 0x07]), 1, 0, original)
    access = _SIZES.get(size) if pick.random() < 0.95 else None
    if access is None:
        access = pick.choice(list(_SIZES.values()))
    # loads, loads with a sign, stores of a register and of a constant
    return _slot(pick.choice([0x61, 0x61, 0x81, 0x63, 0x62]) | access, 0x12, original, 5)
