"""SEC() names that this libbpf does not know do not fail the object."""

from __future__ import annotations

import os

import pytest

import pylibbpf
from pylibbpf.engine.kernel.library import version
from pylibbpf.uapi.sections import section


def test_types_come_from_the_table_where_libbpf_has_none(open_test_object):
    obj = open_test_object("newer_sections")
    for program in obj.programs.values():
        row = section(program.section)
        assert program.type == row.type, program
        # libbpf gives the flags of the names that it knows at load.
        if row.libbpf > version():
            assert program.expected_attach_type == row.attach_type, program
            assert program.flags == row.flags, program


def test_an_unknown_section_loads_and_the_others_attach(open_test_object):
    obj = open_test_object("newer_sections")
    obj.load()
    assert obj.programs["tcx_ingress"].fd >= 0
    links = obj.attach().links
    assert [link.name for link in links] == ["known"]
    os.getpgid(0)
    assert obj.globals["hits"] > 0


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("kprobe_session", (1, 5)),
        ("uprobe_multi", (1, 3)),
        ("uprobe_session", (1, 6)),
        ("fentry_multi", (1, 8)),
    ],
)
def test_what_cannot_be_attached_is_refused_before_load(open_test_object, name, needed):
    obj = open_test_object("newer_sections")
    program = obj.programs[name]
    if version() >= needed:
        assert program.obstacle is None
        return
    program.autoload = True
    text = rf"libbpf {needed[0]}\.{needed[1]}; .* is {version()[0]}\.{version()[1]}"
    with pytest.raises(pylibbpf.NotSupportedError, match=text) as caught:
        obj.load()
    assert program.obstacle in str(caught.value)
    assert f"{name!r}" in str(caught.value)
    # Nothing was loaded yet: without the program the same object goes on.
    program.autoload = False
    obj.load()
    assert len(obj.attach().links) == 1


def test_an_obstacle_does_not_matter_to_who_will_not_attach(open_test_object):
    obj = open_test_object("newer_sections")
    program = obj.programs["uprobe_multi"]
    if program.obstacle is None:
        pytest.skip("needs a libbpf older than 1.3")
    program.autoload, program.autoattach = True, False
    try:
        obj.load()
    except pylibbpf.BpfError as error:  # the kernel may be too old for the attach type
        assert error.object == "uprobe_multi"  # noqa: PT017
    assert obj.programs["known"].obstacle is None


def test_a_type_that_is_set_ends_what_the_name_says(open_test_object):
    obj = open_test_object("newer_sections")
    program = obj.programs["kprobe_session"]
    program.autoload = True
    program.type = pylibbpf.ProgType.RAW_TRACEPOINT
    program.expected_attach_type = 0
    assert program.obstacle is None
    obj.load()
    assert program.fd >= 0


def test_a_section_without_its_function(open_test_object):
    obj = open_test_object("newer_sections")
    obj.programs["fsession_of_nothing"].autoload = True
    with pytest.raises(pylibbpf.Error, match=r"fsession_of_nothing|set_attach_target"):
        obj.load()


def test_a_usdt_probe_of_a_newer_name_is_attached_all_the_same(open_test_object):
    """Sleepable USDT: libbpf 1.1 has the call, though not the SEC() name."""
    obj = open_test_object("newer_sections")
    obj.programs["usdt_sleepable"].autoload = True
    try:
        obj.load()
    except pylibbpf.BpfError as error:  # sleepable uprobes: Linux 6.0
        assert error.object == "usdt_sleepable"  # noqa: PT017
        return
    with pytest.raises(pylibbpf.BpfError, match="no USDT probe"):
        obj.programs["usdt_sleepable"].attach()


@pytest.mark.parametrize("name", ["tp_btf_sleepable", "tp_sleepable", "raw_tp_sleepable"])
def test_sleepable_tracepoints(open_test_object, name):
    """Where the kernel takes them (7.2), they strike under any libbpf."""
    obj = open_test_object("newer_sections")
    obj.programs[name].autoload = True
    obj.programs["known"].autoload = False
    try:
        obj.load()
    except pylibbpf.BpfError as error:
        assert error.object == name  # noqa: PT017
        return
    with obj.programs[name].attach():
        os.getpgid(0)
        assert obj.globals["hits"] > 0


def test_a_name_that_nobody_knows_names_those_near(open_test_object):
    obj = open_test_object("unknown_section")
    with pytest.raises(pylibbpf.BpfError, match="says no type of program") as caught:
        obj.load()
    assert caught.value.object == "stray"


def test_a_sleepable_struct_ops_program(open_test_object):
    """libbpf 1.1 does not even open it."""
    if version() >= (1, 2):
        obj = open_test_object("sleepable_struct_ops")
        assert obj.programs["undo_cwnd"].type == pylibbpf.ProgType.STRUCT_OPS
        return
    with pytest.raises(pylibbpf.NotSupportedError, match=r"'undo_cwnd'.*needs libbpf 1\.2"):
        open_test_object("sleepable_struct_ops")
