"""Kernel symbols: by address from /proc/kallsyms, by type from BTF."""

from __future__ import annotations

import pytest

from pylibbpf.btf.core import Target
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Func, FuncProto, Int, Kind, Ptr, Struct, Var
from pylibbpf.errors import RelocationError
from pylibbpf.loader.ksyms import Symbols, find_function, find_type, find_variable, pick
from pylibbpf.spec import ExternKind, ExternSpec

LINES = [
    "ffffffff81000000 T first\n",
    "ffffffff81000010 t helper\t[module]\n",
    "ffffffff82000000 d counter.llvm.1234\n",
    "ffffffff82000010 t code.llvm.99\n",
    "ffffffff81000000 t first\n",
    "ffffffff81000020 T twice\n",
    "ffffffff81000030 T twice\n",
]


def test_addresses_by_name():
    found = pick(LINES, {"first", "helper", "counter", "code", "missing"})
    assert found == {
        "first": 0xFFFFFFFF81000000,
        "helper": 0xFFFFFFFF81000010,
        "counter": 0xFFFFFFFF82000000,
    }


def test_a_name_of_several_symbols_says_nothing():
    with pytest.raises(RelocationError, match="several symbols of that name, at 0xffffffff8100002"):
        pick(LINES, {"twice"})


def test_lines_of_another_form():
    with pytest.raises(RelocationError, match="a line of another form"):
        pick(["ffffffff81000000 T\n"], {"first"})


def test_given_addresses():
    assert Symbols({"a": 5, "b": 6}).find({"a", "c"}) == {"a": 5}


def kernels():
    base = Btf.from_types(
        [
            Int("int", 4, 32, signed=True),
            Func("known", 3),
            FuncProto(1, (("a", 1), ("b", 4))),
            Ptr(5),
            Struct("thing", 8, ()),
            Var("number", 1),
            Var("things", 4),
        ]
    )
    module = Btf.from_types([Func("elsewhere", 3), Func("known", 3)], base=base)
    return Target(base, {"module": module})


def own(*types):
    return Btf.from_types([Int("u64", 8, 64), Struct("thing", 4, ()), Ptr(2), *types])


def test_modules_are_asked_for_what_the_kernel_does_not_have():
    kernel = kernels()
    assert find_type(kernel, "known", Kind.FUNC)[::2] == ("", 2)
    assert find_type(kernel, "elsewhere", Kind.FUNC)[::2] == ("module", 8)
    assert find_type(kernel, "known", Kind.VAR) is None


def extern(name, type_id, weak=False, kind=ExternKind.FUNCTION):
    return ExternSpec(name, kind, type_id, weak)


def test_functions_must_have_the_parameters_that_are_known():
    btf = own(FuncProto(1, (("x", 1), ("y", 3))), FuncProto(1, (("x", 1),)))
    kernel = kernels()
    assert find_function(btf, extern("known", 4), kernel) == ("", 2)
    assert find_function(btf, extern("known___flavour", 4), kernel) == ("", 2)
    assert find_function(btf, extern("elsewhere", 4), kernel) == ("module", 8)
    assert find_function(btf, extern("known", 5, weak=True), kernel) is None
    assert find_function(btf, extern("nobody", 5, weak=True), kernel) is None
    with pytest.raises(RelocationError, match=r"as 'u64\(u64\)', this kernel as 'int\(int, struct"):
        find_function(btf, extern("known", 5), kernel)


def test_variables_must_be_of_the_type_that_is_known():
    btf = own()
    kernel = kernels()

    def variable(name, type_id, weak=False):
        return extern(name, type_id, weak, ExternKind.VARIABLE)

    assert find_variable(btf, variable("number", 1), kernel) == ("", 6)
    assert find_variable(btf, variable("things", 3), kernel) == ("", 7)
    assert find_variable(btf, variable("nobody", 3, weak=True), kernel) is None
    # Other than a function, a weak variable may not be of another type.
    with pytest.raises(RelocationError, match=r"knows it as 'struct thing \*', this kernel as"):
        find_variable(btf, variable("number", 3, weak=True), kernel)
    # A flavour is part of a variable's name.
    with pytest.raises(RelocationError, match="no variable of that name"):
        find_variable(btf, variable("number___flavour", 1), kernel)
