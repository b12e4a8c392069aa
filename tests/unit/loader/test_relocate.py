"""Programs in one piece: what libbpf makes of them, shown on small objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.isa import insn as isa
from pylibbpf.loader.kconfig import Kconfig
from pylibbpf.loader.object import read
from pylibbpf.loader.relocate import POISON_MAP, relocate
from pylibbpf.spec import MapKind, ReferenceKind

OBJECTS = Path(__file__).parents[2] / "objects"
KERNEL = Kconfig({"CONFIG_HZ": "100", "CONFIG_X86": "y"}, version=(6, 12, 5))


def relocated(name, **given):
    given.setdefault("kconfig", KERNEL)
    return relocate(read(OBJECTS / f"{name}.bpf.o"), **given)


def test_maps_are_names_and_their_descriptors_are_left_open():
    found = relocated("maps")
    for program in found.programs:
        loads = {
            at: insn for at, insn in enumerate(program.insns) if insn.src == isa.PSEUDO_MAP_FD
            and insn.code == isa.LD_IMM64
        }  # fmt: skip
        assert set(loads) == {
            at for at, r in program.references.items() if r.kind is ReferenceKind.MAP
        }
        assert all(insn.imm == 0 for insn in loads.values())
        assert all(found.map(program.references[at].target) is not None for at in loads)


def test_data_is_an_offset_in_a_map_s_value():
    found = relocated("globals")
    (program,) = found.programs
    data = {at: r for at, r in program.references.items() if r.kind is ReferenceKind.DATA}
    assert {r.target for r in data.values()} >= {".rodata", ".data", ".bss", ".data.custom"}
    for at, reference in data.items():
        assert program.insns[at].src == isa.PSEUDO_MAP_VALUE
        assert program.insns[at + 1].imm == reference.offset


def test_a_map_that_is_not_created_must_not_be_loaded():
    spec = read(OBJECTS / "minimal.bpf.o")
    usual = relocate(spec, kconfig=KERNEL)
    index = [each.name for each in usual.maps].index("counts")
    without = relocate(spec, kconfig=KERNEL, without_maps=["counts"])
    assert without.map("counts").created is False
    at = next(at for at, r in usual.programs[0].references.items() if r.target == "counts")
    poison = isa.Insn(isa.CALL_CODE, imm=POISON_MAP + index)
    assert without.programs[0].insns[at : at + 2] == (poison, poison)
    assert at not in without.programs[0].references


def test_read_only_data_is_frozen_and_has_its_contents():
    found = relocated("globals")
    rodata, data = found.map(".rodata"), found.map(".data")
    assert rodata.frozen
    assert not data.frozen
    assert rodata.kind is MapKind.DATA
    assert len(rodata.contents) == rodata.value_size


@pytest.mark.parametrize(
    ("asked", "made"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192), (12288, 16384)]
)
def test_a_ring_has_a_power_of_two_of_pages(asked, made):
    from pylibbpf.loader.created import ring_size

    assert ring_size(asked) == made
