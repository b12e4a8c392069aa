"""Types that were made to keep a loader busy, or to make it fall: our own errors, and soon."""

from __future__ import annotations

import core_objects
import pytest

from pylibbpf.btf.core import CoreKind, Resolver, Target, resolve, stop
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
)
from pylibbpf.errors import BtfError, CoreError

INT = Int("int", 4, 32, 0, True)
BOX = Struct("box", 4, (Member("a", 1, 0),))


@pytest.fixture
def less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience ends sooner: what has no end needs not be waited for so long."""
    monkeypatch.setattr(stop, "_EACH", 5_000)
    monkeypatch.setattr(stop, "_ALL", 20_000)


def ask(kind: CoreKind, ours: list[Type], theirs: list[Type], path: str = "0") -> int:
    """Type 1 is int; what is asked about is type 2."""
    local, target = (Btf.from_types([INT, *types]) for types in (ours, theirs))
    return resolve(local, kind, 2, path, Target(target)).value


def tower(levels: int, name: str, last: Type = INT) -> list[Type]:
    """Structs from 2 on, each with the next one twice: 2**levels ways down."""
    return [
        *(
            Struct("box" if n == 2 else "", 4, (Member(name, n + 1, 0), Member(name, n + 1, 0)))
            for n in range(2, 2 + levels)
        ),
        last,
    ]


LOOPS: list[list[Type]] = [
    [Typedef("box", 2)],
    [Typedef("box", 3), Const("", 2)],
    [Struct("box", 4, (Member("a", 3, 0),)), Typedef("x", 3)],
    [Struct("box", 4, (Member("a", 3, 0),)), Array(3, 1, 1)],
    [Struct("box", 4, (Member("a", 3, 0),)), Array(3, 1, 0)],
    [Struct("box", 4, (Member("", 2, 0),))],
    [Struct("box", 4, (Member("a", 2, 0),))],
    [Typedef("box", 3), Ptr(2)],
    [Typedef("box", 3), FuncProto(2, (("x", 2),))],
]


@pytest.mark.parametrize("kind", list(CoreKind))
@pytest.mark.parametrize("loop", range(len(LOOPS)))
@pytest.mark.parametrize("side", ["ours", "theirs", "both"])
def test_types_that_contain_themselves(less: None, kind: CoreKind, loop: int, side: str) -> None:
    kinds = {Struct: BOX, Typedef: Typedef("box", 1)}
    plain: list[Type] = [kinds[type(LOOPS[loop][0])]]
    ours = plain if side == "theirs" else LOOPS[loop]
    theirs = plain if side == "ours" else LOOPS[loop]
    for path in ("0", "0:0", "0:0:0", ":".join(["0"] * 64)):
        try:
            ask(kind, ours, theirs, path)
        except (BtfError, CoreError):
            continue


@pytest.mark.parametrize("levels", [30, 60, 200])
def test_a_member_at_the_end_of_many_ways(levels: int) -> None:
    with pytest.raises((BtfError, CoreError), match=r"without an end|deeper than 64"):
        ask(CoreKind.FIELD_EXISTS, [BOX], tower(levels, ""), "0:0")


def ladder(levels: int, last: Type) -> list[Type]:
    """Two structs on each level, each with both of the next: no two members have one type."""
    types: list[Type] = []
    for level in range(levels):
        below = 2 + 2 * (level + 1)
        members = (Member("a", below, 0), Member("b", below + 1, 0))
        types += [Struct("" if level else "box", 4, members), Struct("", 4, members)]
    return [*types, last, last]


@pytest.mark.parametrize("levels", [25, 200])
def test_types_that_match_in_many_ways(levels: int) -> None:
    types = ladder(levels, INT)
    with pytest.raises((BtfError, CoreError), match=r"without an end|deeper than 32"):
        ask(CoreKind.TYPE_MATCHES, types, types)


def test_functions_that_take_functions() -> None:
    levels = [FuncProto(n + 1, tuple((f"p{i}", n + 1) for i in range(9))) for n in range(3, 33)]
    types: list[Type] = [Typedef("box", 3), *levels, INT]
    with pytest.raises((BtfError, CoreError), match=r"without an end|deeper than 32"):
        ask(CoreKind.TYPE_EXISTS, types, types)


def test_all_relocations_together_have_an_end(less: None) -> None:
    local = Btf.from_types([INT, *(Struct("box", 4, (Member(f"a{n}", 1, 0),)) for n in range(99))])
    resolver = Resolver(local, Target(Btf.from_types([INT, *tower(25, "")])))
    failed = 0
    for type_id in range(2, 101):
        try:
            resolver.resolve(CoreKind.FIELD_EXISTS, type_id, "0:0")
        except BtfError:
            failed += 1
    assert failed == 99
    assert resolver._budget.left < 0


def test_many_candidates(less: None) -> None:
    with pytest.raises(BtfError, match="without an end"):
        ask(CoreKind.FIELD_EXISTS, [BOX], [Struct("box", 4, ())] * 6_000, "0:0")


def test_many_candidates_that_agree() -> None:
    boxes: list[Type] = [BOX] * 20_000  # each is compared with the first, not with all before it
    assert ask(CoreKind.FIELD_EXISTS, [BOX], boxes, "0:0") == 1


def test_large_structs_and_enums() -> None:
    many = 30_000
    members = tuple(Member(f"m{n}", 1, 0) for n in range(many))
    large: list[Type] = [Struct("box", 4, members)]
    assert ask(CoreKind.TYPE_MATCHES, large, large) == 1
    assert ask(CoreKind.FIELD_BYTE_OFFSET, large, large, f"0:{many - 1}") == 0
    enum: list[Type] = [Enum("box", 4, False, tuple((f"m{n}", n) for n in range(many)))]
    assert ask(CoreKind.TYPE_MATCHES, enum, enum) == 1
    assert ask(CoreKind.ENUMVAL_VALUE, enum, enum, str(many - 1)) == many - 1


@pytest.mark.parametrize(
    "path", ["", ":", "0:", ":0", "x", "0:x", "0::0", "1" * 50, "-1:0:0", "0:-1", "0:1_0", "0:²"]
)
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(CoreError, match="the object asks for what its own types lack"):
        ask(CoreKind.FIELD_EXISTS, [BOX], [BOX], path)


@pytest.mark.parametrize("kind", list(CoreKind))
@pytest.mark.parametrize("type_id", [0, 1, 3, 99, 1 << 31])
def test_types_that_are_not_there(kind: CoreKind, type_id: int) -> None:
    local = Btf.from_types([INT, BOX])
    try:
        resolve(local, kind, type_id, "0", Target(local))
    except (BtfError, CoreError):
        return
    assert type_id == 1 or kind is CoreKind.TYPE_ID_LOCAL


def test_sizes_beyond_32_bits() -> None:
    large: list[Type] = [
        Struct("box", 4, (Member("a", 3, 0),)),
        Array(4, 1, 65536),
        Array(1, 1, 65536),
    ]
    with pytest.raises(CoreError, match="larger than 4 GB"):
        ask(CoreKind.FIELD_BYTE_SIZE, large, large, "0:0")


@pytest.mark.parametrize("name", ["_" * 1_000_000, "a____" * 200_000, "a___" * 250_000])
def test_names_of_nothing_but_underscores(name: str) -> None:
    types: list[Type] = [Struct(name, 4, BOX.members)]
    assert ask(CoreKind.FIELD_EXISTS, types, types, "0:0") == 1
    data = core_objects.btf([INT, *types])
    assert Btf(data).find_flavours(name) == [2]
