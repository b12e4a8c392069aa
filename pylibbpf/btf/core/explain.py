"""Why a relocation found nothing, in words: which types were looked at, and what they lack."""

from __future__ import annotations

from pylibbpf.btf.core.kind import CoreKind
from pylibbpf.btf.core.match import compatible, matches
from pylibbpf.btf.core.stop import Budget, Stop
from pylibbpf.btf.names import essential
from pylibbpf.btf.types import Array, Enum, Enum64, FuncProto, Int, Struct, Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pylibbpf.btf.core.access import Spec
    from pylibbpf.btf.core.match import Miss
    from pylibbpf.btf.core.resolve import Candidate, Resolution
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Type

__all__ = ["lines", "place", "why"]

_MOST = 8  # candidates, and levels of a difference, that are told
_LONG = 64  # names that are longer are not compared with others
_COMPARED = 512  # names, letter by letter: 10 ms


def place(owner: str, btf: Btf, type_id: int) -> str:
    """Name a type of the target: ``struct sock (type 1234 of vmlinux)``."""
    return f"{btf.c_name(type_id)} (type {type_id} of {owner})"


def why(resolution: Resolution) -> str:
    """Say in a sentence why the answer is no, or none; "" where it is neither."""
    local = resolution.local
    if resolution.found is not None:
        return _size(resolution) if resolution.bad_size else ""
    if resolution.kind is CoreKind.TYPE_ID_LOCAL:
        return ""
    wanted = local.btf.c_name(local.root)
    if not resolution.candidates:
        return f"the kernel has no {wanted}"
    if len(resolution.candidates) == 1:
        return f"the kernel's {_unlike(resolution.kind, local, resolution.candidates[0])}"
    nearest = max(resolution.candidates, key=_reached)
    number = len(resolution.candidates)
    said = _unlike(resolution.kind, local, nearest)
    return f"none of the kernel's {number} types of this name fits: {said}"


