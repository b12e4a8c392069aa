"""Our loader gives the same programs and maps as libbpf itself."""

from __future__ import annotations

import pytest
from differential import libbpf_load

from pylibbpf.isa import insn as isa
from pylibbpf.loader import object as loader


@pytest.fixture
def ask(by_id):
    """Asks libbpf, which needs to try out the kernel."""
    return libbpf_load.load


def test_oracle_names_maps_and_poison(ask, objects):
    """What the comparison stands on: names of maps, sections, and what CO-RE does not find."""
    loaded = ask(objects / "core.bpf.o")
    assert loaded.refused is None
    by_name = {each.name: each for each in loaded.programs}
    spec = loader.read(objects / "core.bpf.o")
    assert by_name.keys() == {each.name for each in spec.programs}
    assert {map.name for map in loaded.maps} == {map.name for map in spec.maps}
    poison = isa.encode([isa.Insn(isa.CALL_CODE, 0, 0, 0, 195896080)])
    assert poison in by_name["unguarded"].code
    assert set(by_name["guarded"].names.values()) == {("map", ".bss"), ("map", ".data")}


def test_oracle_loads_nothing(ask, objects):
    """An object whose programs the kernel would accept is relocated, and refused all the same."""
    loaded = ask(objects / "minimal.bpf.o")
    assert (loaded.refused, loaded.errno) == (None, 22)
    assert all(program.code for program in loaded.programs)
