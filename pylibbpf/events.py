"""Say what type the records of a ring buffer or perf buffer have, and by which rule.

The type is not part of such a map. These rules are tried in order, and the first that decides
names itself in the result, so that nobody takes an inference for a fact:

``user``
    The caller said so.
``convention``
    The map's definition carries it: ``pylibbpf_record(struct event)`` of
    ``examples/include/pylibbpf.bpf.h``.
``dwarf``
    The object still has DWARF, and at every call that sends to this map the variable that is
    sent is of this type.
``value``
    Every call sends from the start of a value of a map, and these values have this type.
``size``
    Exactly one struct of the object's BTF has the size that every call sends.
``bytes``
    None of these: records are given as bytes, and ``hint`` says how to name the type.
"""

from __future__ import annotations

import enum

from pylibbpf.btf.types import (
    Array,
    Const,
    Datasec,
    FuncProto,
    Int,
    Kind,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from pylibbpf.errors import BtfError, ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from pylibbpf.btf.codec import Codec
    from pylibbpf.btf.parse import Btf
    from pylibbpf.isa.calls import OutputCall

__all__ = ["RecordType", "Rule", "find_type", "record_type"]


class Rule(enum.Enum):
    """How the type of a record was found."""

    USER = "user"
    CONVENTION = "convention"
    DWARF = "dwarf"
    VALUE = "value"
    SIZE = "size"
    BYTES = "bytes"


class RecordType:
    """The type of a map's records: its name in C, the rule that found it, and its codec.

    With ``Rule.BYTES`` the name is ``"bytes"``, the codec None, and ``hint`` a line for the user.
    ``found`` is where the type lies: its BTF and its id there.
    """

    __slots__ = ("codec", "found", "hint", "name", "rule")

    def __init__(
        self,
        name: str,
        rule: Rule,
        codec: Codec | None,
        hint: str | None = None,
        found: tuple[Btf, int] | None = None,
    ) -> None:
        self.name = name
        self.rule = rule
        self.codec = codec
        self.hint = hint
        self.found = found

    def __repr__(self) -> str:
        return f"RecordType({self.name!r}, rule={self.rule.value!r})"


def record_type(
    map_name: str,
    *,
    user: str | None = None,
    btf: Btf | None = None,
    calls: Iterable[OutputCall] = (),
    elf: Callable[[], bytes] | None = None,
    raw: Collection[str] = (),
) -> RecordType:
    """Find the type of the records of one map.

    ``calls`` are the sending calls of all programs of the object, to whichever map; they are only
    looked at when no earlier rule decides, so an iterator may do its work late. ``elf`` gives the
    bytes of the object file, for DWARF; pyelftools is imported only if the file has some.
    ``raw`` names fields that the codec is to give as bytes.

    Raises:
        BtfError: ``user`` names a type that neither BTF nor DWARF has, or one that no codec can
            be made of.
    """
    if user is not None:
        return _by_user(map_name, user, btf, elf, raw)
    found = convention(btf, map_name) if btf is not None else None
    if found is not None and btf is not None:
        try:
            return _made(Rule.CONVENTION, (btf, found), raw)
        except BtfError as error:
            hint = f"its definition says {btf.c_name(found)}, but {error}"
            return RecordType("bytes", Rule.BYTES, None, hint)
    return _inferred(Rule.DWARF, _by_dwarf(map_name, elf), raw) or _by_calls(
        map_name, btf, calls, elf, raw
    )


def find_type(btf: Btf, text: str) -> int | None:
    """Find a type by its name as C writes it; the first, where there are several.

    ``"struct event"``, ``"union u"``, ``"enum e"`` name that kind; a bare word names a typedef,
    a struct, a union, an enum or a basic type, in this order.
    """
    words = text.split()
    if len(words) == 2 and words[0] in _TAGS:
        kinds: Sequence[Sequence[Kind]] = (_TAGS[words[0]],)
        name = words[1]
    else:
        name = " ".join(words)
        kinds = ((Kind.TYPEDEF,), *_TAGS.values(), (Kind.INT, Kind.FLOAT))
    for some in kinds:
        ids = btf.find(name, *some)
        if ids:
            return ids[0]
    return None


def convention(btf: Btf, map_name: str) -> int | None:
    """Read the record type that ``pylibbpf_record()`` put into a map's definition.

    It is the element type of the array that ``map_flags`` points to: libbpf takes the flags from
    the number of elements alone, and ``__uint(map_flags, n)`` has plain ``int`` there.
    """
    member = _map_member(btf, map_name, "map_flags")
    if member is None:
        return None
    pointer = btf.strip(member)
    if not isinstance(pointer, Ptr):
        return None
    array = btf.strip(pointer.type_id)
    if not isinstance(array, Array):
        return None
    element = btf.type(array.type_id)
    if isinstance(element, Int) and element.name == "int":
        return None
    return array.type_id


_TAGS: dict[str, tuple[Kind, ...]] = {
    "struct": (Kind.STRUCT,),
    "union": (Kind.UNION,),
    "enum": (Kind.ENUM, Kind.ENUM64),
}


def _map_member(btf: Btf, map_name: str, member_name: str) -> int | None:
    """Give the type of one member of the definition of a map in ``.maps``."""
    for datasec_id in btf.find(".maps", Kind.DATASEC):
        datasec = btf.type(datasec_id)
        if not isinstance(datasec, Datasec):
            continue
        for info in datasec.vars:
            var = btf.type(info.type_id)
            if not isinstance(var, Var) or var.name != map_name:
                continue
            struct = btf.strip(var.type_id)
            if not isinstance(struct, Struct):
                return None
            for member in struct.members:
                if member.name == member_name:
                    return member.type_id
    return None


def _map_structs(btf: Btf) -> set[int]:
    """The structs that define maps, or are the keys of maps."""
    found = set()
    for datasec_id in btf.find(".maps", Kind.DATASEC):
        datasec = btf.type(datasec_id)
        for info in datasec.vars if isinstance(datasec, Datasec) else ():
            var = btf.type(info.type_id)
            if not isinstance(var, Var):
                continue
            struct = btf.strip(var.type_id)
            found.add(btf.resolve(var.type_id))
            for member in struct.members if isinstance(struct, Struct) else ():
                pointer = btf.strip(member.type_id)
                if member.name == "key" and isinstance(pointer, Ptr):
                    found.add(btf.resolve(pointer.type_id))
    return found


def _kernel_types(btf: Btf, elf: Callable[[], bytes] | None) -> set[int]:
    """The kernel's types among the object's: they come in through vmlinux.h, by the hundred.

    Programs ask the kernel about its own types by CO-RE relocations. These types, and all that
    they are made of or point to, are not what a program sends.
    """
    if elf is None:
        return set()
    from pylibbpf.loader.object import read
    from pylibbpf.spec import CoreKind

    try:
        spec = read(elf())
    except (ElfError, BtfError):
        return set()
    work = [
        relocation.type_id
        for function in spec.functions
        for relocation in function.core
        if relocation.kind is not CoreKind.TYPE_ID_LOCAL
    ]
    found: set[int] = set()
    while work:
        type_id = work.pop()
        if type_id in found or type_id >= len(btf):
            continue
        found.add(type_id)
        some = btf.type(type_id)
        if isinstance(some, (Struct, Union)):
            work += [member.type_id for member in some.members]
        elif isinstance(some, FuncProto):
            work += [some.type_id, *(type_id for _, type_id in some.params)]
        elif isinstance(some, (Array, Const, Ptr, Restrict, Typedef, TypeTag, Volatile)):
            work.append(some.type_id)
    return found


def _made(rule: Rule, found: tuple[Btf, int], raw: Collection[str]) -> RecordType:
    from pylibbpf.btf.codec import codec

    btf, type_id = found
    made = codec(btf, type_id, raw=tuple(raw))
    return RecordType(btf.c_name(type_id), rule, made, None, found)


def _inferred(rule: Rule, found: tuple[Btf, int] | None, raw: Collection[str]) -> RecordType | None:
    """Make a record type of an inference; one that no codec can be made of was none."""
    if found is None:
        return None
    try:
        return _made(rule, found, raw)
    except BtfError:
        return None


def _by_user(
    map_name: str,
    text: str,
    btf: Btf | None,
    elf: Callable[[], bytes] | None,
    raw: Collection[str],
) -> RecordType:
    found = find_type(btf, text) if btf is not None else None
    if found is not None and btf is not None and _complete(btf, found):
        return _made(Rule.USER, (btf, found), raw)
    in_dwarf = None
    data = _with_dwarf(elf)
    if data is not None:
        from pylibbpf.loader.dwarf import named_type

        in_dwarf = named_type(data, text)
    if in_dwarf is not None:
        return _made(Rule.USER, in_dwarf, raw)
    if found is not None:
        raise BtfError(
            f"{text!r} for the records of map {map_name!r} is only declared in this object, "
            "not defined"
        )
    near = _near(btf, text) if btf is not None else []
    advice = f"; near to it: {', '.join(near)}" if near else ""
    where = "BTF" if data is None else "BTF and DWARF"
    raise BtfError(
        f"no type {text!r} for the records of map {map_name!r} in this object's {where}{advice}"
    )


def _complete(btf: Btf, type_id: int) -> bool:
    return btf.strip(type_id).kind not in (Kind.FWD, Kind.VOID, Kind.FUNC, Kind.FUNC_PROTO)


def _near(btf: Btf, text: str) -> list[str]:
    from difflib import get_close_matches

    names: dict[str, str] = {}
    for type_id, some in btf.types():
        if some.name and some.kind in (Kind.STRUCT, Kind.UNION, Kind.TYPEDEF):
            names.setdefault(some.name, btf.c_name(type_id))
    word = (text.split() or [""])[-1]
    return [names[name] for name in get_close_matches(word, names, n=3, cutoff=0.5)]


def _with_dwarf(elf: Callable[[], bytes] | None) -> bytes | None:
    """The file's bytes if it may have DWARF: a cheap test that spares importing elftools."""
    data = elf() if elf is not None else b""
    return data if b".debug_info\0" in data else None


def _by_dwarf(map_name: str, elf: Callable[[], bytes] | None) -> tuple[Btf, int] | None:
    data = _with_dwarf(elf)
    if data is None:
        return None
    from pylibbpf.loader.dwarf import record_types

    try:
        return record_types(data).get(map_name)
    except (ElfError, BtfError):
        return None  # damaged DWARF is no evidence; the object itself may be fine


def _by_calls(
    map_name: str,
    btf: Btf | None,
    calls: Iterable[OutputCall],
    elf: Callable[[], bytes] | None,
    raw: Collection[str],
) -> RecordType:
    # A call whose map is unknown may send here too.
    mine = [call for call in calls if call.map == map_name or call.map is None]
    how = f"name it: --type {map_name}=STRUCT on the command line, type= in Python"
    if btf is None:
        return RecordType("bytes", Rule.BYTES, None, f"the object has no BTF; {how}")
    if not mine:
        return RecordType("bytes", Rule.BYTES, None, f"no call that sends to it was found; {how}")
    value = _by_value(btf, mine)
    found = _inferred(Rule.VALUE, (btf, value), raw) if value is not None else None
    if found is not None:
        return found
    sizes = {call.size for call in mine}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None or any(call.map is None for call in mine):
        sizes = {call.size for call in mine}
        known = sorted(number for number in sizes if number is not None)
        said = "of " + " and of ".join(map(str, known)) + " bytes" if known else "of varying size"
        also = " and of varying size" if known and None in sizes else ""
        return RecordType("bytes", Rule.BYTES, None, f"records {said}{also}; {how}")
    fitting = _of_size(btf, size)
    if fitting:
        foreign = _kernel_types(btf, elf)
        fitting = [type_id for type_id in fitting if btf.resolve(type_id) not in foreign]
    if len(fitting) == 1:
        found = _inferred(Rule.SIZE, (btf, fitting[0]), raw)
        if found is not None:
            return found
    names = [btf.c_name(type_id) for type_id in fitting]
    verb = "all have" if len(names) > 1 else "cannot be decoded, but has"
    which = f"{', '.join(names)} {verb}" if names else "no struct of the program's own in BTF has"
    return RecordType("bytes", Rule.BYTES, None, f"{which} the {size} bytes of a record; {how}")


def _by_value(btf: Btf, calls: Iterable[OutputCall]) -> int | None:
    """The one struct that is the value type of the maps whose values are sent."""
    found: dict[int, int] = {}
    for call in calls:
        data = call.data
        if call.map is None or data is None or data[0] != "value" or data[2] != 0:
            return None
        member = _map_member(btf, str(data[1]), "value")
        pointer = btf.strip(member) if member is not None else None
        if not isinstance(pointer, Ptr):
            return None
        if not isinstance(btf.strip(pointer.type_id), Struct):
            return None  # of a union, who knows which view
        if call.size is not None and call.size != btf.sizeof(pointer.type_id):
            return None
        found[btf.resolve(pointer.type_id)] = pointer.type_id
    return found.popitem()[1] if len(found) == 1 else None


def _of_size(btf: Btf, size: int) -> list[int]:
    """The structs of this size that have a name, of their own or by typedef."""
    named: dict[int, int] = {}
    maps = _map_structs(btf)
    for type_id, some in btf.types():
        if isinstance(some, Struct) and some.name:
            named.setdefault(type_id, type_id)
        elif isinstance(some, Typedef):
            target = btf.resolve(type_id)
            struct = btf.type(target)
            if isinstance(struct, Struct) and not struct.name:
                named.setdefault(target, type_id)
    return [
        shown
        for target, shown in named.items()
        if target not in maps and btf.sizeof(target) == size
        if not btf.type(shown).name.startswith(_OF_THE_KERNEL)
    ]


# Contexts of programs and what libbpf's headers bring along: nobody's records.
_OF_THE_KERNEL = ("bpf_", "__bpf_", "__sk_buff", "pt_regs", "trace_event_raw_", "xdp_md")
