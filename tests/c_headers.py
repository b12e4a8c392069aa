"""What a C compiler makes of a header that was written from BTF: shared by tests of btf/c_dump.py.

The compiler lays the types out anew, from C, and its own BTF of them is compared with the first.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

from pylibbpf.btf.c_dump import CDump
from pylibbpf.btf.compare import difference
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Array, Kind, Struct, Union

COMPOSITES = (Kind.STRUCT, Kind.UNION)
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# The first that is there must be one that tells the sign of enumerations in BTF (15).
_CLANGS = ("clang-19", "clang-20", "clang-21", "clang-22", "clang-14")


def clangs() -> list[tuple[str, ...]]:
    """Every compiler for BPF that is here: commands up to the options."""
    found: list[tuple[str, ...]] = [
        (name, "-target", "bpf") for name in _CLANGS if shutil.which(name)
    ]
    if importlib.util.find_spec("ziglang") is not None:  # as `make lint` installs it
        zig = (sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding")
        found.insert(len(found) if found[:1] != [(_CLANGS[-1], "-target", "bpf")] else 0, zig)
    return found


def compile_c(clang: Iterable[str], source: Path, *options: str) -> Path:
    """Compile for BPF with debug information; what the compiler says against it is the error."""
    out = source.with_suffix(".o")
    done = subprocess.run(
        [*clang, "-g", *options, "-c", str(source), "-o", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:4000]
    return out


def char(btf: Btf) -> tuple[str, ...]:
    """Options for the sign that char has there: x86's kernels have none from 6.2 on."""
    ids = btf.find("char", Kind.INT)
    found = btf.type(ids[0]) if ids else None
    return () if found is None or getattr(found, "signed", True) else ("-funsigned-char",)


def btf_of(path: Path) -> Btf:
    """The BTF that the compiler wrote."""
    section = ELFFile(BytesIO(path.read_bytes())).get_section_by_name(".BTF")
    assert section is not None
    return Btf(section.data())


def composites(btf: Btf) -> list[int]:
    """Structs and unions that have a name."""
    return [i for i in range(1, len(btf)) if btf.kind(i) in COMPOSITES and btf.type(i).name]


def written(btf: Btf, header: Path) -> dict[str, int]:
    """Write the header; give each struct and union by its name in it."""
    dump = CDump(btf)
    dump.add_all()
    header.write_text(dump.header(dump.kfuncs()))
    return {dump.name(i): i for i in composites(btf)}


def tags_of(header: str) -> list[str]:
    """The structs and unions that a header defines."""
    return re.findall(r"^((?:struct|union) \w+) \{", header, re.MULTILINE)


def variables(header: Path, tags: Iterable[str]) -> str:
    """C with a variable of each type, so that the compiler describes them all."""
    lines = [f"{tag} v{number};" for number, tag in enumerate(tags)]
    return "\n".join([f'#include "{header}"', *lines, ""])


def members(btf: Btf, type_id: int) -> Iterator[tuple[str, int, int, bool]]:
    """(path, offset in bits, bits, is a bit-field) of members, those within members, too."""
    found = btf.type(type_id)
    assert isinstance(found, Struct | Union)
    for member in found.members:
        inner = btf.resolve(member.type_id)
        kind = btf.kind(inner)
        bits = member.bitfield_size or 8 * btf.sizeof(inner)
        if member.name:
            yield member.name, member.bit_offset, bits, bool(member.bitfield_size)
        path = member.name + "." if member.name else ""
        if kind is Kind.ARRAY and member.name:
            array = btf.type(inner)
            assert isinstance(array, Array)
            inner, path = btf.resolve(array.type_id), member.name + "[0]."
            kind = btf.kind(inner) if array.nelems else Kind.ARRAY
        if kind in COMPOSITES and not (btf.type(inner).name and member.name):
            for name, offset, size, field in members(btf, inner):
                yield path + name, member.bit_offset + offset, size, field


def assertions(btf: Btf, tags: dict[str, int]) -> str:
    """C that compiles only where sizes and offsets are those of BTF."""
    lines = ['#define at(t, m, n) _Static_assert(__builtin_offsetof(t, m) == n, #t "." #m)']
    for tag, type_id in tags.items():
        found = btf.type(type_id)
        assert isinstance(found, Struct | Union)
        lines.append(f'_Static_assert(sizeof({tag}) == {found.size}, "{tag}");')
        for path, offset, _, is_field in members(btf, type_id):
            if not is_field:
                lines.append(f"at({tag}, {path}, {offset // 8});")
    return "\n".join([*lines, ""])


def differences(ours: Btf, our_ids: dict[str, int], theirs: Btf) -> Iterator[str]:
    """What the compiler's BTF says otherwise of these types, each by its name in C."""
    for tag, type_id in our_ids.items():
        word, name = tag.split()
        kind = Kind.UNION if word == "union" else Kind.STRUCT
        found = theirs.find(name, kind)
        if len(found) != 1:
            yield f"{tag}: {len(found)} types there"
        elif said := difference(ours, type_id, theirs, found[0], tag):
            yield f"{tag}: {said}"


def spellings(ours: Btf, our_ids: dict[str, int], theirs: Btf) -> Iterator[str]:
    """Members whose types have other names in the compiler's BTF: pointers to other things, say."""
    for tag, type_id in our_ids.items():
        word, name = tag.split()
        (found,) = theirs.find(name, Kind.UNION if word == "union" else Kind.STRUCT)
        yield from _unlike(ours, type_id, theirs, found, tag)


def _unlike(ours: Btf, our_id: int, theirs: Btf, their_id: int, path: str) -> Iterator[str]:
    one, other = ours.type(our_id), theirs.type(their_id)
    assert isinstance(one, Struct | Union)
    assert isinstance(other, Struct | Union)
    for mine, its in zip(one.members, other.members, strict=True):
        here, there = ours.c_name(mine.type_id), theirs.c_name(its.type_id)
        if here != there:
            yield f"{path}.{mine.name} is {here} here and {there} there"
        inner = ours.resolve(mine.type_id)
        if ours.kind(inner) in COMPOSITES and not ours.type(inner).name:
            yield from _unlike(
                ours, inner, theirs, theirs.resolve(its.type_id), f"{path}.{mine.name}"
            )


def round_trip(btf: Btf, folder: Path, clang: tuple[str, ...]) -> list[str]:
    """What is lost of types that become C, and BTF again."""
    header, source = folder / "types.h", folder / "types.c"
    tags = written(btf, header)
    source.write_text(variables(header, tags))
    again = btf_of(compile_c(clang, source, *WARNINGS))
    return [*differences(btf, tags, again), *spellings(btf, tags, again)]
