"""Which symbol is meant by a name: definitions, declarations, and who wins."""

from __future__ import annotations

import dataclasses

from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.elf import (
    SHN_LORESERVE,
    SHN_UNDEF,
    STB_GLOBAL,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_NOTYPE,
    STT_SECTION,
)
from pylibbpf.loader.maps import BTF_SECTION
from pylibbpf.loader.static_linker.match import Comparison
from pylibbpf.loader.static_linker.sections import JUMP_TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.loader.elf import Symbol
    from pylibbpf.loader.static_linker.inputs import Declaration, Input
    from pylibbpf.loader.static_linker.sections import Merged, Out

__all__ = ["Global", "OutSymbol", "Symbols", "resolve"]


@dataclasses.dataclass(frozen=True, slots=True)
class OutSymbol:
    """A symbol of the linked object; ``section`` is a section of it, or a number with no section.

    The numbers are SHN_UNDEF and SHN_ABS.
    """

    name: str
    section: Out | int
    value: int
    size: int
    type: int
    bind: int
    visibility: int


@dataclasses.dataclass(slots=True)
class Global:
    """A name that all objects see.

    ``declared``: who declares or defines it, first the one that wins; ``files``: which inputs do.
    """

    name: str
    declared: list[tuple[int, Symbol]]
    files: set[int]

    @property
    def winner(self) -> tuple[int, Symbol]:
        """The definition, or else the declaration, that the linked object has."""
        return self.declared[0]

    @property
    def defined(self) -> bool:
        """Whether one of the objects defines it."""
        return self.winner[1].section != SHN_UNDEF


class Symbols:
    """The symbols of the linked object, the local ones first."""

    def __init__(self) -> None:
        self.globals: dict[str, Global] = {}
        self.table: list[OutSymbol] = []
        self.locals = 0
        self._index: dict[tuple[int, int], int] = {}

    def index(self, number: int, symbol: Symbol) -> int | None:
        """Tell where the symbol of an input is in the table; None: it is left out."""
        return self._index.get((number, symbol.index))

    def build(self, inputs: list[Input], merged: Merged) -> None:
        """Fill the table, once it is known who wins."""
        section_symbols: dict[str, int] = {}
        for number, source in enumerate(inputs):
            for symbol in source.elf.symbols[1:]:
                made = self._local(number, symbol, merged)
                if made is None:
                    continue
                at = len(self.table)
                if symbol.type == STT_SECTION and not isinstance(made.section, int):
                    at = section_symbols.setdefault(made.section.name, at)
                self._index[number, symbol.index] = at
                if at == len(self.table):
                    self.table.append(made)
        self.locals = len(self.table)
        for one in self.globals.values():
            number, winner = one.winner
            made = _moved(number, winner, merged)
            assert made is not None  # resolve() takes no others
            symbols = [symbol for _, symbol in one.declared]
            strong = any(symbol.bind == STB_GLOBAL for symbol in symbols)
            made = dataclasses.replace(
                made,
                bind=STB_GLOBAL if strong else STB_WEAK,
                # Who hides it hides it from all.
                visibility=max(symbol.visibility for symbol in symbols),
            )
            for number, symbol in one.declared:
                self._index[number, symbol.index] = len(self.table)
            self.table.append(made)

    def _local(self, number: int, symbol: Symbol, merged: Merged) -> OutSymbol | None:
        if not _is_local(number, symbol, merged) or _repeated(number, symbol, merged):
            return None
        made = _moved(number, symbol, merged)
        if made is None:
            return None
        value = 0 if symbol.type == STT_SECTION else made.value
        return dataclasses.replace(made, value=value, bind=STB_LOCAL)


def _is_local(number: int, symbol: Symbol, merged: Merged) -> bool:
    """Tell whether no other object is to see a symbol.

    Compilers let all see their jump tables, and give those of any two files the same names.
    """
    place = merged.place(number, symbol.section)
    return symbol.bind == STB_LOCAL or (place is not None and place[0].name == JUMP_TABLES)


def _repeated(number: int, symbol: Symbol, merged: Merged) -> bool:
    """Tell whether it is the symbol of a license that an earlier object has brought."""
    place = merged.place(number, symbol.section)
    return place is not None and merged.repeats(number, place[0].name)


