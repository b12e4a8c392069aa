"""BTF written by hand, and the C that it is."""

from __future__ import annotations

import pytest

from pylibbpf.btf.c_dump import CDump, c_header
from pylibbpf.btf.parse import Btf
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
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from pylibbpf.errors import BtfError

INT = Int("int", 4, 32, signed=True)  # id 1 in most tests
CHAR = Int("char", 1, 8, signed=True)


def written(*types: Type) -> str:
    """All types as C, without the frame of a header and with single line ends."""
    dump = CDump(Btf.from_types(types))
    dump.add_all()
    return "".join(dump.pieces).replace("\n\n", "\n").strip()


def member(type: int, name: str = "m", at: int = 0, bits: int = 0) -> Member:
    return Member(name, type, 8 * at if not bits else at, bits)


def declared(*types: Type, size: int = 8) -> str:
    """How a member with the last type is declared."""
    text = written(*types, Struct("s", size, (member(len(types)),)))
    return text.split("struct s {\n\t")[1].split(";\n}")[0]


@pytest.mark.parametrize(
    ("types", "size", "text"),
    [
        ([INT], 4, "int m"),
        ([INT, Ptr(1)], 8, "int *m"),
        ([INT, Ptr(1), Ptr(2)], 8, "int **m"),
        ([Ptr(0)], 8, "void *m"),
        ([INT, Array(1, 1, 3)], 12, "int m[3]"),
        ([INT, Array(1, 1, 3), Array(2, 1, 2)], 24, "int m[2][3]"),
        ([INT, Array(1, 1, 0)], 0, "int m[0]"),
        ([INT, Ptr(1), Array(2, 1, 3)], 24, "int *m[3]"),
        ([INT, Array(1, 1, 3), Ptr(2)], 8, "int (*m)[3]"),
        ([INT, Const("", 1)], 4, "const int m"),
        ([INT, Const("", 1), Volatile("", 2)], 4, "volatile const int m"),
        ([INT, Const("", 1), Const("", 2)], 4, "const int m"),
        ([INT, Const("", 1), Ptr(2)], 8, "const int *m"),
        ([INT, Ptr(1), Const("", 2)], 8, "int *const m"),
        ([INT, Const("", 1), Ptr(2), Const("", 3)], 8, "const int *const m"),
        ([INT, Ptr(1), Restrict("", 2)], 8, "int *__restrict m"),
        ([INT, Restrict("", 1)], 4, "int m"),  # nobody can restrict a number
        ([INT, Const("", 1), Array(2, 1, 2), Const("", 3)], 8, "const int m[2]"),  # as GCC has it
        ([FuncProto(0, ()), Ptr(1)], 8, "void (*m)(void)"),
        ([FuncProto(0, (("", 0),)), Ptr(1)], 8, "void (*m)(void)"),
        ([INT, FuncProto(1, (("a", 1), ("", 1))), Ptr(2)], 8, "int (*m)(int a, int)"),
        ([INT, FuncProto(1, (("", 1), ("", 0))), Ptr(2)], 8, "int (*m)(int, ...)"),
        ([INT, FuncProto(0, (("", 1),)), Ptr(2), Array(3, 1, 4)], 32, "void (*m[4])(int)"),
        ([INT, Ptr(1), FuncProto(2, ()), Ptr(3)], 8, "int *(*m)(void)"),
        ([FuncProto(0, ()), Ptr(1), FuncProto(2, (("", 2),)), Ptr(3)], 8,
         "void (*(*m)(void (*)(void)))(void)"),
        ([FuncProto(0, ()), Ptr(1), Const("", 2)], 8, "void (*const m)(void)"),
        ([INT, TypeTag("user", 1), Ptr(2)], 8, 'int __attribute__((btf_type_tag("user"))) *m'),
        ([INT, Const("", 1), TypeTag("rcu", 2), Ptr(3)], 8,
         'const int __attribute__((btf_type_tag("rcu"))) *m'),
        ([INT, Ptr(1), TypeTag("user", 2), Ptr(3)], 8,
         'int *__attribute__((btf_type_tag("user"))) *m'),
        ([TypeTag("address_space(1)", 0, attribute=True), Ptr(1)], 8,
         "void __attribute__((address_space(1))) *m"),
        ([INT, TypeTag('"\\\n', 1), Ptr(2)], 8,
         'int __attribute__((btf_type_tag("\\042\\134\\012"))) *m'),
        ([Struct("t", 0, ()), Ptr(1)], 8, "struct t *m"),
        ([Union("t", 0, ()), Ptr(1)], 8, "union t *m"),
        ([Fwd("t"), Ptr(1)], 8, "struct t *m"),
        ([Fwd("t", is_union=True), Ptr(1)], 8, "union t *m"),
        ([Enum("e", 4, False, (("A", 1),))], 4, "enum e m"),
        ([INT, Typedef("word", 1)], 4, "word m"),
        ([INT, Struct("", 4, (member(1, "a"),)), Array(2, 1, 2)], 8,
         "struct {\n\t\tint a;\n\t} m[2]"),
        ([Enum("", 4, False, (("A", 1),))], 4, "enum {\n\t\tA = 1,\n\t} m"),
        ([INT, Struct("", 4, (member(1, "a"),)), Const("", 2), Ptr(3)], 8,
         "const struct {\n\t\tint a;\n\t} *m"),
    ],
)  # fmt: skip
def test_declarations(types: list[Type], size: int, text: str) -> None:
    assert declared(*types, size=size) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Int("unsigned long long", 8, 64), "unsigned long long m"),
        (Int("long unsigned int", 8, 64), "long unsigned int m"),
        (Int("__int128 unsigned", 16, 128), "__int128 unsigned m"),
        (Int("_Bool", 1, 8, bool=True), "_Bool m"),
        (Int("bool", 1, 8, bool=True), "_Bool m"),  # as Rust has it
        (Int("int", 8, 64, signed=True), "long long m"),  # what is an int of 8 bytes?
        (Int("", 2, 16), "unsigned short m"),
        (Int("u32", 4, 32), "u32 m"),
        (Int("a b", 4, 32, signed=True), "int m"),
        (Int("odd", 3, 24), "odd m"),
        (Float("double", 8), "double m"),
        (Float("float", 4), "float m"),
        (Float("long double", 16), "struct { unsigned char bytes[16]; } m"),  # BPF's has 8
        (Float("complex double", 16), "_Complex double m"),
    ],
)
def test_numbers(number: Int | Float, text: str) -> None:
    assert declared(number, size=number.size) == text


