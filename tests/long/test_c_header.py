"""Random types as C and as BTF again; and whole kernels, with bpftool's header beside ours."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import c_headers
import c_types
import pytest
from effort import cases

from pylibbpf.btf.kept import VMLINUX
from pylibbpf.btf.types import Kind
from pylibbpf.cli.btf_source import read_types


@pytest.fixture(scope="module")
def clang() -> tuple[str, ...]:
    found = c_headers.clangs()
    if not found:
        pytest.skip("needs clang")
    return found[0]


def test_random_types_survive(
    chance: random.Random, tmp_path: Path, clang: tuple[str, ...]
) -> None:
    for number in range(cases(dear=10)):
        seed = chance.randrange(1 << 32)
        types = c_types.random_types(random.Random(seed), 20)
        found = c_headers.round_trip(types.btf(), tmp_path, clang)
        assert found == [], f"seed {seed}, the {number}th"


def test_bpftool(tmp_path: Path, clang: tuple[str, ...]) -> None:
    """Of this kernel: whatever bpftool lays out as BTF has it, we lay out as bpftool."""
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if bpftool is None:
        pytest.skip("needs bpftool")
    btf = read_types(VMLINUX)
    ours, theirs = tmp_path / "ours.h", tmp_path / "theirs.h"
    tags = c_headers.written(btf, ours)
    dumped = subprocess.run(
        [bpftool, "btf", "dump", "file", VMLINUX, "format", "c"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs.write_text(dumped.stdout)
    assert set(tags) == set(c_headers.tags_of(dumped.stdout))
    said = {}
    for header, more in ((ours, ()), (theirs, ("-fms-extensions", "-Wno-microsoft"))):
        source = header.with_suffix(".c")
        source.write_text(c_headers.variables(header, tags))
        compiled = c_headers.compile_c(clang, source, *c_headers.char(btf), *more)
        said[header] = c_headers.btf_of(compiled)
    assert list(c_headers.differences(btf, tags, said[ours])) == []
    wrong = {
        re.split(r"[:.]", line)[0] for line in c_headers.differences(btf, tags, said[theirs])
    }  # of bpftool, as of 7.1 in enumerations of one byte
    assert len(wrong) < len(tags) / 20
    found = {}
    for tag in set(tags) - wrong:
        word, name = tag.split()
        kind = Kind.UNION if word == "union" else Kind.STRUCT
        (found[tag],) = said[ours].find(name, kind)
    assert list(c_headers.differences(said[ours], found, said[theirs])) == []
