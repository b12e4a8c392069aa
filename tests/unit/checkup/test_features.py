"""Features of kernels: their names, and which kernels have them."""

from __future__ import annotations

import pytest

from pylibbpf.checkup.features import feature, features, plain
from pylibbpf.engine.kernel.probe.hooks import HOOKS
from pylibbpf.engine.kernel.probe.maps import MAPS
from pylibbpf.engine.kernel.probe.programs import PROGRAMS
from pylibbpf.uapi.sections import SECTIONS


def test_what_the_probes_know_has_names():
    hooks = [row.name.removesuffix(" (software)") for row in HOOKS]
    for name in (*hooks, *(row.type.name for row in MAPS), *(load.type.name for load in PROGRAMS)):
        assert plain(name) in features(), name


def test_sections_of_a_hook_are_features_not_older_than_it():
    found = [each for name, each in features().items() if each.name in SECTIONS]
    assert len(found) > 80
    for each in found:
        row = SECTIONS[each.name]
        assert each.since >= row.kernel or row.kernel == (5, 10)


@pytest.mark.parametrize("name", ["kprobe.multi", "kprobe_multi", "Kprobe-Multi"])
def test_spellings(name: str):
    assert feature(name).name == "kprobe.multi"


@pytest.mark.parametrize(
    ("name", "kind", "since"),
    [
        ("kretprobe_multi", "hook", (5, 18)),
        ("usdt", "hook", (4, 3)),
        ("arena", "map", (6, 9)),
        ("ringbuf", "map", (5, 8)),
        ("struct_ops", "hook", (5, 6)),
        ("sched_cls", "program", (4, 1)),
        ("perf_event", "hook", (4, 9)),
        ("xdp.frags", "hook", (5, 18)),
    ],
)
def test_kinds_and_versions(name: str, kind: str, since: tuple[int, int]):
    found = feature(name)
    assert (found.kind, found.since) == (kind, since)


def test_why_a_kernel_cannot_have_it():
    multi = feature("kprobe_multi")
    assert multi.why_not((5, 15, 3), None) == "kprobe.multi came with Linux 5.18"
    assert multi.why_not((6, 1, 0), None) is None
    assert multi.why_not((6, 1, 0), {"CONFIG_BPF_EVENTS": "y"}) == (
        "for kprobe.multi, the kernel must be built with CONFIG_FPROBE"
    )
    assert multi.why_not((6, 12, 1), {"CONFIG_BPF_EVENTS": "y", "CONFIG_FPROBE": "y"}) is None


def test_near_names():
    with pytest.raises(KeyError, match=r"no feature is called 'tcy'; did you mean tc or tcx"):
        feature("tcy")


def test_this_kernel_is_asked(bpf: None):
    ability = feature("array").ability()
    assert ability.works
    assert ability.kind == "map"
