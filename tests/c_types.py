"""Random types as BTF: structs with members anywhere, as no single compiler would lay them out."""

from __future__ import annotations

import random

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Int,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    Union,
    Volatile,
)

# As clang calls them in BTF: a type that was C in between is to have the same name.
INTEGERS = [
    Int("char", 1, 8, signed=True),
    Int("signed char", 1, 8, signed=True),
    Int("unsigned char", 1, 8),
    Int("short", 2, 16, signed=True),
    Int("unsigned short", 2, 16),
    Int("int", 4, 32, signed=True),
    Int("unsigned int", 4, 32),
    Int("long", 8, 64, signed=True),
    Int("unsigned long", 8, 64),
    Int("long long", 8, 64, signed=True),
    Int("unsigned long long", 8, 64),
    Int("__int128", 16, 128, signed=True),
    Int("unsigned __int128", 16, 128),
    Int("_Bool", 1, 8, bool=True),
]


class RandomTypes:
    """Types in the making; ``structs`` are the ids of those with a name."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick
        self.members = self.typedefs = 0
        self.types: list[Type] = [*INTEGERS, Float("float", 4), Float("double", 8)]
        self.structs: list[int] = []
        self.sized = list(range(1, len(self.types) + 1))
        for number in range(pick.randint(0, 6)):
            self.sized.append(self.add(self.enumeration(number)))

    def btf(self) -> Btf:
        return Btf.from_types(self.types)

    def add(self, made: Type) -> int:
        self.types.append(made)
        return len(self.types)

    def enumeration(self, number: int) -> Type:
        pick = self.pick
        size = pick.choice([1, 2, 4, 4, 4, 8])
        signed = pick.random() < 0.4
        bits = 8 * size - signed
        low = -(1 << bits) if signed else 0
        values = [pick.choice([pick.randint(low, (1 << bits) - 1), n]) for n in range(4)]
        if signed:
            values[0] = -1 - abs(values[0]) % 100  # or clang would take it for unsigned
        named = tuple((f"E{number}_{i}", value) for i, value in enumerate(values))
        kind = Enum64 if size == 8 else Enum
        return kind(f"e{number}", size, signed, named)

    def pointee(self, depth: int) -> int:
        """Something to point to, that may have no size."""
        pick = self.pick
        chance = pick.random()
        if chance < 0.2:
            return 0
        if chance < 0.35:
            params = tuple((f"p{n}", self.scalar(depth + 1)) for n in range(pick.randint(0, 3)))
            result = self.scalar(depth + 1) if pick.random() < 0.7 else 0
            return self.add(
                FuncProto(result, params + ((("", 0),) if params and pick.random() < 0.2 else ()))
            )
        if chance < 0.5 and self.structs:
            return pick.choice(self.structs)
        return self.sized_type(depth + 1)

    def scalar(self, depth: int) -> int:
        """What can be a parameter: no array."""
        if depth < 3 and self.pick.random() < 0.5:
            return self.add(Ptr(self.pointee(depth)))
        return self.pick.choice(self.sized[: len(INTEGERS)])

    def sized_type(self, depth: int) -> int:
        """A type that a member can have."""
        pick = self.pick
        chance = pick.random()
        if depth >= 4 or chance < 0.4:
            return pick.choice(self.sized)
        if chance < 0.55:
            pointer = self.add(Ptr(self.pointee(depth)))
            if pick.random() < 0.3:
                qualifier = pick.choice([Const, Volatile, Restrict])
                proto = isinstance(self.types[self.types[pointer - 1].type_id - 1], FuncProto)  # type: ignore[attr-defined]
                if not (qualifier is Restrict and proto):
                    pointer = self.add(qualifier("", pointer))
            return pointer
        if chance < 0.7:
            return self.add(Array(self.sized_type(depth + 1), 6, pick.randint(1, 5)))
        if chance < 0.8:
            inner = self.sized_type(depth + 1)
            if isinstance(self.types[inner - 1], Array | Const | Volatile | Restrict):
                return inner
            return self.add(pick.choice([Const, Volatile])("", inner))
        if chance < 0.9:
            self.typedefs += 1
            called = f"t{self.typedefs}"
            return self.add(Typedef(called, self.sized_type(depth + 1)))
        return self.composite("", depth + 1)

    def composite(self, name: str, depth: int) -> int:
        """A struct or union whose members lie wherever there is room."""
        pick = self.pick
        union = pick.random() < 0.2
        natural = pick.random() < 0.5  # mostly as C would have it, else anywhere
        members: list[Member] = []
        end = 0
        for _ in range(pick.randint(1, 6)):
            self.members += 1
            called = f"m{self.members}"
            if pick.random() < 0.3:
                of = pick.randint(2, len(INTEGERS) - 3)  # neither __int128 nor _Bool
                found = self.types[of - 1]
                assert isinstance(found, Int)
                width = pick.randint(1, found.bits)
                start = 0 if union else end + pick.choice([0, 0, 0, pick.randint(0, 70)])
                # No compiler lets a bit-field begin in one unit of 64 bits and end in another
                # but in a packed struct.
                members.append(Member(called, of, start, width))
                end = max(end, start + width)
                continue
            of = self.sized_type(depth)
            size = self.btf().sizeof(of)
            bare = isinstance(self.types[of - 1], Struct | Union) and not self.types[of - 1].name
            start = 0
            if not union:
                align = self.btf().alignof(of) if natural else 1
                gap = pick.choice([0, 0, 0, 0, pick.randint(0, 200)])
                start = -(-(end + 8 * gap) // (8 * align)) * 8 * align
            members.append(Member("" if bare and pick.random() < 0.5 else called, of, start))
            end = max(end, start + 8 * size)
        align = pick.choice([1, 2, 4, 8, 64]) if natural else 1
        size = -(-end // (8 * align)) * align
        if not union:  # of a union, that takes another member
            size += pick.choice([0, 0, 0, 0, pick.randint(0, 40)])
        made = self.add((Union if union else Struct)(name, size, tuple(members)))
        if name:
            self.structs.append(made)
            self.sized.append(made)
        return made


def random_types(pick: random.Random, structs: int) -> RandomTypes:
    """So many structs and unions with names, and all that they are made of."""
    made = RandomTypes(pick)
    for number in range(structs):
        made.composite(f"s{number}", 0)
    return made
