"""The table of SEC() names."""

from __future__ import annotations

import pytest

from pylibbpf.uapi.attaching import ATTACH_THEMSELVES, attaches_itself
from pylibbpf.uapi.enums import AttachType, ProgType
from pylibbpf.uapi.sections import SECTIONS, program_type, section


def test_counts():
    """libbpf 1.7 has 105 definitions, 39 that attach themselves and 14 sleepable; 1.8 adds 11."""
    seven = [each for each in SECTIONS.values() if each.libbpf <= (1, 7)]
    assert len(seven) == 105
    assert sum(each.attaches for each in seven) == 39
    assert sum(each.sleepable for each in seven) == 14
    assert len(SECTIONS) == 116


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("kprobe/do_exit", "kprobe"),
        ("?kprobe.multi/tcp_*", "kprobe.multi"),
        ("kprobe", "kprobe"),
        ("kprobe.nulti/x", None),
        ("kprobes", None),
        ("xdp", "xdp"),
        ("xdp/eth0", None),  # libbpf 1.0 and later are strict
        ("xdp.frags/devmap", "xdp.frags/devmap"),
        ("cgroup_skb/egress", "cgroup_skb/egress"),
        ("cgroup/connect4", "cgroup/connect4"),
        ("uprobe.s//bin/sh:main", "uprobe.s"),
        ("", None),
    ],
)
def test_names(written, name):
    found = section(written)
    assert (found and found.name) == name


def test_a_row():
    found = section("fsession.s/tcp_connect")
    assert found is not None
    assert (found.type, found.attach_type) == (ProgType.TRACING, AttachType.TRACE_FSESSION)
    assert (found.sleepable, found.attach_btf, found.attaches) == (True, True, True)
    assert (found.libbpf, found.flags) == ((1, 7), 1 << 4)
    frags = section("xdp.frags")
    assert frags is not None
    assert frags.flags == 1 << 5


def test_what_attaches_itself():
    assert attaches_itself("?kprobe/do_exit")
    assert not attaches_itself("kprobe")
    assert not attaches_itself("xdp")
    assert not attaches_itself("lsm_cgroup/socket_bind")
    assert not attaches_itself("nothing/of/that")


def test_types_of_older_names():
    assert program_type("xdp/eth0") is ProgType.XDP
    assert program_type("cgroup/connect4/x") is ProgType.CGROUP_SOCK_ADDR
    assert program_type("?tp/a/b") is ProgType.TRACEPOINT
    assert program_type("xdp_drop") is None
    assert program_type("") is None


def test_every_name_that_attaches_itself_is_a_section():
    assert {each.name for each in SECTIONS.values() if each.attaches} == ATTACH_THEMSELVES
    assert all(SECTIONS[name].extends for name in ATTACH_THEMSELVES)
    iterators = {name for name, row in SECTIONS.items() if row.attach_type == AttachType.TRACE_ITER}
    assert iterators == {"iter", "iter.s"}