def test_numbers_that_c_does_not_know_are_declared() -> None:
    u32, odd = Int("u32", 4, 32), Int("odd", 3, 24)
    text = written(u32, odd, Ptr(1), Struct("s", 8, (member(1), member(2, "n", 4))))
    assert text.startswith(
        "typedef unsigned int u32;\ntypedef struct { unsigned char bytes[3]; } odd;\n"
    )


def test_each_type_comes_after_what_it_needs_whole() -> None:
    assert written(
        Struct("outer", 12, (member(2, "inner"), member(4, "self", 4))),
        Struct("inner", 4, (member(3, "m"),)),
        INT,
        Ptr(1),
    ) == (
        "struct inner {\n\tint m;\n};\n"
        "struct outer {\n\tstruct inner inner;\n\tstruct outer *self;\n} __attribute__((packed));"
    )


def test_what_is_only_pointed_to_is_declared_before() -> None:
    text = written(
        Struct("a", 8, (member(2, "b"),)), Ptr(3), Struct("b", 8, (member(4, "a"),)), Ptr(1)
    )
    assert text == "struct b;\nstruct a {\n\tstruct b *b;\n};\nstruct b {\n\tstruct a *a;\n};"


def test_a_parameter_does_not_hide_what_it_points_to() -> None:
    """C takes a struct that it first sees in a prototype for another one."""
    text = written(Typedef("fn", 2), FuncProto(0, (("", 3),)), Ptr(4), Struct("later", 0, ()))
    assert text.index("struct later;") < text.index("typedef void fn(struct later *);")


