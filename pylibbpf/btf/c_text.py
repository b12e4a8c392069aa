"""The C text of types: declarations, definitions, names. In which order, c_dump.py knows."""

from __future__ import annotations

from pylibbpf.btf.c_layout import Plan, Slot, arrange, arrange_union
from pylibbpf.btf.c_names import Names, identifier, number
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Void,
    Volatile,
)
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Member, Type

__all__ = ["CText"]

MAX_TEXT = 1 << 26  # characters; a kernel's header has 3 million
MAX_NESTING = 100  # types within each other; the kernel's limit is 32
MAX_CHAIN = 128  # pointers, qualifiers and dimensions of one declaration

VA_LIST = "__builtin_va_list"
_MODES = {1: "QI", 2: "HI", 4: "SI", 8: "DI"}
_ENUMERATIONS = (Enum, Enum64)
_COMPOSITES = (Struct, Union)
_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "__restrict"}  # C89 has no restrict


class CText:
    """Spells types of one BTF.

    What it writes adds up to :data:`MAX_TEXT` characters at most: types without a name are
    written wherever they are used, and may multiply.
    """

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._left = MAX_TEXT
        self._tags = Names()  # of structs, unions and enumerations
        self._words: dict[str, str] = {}  # what the first of each name is
        self.idents = Names()  # of typedefs, enumerators and functions
        self._members: dict[str, str] = {}
        self._named: dict[int, str] = {}
        self._spelled: dict[int, tuple[str, str]] = {}
        self._measures: dict[int, tuple[int, int]] = {}
        self._plans: dict[int, tuple[Plan, tuple[Member, ...], list[Slot]]] = {}
        self._inlined = 0
        self._depth = 0
        # Typedefs of the compiler's va_list, which is of another size for BPF.
        self._va_lists: set[int] = set()

    # Names

    def tag(self, type_id: int, found: Struct | Union | Enum | Enum64 | Fwd) -> str:
        """``struct name``, with the name that this type has in C."""
        known = self._named.get(type_id)
        if known is None:
            word = "struct"
            if isinstance(found, Union) or (isinstance(found, Fwd) and found.is_union):
                word = "union"
            elif isinstance(found, _ENUMERATIONS):
                word = "enum"
            known = self._named[type_id] = f"{word} {self._tag_name(found, word)}"
        return known

    def _tag_name(self, found: Struct | Union | Enum | Enum64 | Fwd, word: str) -> str:
        name = identifier(found.name) or "_"
        alike = self._words.setdefault(name, word) == word
        if isinstance(found, Fwd) or (isinstance(found, _ENUMERATIONS) and not found.values):
            # What is only declared is taken for the first that has this name.
            if alike:
                return name
        elif not alike and name not in self._tags:
            self._tags.give(name)  # declared as something else
        return self._tags.give(name)

    def ident(self, type_id: int, found: Typedef) -> str:
        """Give the name that a typedef has in C."""
        known = self._named.get(type_id)
        if known is None:
            known = self._named[type_id] = self.idents.give(found.name)
        return known

    def name(self, type_id: int) -> str:
        """How C calls a type that has been written."""
        return self._named.get(type_id) or self._btf.c_name(type_id)

    # Definitions

    def typedef(self, type_id: int, found: Typedef) -> str:
        """Define a typedef; "" for the compiler's own va_list, for each has another."""
        if found.name == VA_LIST:
            self._va_lists.add(type_id)
            return ""
        if self.is_va_list(found.type_id):
            self._va_lists.add(type_id)
        name = self.ident(type_id, found)
        if not found.type_id and name == "__gnuc_va_list":  # as older GCCs say it
            return f"typedef {VA_LIST} {name};\n"
        before, after = self.spell(found.type_id)
        return f"typedef {before}{name}{after};\n"

    def number(self, type_id: int, found: Int | Float) -> str:
        """Declare a number whose name C does not know; "" for one that it knows."""
        if not found.size:
            raise BtfError(f"BTF type {type_id} is a number of 0 bytes")
        spelled, alias, _ = number(found, self._btf.pointer_size)
        name = self.idents.give(alias) if alias else spelled
        self._spelled[type_id] = name + " ", ""
        return f"typedef {spelled} {name};\n" if alias else ""

    # Text

    def charge(self, length: int) -> None:
        """Count characters that are written.

        Raises:
            BtfError: they are more than :data:`MAX_TEXT`.
        """
        self._left -= length
        if self._left < 0:
            raise BtfError(f"these types take more than {MAX_TEXT} characters of C")

    def spell(self, type_id: int, level: int = 0) -> tuple[str, str]:
        """Give what stands before and after a name that is declared with this type."""
        known = self._spelled.get(type_id)
        if known is not None:
            return known
        inlined = self._inlined
        start = type_id
        before = after = ""
        qualifiers: list[str] = []
        for _ in range(MAX_CHAIN):
            found = self._btf.type(type_id)
            if isinstance(found, Ptr):
                before = f"*{_words(qualifiers)}{before}"
                qualifiers = []
            elif isinstance(found, (Array, FuncProto)):
                # GCC qualifies arrays beside their elements, and functions that do not return.
                qualifiers = []
                if before:
                    before, after = f"({before}", f"{after})"
                if isinstance(found, Array):
                    after = f"{after}[{found.nelems}]"
                else:
                    after = f"{after}({self._params(found, level)})"
            elif isinstance(found, (Const, Volatile, Restrict)):
                word = _QUALIFIERS[type(found)]
                if word not in qualifiers and (word != "__restrict" or self._is_pointer(type_id)):
                    qualifiers.append(word)
            elif isinstance(found, TypeTag):
                if found.attribute and not _is_attribute(found.name):
                    raise BtfError(f"BTF type {type_id}: {found.name!r} is no attribute of C")
                text = found.name if found.attribute else f"btf_type_tag({_quoted(found.name)})"
                before = f"__attribute__(({text})) {before}"
            else:
                base = self._base(type_id, found, level)
                made = f"{_words(qualifiers)}{base}{before}", after
                self.charge(len(made[0]) + len(after))
                if inlined == self._inlined:
                    self._spelled[start] = made
                return made
            type_id = found.type_id
        raise BtfError(f"BTF type {start} is a chain of types without an end")

    def _base(self, type_id: int, found: Type, level: int) -> str:
        if isinstance(found, (Struct, Union)):
            if found.name:
                return f"{self.tag(type_id, found)} "
            self._inlined += 1
            word = "union" if isinstance(found, Union) else "struct"
            return f"{self.composite(type_id, found, level, word)} "
        if isinstance(found, (Enum, Enum64)):
            if found.name:
                return f"{self.tag(type_id, found)} "
            self._inlined += 1
            return f"{self.enumeration(found, level)} "
        if isinstance(found, Fwd):
            return f"{self.tag(type_id, found)} "
        if isinstance(found, Typedef):
            name = VA_LIST if found.name == VA_LIST else self.ident(type_id, found)
            return f"{name} "
        if isinstance(found, Void):
            return "void "
        if isinstance(found, (Int, Float)):
            return self._spelled[type_id][0]
        raise BtfError(f"BTF type {type_id} ({found.kind.name}) stands where a type should")

    def _is_pointer(self, type_id: int) -> bool:
        return isinstance(self._btf.strip(type_id), Ptr)

    def _params(self, proto: FuncProto, level: int) -> str:
        params = []
        last = len(proto.params) - 1
        for index, (name, type_id) in enumerate(proto.params):
            if not type_id:
                # Nothing but "...", as the last; clang writes void for no parameters.
                if index == last:
                    params.append("..." if index else "void")
                    continue
                raise BtfError("a parameter of type void that is not the last")
            self._enter_text()
            before, after = self.spell(type_id, level)
            self._depth -= 1
            text = f"{before}{self._member(name)}{after}" if name else f"{before.rstrip()}{after}"
            self.charge(len(text))
            params.append(text)
        return ", ".join(params) or "void"

    def _enter_text(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise BtfError(f"more than {MAX_NESTING} types lie in each other")

    def _member(self, name: str) -> str:
        known = self._members.get(name)
        if known is None:
            known = self._members[name] = identifier(name)
        return known

    def composite(self, type_id: int, found: Struct | Union, level: int, head: str) -> str:
        """Write the definition of a struct or union, without the semicolon."""
        plan, members, slots = self._plan(type_id, found)
        indent = "\t" * (level + 1)
        lines = [head + " {"]
        pads = plan.pads
        self._enter_text()
        for index, member in enumerate(members):
            if index in pads:
                lines += self._padding(pads[index], indent, index)
            of = member.type_id
            if self._va_lists and self.is_va_list(of):
                of = self._behind(of)
            slot = slots[index]
            name = self._members.get(member.name)
            if name is None:
                name = self._member(member.name)
            if not name:
                inner = self._btf.resolve(of)
                of_inner = self._btf.type(inner)
                if isinstance(of_inner, _COMPOSITES) and of_inner.name:
                    # One with a tag is written out: that C has it as a member without a name takes
                    # -fms-extensions, which Linux is compiled with from 6.19 on.
                    self._inlined += 1
                    word = "union" if isinstance(of_inner, Union) else "struct"
                    body = self.composite(inner, of_inner, level + 1, word)
                    lines.append(f"{indent}{body};")
                    continue
                if not isinstance(of_inner, _COMPOSITES):
                    name = f"__unnamed{index}"
            before, after = self._spelled.get(of) or self.spell(of, level + 1)
            if not name:
                before = before.rstrip()
            if slot.unit:
                after = f": {slot.width}"
            lines.append(f"{indent}{before}{name}{after};")
        self._depth -= 1
        if len(members) in pads:
            tail = self._padding(pads[len(members)], indent, len(members))
            if isinstance(found, Union):
                tail = [f"{indent}struct {{", *["\t" + line for line in tail], f"{indent}}};"]
            lines += tail
        if len(lines) == 1 and not found.size:
            return lines[0] + "}"
        attributes = ["packed"] if plan.packed else []
        if plan.aligned:
            attributes.append(f"aligned({plan.align})")
        end = f" __attribute__(({', '.join(attributes)}))" if attributes else ""
        lines.append("\t" * level + "}" + end)
        text = "\n".join(lines)
        self.charge(len(text))
        return text

    def _padding(self, pads: Iterable[tuple[str, int]], indent: str, index: int) -> list[str]:
        return [
            f"{indent}{unit}: {count};"
            if unit
            else f"{indent}unsigned char __padding{index}[{count}];"
            for unit, count in pads
        ]

    def _behind(self, type_id: int) -> int:
        """The type behind the typedefs that lead to the compiler's va_list."""
        found = self._btf.type(type_id)
        while isinstance(found, (Typedef, Const, Volatile)):
            type_id = found.type_id
            found = self._btf.type(type_id)
        return type_id

    def enumeration(self, found: Enum | Enum64, level: int, head: str = "enum") -> str:
        """Write the definition of an enumeration, without the semicolon."""
        if not found.values:
            # Only declared, which GNU C allows; without a name it can be only a number.
            return head if found.name else f"{'' if found.signed else 'unsigned '}int"
        indent = "\t" * (level + 1)
        lines = [head + " {"]
        suffix = ""
        if isinstance(found, Enum64):
            suffix = "LL" if found.signed else "ULL"
        give = self.idents.give
        for name, value in found.values:
            number = f"{value}{suffix}" if value != -(1 << 63) else f"{value + 1}{suffix} - 1"
            lines.append(f"{indent}{give(name)} = {number},")
        mode = ""
        if found.size != _natural_size([value for _, value in found.values]):
            if found.size not in _MODES:
                raise BtfError(f"an enumeration of {found.size} bytes")
            mode = f" __attribute__((mode({_MODES[found.size]})))"
        lines.append("\t" * level + "}" + mode)
        text = "\n".join(lines)
        self.charge(len(text))
        return text

    # Layout

    def _plan(
        self, type_id: int, found: Struct | Union
    ) -> tuple[Plan, tuple[Member, ...], list[Slot]]:
        known = self._plans.get(type_id)
        if known is not None:
            return known
        members = found.members
        if isinstance(found, Struct):
            reached = 0
            for member in members:
                if member.bit_offset < reached:
                    # Rust's are in the order in which they are declared.
                    members = tuple(sorted(members, key=lambda each: each.bit_offset))
                    break
                reached = member.bit_offset
        slots = []
        measures = self._measures
        for member in members:
            size, align = measures.get(member.type_id) or self._measure(member.type_id)
            width = member.bitfield_size
            start = member.bit_offset
            if not width:
                inner = self._btf.strip(member.type_id)
                if isinstance(inner, Int) and (inner.offset or inner.bits != 8 * inner.size):
                    # The older way to write a bit-field (without kind_flag): an int of few bits.
                    start, width = start + inner.offset, inner.bits
            if width:
                if width > 8 * size:
                    raise BtfError(f"{self._btf.c_name(type_id)} has a bit-field of {width} bits")
                slots.append(Slot(start, width, align, 8 * size))
            else:
                slots.append(Slot(start, 8 * size, align))
        try:
            if isinstance(found, Union):
                plan = arrange_union(slots, found.size)
            else:
                plan = arrange(slots, found.size, self._btf.pointer_size)
        except BtfError as error:
            name = self._btf.c_name(type_id)
            raise BtfError(f"{name} (BTF type {type_id}): {error}") from None
        made = self._plans[type_id] = plan, members, slots
        return made

    def _measure(self, type_id: int) -> tuple[int, int]:
        """Size and alignment in bytes, as written here."""
        start, times = type_id, 1
        for _ in range(MAX_CHAIN):
            found = self._btf.type(type_id)
            if isinstance(found, Array):
                times *= found.nelems
            elif not isinstance(found, (Typedef, Const, Volatile, Restrict, TypeTag)):
                break
            type_id = found.type_id
        else:
            raise BtfError(f"BTF type {start} is a chain of types without an end")
        pointer = self._btf.pointer_size
        if isinstance(found, (Int, Float)):
            size, align = found.size, number(found, pointer)[2]
        elif isinstance(found, Ptr):
            size = align = pointer
        elif isinstance(found, _ENUMERATIONS):
            if found.size not in _MODES:
                raise BtfError(f"an enumeration of {found.size} bytes")
            size, align = found.size, min(found.size, pointer)
        elif isinstance(found, _COMPOSITES):
            self._enter_text()
            size, align = found.size, self._plan(type_id, found)[0].align
            self._depth -= 1
        else:
            raise BtfError(f"{self._btf.c_name(start)} (BTF type {start}) has no size")
        made = self._measures[start] = times * size, align
        return made

    def is_va_list(self, type_id: int) -> bool:
        """Whether this is the compiler's va_list, or an array of it."""
        for _ in range(MAX_CHAIN):
            if type_id in self._va_lists:
                return True
            found = self._btf.type(type_id)
            if not isinstance(found, (Typedef, Const, Volatile, Array)):
                return False
            type_id = found.type_id
        return False


def _words(words: list[str]) -> str:
    return "".join([word + " " for word in words])


def _quoted(text: str) -> str:
    """A string literal of C."""
    plain = all(c.isascii() and c.isprintable() and c not in '"\\' for c in text)
    return f'"{text}"' if plain else '"' + "".join(map(_escaped, text)) + '"'


def _is_attribute(text: str) -> bool:
    """Whether this is ``word`` or ``word(...)``, and cannot become other C."""
    word, _, rest = text.partition("(")
    inner = rest.removesuffix(")")
    allowed = all(c.isascii() and (c.isalnum() or c in "_, ") for c in inner)
    return word.isascii() and word.isidentifier() and allowed and bool(rest) == (inner != rest)


def _escaped(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def _natural_size(values: list[int]) -> int:
    """The bytes that C gives an enumeration of these values."""
    low, high = min(values), max(values)
    return 4 if low >= -(1 << 31) and high < 1 << (31 if low < 0 else 32) else 8