def lines(kind: CoreKind, local: Spec, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Give a line for each type that was looked at; of many, the first ones."""
    told = []
    for each in candidates[:_MOST]:
        if each.spec is None:
            said = _unlike(kind, local, each)
        elif kind is CoreKind.FIELD_BYTE_OFFSET:
            said = f"{each.spec.path or 'it'} is at {_at(each.spec.bit_offset)}"
        elif kind.of_field and each.number is not None:
            said = f"{each.number}, of what is at {_at(each.spec.bit_offset)}"
        else:
            said = str(each.number)
        told.append(f"{place(each.owner, each.btf, each.type_id)}: {said}")
    if len(candidates) > _MOST:
        told.append(f"and {len(candidates) - _MOST} more")
    return tuple(told)


def _at(bits: int) -> str:
    return f"byte {bits // 8}" + (f", bit {bits % 8}" if bits % 8 else "")


def _reached(candidate: Candidate) -> tuple[int, bool]:
    miss = candidate.miss
    return (miss.step, miss.member is not None) if miss is not None else (-1, False)


def _size(resolution: Resolution) -> str:
    return (
        f"the kernel's {resolution.asked} has {_bytes(resolution.size)}, the object's "
        f"{resolution.original_size}: only pointers and unsigned integers can be read in another "
        "size"
    )


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"


def _unlike(kind: CoreKind, local: Spec, candidate: Candidate) -> str:
    """What a candidate lacks."""
    btf, target_id = candidate.btf, candidate.type_id
    if kind.of_enum:
        found = btf.strip(target_id)
        names = [name for name, _ in found.values] if isinstance(found, (Enum, Enum64)) else []
        return f"{btf.c_name(target_id)} has no {local.path}{_near(local.path, names)}"
    if candidate.miss is not None:
        return _missed(local, candidate.miss, btf)
    finder = _Difference(kind is CoreKind.TYPE_MATCHES)
    try:
        return finder.of(local.btf, local.root, btf, target_id, btf.c_name(target_id))
    except Stop as stop:
        return stop.problem


def _missed(local: Spec, miss: Miss, btf: Btf) -> str:
    step = local.steps[miss.step]
    where, found = btf.c_name(miss.type_id), btf.type(miss.type_id)
    if step.name is None:
        if isinstance(found, Array):
            return f"{where} has no element {step.index}"
        return f"{where} is no array, so it has no element {step.index}"
    if not isinstance(found, (Struct, Union)):
        return f"{where} is no struct, so it has no member {step.name}"
    if miss.member is None:
        return f"{where} has no member {step.name}{_near(step.name, _members(btf, found))}"
    holder = local.btf.type(step.type_id)
    assert isinstance(holder, (Struct, Union))
    ours = local.btf.c_name(holder.members[step.index].type_id)
    theirs = btf.c_name(found.members[miss.member].type_id)
    return f"{where}.{step.name} is {_pair(theirs, ours)}"


def _pair(theirs: str, ours: str) -> str:
    return f"of another type, {theirs}, than the object's {ours}"


def _members(btf: Btf, found: Struct | Union) -> Iterable[str]:
    """Names of members, those of anonymous members too, to a limit."""
    todo, count = [found], 0
    for holder in todo:
        for member in holder.members:
            count += 1
            if count > 4096:
                return
            if member.name:
                yield member.name
            else:
                inner = btf.strip(member.type_id)
                if isinstance(inner, (Struct, Union)):
                    todo.append(inner)


def _near(name: str, names: Iterable[str]) -> str:
    """A name that may be meant: members are renamed now and then (``state``, ``__state``)."""
    from difflib import get_close_matches

    known, wanted = [each for each in names if len(each) <= _LONG], name.strip("_")
    found = [each for each in known if each.strip("_") == wanted]
    if not found and len(name) <= _LONG:
        found = get_close_matches(name, known[:_COMPARED], 1, 0.9)
    return f" (it has {found[0]})" if found else ""


class _Difference:
    """Where two types part that do not match, or are not compatible."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.budget = Budget()
        self.budget.start()

    def fits(self, ours: Btf, our_id: int, theirs: Btf, their_id: int, behind: bool) -> bool:
        if self.strict:
            return matches(ours, our_id, theirs, their_id, self.budget, behind)
        return compatible(ours, our_id, theirs, their_id, self.budget)

    def of(self, ours: Btf, our_id: int, theirs: Btf, their_id: int, path: str) -> str:
        """Say where they part; ``path`` names what is of these types."""
        behind = False
        for _ in range(_MOST):
            here, there = ours.strip(our_id), theirs.strip(their_id)
            if self.strict and essential(here.name) != essential(there.name):
                break
            inner: tuple[str, int, int] | str | None = None
            if isinstance(here, (Struct, Union)) and type(here) is type(there) and not behind:
                inner = self._member(ours, here, theirs, there, path)
            elif isinstance(here, FuncProto) and isinstance(there, FuncProto):
                inner = self._parameter(ours, here, theirs, there, path, behind)
            elif isinstance(here, (Enum, Enum64)) and isinstance(there, (Enum, Enum64)):
                return _enums(here, there, path)
            elif here.kind is there.kind and hasattr(here, "type_id"):
                if isinstance(here, Array) and isinstance(there, Array):
                    if self.strict and here.nelems != there.nelems:
                        return f"{path} has {there.nelems} elements, not {here.nelems}"
                    path += "[]"
                else:
                    behind, path = True, f"*{path}"
                inner = path, here.type_id, there.type_id  # type: ignore[attr-defined]
            if isinstance(inner, str):
                return inner
            if inner is None:
                break
            path, our_id, their_id = inner
        return f"{path} is {_pair(*_told(theirs, their_id, ours, our_id))}"

    def _member(
        self, ours: Btf, here: Struct | Union, theirs: Btf, there: Type, path: str
    ) -> tuple[str, int, int] | str | None:
        assert isinstance(there, (Struct, Union))
        by_name: dict[str, list[int]] = {}
        for member in there.members:
            by_name.setdefault(essential(member.name), []).append(member.type_id)
        for member in here.members:
            found = by_name.get(essential(member.name))
            if found is None:
                names = [each for each in by_name if each]
                if not member.name:
                    return f"{path} has no member without a name"
                return f"{path} has no member {member.name}{_near(member.name, names)}"
            if not any(self.fits(ours, member.type_id, theirs, i, False) for i in found):
                name = f"{path}.{member.name}" if member.name else path
                return name, member.type_id, found[0]
        if len(here.members) > len(there.members):
            return f"{path} has fewer members: {len(there.members)}, not {len(here.members)}"
        return None

    def _parameter(
        self, ours: Btf, here: FuncProto, theirs: Btf, there: FuncProto, path: str, behind: bool
    ) -> tuple[str, int, int] | str:
        if len(here.params) != len(there.params):
            return f"{path} takes {len(there.params)} parameters, not {len(here.params)}"
        for number, ((_, one), (name, other)) in enumerate(
            zip(here.params, there.params, strict=True), 1
        ):
            if not self.fits(ours, one, theirs, other, behind):
                return f"parameter {name or number} of {path}", one, other
        return f"what {path} returns", here.type_id, there.type_id


def _enums(here: Enum | Enum64, there: Enum | Enum64, path: str) -> str:
    if here.size != there.size:
        return f"{path} has {_bytes(there.size)}, not {here.size}"
    names = {essential(name) for name, _ in there.values}
    for name, _ in here.values:
        if essential(name) not in names:
            return f"{path} has no {name}"
    return f"{path} has fewer values: {len(there.values)}, not {len(here.values)}"


def _told(theirs: Btf, their_id: int, ours: Btf, our_id: int) -> tuple[str, str]:
    """Both types' names, with what sets them apart where the names do not."""
    names = theirs.c_name(their_id), ours.c_name(our_id)
    if names[0] != names[1]:
        return names
    return _about(theirs.strip(their_id), names[0]), _about(ours.strip(our_id), names[1])


def _about(found: Type, name: str) -> str:
    if isinstance(found, Int):
        return f"{name} ({'signed' if found.signed else 'unsigned'}, {_bytes(found.size)})"
    return f"{name} ({found.kind.name.lower()})"
