"""Write BTF as C: the ``vmlinux.h`` that programs with CO-RE are compiled with.

What comes out is what libbpf's btf_dump.c means, in its order and with its names: each type
after those that it needs whole, with forward declarations for those that it only points to. Sizes
and offsets are those of BTF (c_layout.py); c_text.py spells it.

The input may be anything: what no C can say raises :class:`~pylibbpf.errors.BtfError`, and so does
what would take tens of millions of characters.
"""

from __future__ import annotations

from pylibbpf.btf.c_names import identifier
from pylibbpf.btf.c_text import MAX_CHAIN, MAX_NESTING, CText
from pylibbpf.btf.types import (
    Array,
    Const,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Volatile,
)
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Type

__all__ = ["CDump", "c_header"]

# What is made known of a type: its size, what of that matters behind a pointer, its name.
_SIZE, _POINTED, _NAME = range(3)
# Declaration tags that pahole gives to what resolve_btfids knows for kfuncs (from 1.26 on).
KFUNC, FASTCALL = "bpf_kfunc", "bpf_fastcall"
_ENUMERATIONS = (Enum, Enum64)
_COMPOSITES = (Struct, Union)
# Whatever refers to other types, and may so refer to an enumeration without a name.
_REFERRERS = (
    Kind.PTR, Kind.ARRAY, Kind.STRUCT, Kind.UNION, Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST,
    Kind.RESTRICT, Kind.FUNC_PROTO, Kind.VAR, Kind.TYPE_TAG,
)  # fmt: skip

_HEAD = """\
#ifndef {guard}
#define {guard}

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
_KFUNC_HEAD = """\
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

"""
_KFUNC_TAIL = "\n#endif /* BPF_NO_KFUNC_PROTOTYPES */\n\n"
_TAIL = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* {guard} */
"""
# These are C's own from C23 on, and stdbool.h defines them as macros before.
_BOOLEANS = """\
#if !defined(__bool_true_false_are_defined) && \\
	(!defined(__STDC_VERSION__) || __STDC_VERSION__ < 202311L)
{text}#endif
"""


def c_header(
    btf: Btf, type_ids: Iterable[int] | None = None, *, guard: str = "__VMLINUX_H__"
) -> str:
    """Write a header with all types of a BTF, or with some and what these need.

    A split BTF's header holds the types of its base, too. Kernel functions that programs may call
    (kfuncs) are declared; among ``type_ids``, which may name functions, those that are.

    Raises:
        BtfError: there is a type that C cannot express.
    """
    dump = CDump(btf)
    functions: list[int] = []
    if type_ids is None:
        dump.add_all()
        functions = dump.kfuncs()
    else:
        for type_id in type_ids:
            if btf.kind(type_id) is Kind.FUNC:
                functions.append(type_id)
            else:
                dump.add(type_id)
    return dump.header(functions, guard)