def test_typedefs_of_what_contains_them() -> None:
    """A list whose typedef is used within it, behind a pointer."""
    text = written(Typedef("node", 2), Struct("node", 8, (member(3, "next"),)), Ptr(1))
    assert text == ("struct node;\ntypedef struct node node;\nstruct node {\n\tnode *next;\n};")
    # The same where the struct comes first.
    text = written(Struct("node", 8, (member(3, "next"),)), Typedef("node", 1), Ptr(2))
    assert text == ("struct node;\ntypedef struct node node;\nstruct node {\n\tnode *next;\n};")


def test_an_array_needs_its_elements_even_behind_a_pointer() -> None:
    text = written(
        Struct("s", 8, (member(2, "p"),)),
        Ptr(3),
        Array(4, 5, 2),
        Struct("t", 4, (member(5, "m"),)),
        INT,
    )
    assert text.index("struct t {") < text.index("struct t (*p)[2];")


def test_members_without_a_name() -> None:
    text = written(
        INT,
        Struct("", 4, (member(1, "a"),)),
        Union("", 4, (member(2, ""), member(1, "b"))),
        Const("", 2),
        Struct("s", 8, (member(3, ""), member(4, "", 4))),
    )
    assert text == (
        "struct s {\n\tunion {\n\t\tstruct {\n\t\t\tint a;\n\t\t};\n\t\tint b;\n\t};\n"
        "\tconst struct {\n\t\tint a;\n\t};\n};"
    )


def test_a_tagged_struct_as_member_without_a_name_is_written_out() -> None:
    """C without -fms-extensions, which Linux is compiled with from 6.19 on, has no such members."""
    text = written(
        INT, Struct("base", 4, (member(1, "a"),)), Typedef("t", 2), Struct("s", 4, (member(3, ""),))
    )
    assert text.endswith("struct s {\n\tstruct {\n\t\tint a;\n\t};\n};")


def test_bit_fields_and_gaps() -> None:
    fields = (
        member(1, "a", 0, 3), member(1, "b", 4, 4), member(1, "c", 32, 32), member(1, "d", 64, 1)
    )  # fmt: skip
    assert written(INT, Struct("s", 16, fields)) == (
        "struct s {\n\tint a: 3;\n\tchar: 1;\n\tint b: 4;\n\tint c: 32;\n\tint d: 1;\n"
        "\tint: 32;\n};"
    )


def test_bit_fields_as_they_were_written_before_linux_5_0() -> None:
    two = Int("int", 4, 2, offset=3, signed=True)
    assert written(two, Struct("s", 4, (member(1, "a"),))) == (
        "struct s {\n\tchar: 3;\n\tint a: 2;\n};"
    )


def test_members_in_another_order_than_they_lie() -> None:
    text = written(INT, Struct("s", 8, (member(1, "late", 4), member(1, "soon"))))
    assert text == "struct s {\n\tint soon;\n\tint late;\n};"


def test_the_end_of_a_union() -> None:
    assert written(CHAR, Array(1, 1, 5), Union("u", 8, (member(2),))) == (
        "union u {\n\tchar m[5];\n} __attribute__((aligned(4)));"
    )
    assert written(CHAR, Array(1, 1, 5), Union("u", 7, (member(2),))) == (
        "union u {\n\tchar m[5];\n\tstruct {\n\t\tint: 32;\n\t\tshort: 16;\n\t\tchar: 8;\n\t};\n};"
    )


def test_empty_types() -> None:
    assert written(Struct("s", 0, ()), Union("u", 0, ())) == "struct s {};\nunion u {};"


