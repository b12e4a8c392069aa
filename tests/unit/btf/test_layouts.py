"""What a C compiler writes, the codec reads, and writes again byte for byte.

Random struct definitions are compiled twice: for BPF, which gives the BTF, and for this host into
a program that fills the structs with known values and prints their bytes. The psABI of x86-64 and
aarch64 lays out these structs as BPF does.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from pylibbpf.btf.codec import codec
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.record import Record
from pylibbpf.btf.types import Kind

HEADER = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32;
typedef unsigned long long u64; typedef signed char s8; typedef short s16; typedef int s32;
typedef long long s64; typedef u32 pid_type;
typedef unsigned __int128 u128; typedef __int128 s128;
enum small { SMALL_ZERO, SMALL_ONE, SMALL_TWO = 2, SMALL_MAX = 200 } __attribute__((packed));
enum plain { PLAIN_A, PLAIN_B = 7, PLAIN_C = 1 << 30 };
enum minus { MINUS = -5, PLUS = 5 };
enum large { LARGE = 1ULL << 40, LARGER = (1ULL << 63) + 1 };
typedef enum { ANON_A = 1, ANON_B } anon_enum;
"""
ENUMS = {
    "enum small": [0, 1, 2, 200],
    "enum plain": [0, 7, 1 << 30],
    "enum minus": [-5, 5],
    "enum large": [1 << 40, (1 << 63) + 1],
    "anon_enum": [1, 2],
}
INTS = {f"{sign}{bits}": bits for sign in "us" for bits in (8, 16, 32, 64)}
INTS |= {"pid_type": 32, "char": 8, "long": 64, "u128": 128, "s128": 128}
STRUCTS = 80


