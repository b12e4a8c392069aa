"""Our declarations say what libbpf's and the kernel's own headers say.

The extension is built without libbpf's headers, from declarations of our own, and works with
whatever libbpf it finds. So they must be right for each: what a header has must agree, what is
newer than a header must be missing there, and an older opts struct must be the start of ours.
The headers come from Debian packages of several suites (tools/headers.py), unpacked, not
installed.
"""

from __future__ import annotations

import ast
import enum
import importlib
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cffi import FFI
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import debpkg  # noqa: E402
import headers as debian  # noqa: E402

import build_ffi  # noqa: E402

# libbpf moved a const from the result to the parameter (1.4), or away from one (1.2), which no
# caller notices.
CONST_MOVED = {"bpf_map__initial_value", "bpf_prog_load"}
FIRST = (1, 0)  # what is older than libbpf 1.0 counts as brought by it
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
INCLUDES = "".join(
    f"#include <{name}>\n"
    for name in (
        "stddef.h",
        "stdint.h",
        "stdbool.h",
        "linux/bpf.h",
        "linux/btf.h",
        "bpf/libbpf.h",
        "bpf/bpf.h",
        "bpf/btf.h",
    )
)


def unavailable(reason: str) -> None:
    """Skip for want of something; where everything must be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def fetched(name: str) -> debian.Headers:
    try:
        return debian.fetch(name)
    except (debpkg.DebianError, OSError) as error:
        unavailable(f"libbpf-dev of {name} is not to be had: {error}")
        raise


@pytest.fixture(scope="module", params=debian.SUITES)
def suite(request: pytest.FixtureRequest) -> debian.Headers:
    return fetched(request.param)


@pytest.fixture(scope="module")
def newest() -> debian.Headers:
    return fetched(debian.SUITES[-1])


@cache
def compiler() -> tuple[str, ...]:
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return (path,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc", "-target", f"{platform.machine()}-linux-gnu")
    unavailable("no C compiler: install gcc, or ziglang from PyPI")
    raise AssertionError


def complaints(code: str, suite: debian.Headers, includes: str = INCLUDES) -> str:
    """What a C compiler says against the code behind the suite's headers; "" if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *compiler(),
                *("-std=gnu11", "-Wall", "-Wno-unused", "-Werror", "-x", "c", "-c", "-"),
                *("-o", f"{folder}/out.o"),
                *(f"-I{include}" for include in suite.include),
            ],
            input=includes + code,
            env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(debian.cache() / "zig")},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stderr if done.returncode else ""


def header_text(suite: debian.Headers) -> str:
    names = ("bpf/libbpf.h", "bpf/bpf.h", "bpf/btf.h", "bpf/libbpf_legacy.h", "bpf/libbpf_common.h")
    texts = ((suite.root / "usr/include" / name).read_text() for name in names)
    return _COMMENT.sub("", "\n".join(texts))


def kernel_text(suite: debian.Headers) -> str:
    names = ("bpf.h", "btf.h")
    return "\n".join((suite.root / "usr/include/linux" / name).read_text() for name in names)


def number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


# ---- functions


@cache
def functions() -> dict[str, tuple[tuple[int, int], str]]:
    """Each function that we declare: the version that brought it, and our prototype."""
    from pycparser import c_generator

    generator = c_generator.CGenerator()
    return {
        name: (number(since), generator.visit(node) + ";")
        for header in build_ffi.LIBBPF_HEADERS
        for name, since, node in build_ffi.functions(header)
    }


def test_functions_are_declared_in_the_headers_they_belong_to(suite: debian.Headers) -> None:
    text = header_text(suite)
    for name, (since, _) in functions().items():
        there = re.search(rf"\b{name}\s*\(", text) is not None
        assert there == (since <= suite.version), (
            f"{name}() is marked libbpf {since[0]}.{since[1]}, and libbpf"
            f" {suite.version[0]}.{suite.version[1]} {'has' if there else 'lacks'} it"
        )


def test_prototypes_agree(suite: debian.Headers) -> None:
    # To declare a function twice is an error in C unless both say the same.
    ours = {name: text for name, (since, text) in functions().items() if since <= suite.version}
    assert ours.keys() >= CONST_MOVED
    same = (text for name, text in ours.items() if name not in CONST_MOVED)
    assert complaints("\n".join(same), suite) == ""
    without_const = "#define const\n" + INCLUDES + "\n".join(ours.values())
    assert complaints(without_const, suite, includes="") == ""


