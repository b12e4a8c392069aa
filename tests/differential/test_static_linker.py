"""Objects linked by us and by libbpf's own linker are the same, for our reader and for libbpf."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from differential import libbpf_linker, libbpf_load

import pylibbpf
from pylibbpf.btf.parse import Btf
from pylibbpf.loader.object import read
from pylibbpf.spec import MapSpec, ObjectSpec

OURS = [f"link_{name}.bpf.o" for name in ("main", "store", "more")]
SETS = 24  # how many sets of other objects are linked, of the same seed each time
SEED = 6


def name_of(btf: Btf | None, type_id: int | None) -> str | None:
    return btf.c_name(type_id) if btf is not None and type_id else None


def plain(spec: MapSpec | None, btf: Btf | None) -> Any:
    """A map's definition with names of types for their ids."""
    if spec is None:
        return None
    return dataclasses.replace(
        spec,
        key_type_id=None,
        value_type_id=None,
        inner=plain(spec.inner, btf),
    ), (name_of(btf, spec.key_type_id), name_of(btf, spec.value_type_id))


def view(spec: ObjectSpec) -> dict[str, Any]:
    """All that is in an object, but for the order of its types and symbols."""
    btf = spec.btf
    return {
        "license": spec.license,
        "version": spec.version,
        "sections": spec.sections,
        "maps": [plain(each, btf) for each in spec.maps],
        "externs": sorted((e.name, e.kind.value, name_of(btf, e.type_id)) for e in spec.externs),
        "globals": sorted(
            (g.section, g.offset, g.name, g.size, name_of(btf, g.type_id)) for g in spec.globals
        ),
        "functions": {
            (f.section, f.offset, f.name): (
                f.code,
                f.references,
                f.lines,
                f.program,
                f.linkage,
                name_of(btf, f.type_id),
                [(e.insn, e.kind, e.type_name, e.access, e.path) for e in f.core],
            )
            for f in spec.functions
        },
    }


def link_both(paths: Sequence[Path], folder: Path) -> tuple[bytes | str, bytes | str]:
    """Ours and libbpf's; of who refuses, what it says."""
    ours: bytes | str
    theirs: bytes | str
    try:
        ours = pylibbpf.link_objects(paths)
    except pylibbpf.Error as error:
        ours = str(error)
    try:
        theirs = libbpf_linker.link(paths, folder / "theirs.bpf.o")
    except libbpf_linker.LinkerError as error:
        theirs = str(error)
    return ours, theirs


@pytest.fixture
def both(objects: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The three objects that belong together, linked by us and by libbpf."""
    ours, theirs = link_both([objects / name for name in OURS], tmp_path)
    assert isinstance(ours, bytes), ours
    assert isinstance(theirs, bytes), theirs
    (tmp_path / "ours.bpf.o").write_bytes(ours)
    return tmp_path / "ours.bpf.o", tmp_path / "theirs.bpf.o"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_what_belongs_together(order: tuple[int, ...], objects: Path, tmp_path: Path) -> None:
    ours, theirs = link_both([objects / OURS[number] for number in order], tmp_path)
    assert isinstance(ours, bytes), ours
    assert isinstance(theirs, bytes), theirs
    one, other = view(read(ours)), view(read(theirs))
    assert one.keys() == other.keys()
    for part, value in one.items():
        assert value == other[part], part
    # libbpf keeps the prototype of an extern that it meets after the function.
    assert 0 <= len(read(theirs).btf or ()) - len(read(ours).btf or ()) <= 1


def test_any_objects(objects: Path, examples: Path, tmp_path: Path) -> None:
    """Most define the same names; those that can be linked are the same."""
    chance = random.Random(SEED)
    paths = sorted([*objects.glob("*.bpf.o"), *examples.glob("*.bpf.o")])
    # Of a map that no object defines, libbpf 1.7 makes one that is defined at the section's start.
    paths = [path for path in paths if path.name not in OURS]
    linked = 0
    for _ in range(SETS):
        some = chance.sample(paths, chance.choice((1, 2, 2, 3)))
        ours, theirs = link_both(some, tmp_path)
        assert isinstance(ours, bytes) == isinstance(theirs, bytes), (some, ours, theirs)
        if isinstance(ours, bytes) and isinstance(theirs, bytes):
            assert view(read(ours)) == view(read(theirs)), some
            assert len(read(ours).btf or ()) == len(read(theirs).btf or ()), some
            linked += 1
    assert linked > SETS // 4


def test_libbpf_links_what_we_have_linked(both: tuple[Path, Path], tmp_path: Path) -> None:
    again = libbpf_linker.link([both[0]], tmp_path / "again.bpf.o")
    assert view(read(again)) == view(read(both[0].read_bytes()))


def test_libbpf_relocates_them_alike(by_id: None, both: tuple[Path, Path]) -> None:
    loaded = [libbpf_load.load(path, kconfig="CONFIG_HZ=250\n") for path in both]
    assert [each.refused for each in loaded] == [None, None]
    ours, theirs = ([(p.name, p.section, p.code, p.names, p.lines) for p in each.programs]
                    for each in loaded)  # fmt: skip
    assert ours == theirs
    assert len(ours) == 3
    maps = []
    for path, each in zip(both, loaded, strict=True):
        btf = read(path).btf
        maps.append(
            [
                (
                    dataclasses.replace(one, key_type_id=0, value_type_id=0),
                    name_of(btf, one.key_type_id),
                    # That of data is a section, which libbpf's linker orders otherwise.
                    None if one.name.startswith(".") else name_of(btf, one.value_type_id),
                )
                for one in each.maps
            ]
        )
    assert maps[0] == maps[1]


def test_the_kernel_runs_them_alike(bpf: None, both: tuple[Path, Path]) -> None:
    results = []
    for path in both:
        with pylibbpf.open_object(path, kconfig="CONFIG_HZ=250\n", name="linked") as obj:
            obj.load()
            for name in ("first", "second", "third"):
                obj.programs[name].test_run()
            values = dict(obj.globals)
            values.pop("latest")  # the process that this one was started by: checked below
            results.append((values, [entry.count for entry in obj.map("entries").values()]))
            assert obj.globals["latest"][0].pids[1] > 0
    # libbpf's own linker leaves the weak number's place in BTF where it lost (1.7 and before).
    for values, _ in results:
        values.pop("weak_number")
    assert results[0] == results[1]
    values, counts = results[0]
    assert (values["runs"], values["total"]) == (3, 250)
    assert counts[1] == 13 + 9 + 1  # second adds the strong number, third its calls