@pytest.mark.parametrize(
    ("enumeration", "text"),
    [
        (Enum("e", 4, False, (("A", 0), ("B", 1 << 31))),
         "enum e {\n\tA = 0,\n\tB = 2147483648,\n};"),
        (Enum("e", 4, True, (("A", -1),)), "enum e {\n\tA = -1,\n};"),
        (Enum("e", 1, False, (("A", 0),)), "enum e {\n\tA = 0,\n} __attribute__((mode(QI)));"),
        (Enum("e", 2, False, (("A", 0),)), "enum e {\n\tA = 0,\n} __attribute__((mode(HI)));"),
        (Enum("e", 8, False, (("A", 0),)), "enum e {\n\tA = 0,\n} __attribute__((mode(DI)));"),
        (Enum64("e", 8, False, (("A", 1 << 63),)), "enum e {\n\tA = 9223372036854775808ULL,\n};"),
        (Enum64("e", 8, True, (("A", -(1 << 63)),)),
         "enum e {\n\tA = -9223372036854775807LL - 1,\n};"),
        (Enum64("e", 8, False, (("A", 1),)),
         "enum e {\n\tA = 1ULL,\n} __attribute__((mode(DI)));"),
        (Enum("e", 4, False, ()), "enum e;"),
    ],
)  # fmt: skip
def test_enumerations(enumeration: Enum | Enum64, text: str) -> None:
    assert written(enumeration) == text


def test_an_enumeration_without_a_name_stands_by_itself_if_nothing_uses_it() -> None:
    values = (("A", 1),)
    assert written(Enum("", 4, False, values)) == "enum {\n\tA = 1,\n};"
    assert written(Enum("", 4, False, values), Typedef("e", 1)) == "typedef enum {\n\tA = 1,\n} e;"
    assert written(Enum("", 4, False, values), Var("v", 1)) == ""


def test_truth_is_the_compilers_where_it_has_it() -> None:
    text = written(Int("_Bool", 1, 8, bool=True), Typedef("bool", 1))
    assert "__STDC_VERSION__ < 202311L" in text
    assert text.endswith(")\ntypedef _Bool bool;\n#endif")
    text = written(Enum("", 4, False, (("false", 0), ("true", 1))))
    assert text.endswith(")\nenum {\n\tfalse = 0,\n\ttrue = 1,\n};\n#endif")


def test_names_that_are_taken() -> None:
    text = written(
        INT,
        Struct("s", 4, (member(1, "a"),)),
        Struct("s", 4, (member(1, "b"),)),
        Enum("s", 4, False, (("A", 1),)),
        Enum("e", 4, False, (("A", 2),)),
        Typedef("A", 1),
        Struct("s___2", 0, ()),
    )
    assert "struct s {\n\tint a;" in text
    assert "struct s___2 {\n\tint b;" in text
    assert "enum s___3 {\n\tA = 1," in text
    assert "enum e {\n\tA___2 = 2," in text
    assert "typedef int A___3;" in text
    assert "struct s___2___2 {}" in text


def test_what_is_only_declared_keeps_its_name() -> None:
    text = written(Fwd("s"), Ptr(1), Struct("s", 8, (member(2),)), Struct("s", 0, ()))
    assert text == "struct s;\nstruct s {\n\tstruct s *m;\n};\nstruct s___2 {};"
    # But for one of another kind.
    assert written(Fwd("s"), Union("s", 0, ())) == "struct s;\nunion s___2 {};"
    assert written(Union("s", 0, ()), Fwd("s")) == "union s {};\nstruct s___2;"


def test_names_that_are_none() -> None:
    text = written(
        INT,
        Struct("core::Option<u8>", 4, (member(1, "0"),)),
        Struct("core::Option[u8]", 4, (member(1, "int"),)),
        Typedef("naïve", 1),
    )
    assert "struct core__Option_u8_ {\n\tint _0;" in text
    assert "struct core__Option_u8____2 {\n\tint int_;" in text
    assert "typedef int na_ve;" in text


@pytest.mark.parametrize("name", ["address_space(1)", "noderef", "aligned(8, 4)", "empty()"])
def test_attributes(name: str) -> None:
    text = declared(TypeTag(name, 0, attribute=True), Ptr(1))
    assert text == f"void __attribute__(({name})) *m"


