"""Our loader gives the same programs and maps as libbpf itself, instruction by instruction.

With the libbpf that pylibbpf uses here, and with the newest of Debian, which knows more sections
and takes more maps.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path

import conformance
import pytest
import selftests
from differential import equality, libbpf_load
from differential.equality import Verdict

from pylibbpf.engine.kernel import library
from pylibbpf.isa import insn as isa
from pylibbpf.loader import object as loader

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import debpkg  # noqa: E402
import headers as debian  # noqa: E402

NEWEST = "sid"


@pytest.fixture(scope="module", params=["here", NEWEST])
def libbpf(by_id, request: pytest.FixtureRequest) -> str:
    """A libbpf to ask: it needs to try out the kernel."""
    if request.param == "here":
        return library.path()
    try:
        return str(debian.runtime(request.param))
    except (debpkg.DebianError, OSError) as error:
        reason = f"libbpf of Debian {request.param} is not to be had: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def held_against(libbpf: str, paths: list[Path]) -> Counter[Verdict]:
    """Compare, and fail with all that differs."""
    found = list(equality.compare_all(paths, libbpf=libbpf))
    wrong = [f"{each.path}: {each.verdict.value}\n{each.detail}" for each in found
             if not each.verdict.good]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    return Counter(each.verdict for each in found)


def test_own_objects(libbpf, objects, examples):
    paths = sorted([*objects.glob("*.bpf.o"), *examples.glob("*.bpf.o")])
    verdicts = held_against(libbpf, paths)
    # What makes no comparison is known: most must have made one.
    assert verdicts[Verdict.EQUAL] > len(paths) * 3 // 4


def test_selftests(libbpf):
    corpora = conformance.corpora()
    if corpora is None:
        pytest.skip("PYLIBBPF_CORPORA names no folder that can build the kernel's selftests")
    paths = selftests.build(corpora)
    assert len(paths) == selftests.EXPECTED, f"{corpora} made {len(paths)} objects"
    verdicts = held_against(libbpf, paths)
    assert verdicts[Verdict.EQUAL] > len(paths) * 3 // 4


def test_oracle_names_maps_and_poison(libbpf, objects):
    """What the comparison stands on: names of maps, sections, and what CO-RE does not find."""
    loaded = libbpf_load.load(objects / "core.bpf.o", libbpf=libbpf)
    assert loaded.refused is None
    by_name = {each.name: each for each in loaded.programs}
    spec = loader.read(objects / "core.bpf.o")
    assert by_name.keys() == {each.name for each in spec.programs}
    assert {map.name for map in loaded.maps} == {map.name for map in spec.maps}
    poison = isa.encode([isa.Insn(isa.CALL_CODE, 0, 0, 0, 195896080)])
    assert poison in by_name["unguarded"].code
    assert set(by_name["guarded"].names.values()) == {("map", ".bss"), ("map", ".data")}


def test_oracle_loads_nothing(libbpf, objects):
    """An object whose programs the kernel would accept is relocated, and refused all the same."""
    loaded = libbpf_load.load(objects / "minimal.bpf.o", libbpf=libbpf)
    assert (loaded.refused, loaded.errno) == (None, 22)
    assert all(program.code for program in loaded.programs)


def test_a_difference_is_seen(libbpf, objects):
    """The comparison is not blind: one instruction, one name, one size changed, and it tells."""
    loaded = libbpf_load.load(objects / "maps.bpf.o", libbpf=libbpf)
    ours = equality.relocated(objects / "maps.bpf.o", libbpf=equality.release(loaded))
    assert list(equality.differences(loaded, ours)) == []
    first = loaded.programs[0]
    at = min(first.names)
    for program in (
        dataclasses.replace(first, code=bytes(8) + first.code[8:]),
        dataclasses.replace(first, code=first.code[:-8]),
        dataclasses.replace(first, names={**first.names, at: ("map", "another")}),
        dataclasses.replace(first, type=first.type + 1),
    ):
        changed = dataclasses.replace(loaded, programs=(program, *loaded.programs[1:]))
        (difference,) = equality.differences(changed, ours)
        assert difference.startswith(f"{first.name}: ")
    sizes = dataclasses.replace(loaded.maps[0], value_size=loaded.maps[0].value_size + 1)
    changed = dataclasses.replace(loaded, maps=(sizes, *loaded.maps[1:]))
    (difference,) = equality.differences(changed, ours)
    assert difference.startswith(f"map {loaded.maps[0].name}: value_size: ")