def _moved(number: int, symbol: Symbol, merged: Merged) -> OutSymbol | None:
    place = merged.place(number, symbol.section)
    section: Out | int = symbol.section
    value = symbol.value
    if place is not None:
        section, value = place[0], place[1] + value
    elif symbol.section == SHN_UNDEF:
        return OutSymbol(symbol.name, section, 0, 0, symbol.type, symbol.bind, symbol.visibility)
    elif symbol.section < SHN_LORESERVE:
        return None
    return OutSymbol(
        symbol.name, section, value, symbol.size, symbol.type, symbol.bind, symbol.visibility
    )


def resolve(inputs: list[Input], merged: Merged) -> Symbols:
    """Find out what each name means.

    Raises:
        ElfError: two objects define the same, or mean different things by a name.
        BtfError: they do not say what they mean.
    """
    symbols = Symbols()
    for number, source in enumerate(inputs):
        for symbol in source.elf.symbols[1:]:
            if _is_local(number, symbol, merged) or _repeated(number, symbol, merged):
                continue
            if symbol.section != SHN_UNDEF and _moved(number, symbol, merged) is None:
                continue  # of debugging information
            one = symbols.globals.setdefault(symbol.name, Global(symbol.name, [], set()))
            one.declared.append((number, symbol))
            one.files.add(number)
    comparisons: dict[tuple[int, int], Comparison] = {}
    for one in symbols.globals.values():
        if len(one.declared) > 1:
            _choose(one, inputs)
            _compare(one, inputs, comparisons)
    symbols.build(inputs, merged)
    return symbols


def _choose(one: Global, inputs: list[Input]) -> None:
    """Put the definition that wins first: the strong one, or else the first; or a declaration."""
    defined = [each for each in one.declared if each[1].section != SHN_UNDEF]
    strong = [each for each in defined if each[1].bind != STB_WEAK]
    if len(strong) > 1:
        both = " and ".join(inputs[number].label for number, _ in strong[:2])
        raise ElfError(f"{one.name!r} is defined in both {both} (one may be __weak or static)")
    placed = [each for each in one.declared if _place(one, each, inputs) is not None]
    winner = next(iter([*strong, *defined, *placed, *one.declared]))
    one.declared.remove(winner)
    one.declared.insert(0, winner)


def _place(one: Global, declared: tuple[int, Symbol], inputs: list[Input]) -> str | None:
    """Tell in which section BTF says that a symbol is."""
    found = inputs[declared[0]].declarations.get(one.name)
    return found.section if found is not None else None


def _compare(
    one: Global, inputs: list[Input], comparisons: dict[tuple[int, int], Comparison]
) -> None:
    number, _ = one.winner
    source = inputs[number]
    ours = source.declarations.get(one.name)
    for other, symbol in one.declared[1:]:
        theirs = inputs[other].declarations.get(one.name)
        where = f"{one.name!r} in {source.label} and {inputs[other].label}"
        if ours is None and theirs is None and not one.defined and symbol.type == STT_NOTYPE:
            continue  # neither says more than the name, and it is the kernel that has it
        types, their_types = source.types, inputs[other].types
        if ours is None or theirs is None or types is None or their_types is None:
            missing = source.label if ours is None else inputs[other].label
            raise BtfError(
                f"{where}: {missing} has no BTF that tells its type (compile with -g, and do not "
                "strip .BTF)"
            )
        _same_section(one, symbol, ours, theirs, where)
        # What two files have found to be the same is not looked at again.
        if (number, other) not in comparisons:
            comparisons[number, other] = Comparison(types, their_types)
        comparison = comparisons[number, other]
        of_maps = BTF_SECTION in (ours.section, theirs.section)
        compare = comparison.maps if of_maps else comparison.types
        try:
            found = compare(ours.type_id, theirs.type_id)
        except BtfError as error:
            raise BtfError(f"{where}: {error}") from None
        if found is not None:
            raise ElfError(f"{where} are not the same: {found}")


def _same_section(
    one: Global, symbol: Symbol, ours: Declaration, theirs: Declaration, where: str
) -> None:
    """An extern that names a section means what is there, and not another thing of the name."""
    if symbol.section != SHN_UNDEF or theirs.section is None or theirs.section == ours.section:
        return
    if one.defined and ours.section is None:
        ours_said = "a function" if one.winner[1].type == STT_FUNC else "in no section"
    else:
        ours_said = repr(ours.section)
    raise ElfError(f"{where} are not the same: one is {ours_said}, one is in {theirs.section!r}")