def test_versions_are_those_of_the_symbols(suite: debian.Headers) -> None:
    """libbpf's own symbol table tells which version brought each function."""
    symbols = symbol_versions(suite)
    for name, (since, _) in functions().items():
        if since <= suite.version:
            assert max(FIRST, symbols[name]) == since, name
        else:
            assert name not in symbols


def symbol_versions(suite: debian.Headers) -> dict[str, tuple[int, int]]:
    if suite.library is None:
        unavailable(f"libbpf1 of {suite.suite} holds no libbpf.so.1")
    assert suite.library is not None
    with suite.library.open("rb") as file:
        elf = ELFFile(file)
        names = {
            version["vd_ndx"]: next(iter(names)).name
            for version, names in elf.get_section_by_name(".gnu.version_d").iter_versions()
        }
        marks = elf.get_section_by_name(".gnu.version")
        found = {}
        for index, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
            mark = marks.get_symbol(index)["ndx"]
            if symbol["st_shndx"] != "SHN_UNDEF" and isinstance(mark, int):
                version = names[mark & 0x7FFF]
                if version.startswith("LIBBPF_"):
                    found[symbol.name] = number(version.removeprefix("LIBBPF_"))
    assert len(found) > 300
    return found


# ---- structures


@cache
def layouts() -> dict[str, tuple[int, dict[str, tuple[int, int]]]]:
    """Size of each struct that we declare in full, and offset and size of its fields."""
    ffi = FFI()
    ffi.cdef(build_ffi.declarations("types.h"))
    found = {}
    for name in re.findall(r"^struct (\w+) \{", build_ffi.declarations("types.h"), re.MULTILINE):
        kind = ffi.typeof(f"struct {name}")
        found[name] = (ffi.sizeof(kind), dict(_members(ffi, kind)))
    assert found
    return found


def _members(ffi: FFI, kind: FFI.CType) -> Iterator[tuple[str, tuple[int, int]]]:
    """The named members of a struct, with those of unnamed unions, in order."""
    for field, place in kind.fields or ():
        if field:
            yield field, (place.offset, ffi.sizeof(place.type))
        else:
            for inner, (offset, size) in _members(ffi, place.type):
                yield inner, (place.offset + offset, size)


def _flat(body: str) -> str:
    """Members of a struct with its inner structs and unions undone: a named one is a member."""
    innermost = re.compile(r"\b(?:struct|union)(?:\s+\w+)?\s*\{([^{}]*)\}\s*(\w*)\s*;")
    while found := innermost.search(body):
        inner = f"int {found[2]};" if found[2] else found[1]
        body = body[: found.start()] + inner + body[found.end() :]
    return body


def fields_of(name: str, text: str) -> list[str] | None:
    """The names of a struct's fields in a header, or None where it does not have the struct."""
    body = re.search(rf"^struct {name} \{{(.*?)^\}}", _COMMENT.sub("", text), re.DOTALL | re.M)
    if body is None:
        return None
    found = []
    for declaration in _flat(body[1]).split(";"):
        words = re.search(r"(\w+)\s*(?:\[\w*\])?\s*(:\s*\d+)?$", declaration.strip())
        if words and "(*" not in declaration and not re.search(r"\s:\s*\d+$", declaration):
            found.append(words[1])
        elif pointer := re.search(r"\(\*(\w+)\)", declaration):
            found.append(pointer[1])
    return found


def test_structures_agree(suite: debian.Headers) -> None:
    code = []
    for name, (size, fields) in layouts().items():
        theirs = fields_of(name, header_text(suite) + kernel_text(suite))
        if theirs is None or name in GROWING:
            continue
        for field in set(theirs) & set(fields):
            offset, width = fields[field]
            code.append(
                f'_Static_assert(offsetof(struct {name}, {field}) == {offset}, "{name}.{field}");'
            )
            code.append(
                f"_Static_assert(sizeof(((struct {name} *)0)->{field}) == {width},"
                f' "sizeof {name}.{field}");'
            )
        if "sz" not in fields:
            code.append(f'_Static_assert(sizeof(struct {name}) == {size}, "sizeof {name}");')
    assert len(code) > 20
    assert complaints("\n".join(code), suite) == ""


# What kernels fill in grows at its end, and within the unions in it.
GROWING = {"bpf_prog_info", "bpf_link_info"}
# What we give another shape or a name, because cffi has no unions without one at such a place.
_OTHERWISE = {"iter.map_id": "iter.map.map_id"}