@pytest.mark.parametrize(
    "name", ["a))) int evil; (((", "a(1", "a)", "", "a(\n#x)", "1", 'a("x")', "a(b)c"]
)
def test_attributes_that_would_become_other_c(name: str) -> None:
    with pytest.raises(BtfError, match="is no attribute of C"):
        declared(TypeTag(name, 0, attribute=True), Ptr(1))


def test_types_without_a_name_that_have_to_have_one() -> None:
    text = written(INT, Typedef("", 1), Enum("e", 4, False, (("", 1), ("", 2))))
    assert text == "typedef int _;\nenum e {\n\t____2 = 1,\n\t____3 = 2,\n};"


def test_the_compilers_list_of_arguments() -> None:
    """Its va_list has another size for BPF, so that a member is spelled as what it is."""
    text = written(
        Struct("__va_list_tag", 8, (member(2, "reg"),)),
        Ptr(0),
        Array(1, 4, 1),
        INT,
        Typedef("__builtin_va_list", 3),
        Typedef("va_list", 5),
        Ptr(6),
        Struct("s", 16, (member(6, "own"), member(7, "other", 8))),
    )
    assert "__builtin_va_list;" not in text
    assert "typedef __builtin_va_list va_list;" in text
    assert "\tstruct __va_list_tag own[1];\n\tva_list *other;" in text
    assert written(Typedef("__gnuc_va_list", 0)) == "typedef __builtin_va_list __gnuc_va_list;"


def kernel() -> Btf:
    return Btf.from_types(
        [
            INT,
            Struct("task", 4, (member(1, "pid"),)),
            Ptr(2),
            FuncProto(3, (("task", 3), ("flags", 1))),
            Func("task_get", 4),
            DeclTag("bpf_kfunc", 5),
            Func("hidden", 4),
            FuncProto(0, (("", 1),)),
            Func("fast", 8),
            DeclTag("bpf_kfunc", 9),
            DeclTag("bpf_fastcall", 9),
            Struct("unrelated", 4, (member(1, "a"),)),
            DeclTag("bpf_kfunc", 2),  # no function
        ]
    )


def test_the_header() -> None:
    text = c_header(kernel())
    assert text.startswith("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n")
    assert text.endswith("#endif /* __VMLINUX_H__ */\n")
    lines = text.splitlines()
    push, pop = (
        next(i for i, line in enumerate(lines) if word in line) for word in ("push", "pop")
    )
    assert push < lines.index("struct task {") < lines.index("struct unrelated {") < pop
    guard = lines.index("#ifndef BPF_NO_KFUNC_PROTOTYPES")
    kfuncs = [line for line in lines[guard:pop] if line.startswith("extern")]
    assert kfuncs == [
        "extern void fast(int) __weak __ksym __bpf_fastcall;",
        "extern struct task *task_get(struct task *task, int flags) __weak __ksym;",
    ]
    assert "hidden" not in text


def test_a_header_of_some_types() -> None:
    btf = kernel()
    text = c_header(btf, btf.find("task"), guard="TASK_H")
    assert text.startswith("#ifndef TASK_H\n")
    assert "struct task {" in text
    assert "unrelated" not in text
    assert "ksym" not in text
    text = c_header(btf, btf.find("task_get"))
    assert "struct task;\n" in text
    assert "extern struct task *task_get(" in text
    with pytest.raises(BtfError, match="'hidden' is no function that programs may call"):
        c_header(btf, btf.find("hidden"))


def test_a_function_whose_name_is_taken() -> None:
    types = [INT, Typedef("f", 1), FuncProto(0, ()), Func("f", 3), DeclTag("bpf_kfunc", 4)]
    assert "/* f: the name is taken */" in c_header(Btf.from_types(types))


