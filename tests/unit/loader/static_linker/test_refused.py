"""What does not go together, and what is no object to link: refused, with the names in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from linkable import (
    ALLOC,
    CODE,
    FUNC,
    GLOBAL,
    HIDDEN,
    LOCAL,
    OBJECT,
    RELA,
    RETURN,
    SECTION,
    WRITE,
    Linkable,
)

from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.static_linker import link_objects


def refused(*files: bytes | Linkable, error: type[Exception] = ElfError) -> str:
    built = [one.build() if isinstance(one, Linkable) else one for one in files]
    with pytest.raises(error) as caught:
        link_objects(built)
    return str(caught.value)


def test_one_definition_too_many(objects: Path) -> None:
    paths = [objects / "minimal.bpf.o", objects / "memory.bpf.o"]
    with pytest.raises(ElfError) as caught:
        link_objects([paths[0], paths[0]])
    assert str(caught.value).count(str(paths[0])) == 2
    one, two = Linkable(), Linkable()
    one.variable("same")
    two.variable("same")
    assert refused(one, two) == (
        "'same' is defined in both object 1 and object 2 (one may be __weak or static)"
    )


def declared(of: str, size: int) -> Linkable:
    made = Linkable()
    made.variable("same", made.int(of, size), section="")
    return made


def test_variables_of_two_types() -> None:
    one = Linkable()
    one.variable("same")
    assert refused(one, declared("long", 8)) == (
        "'same' in object 1 and object 2 are not the same: it is 'int' and 'long'"
    )
    assert refused(one, declared("int", 2)).endswith("it is 'int' of 4 bytes and 'int' of 2")
    assert link_objects([one.build(), declared("unsigned int", 4).build()])


def test_structs_of_two_shapes() -> None:
    one, two, three = Linkable(), Linkable(), Linkable()
    for made, member, bit in ((one, "first", 0), (two, "second", 0), (three, "first", 8)):
        inner = made.struct("pair", 4, (member, made.int("char", 1), bit))
        made.variable("same", inner, section=".data" if made is one else "")
    assert refused(one, two).endswith("member 1 is 'first' and 'second'")
    assert refused(one, three).endswith("'first' is at different places")


def test_behind_a_pointer_the_name_has_to_do() -> None:
    files = []
    for section, name, kind in ((".data", "pair", 4), ("", "pair", 7), ("", "other", 7)):
        made = Linkable()
        inner = made.struct(name, 8) if kind == 4 else made.type(7, name)
        made.variable("same", made.ptr(inner), section=section)
        files.append(made.build())
    assert link_objects(files[:2])
    assert refused(files[0], files[2]).endswith(
        "what it points to is struct 'pair' and struct 'other'"
    )


def test_arrays_may_leave_their_size_open() -> None:
    one, two = Linkable(), Linkable()
    one.variable("same", one.array(one.int(), 1))
    two.variable("same", two.array(two.int(), 0), section="")
    assert link_objects([one.build(), two.build()])


def test_functions_of_two_prototypes() -> None:
    def extern(*params: str) -> Linkable:
        made = Linkable()
        made.func("same", made.proto(made.int(), *[made.int(each) for each in params]), linkage=2)
        made.symbol("same")
        return made

    one = Linkable()
    one.function("same")
    assert link_objects([one.build(), extern().build()])
    one = Linkable()
    one.function("same")
    assert refused(one, extern("int")).endswith("it takes 0 parameters and 1")
    one = Linkable()
    one.function("same")
    other = Linkable()
    other.variable("same", section="")
    assert refused(one, other).endswith("it is the function 'same' and the variable 'same'")


def with_map(entries: int, key: int = 4, *, extern: bool = False, extra: str = "") -> Linkable:
    made = Linkable()
    number = made.ptr(made.array(made.int(), entries))
    members = [("type", made.ptr(made.array(made.int(), 2)), 0), ("max_entries", number, 64)]
    members.append(("key", made.ptr(made.int("long" if key == 8 else "int", key)), 128))
    if extra:
        members.append((extra, number, 192))
    definition = made.struct("", 8 * len(members), *members)
    if extern:
        made.var("same", definition, ".maps", 24, linkage=2)
        made.symbol("same")
    else:
        made.section(".maps", bytes(8 * len(members)))
        made.var("same", definition, ".maps", 24)
        made.symbol("same", ".maps", 0, 24, OBJECT)
    return made


def test_maps_of_two_definitions() -> None:
    assert link_objects([with_map(4).build(), with_map(4, extern=True).build()])
    assert refused(with_map(4), with_map(8, extern=True)).endswith("its 'max_entries' is 4 and 8")
    assert refused(with_map(4), with_map(4, 8, extern=True)).endswith("its 'key' has 4 bytes and 8")
    assert refused(with_map(4), with_map(4, extern=True, extra="map_flags")).endswith(
        "its 'map_flags' is in one of them only"
    )


def test_an_extern_means_a_section() -> None:
    one, two = Linkable(), Linkable()
    one.variable("same")
    two.var("same", two.int(), ".kconfig", 4, linkage=2)
    two.symbol("same")
    assert "one is '.data', one is in '.kconfig'" in refused(one, two)


def test_what_the_kernel_has_is_no_function_of_ours() -> None:
    one, two = Linkable(), Linkable()
    one.function("same")
    two.place(".ksyms", two.func("same", two.proto(two.int()), linkage=2))
    two.symbol("same")
    assert refused(one, two).endswith("one is a function, one is in '.ksyms'")


def test_many_symbols_of_one_large_type() -> None:
    """Each pair of types is compared once, however many symbols have it."""
    files = []
    for defined in (True, False):
        made = Linkable()
        number = made.int()
        large = made.struct("large", 4, *[(f"m{one}", number, 0) for one in range(5000)])
        made.section(".data", bytes(4))
        for one in range(5000):
            made.var(f"v{one}", large, ".data" if defined else "", 0, 1 if defined else 2)
            made.symbol(f"v{one}", ".data" if defined else "", 0, 0, OBJECT if defined else 0)
        files.append(made.build())
    link_objects(files)  # by each symbol it would take minutes


def test_licenses_must_agree() -> None:
    one, two = Linkable(), Linkable()
    one.license("GPL")
    two.license("Proprietary")
    assert refused(one, two) == (
        "object 2: its license is 'Proprietary', that of object 1 'GPL': they must agree"
    )
    assert link_objects([one.build(), one.build()]).count(b"GPL\0") == 1


def test_no_btf_no_resolution() -> None:
    one, two = Linkable(), Linkable()
    one.variable("same")
    two.variable("same", section="")
    said = refused(one.build(), two.build(types=False), error=BtfError)
    assert said.startswith("'same' in object 1 and object 2: object 2 has no BTF that tells")
    # What has no part in it needs none.
    three = Linkable()
    three.variable("other", section=".data.other")
    assert link_objects([one.build(), three.build(types=False)])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda o: o.section("x", b"", kind=99), "section 'x' is of type 0x63"),
        (lambda o: o.section("x", b"12", align=3), "3 bytes, which is no power of 2 up to 1048576"),
        (lambda o: o.section(".text", b"1234", ALLOC | CODE), "not whole instructions"),
        (lambda o: o.symbol("x", bind=10), "has binding 10"),
        (lambda o: o.symbol("x", visibility=1), "has visibility 'internal'"),
        (lambda o: o.symbol("x", bind=LOCAL), "is local, or has no name"),
        (lambda o: o.symbol("x", "none"), "lies in no section"),
        (lambda o: o.symbol("x", ".data", 2, 4, OBJECT), "ends at byte 6 of '.data'"),
        (lambda o: o.symbol("", ".data", 2, 0, SECTION, LOCAL), "is not at its start"),
        (lambda o: o.relocation(".data", 0, 10, 0), "refers to 'nothing'"),
        (lambda o: o.relocation(".data", 0, 4, 1), "of type 4"),
        (lambda o: o.relocation(".data", 0, 3, 99), "refers to symbol 99"),
        (lambda o: o.relocation(".data", 2, 3, 1), "changes what is not in the file"),
        (lambda o: setattr(o, "kind_of_relocations", RELA), "(RELA)"),
        (lambda o: o.section(".BTF.ext", b"1234", 0), ".BTF.ext is truncated"),
        (lambda o: o.place(".data", 1), "BTF section '.data' has what is no variable"),
        (lambda o: o.place(".data", o.var("y", 1, "", 4, 0), 3, 4), "'y' ends at byte 7"),
        (lambda o: o.ptr(o.var("loose", 1, "license", 4, 0)), "refers to"),
    ],
)  # fmt: skip
def test_damaged(spoil, message: str) -> None:
    made = Linkable()
    made.variable("number")
    made.relocation(".data", 0, 3, 1)
    spoil(made)
    first = Linkable()
    first.license("GPL")
    if message == "refers to":
        made.license("GPL")
    with pytest.raises((ElfError, BtfError)) as caught:
        link_objects([first.build(), made.build()])
    assert message in str(caught.value)
    assert "object 2" in str(caught.value) or message == "refers to"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((12,), "is cut off"), ((16, 16), "overlaps another"), ((8, 8), "")],
)  # fmt: skip
def test_jump_tables(sizes: tuple[int, ...], message: str) -> None:
    made = Linkable()
    made.section("syscall", bytes(32), ALLOC | CODE)
    made.section(".jumptables", bytes(16), 0, 1)
    for number, size in enumerate(sizes):
        table = made.symbol(f"table{number}", ".jumptables", 0, size, OBJECT)
        made.relocation("syscall", 16 * number, 1, table)
    if message:
        assert message in refused(made.build(types=False))
    else:
        assert link_objects([made.build(types=False)])


def test_a_jump_table_of_two_sections() -> None:
    made = Linkable()
    made.section(".jumptables", bytes(8), 0, 1)
    table = made.symbol("table", ".jumptables", 0, 8, OBJECT)
    for section in ("one", "two"):
        made.section(section, bytes(16), ALLOC | CODE)
        made.relocation(section, 0, 1, table)
    assert "is used by code in two sections" in refused(made.build(types=False))


def test_flags_of_a_section() -> None:
    one, two = Linkable(), Linkable()
    one.section("mine", RETURN, ALLOC | CODE)
    two.section("mine", RETURN, ALLOC | WRITE)
    assert refused(one, two) == (
        "object 2: section 'mine' has flags 0x3, in object 1 it has 0x6: they cannot be one"
    )


def test_no_small_files_make_a_large_one() -> None:
    one, two = Linkable(), Linkable()
    one.section(".data", b"1")
    two.section(".data", b"1", align=1 << 40)
    assert "aligned to 1099511627776 bytes, which is no power of 2 up to" in refused(one, two)
    three = Linkable()
    three.section(".bss", 200 << 20)
    assert "of the linked object would have" in refused(three, three.build())
    many = []
    for number in range(400):
        made = Linkable()
        made.section(f".data.{number}", b"1", align=1 << 20)
        many.append(made.build(types=False))
    assert "would have more than 256 MB" in refused(*many)


def test_a_call_that_would_not_reach() -> None:
    one, two = Linkable(), Linkable()
    one.function("before")
    two.section(".text", RETURN, ALLOC | CODE)
    text = two.symbol("", ".text", kind=SECTION, bind=LOCAL)
    two.section("syscall", bytes.fromhex("85100000ffffff7f") + RETURN[8:], ALLOC | CODE)
    two.symbol("run", "syscall", 0, 16, FUNC, GLOBAL, HIDDEN)
    two.relocation("syscall", 0, 10, text)
    said = refused(one.build(types=False), two.build(types=False))
    assert said.startswith("object 2: the relocation at byte 0 of 'syscall' reaches beyond its 32")


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a list of objects, not one"):
        link_objects("some.bpf.o")
    with pytest.raises(TypeError, match="not int"):
        link_objects([1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="there is no object to link"):
        link_objects([])
    with pytest.raises(FileNotFoundError):
        link_objects([tmp_path / "missing.bpf.o"])
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ElfError, match="text: not an ELF file"):
        link_objects([tmp_path / "text"])