def info_members(name: str) -> dict[str, tuple[int, int]]:
    """Offset and size of each member of a growing struct, by its name in C with all dots."""
    ffi = FFI()
    ffi.cdef(build_ffi.declarations("types.h"))

    def walk(kind: FFI.CType, before: str, start: int) -> Iterator[tuple[str, tuple[int, int]]]:
        for field, place in kind.fields or ():
            path = f"{before}.{field}" if before and field else before or field
            at = start + place.offset
            if place.type.kind in ("struct", "union"):
                yield from walk(place.type, path.removesuffix(".by_type"), at)
            elif field not in ("pad", "bits"):
                yield _OTHERWISE.get(path, path), (at, ffi.sizeof(place.type))

    return dict(walk(ffi.typeof(f"struct {name}"), "", 0))


@pytest.mark.parametrize("name", sorted(GROWING))
def test_what_the_kernel_tells_agrees(suite: debian.Headers, name: str) -> None:
    members = info_members(name)
    assert len(members) > 30
    code = [
        f"_Static_assert(offsetof(struct {name}, {path}) == {offset}"
        f' && sizeof(((struct {name} *)0)->{path}) == {size}, "{path}");'
        for path, (offset, size) in members.items()
    ]
    kept = code
    while said := complaints("\n".join(kept), suite):
        # What these headers do not have yet. clang stops after twenty of them.
        missing = {
            int(place[1]) - INCLUDES.count("\n") - 1
            for line in said.splitlines()
            if "no member named" in line and (place := re.match(r"\S*stdin\S*?:(\d+):", line))
        }
        assert missing, said
        assert suite.suite != debian.SUITES[-1], said
        kept = [each for number, each in enumerate(kept) if number not in missing]
    assert len(kept) > 15


def test_an_older_opts_struct_is_the_start_of_ours(suite: debian.Headers) -> None:
    text = header_text(suite)
    seen = 0
    for name, (_, ours) in layouts().items():
        theirs = fields_of(name, text) if "sz" in ours else None
        if theirs is None:
            continue
        seen += 1
        there = {ours[field][0] for field in theirs if field in ours}
        # A member that came later lies behind those that were there, or beside one in a union.
        for field, (offset, _) in ours.items():
            if field not in theirs:
                reserved = field.startswith("reserved_")  # removed: libbpf has it without a name
                assert reserved or offset >= max(there) or offset in there, f"{name}.{field}"
        if suite.version <= (1, 7):
            assert set(theirs) <= set(ours), f"{name} lacks {set(theirs) - set(ours)}"
    assert seen


def test_every_opts_struct_is_one_of_libbpf(newest: debian.Headers) -> None:
    text = header_text(newest)
    for name in layouts():
        if name.endswith("_opts") or name == "bpf_tc_hook":
            assert fields_of(name, text) is not None, f"struct {name} is not in libbpf"


# ---- numbers


def enums() -> dict[str, tuple[type[enum.IntEnum], dict[str, str]]]:
    """Our enums: the prefix of their names in C, and names that differ."""
    uapi = importlib.import_module("pylibbpf.uapi.enums")
    known = {"MapType": "BPF_MAP_TYPE_", "ProgType": "BPF_PROG_TYPE_", "AttachType": "BPF_"}
    known["LinkType"] = "BPF_LINK_TYPE_"
    known["CgroupIterOrder"] = "BPF_CGROUP_ITER_"
    found: dict[str, tuple[type[enum.IntEnum], dict[str, str]]] = {}
    for name, kind in vars(uapi).items():
        if isinstance(kind, type) and issubclass(kind, enum.IntEnum) and kind is not enum.IntEnum:
            assert name in known, f"say in this test what {name} is called in C"
            found[name] = (kind, {m: known[name] + m for m in kind.__members__})
    kinds = importlib.import_module("pylibbpf.btf.types").Kind
    found["Kind"] = (
        kinds,
        {m: "BTF_KIND_" + {"VOID": "UNKN"}.get(m, m) for m in kinds.__members__},
    )
    return found


def test_enum_values_agree(suite: debian.Headers) -> None:
    text = kernel_text(suite)
    for name, (kind, c_names) in enums().items():
        there = {m: c for m, c in c_names.items() if re.search(rf"\b{c}\b", text)}
        assert len(there) > min(9, len(c_names) - 2), name
        code = (f'_Static_assert({c} == {kind[m].value}, "{c}");' for m, c in there.items())
        assert complaints("\n".join(code), suite) == ""