def test_a_module_and_its_kernel() -> None:
    base = kernel()
    own = [Struct("device", 8, (Member("task", 3, 0),)), Func("mod", 4), DeclTag("bpf_kfunc", 15)]
    split = Btf.from_types(own, base=base)
    text = c_header(split)
    assert text.index("struct task {") < text.index("struct device {\n\tstruct task *task;")
    assert "*mod(struct task *task" in text
    assert "*task_get(struct task *task" in text


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ([Struct("s", 8, (member(1),))], "s .BTF type 1. contains itself"),
        ([Struct("", 8, (member(1),)), Typedef("t", 1)], "contains itself"),
        ([Typedef("t", 1)], "contains itself"),
        ([Const("", 1), Struct("s", 8, (member(1),))], "without an end"),
        ([Ptr(1), Struct("s", 8, (member(1),))], "without an end"),
        ([Array(1, 1, 1), Typedef("t", 1)], "without an end"),
        ([FuncProto(1, ()), Typedef("t", 1)], "contains itself"),
        ([Struct("s", 0, (member(0),))], "void .* has no size"),
        ([Fwd("t"), Struct("s", 0, (member(1),))], "struct t .* has no size"),
        ([FuncProto(0, ()), Struct("s", 0, (member(1),))], "has no size"),
        ([Func("f", 0), Ptr(1)], "FUNC.* stands where a type should"),
        ([Int("int", 0, 0), Struct("s", 0, (member(1),))], "number of 0 bytes"),
        ([INT, Struct("s", 4, (member(1), member(1, "n", 2)))], "struct s .*: member 1.* overlaps"),
        ([INT, Struct("s", 2, (member(1),))], "struct s .*: its members end at byte 4 of 2"),
        ([INT, Struct("s", 8, (member(1, "a", 0, 33),))], "a bit-field of 33 bits"),
        ([FuncProto(0, (("", 0), ("", 0))), Typedef("t", 1)], "void that is not the last"),
        ([Enum("e", 3, False, (("A", 0),))], "an enumeration of 3 bytes"),
        ([Enum("e", 0, False, ()), Struct("s", 8, (member(1),))], "an enumeration of 0 bytes"),
    ],
)
def test_what_c_cannot_say(types: list[Type], said: str) -> None:
    with pytest.raises(BtfError, match=said):
        written(*types)


def test_a_deep_nest_is_refused() -> None:
    chain: list[Type] = [INT]
    chain += [Struct(f"s{n}", 4, (member(n, "m"),)) for n in range(1, 3000)]
    with pytest.raises(BtfError, match="in more than 100 other types"):
        written(*reversed_ids(chain))
    bare: list[Type] = [INT, *[Struct("", 4, (member(n, "m"),)) for n in range(1, 3000)]]
    with pytest.raises(BtfError, match="more than 100"):
        written(*bare, Typedef("t", len(bare)))


def reversed_ids(types: list[Type]) -> list[Type]:
    """The same chain of structs with the outermost first, so that all are under way at once."""
    last = len(types)
    turned: list[Type] = []
    for found in reversed(types):
        if isinstance(found, Struct):
            (one,) = found.members
            found = Struct(found.name, found.size, (Member(one.name, last + 1 - one.type_id, 0),))
        turned.append(found)
    return turned


def test_types_that_multiply_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each without a name has two of the one before: 2**60 ints."""
    monkeypatch.setattr("pylibbpf.btf.c_text.MAX_TEXT", 1 << 20)
    types: list[Type] = [INT]
    for depth in range(1, 60):
        size = 4 << depth
        types.append(Struct("", size, (Member("a", depth, 0), Member("b", depth, 4 * size))))
    with pytest.raises(BtfError, match="more than 1048576 characters of C"):
        written(*types, Typedef("t", len(types)))


def test_a_long_name_that_many_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pylibbpf.btf.c_text.MAX_TEXT", 1 << 20)
    long = Struct("x" * 10_000, 0, ())
    pointers = [Ptr(1) for _ in range(200)]
    types = [
        long,
        *pointers,
        Struct("s", 1600, tuple(member(2 + n, f"m{n}", 8 * n) for n in range(200))),
    ]
    with pytest.raises(BtfError, match="characters of C"):
        written(*types)


def test_a_padding_without_bound_takes_one_line() -> None:
    text = written(INT, Struct("s", 0xFFFFFFFF, (member(1, "a"), member(1, "b", 1 << 20))))
    assert "unsigned char __padding1[1048572];" in text
    assert len(text) < 300
