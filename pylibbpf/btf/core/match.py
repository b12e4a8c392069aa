"""Whether a type of the kernel is the one that a program means, by the rules of libbpf 1.7."""

from __future__ import annotations

import errno

from pylibbpf.btf.core.access import (
    LONGEST,
    Accessor,
    Spec,
    is_flexible,
    size_of,
    stripped,
)
from pylibbpf.btf.core.stop import DEPTH, Stop
from pylibbpf.btf.names import essential
from pylibbpf.btf.types import (
    Array,
    Enum,
    Enum64,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Ptr,
    Struct,
    Union,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.core.stop import Budget
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Type

__all__ = ["Miss", "alike", "compatible", "match_enumerator", "match_field", "matches"]

_ENUMS = (Kind.ENUM, Kind.ENUM64)
_AS_THEY_ARE = frozenset({Kind.VOID, Kind.STRUCT, Kind.UNION, Kind.FWD, *_ENUMS})
_COMPOSITE = (Kind.STRUCT, Kind.UNION)


class Miss:
    """Where a candidate parts from the path: at ``step``, in the target's type ``type_id``.

    ``member`` is the position of the member there that has the name, and another type; None where
    none has it.
    """

    __slots__ = ("member", "step", "type_id")

    def __init__(self, step: int, type_id: int, member: int | None = None) -> None:
        self.step = step
        self.type_id = type_id
        self.member = member


def alike(one: Kind, other: Kind) -> bool:
    """Whether types of these kinds can be taken for each other (btf_kind_core_compat)."""
    return one is other or (one in _ENUMS and other in _ENUMS)


# Fields


class _Index:
    """The members of a struct: the first of each name, and the positions of the anonymous ones."""

    __slots__ = ("anonymous", "names")

    def __init__(self, members: tuple[object, ...]) -> None:
        self.names: dict[str, int] = {}
        self.anonymous: list[int] = []
        for position, member in enumerate(members):
            name: str = member.name  # type: ignore[attr-defined]
            if name:
                self.names.setdefault(name, position)
            else:
                self.anonymous.append(position)


def _index(btf: Btf, type_id: int, found: Struct | Union) -> _Index:
    if type_id < btf.first_id and btf.base is not None:
        return _index(btf.base, type_id, found)
    known = btf.memo.get(("core members", type_id))
    if known is None:
        known = btf.memo["core members", type_id] = _Index(found.members)
    assert isinstance(known, _Index)
    return known


def match_field(local: Spec, spec: Spec, budget: Budget) -> Miss | None:
    """Go the way of ``local`` from ``spec.root``; ``spec`` is filled in, None means arrived.

    Raises:
        Stop: there is a way without an end, or a size (bpf_core_spec_match).
    """
    btf = spec.btf
    current = spec.root
    for position, step in enumerate(local.steps):
        current, found = stripped(btf, current)
        if step.name is not None:
            outcome = _Members(local, step, spec, budget).search(current, found, 0)
            if isinstance(outcome, Miss):
                outcome.step = position
                return outcome
            current = outcome
            continue
        if position:
            if not isinstance(found, Array):
                return Miss(position, current)
            flexible = is_flexible(btf, spec.steps[-1], found)
            if not flexible and not 0 <= step.index < found.nelems:
                return Miss(position, current)
            current, _ = stripped(btf, found.type_id)
        if len(spec.raw) == LONGEST:
            raise _too_deep(btf, spec.root)
        spec.add(Accessor(current, step.index))
        spec.raw.append(step.index)
        spec.move(step.index * size_of(btf, current, spec.pointer_size) * 8)
    return None


def _too_deep(btf: Btf, root: int) -> Stop:
    return Stop(f"{btf.c_name(root)} nests deeper than {LONGEST} steps", errno.E2BIG)


class _Members:
    """The search for one member by its name (libbpf: bpf_core_match_member)."""

    def __init__(self, local: Spec, step: Accessor, spec: Spec, budget: Budget) -> None:
        self.local, self.spec, self.budget = local, spec, budget
        holder = local.btf.type(step.type_id)
        assert isinstance(holder, (Struct, Union))
        assert step.name is not None
        self.name = step.name
        self.type_id = holder.members[step.index].type_id
        self.miss: Miss | None = None

    def search(self, type_id: int, found: Type, level: int) -> int | Miss:
        """Give the type of the member, or where it was missed."""
        if not isinstance(found, (Struct, Union)):
            return Miss(0, type_id)
        self.budget.take()
        spec = self.spec
        if found.members and len(spec.raw) == LONGEST:
            raise _too_deep(spec.btf, spec.root)
        index = _index(spec.btf, type_id, found)
        named = index.names.get(self.name)
        for position in index.anonymous:
            if named is not None and position > named:
                break
            self.budget.take()
            member = found.members[position]
            inner_id, inner = stripped(spec.btf, member.type_id)
            if not isinstance(inner, (Struct, Union)):
                continue
            spec.raw.append(position)
            spec.move(member.bit_offset)
            outcome = self.search(inner_id, inner, level + 1)
            if not isinstance(outcome, Miss):
                return outcome
            if outcome.member is not None:
                self.miss = outcome
            spec.move(-member.bit_offset)
            spec.raw.pop()
        if named is None:
            return self.miss or Miss(0, type_id)
        member = found.members[named]
        spec.raw.append(named)
        spec.move(member.bit_offset)
        if fields_compatible(self.local.btf, self.type_id, spec.btf, member.type_id, self.budget):
            spec.add(Accessor(type_id, named, self.name))
            return member.type_id
        # libbpf leaves this step behind when it goes on after an anonymous member. So do we.
        return Miss(0, type_id, named)


def fields_compatible(
    local: Btf, local_id: int, target: Btf, target_id: int, budget: Budget
) -> bool:
    """Whether a field of one type may be read as one of the other (bpf_core_fields_are_compat)."""
    while True:
        budget.take()
        local_id, here = stripped(local, local_id)
        target_id, there = stripped(target, target_id)
        if here.kind in _COMPOSITE and there.kind in _COMPOSITE:
            return True
        if not alike(here.kind, there.kind):
            return False
        if here.kind in (Kind.PTR, Kind.FLOAT):
            return True
        if here.kind is Kind.FWD or here.kind in _ENUMS:
            ours, theirs = essential(here.name), essential(there.name)
            return not ours or not theirs or ours == theirs
        if isinstance(here, Int) and isinstance(there, Int):
            return here.offset == 0 and there.offset == 0
        if not (isinstance(here, Array) and isinstance(there, Array)):
            return False
        local_id, target_id = here.type_id, there.type_id


# Enumerators


def match_enumerator(local: Spec, spec: Spec, budget: Budget) -> bool:
    """Look for the enumerator of the same name, its flavour aside; ``spec`` is filled in."""
    current, found = stripped(spec.btf, spec.root)
    if not isinstance(found, (Enum, Enum64)):
        return False
    wanted = essential(local.steps[0].name or "")
    budget.take(1 + len(found.values) // 64)
    for position, (name, _) in enumerate(found.values):
        if name.startswith(wanted) and essential(name) == wanted:
            spec.add(Accessor(current, position, name))
            spec.raw.append(position)
            return True
    return False


# Types


def compatible(
    local: Btf, local_id: int, target: Btf, target_id: int, budget: Budget, level: int = DEPTH
) -> bool:
    """Whether a type exists as the program knows it: roughly (__bpf_core_types_are_compat).

    Raises:
        Stop: it nests too deep.
    """
    if not alike(local.kind(local_id), target.kind(target_id)):
        return False
    for _ in range(DEPTH):
        budget.take()
        local_id, here = stripped(local, local_id)
        target_id, there = stripped(target, target_id)
        if not alike(here.kind, there.kind):
            return False
        if here.kind in _AS_THEY_ARE:
            return True
        if isinstance(here, Int) and isinstance(there, Int):
            return here.offset == 0 and there.offset == 0
        if isinstance(here, FuncProto) and isinstance(there, FuncProto):
            if len(here.params) != len(there.params):
                return False
            for (_, ours), (_, theirs) in zip(here.params, there.params, strict=True):
                if level <= 0:
                    raise _endless(local, local_id)
                ours, theirs = local.resolve(ours), target.resolve(theirs)
                if not compatible(local, ours, target, theirs, budget, level - 1):
                    return False
        elif not isinstance(here, (Ptr, Array)) or not isinstance(there, (Ptr, Array)):
            return False
        local_id, target_id = here.type_id, there.type_id
    raise _endless(local, local_id)


def _endless(btf: Btf, type_id: int) -> Stop:
    return Stop(f"{btf.c_name(type_id)} nests deeper than {DEPTH} levels")


def matches(
    local: Btf,
    local_id: int,
    target: Btf,
    target_id: int,
    budget: Budget,
    behind_pointer: bool = False,
    level: int = DEPTH,
) -> bool:
    """Whether a type is what the program knows: in all that it names (__bpf_core_types_match).

    Raises:
        Stop: it nests too deep.
    """
    if level <= 0:
        raise _endless(local, local_id)
    for _ in range(DEPTH):
        budget.take()
        local_id, here = stripped(local, local_id)
        target_id, there = stripped(target, target_id)
        if not _same_name(here.name, there.name):
            return False
        if isinstance(here, (Enum, Enum64)):
            return isinstance(there, (Enum, Enum64)) and _enums_match(here, there, budget)
        if isinstance(here, Fwd):
            return _forward_matches(here, there, behind_pointer)
        if isinstance(here, (Struct, Union)):
            if behind_pointer:
                if isinstance(there, Fwd):
                    return there.is_union == isinstance(here, Union)
                return here.kind is there.kind
            if here.kind is not there.kind:
                return False
            assert isinstance(there, (Struct, Union))
            return _members_match(local, here, target, there, budget, level)
        if here.kind is not there.kind:
            return False
        if here.kind is Kind.VOID:
            return True
        if isinstance(here, Int) and isinstance(there, Int):
            return here.size == there.size and here.signed == there.signed
        if isinstance(here, Ptr):
            behind_pointer = True
        elif isinstance(here, Array) and isinstance(there, Array):
            if here.nelems != there.nelems:
                return False
        elif isinstance(here, FuncProto) and isinstance(there, FuncProto):
            if len(here.params) != len(there.params):
                return False
            for (_, ours), (_, theirs) in zip(here.params, there.params, strict=True):
                if not matches(local, ours, target, theirs, budget, behind_pointer, level - 1):
                    return False
        else:
            return False
        local_id = here.type_id
        target_id = there.type_id  # type: ignore[attr-defined]
    raise _endless(local, local_id)


def _same_name(here: str, there: str) -> bool:
    if not there:
        return not here
    return here == there or essential(here) == essential(there)


def _enums_match(here: Enum | Enum64, there: Enum | Enum64, budget: Budget) -> bool:
    if here.size != there.size or len(here.values) > len(there.values):
        return False
    budget.take(1 + len(there.values) // 64)
    names = {essential(name) for name, _ in there.values}
    return all(essential(name) in names for name, _ in here.values)


def _forward_matches(here: Fwd, there: Type, behind_pointer: bool) -> bool:
    if isinstance(there, Fwd):
        return here.is_union == there.is_union
    if not behind_pointer:
        return False
    return there.kind is (Kind.UNION if here.is_union else Kind.STRUCT)


def _members_match(
    local: Btf, here: Struct | Union, target: Btf, there: Struct | Union, budget: Budget, level: int
) -> bool:
    if len(here.members) > len(there.members):
        return False
    budget.take(1 + len(there.members) // 64)
    # Members of the same name and type are as good as one. Dicts keep the order.
    theirs: dict[str, dict[int, None]] = {}
    for member in there.members:
        theirs.setdefault(essential(member.name), {})[member.type_id] = None
    ours = {(essential(member.name), member.type_id): None for member in here.members}
    for name, type_id in ours:
        if not any(
            matches(local, type_id, target, other, budget, False, level - 1)
            for other in theirs.get(name, ())
        ):
            return False
    return True