def test_enums_are_known_to_the_newest_headers(newest: debian.Headers) -> None:
    text = kernel_text(newest)
    for name, (_, c_names) in enums().items():
        unknown = [c for c in c_names.values() if not re.search(rf"\b{c}\b", text)]
        assert not unknown, name


def test_declared_enumerators_agree(suite: debian.Headers) -> None:
    ffi = FFI()
    ffi.cdef(build_ffi.declarations("types.h"))
    text = header_text(suite) + kernel_text(suite)
    code = []
    for name in re.findall(r"^enum (\w+)", build_ffi.declarations("types.h"), re.MULTILINE):
        if not re.search(rf"\benum {name}\b", text):
            continue  # newer than these headers
        kind = ffi.typeof(f"enum {name}")
        code.append(f'_Static_assert(sizeof(enum {name}) == {ffi.sizeof(kind)}, "{name}");')
        # GCC takes unsigned int for an enum without negative values, cffi does the same.
        sign = "<" if min(kind.elements) < 0 else ">"
        code.append(f'_Static_assert((enum {name})-1 {sign} 0, "sign of {name}");')
        code += [f'_Static_assert({c} == {v}, "{c}");' for v, c in kind.elements.items()]
    assert code
    assert complaints("\n".join(code), suite) == ""


def constants() -> list[tuple[str, int, Path]]:
    """Numbers in our Python that bear the kernel's or libbpf's names (BPF_F_MMAPABLE = ...)."""
    found = []
    for path in sorted((ROOT / "pylibbpf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Assign):
                continue
            for target, expression in _pairs(node):
                name = re.fullmatch(r"_?((?:BPF|LIBBPF|BTF)_[A-Z0-9_]+)", target)
                if name and (value := _number(expression)) is not None:
                    found.append((name[1], value, path.relative_to(ROOT)))
    return found


def _pairs(node: ast.Assign) -> list[tuple[str, ast.expr]]:
    pairs = []
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs += list(zip(target.elts, node.value.elts, strict=False))
        else:
            pairs.append((target, node.value))
    return [(each.id, value) for each, value in pairs if isinstance(each, ast.Name)]


def _number(value: ast.expr) -> int | None:
    if any(isinstance(n, ast.Name | ast.Call | ast.Attribute) for n in ast.walk(value)):
        return None
    found = eval(compile(ast.Expression(value), "constant", "eval"), {"__builtins__": {}})
    return found if isinstance(found, int) else None


def test_constants_agree(suite: debian.Headers) -> None:
    text = kernel_text(suite) + header_text(suite)
    code = [
        f'_Static_assert({name} == {value}, "{name} in {path}");'
        for name, value, path in constants()
        if re.search(rf"\b{name}\b", text)
    ]
    assert code
    assert complaints("\n".join(code), suite) == ""


def test_helper_numbers_agree(suite: debian.Headers) -> None:
    calls = importlib.import_module("pylibbpf.isa.calls")
    text = kernel_text(suite)
    code = []
    for value, helper in calls.OUTPUT_HELPERS.items():
        # Kernel headers before 6.7 or so spell the enumerators by a macro of (name, number).
        if re.search(rf"\bFN\({helper.name}, *\d+|\bFN\({helper.name}\)", text):
            code.append(f'_Static_assert(BPF_FUNC_{helper.name} == {value}, "{helper.name}");')
    assert code
    assert complaints("\n".join(code), suite) == ""


def test_map_info_agrees(suite: debian.Headers) -> None:
    members = importlib.import_module("pylibbpf.uapi.info").MEMBERS
    text = re.search(r"^struct bpf_map_info \{.*?^\}", kernel_text(suite), re.MULTILINE | re.DOTALL)
    assert text is not None
    code, offset = [], 0
    for name, kind in members:
        if re.search(rf"\b{name}\b", text[0]):  # or it is newer than these headers
            place = f"offsetof(struct bpf_map_info, {name})"
            code.append(f'_Static_assert({place} == {offset}, "{name}");')
        offset += struct.calcsize(f"={kind}")
    assert len(code) > 12
    assert complaints("\n".join(code), suite) == ""


# ---- the test itself


def test_a_wrong_declaration_is_noticed(suite: debian.Headers) -> None:
    assert "bpf_map__fd" in complaints("long bpf_map__fd(const struct bpf_map *map);", suite)
    wrong = '_Static_assert(offsetof(struct bpf_test_run_opts, repeat) == 1, "repeat");'
    assert "repeat" in complaints(wrong, suite)
    assert fields_of("bpf_map_batch_opts", header_text(suite)) == ["sz", "elem_flags", "flags"]