class Writer:
    """Writes definitions, the C statements that fill them, and the values to expect."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.header = [HEADER]
        self.program: list[str] = []
        self.expected: dict[str, Any] = {}
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"m{self.names}"

    def write(self) -> None:
        for number in range(STRUCTS):
            tag = f"struct s{number}"
            value = None
            while not value:  # C leaves a struct without named members undefined
                body, fill, value = self.body(0, "x.")
            attribute = self.random.choice(["", "", "__attribute__((packed))"])
            if self.random.random() < 0.1:
                attribute = "__attribute__((aligned(32)))"
            self.header.append(f"{tag} {{\n{body}}} {attribute};")
            self.program.append(f"{{ static {tag} x;\n{fill}\n  show(&x, sizeof x); }}")
            self.expected[f"s{number}"] = value

    def body(self, depth: int, path: str, union: bool = False) -> tuple[str, str, Any]:
        """Members of a struct or union: declarations, statements, and values by name."""
        lines, fills, values = [], [], {}
        count = self.random.randint(1, 7 - 2 * depth)
        chosen = self.random.randrange(count)
        for position in range(count):
            line, fill, value = self.member(depth, path)
            lines.append(f"  {line}\n")
            if not union or position == chosen:
                fills.append(fill)
                values |= value
        return "".join(lines), "\n".join(fills), values

    def member(self, depth: int, path: str) -> tuple[str, str, dict[str, Any]]:
        pick = self.random.random()
        name = self.name()
        if depth < 2 and pick < 0.2:
            union = self.random.random() < 0.5
            word = "union" if union else "struct"
            if self.random.random() < 0.5:
                body, fill, values = self.body(depth + 1, path, union)
                return f"{word} {{\n{body}}};", fill, values
            body, fill, values = self.body(depth + 1, f"{path}{name}.", union)
            return f"{word} {{\n{body}}} {name};", fill, {name: values}
        if pick < 0.45:
            return self.bit_field(name, path)
        if pick < 0.5:
            return (
                f"{self.random.choice(['u32', 'u8', 's64'])} : {self.random.randint(0, 8)};",
                "",
                {},
            )
        if pick < 0.6:
            size = self.random.randint(1, 20)
            text = "".join(self.random.choices("abcdefé", k=self.random.randint(0, size // 2)))
            raw = text.encode()
            fill = "".join(f"{path}{name}[{i}] = (char){c};" for i, c in enumerate(raw))
            return f"char {name}[{size}];", fill, {name: text}
        if pick < 0.75:
            return self.array(name, path)
        c_type, literal, value = self.scalar()
        return f"{c_type} {name};", f"{path}{name} = {literal};", {name: value}

    def scalar(self) -> tuple[str, str, Any]:
        pick = self.random.random()
        if pick < 0.2:
            c_type = self.random.choice(list(ENUMS))
            value = self.random.choice(ENUMS[c_type])
            return c_type, f"({c_type}){literal(value)}", value
        if pick < 0.3:
            value = self.random.choice([0.5, -1.25, 1e10, 0.0])
            return self.random.choice(["float", "double"]), repr(value), value
        if pick < 0.4:
            return "_Bool", *self.random.choice([("0", False), ("1", True)])
        if pick < 0.5:
            value = self.random.getrandbits(48)
            return (
                self.random.choice(["void *", "struct s0 *", "u8 **"]),
                f"(void *){value}ull",
                value,
            )
        c_type = self.random.choice(list(INTS))
        value = self.integer(INTS[c_type], c_type[0] in "scl")
        if c_type == "char":  # a str ends at the first NUL, and forgets what follows
            value = value & 0x7F | 1
        return c_type, literal(value), value

    def integer(self, bits: int, signed: bool) -> int:
        value = self.random.getrandbits(bits)
        if self.random.random() < 0.3:
            value = self.random.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1)])
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    def bit_field(self, name: str, path: str) -> tuple[str, str, dict[str, Any]]:
        if self.random.random() < 0.15:
            value = self.random.random() < 0.5
            return f"_Bool {name} : 1;", f"{path}{name} = {int(value)};", {name: value}
        if self.random.random() < 0.15:
            number = self.random.choice(ENUMS["enum plain"])
            return f"enum plain {name} : 31;", f"{path}{name} = {number};", {name: number}
        c_type = self.random.choice(["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"])
        bits = self.random.randint(1, INTS[c_type])
        value = self.integer(bits, c_type[0] == "s")
        return f"{c_type} {name} : {bits};", f"{path}{name} = {literal(value)};", {name: value}

    def array(self, name: str, path: str) -> tuple[str, str, dict[str, Any]]:
        first = self.random.randint(1, 4)
        second = self.random.choice([0, 0, 0, 1, 3])
        c_type = self.scalar()[0]
        rows, fills = [], []
        for i in range(first):
            row = []
            for j in range(second or 1):
                while (kind := self.scalar())[0] != c_type:
                    pass
                index = f"[{i}][{j}]" if second else f"[{i}]"
                fills.append(f"{path}{name}{index} = {kind[1]};")
                row.append(kind[2])
            rows.append(as_array(c_type, row) if second else row[0])
        value = tuple(rows) if second else as_array(c_type, rows)
        dimensions = f"[{first}]" + f"[{second}]" * bool(second)
        return f"{c_type} {name}{dimensions};", "".join(fills), {name: value}


def as_array(c_type: str, values: list[Any]) -> Any:
    if c_type == "u8":
        return bytes(values)
    if c_type == "char":
        raw = b"".join(value.to_bytes(1, "little", signed=True) for value in values)
        return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return tuple(values)


def literal(value: int) -> str:
    if -(1 << 63) < value < 1 << 63:
        return f"{value}ll"
    if value < 0:
        value += 1 << 128
    return f"(((u128){value >> 64}ull << 64) | {value & (1 << 64) - 1}ull)"


def host_compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return [path]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    pytest.skip("no C compiler: install gcc, or ziglang from PyPI")


def bpf_compiler() -> list[str]:
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding"]
    for folder in Path(sys.prefix, ".cache").glob("ziglang-*"):
        return [str(folder / "ziglang" / "zig"), "cc", "-target", "bpfel-freestanding"]
    # clang 14 does not tell BTF which enumerations are signed.
    if (path := shutil.which("clang")) and _clang_major(path) >= 16:
        return [path, "-target", "bpfel"]
    pytest.skip("no compiler for BPF: install clang 16 or later, or ziglang from PyPI")


def _clang_major(path: str) -> int:
    found = re.search(r"version (\d+)", run([path, "--version"]))
    return int(found[1]) if found else 0


def agrees(value: Any, expected: Any) -> bool:
    """Whether what was decoded has the values that C wrote; of a union one view was written."""
    if isinstance(expected, dict):
        return isinstance(value, Record) and all(
            agrees(getattr(value, name), each) for name, each in expected.items()
        )
    return bool(value == expected)


@pytest.fixture(scope="module", params=range(3))
def compiled(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Any]:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the structs of this machine may be laid out unlike BPF's")
    host, bpf = host_compiler(), bpf_compiler()
    folder = tmp_path_factory.mktemp("layouts")
    writer = Writer(request.param)
    writer.write()
    (folder / "layouts.h").write_text("\n".join(writer.header))
    variables = "".join(f"struct s{n} v{n};\n" for n in range(STRUCTS))
    (folder / "layouts.bpf.c").write_text(f'#include "layouts.h"\n{variables}')
    (folder / "layouts.c").write_text(
        '#include <stdio.h>\n#include "layouts.h"\n'
        "static void show(void *data, int size) {\n"
        '  for (int i = 0; i < size; i++) printf("%02x", ((u8 *)data)[i]);\n'
        '  printf("\\n");\n}\n'
        "int main(void) {\n" + "\n".join(writer.program) + "\nreturn 0; }\n"
    )
    quiet = ["-w", "-I", str(folder)]
    target = folder / "layouts"
    run([*host, *quiet, str(folder / "layouts.c"), "-o", str(target)])
    source = str(folder / "layouts.bpf.c")
    run([*bpf, *quiet, "-O2", "-g", "-c", source, "-o", str(folder / "layouts.o")])
    elf = ELFFile(BytesIO((folder / "layouts.o").read_bytes()))
    btf = Btf(elf.get_section_by_name(".BTF").data())
    lines = run([str(target)]).split()
    return btf, [bytes.fromhex(line) for line in lines], writer.expected


def run(command: list[str]) -> str:
    # zig keeps what it compiles in a folder of the user, who may have none that can be written
    env = {"ZIG_GLOBAL_CACHE_DIR": tempfile.gettempdir() + "/zig-cache", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stdout


def test_random_structs_read_as_written_by_c(compiled: Any) -> None:
    btf, written, expected = compiled
    for (name, values), data in zip(expected.items(), written, strict=True):
        (type_id,) = btf.find(name, Kind.STRUCT)
        made = codec(btf, type_id)
        assert made.size == len(data)
        value = made.decode(data)
        assert agrees(value, values), (name, value, values)
        assert made.encode(value) == data, (name, value)
        assert made.encode(value._asdict()) == data
        padded = b"\xaa" * 3 + data + b"\xbb" * 5
        assert repr(made.decode(padded, 3)) == repr(value)  # two NaNs are not equal