class CDump:
    """Writes types of one BTF, each once, into ``pieces``."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._text = CText(btf)
        self.pieces: list[str] = []
        # Types whose name, or whose size, is known where the next piece begins.
        self._declared: set[int] = {0}
        self._whole: set[int] = {0}
        self._under_way: set[tuple[int, int]] = set()
        self._current = -1  # the struct whose own name is known within it
        self._lone: set[int] = set()
        self._tagged: dict[int, set[str]] | None = None

    # What to write

    def add(self, type_id: int) -> None:
        """Write a type, after what it needs; nothing where it has been written."""
        self._order(type_id)

    def add_all(self) -> None:
        """Write all types, those of the base first."""
        self._lone = self._lone_enums()
        # Others, too, lead to types: by their ids comes the order, and that gives the names.
        kinds = frozenset((*_REFERRERS, Kind.ENUM, Kind.ENUM64, Kind.FWD)) - {Kind.VAR}
        for type_id in range(1, len(self._btf)):
            if type_id not in self._whole and self._btf.kind(type_id) in kinds:
                self._order(type_id)

    def header(self, functions: Iterable[int] = (), guard: str = "__VMLINUX_H__") -> str:
        """Frame what has been written as a header, with prototypes of kernel functions."""
        # What they need stands before the condition that they are under.
        prototypes = [self.prototype(type_id) for type_id in functions]
        parts = [_HEAD.format(guard=guard), *self.pieces]
        if prototypes:
            parts += [_KFUNC_HEAD, *prototypes, _KFUNC_TAIL]
        parts.append(_TAIL.format(guard=guard))
        return "".join(parts)

    def name(self, type_id: int) -> str:
        """How C calls a type that has been written: ``struct event___2``, ``u32``."""
        return self._text.name(type_id)

    def kfuncs(self) -> list[int]:
        """The ids of functions that the kernel lets programs call, by name."""
        tags = self._tags_of_functions()
        found = [
            each
            for each, names in tags.items()
            if KFUNC in names and self._btf.kind(each) is Kind.FUNC
        ]
        return sorted(found, key=lambda each: self._btf.type(each).name)

    def prototype(self, type_id: int) -> str:
        """Declare a kernel function; what it needs is written into ``pieces``.

        Raises:
            BtfError: it is none.
        """
        function = self._btf.type(type_id)
        tags = self._tags_of_functions().get(type_id, ())
        if not isinstance(function, Func) or KFUNC not in tags:
            raise BtfError(f"{function.name!r} is no function that programs may call (kfunc)")
        if not isinstance(self._btf.type(function.type_id), FuncProto):
            raise BtfError(f"function {function.name!r} has no prototype")
        self._need(function.type_id)
        before, after = self._text.spell(function.type_id)
        name = identifier(function.name)
        if name in self._text.idents:
            return f"/* {name}: the name is taken */\n"
        fast = " __bpf_fastcall" if FASTCALL in tags else ""
        text = f"extern {before}{self._text.idents.give(name)}{after} __weak __ksym{fast};\n"
        self._text.charge(len(text))
        return text

    def _tags_of_functions(self) -> dict[int, set[str]]:
        if self._tagged is None:
            self._tagged = {}
            btf: Btf | None = self._btf
            while btf is not None:
                for _, tag in btf.types(Kind.DECL_TAG):
                    if isinstance(tag, DeclTag) and tag.component_idx < 0:
                        self._tagged.setdefault(tag.type_id, set()).add(tag.name)
                btf = btf.base
        return self._tagged

    def _lone_enums(self) -> set[int]:
        """Enumerations that have no name and are not used: they are there for their values."""
        btf = self._btf
        kinds = (Kind.ENUM, Kind.ENUM64)
        bare = {i for i in range(1, len(btf)) if btf.kind(i) in kinds and not btf.type(i).name}
        used: set[int] = set()
        for type_id in range(1, len(btf)) if bare else ():
            if btf.kind(type_id) not in _REFERRERS:
                continue
            found = btf.type(type_id)
            if isinstance(found, _COMPOSITES):
                used.update([member.type_id for member in found.members])
                continue
            if isinstance(found, FuncProto):
                used.update([param[1] for param in found.params])
            used.add(found.type_id)  # type: ignore[attr-defined] # as all of _REFERRERS have
        return bare - used

    # What must come first

    def _need(self, type_id: int) -> None:
        """Make what a declaration with this type names known."""
        for _ in range(MAX_CHAIN):
            if type_id in self._declared or type_id == self._current:
                return
            found = self._btf.type(type_id)
            if isinstance(found, Typedef):
                self._typedef(type_id, found)
                return
            if isinstance(found, (Ptr, Const, Volatile, Restrict, TypeTag)):
                type_id = found.type_id
                continue
            if isinstance(found, (Struct, Union, Fwd)) and found.name:
                self._declared.add(type_id)
                self._write(f"{self._text.tag(type_id, found)};\n")
            elif isinstance(found, _ENUMERATIONS):
                self._define(type_id)
            elif isinstance(found, Array):
                self._order(found.type_id)
                self._need(found.type_id)
            elif isinstance(found, _COMPOSITES):
                self._enter(type_id, _NAME)
                for member in found.members:
                    self._order(member.type_id)
                for member in found.members:
                    self._need(member.type_id)
                self._leave(type_id, _NAME)
                if self._current < 0:  # within a struct, its own name is known only there
                    self._declared.add(type_id)
            elif isinstance(found, FuncProto):
                self._enter(type_id, _NAME)
                for each in (found.type_id, *[param[1] for param in found.params]):
                    self._need(each)
                self._leave(type_id, _NAME)
                if self._current < 0:
                    self._declared.add(type_id)
            elif isinstance(found, (Int, Float)):
                self._number(type_id, found)
            else:
                raise BtfError(f"BTF type {type_id} ({found.kind.name}) stands where a type should")
            return
        raise BtfError(f"BTF type {type_id} is behind more than {MAX_CHAIN} others")

    def _order(self, type_id: int, pointed: bool = False) -> bool:
        """Make the size of a type known; ``pointed``: that of what must be so behind a pointer.

        Behind a pointer may be what is not known yet, but not an array of it, nor in a type that
        has no name. Returns False where only a declaration is wanted. It does so wherever
        libbpf's btf_dump_order_type does, so that the order, and with it the names, are the same.
        """
        start = type_id
        pointers = []
        for _ in range(MAX_CHAIN):
            if type_id in self._whole:
                strong = True
                break
            found = self._btf.type(type_id)
            if isinstance(found, (Const, Volatile, Restrict, TypeTag)):
                type_id = found.type_id
                continue
            if isinstance(found, Ptr):
                pointers.append(type_id)
                type_id, pointed = found.type_id, True
                continue
            if isinstance(found, Array):
                type_id, pointed = found.type_id, False
                continue
            strong = self._order_end(type_id, found, pointed)
            break
        else:
            raise BtfError(f"BTF type {start} is a chain of types without an end")
        self._whole.update(pointers)
        return strong

    def _order_end(self, type_id: int, found: Type, pointed: bool) -> bool:
        mode = _POINTED if pointed else _SIZE
        if isinstance(found, Typedef):
            self._enter(type_id, mode)
            strong = self._order(found.type_id, pointed)
            self._leave(type_id, mode)
            if pointed and not strong:
                return False
            self._typedef(type_id, found)
            self._whole.add(type_id)
        elif isinstance(found, _COMPOSITES) and found.name:
            if pointed:
                return False
            self._define(type_id)
        elif isinstance(found, _COMPOSITES):
            self._enter(type_id, mode)
            for member in found.members:
                self._order(member.type_id)
            self._leave(type_id, mode)
            self._whole.add(type_id)
        elif isinstance(found, _ENUMERATIONS):
            self._define(type_id)
        elif isinstance(found, Fwd):
            self._need(type_id)
            self._whole.add(type_id)
        elif isinstance(found, FuncProto):
            self._enter(type_id, mode)
            each = (found.type_id, *[param[1] for param in found.params])
            strong = max([self._order(one, pointed) for one in each])  # of all, not up to the first
            self._leave(type_id, mode)
            return strong
        elif isinstance(found, (Int, Float)):
            self._number(type_id, found)
            self._whole.add(type_id)
            return False
        else:
            raise BtfError(f"BTF type {type_id} ({found.kind.name}) stands where a type should")
        return True

    def _enter(self, type_id: int, mode: int) -> None:
        """Begin with what a type needs; ``mode`` tells apart what is made known of it."""
        if (type_id, mode) in self._under_way:
            name = self._btf.type(type_id).name or "a type without a name"
            raise BtfError(f"{name} (BTF type {type_id}) contains itself")
        if len(self._under_way) >= MAX_NESTING:
            raise BtfError(f"BTF type {type_id} lies in more than {MAX_NESTING} other types")
        self._under_way.add((type_id, mode))

    def _leave(self, type_id: int, mode: int) -> None:
        self._under_way.remove((type_id, mode))

    # Definitions

    def _define(self, type_id: int) -> None:
        if type_id in self._whole:
            return
        found = self._btf.type(type_id)
        text = self._text
        if isinstance(found, _ENUMERATIONS):
            self._whole.add(type_id)
            self._declared.add(type_id)
            if found.name or type_id in self._lone:
                head = text.tag(type_id, found) if found.name else "enum"
                written = f"{text.enumeration(found, 0, head)};\n"
                boolean = {name for name, _ in found.values} == {"false", "true"}
                self._write(_BOOLEANS.format(text=written) if boolean else written)
            return
        assert isinstance(found, _COMPOSITES)
        self._enter(type_id, _SIZE)
        for member in found.members:
            self._order(member.type_id)
        outer, self._current = self._current, type_id
        for member in found.members:
            self._need(member.type_id)
        self._current = outer
        self._leave(type_id, _SIZE)
        self._write(f"{text.composite(type_id, found, 0, text.tag(type_id, found))};\n")
        self._declared.add(type_id)
        self._whole.add(type_id)

    def _typedef(self, type_id: int, found: Typedef) -> None:
        if type_id in self._declared:
            return
        self._enter(type_id, _NAME)
        outer, self._current = self._current, -1
        self._need(found.type_id)
        self._current = outer
        self._leave(type_id, _NAME)
        self._declared.add(type_id)
        written = self._text.typedef(type_id, found)
        self._write(_BOOLEANS.format(text=written) if found.name == "bool" else written)

    def _number(self, type_id: int, found: Int | Float) -> None:
        if type_id not in self._declared:
            self._declared.add(type_id)
            self._write(self._text.number(type_id, found))

    def _write(self, text: str) -> None:
        if text:
            self._text.charge(len(text))
            self.pieces.append(text + "\n")
