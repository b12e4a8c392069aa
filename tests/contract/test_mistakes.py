"""Arguments that make no sense: an error that names the argument, before anything is attached."""

from __future__ import annotations

import errno
import socket

import pytest

import pylibbpf

HUGE = 1 << 70

# Object, program, method, arguments, named arguments, error, and what it says.
MISTAKES = [
    ("probes", "kprobe", "attach_kprobe", (None,), {}, TypeError, "a name or an address"),
    ("probes", "kprobe", "attach_kprobe", (True,), {}, TypeError, "a name or an address"),
    ("probes", "kprobe", "attach_kprobe", ("",), {}, ValueError, "function is empty"),
    ("probes", "kprobe", "attach_kprobe", ("a\0b",), {}, ValueError, "NUL in the function"),
    ("probes", "kprobe", "attach_kprobe", (HUGE,), {}, ValueError, "positive number"),
    ("probes", "kprobe", "attach_kprobe", ("f",), {"cookie": "x"}, TypeError, "cookie is"),
    ("probes", "kprobe", "attach_kprobe", ("f",), {"cookie": -1}, ValueError, "cookie is"),
    ("probes", "kprobe", "attach_kprobe", ("f",), {"offset": -1}, ValueError, "offset is"),
    ("probes", "kprobe", "attach_kprobe_multi", (5,), {}, TypeError, "pattern is a str"),
    (
        "probes",
        "kprobe",
        "attach_kprobe_multi",
        (),
        {"functions": ["f"], "cookies": [HUGE]},
        ValueError,
        "each of cookies",
    ),
    (
        "probes",
        "kprobe",
        "attach_kprobe_multi",
        (),
        {"functions": None},
        TypeError,
        "functions is a sequence of names",
    ),
    ("probes", "kprobe", "attach_ksyscall", (None,), {}, TypeError, "name is a str"),
    ("probes", "kprobe", "attach_uprobe", (True, "f"), {}, TypeError, "binary is a path"),
    ("probes", "kprobe", "attach_uprobe", ("libc", b"f"), {}, TypeError, "function is a str"),
    (
        "probes",
        "kprobe",
        "attach_uprobe",
        ("libc", "f"),
        {"pid": "1"},
        TypeError,
        "pid is an int, not str",
    ),
    (
        "probes",
        "kprobe",
        "attach_uprobe",
        ("libc", "f"),
        {"ref_ctr_offset": 1 << 40},
        ValueError,
        "ref_ctr_offset is from 0",
    ),
    ("probes", "kprobe", "attach_usdt", ("libc", None, "n"), {}, TypeError, "provider is"),
    ("traces", "tracepoint", "attach_tracepoint", ("sched", None), {}, TypeError, "name is a str"),
    ("traces", "raw_tp", "attach_raw_tracepoint", (5,), {}, TypeError, "name is a str"),
    ("traces", "tp_btf", "attach_trace", (), {"cookie": HUGE}, ValueError, "cookie is from 0"),
    ("traces", "tp_btf", "attach_iter", (), {}, TypeError, "attaches iterators"),
    ("traces", "tp_btf", "set_attach_target", (5,), {}, TypeError, "function is a str"),
    ("traces", "tp_btf", "set_attach_target", ("f", "x"), {}, TypeError, "program is one, or"),
    ("traces", "tp_btf", "set_attach_target", ("f", True), {}, TypeError, "is a descriptor"),
    ("traces", "tp_btf", "set_attach_target", ("f", HUGE), {}, ValueError, "cannot be one"),
    (
        "traces",
        "tp_btf",
        "attach_perf_event",
        ("cpu-clock",),
        {"frequency": 9},
        TypeError,
        "of type PERF_EVENT",
    ),
    (
        "perf_event",
        "strike",
        "attach_perf_event",
        (b"cycles",),
        {"period": 1},
        TypeError,
        "is a str",
    ),
    (
        "perf_event",
        "strike",
        "attach_perf_event",
        ("cpu-clock",),
        {"period": HUGE},
        ValueError,
        "period is from 1",
    ),
    (
        "perf_event",
        "strike",
        "attach_perf_event",
        ("cpu-clock",),
        {"period": 1, "pid": HUGE},
        ValueError,
        "pid",
    ),
    ("perf_event", "strike", "attach_perf_event", (), {"fd": HUGE}, ValueError, "cannot be one"),
    ("iterators", "elements", "attach_iter", (5,), {}, TypeError, r"one of obj\.maps"),
    ("iterators", "tasks", "attach_iter", (), {"pidfd": "x"}, TypeError, "pidfd is"),
    ("iterators", "tasks", "attach_iter", (), {"pidfd": -1}, ValueError, "cannot be one"),
    ("iterators", "cgroups", "attach_iter", (), {"cgroup": 5.5}, TypeError, "a cgroup is a path"),
    ("devices", "xdp_pass", "attach_xdp", ("lo",), {"netns": 1.5}, TypeError, "network namespace"),
    ("devices", "xdp_pass", "attach_xdp", ("lo",), {"mode": []}, ValueError, "mode is native"),
    ("devices", "tc_first", "attach_tc", ("lo", "egress"), {"netns": True}, TypeError, "not bool"),
    ("devices", "tc_first", "attach_tcx", ("lo", "egress"), {"after": HUGE}, ValueError, "id of a"),
    ("sockets", "filter", "attach_socket", (HUGE,), {}, ValueError, "cannot be one"),
    ("cgroups", "connect4", "attach_cgroup", ("",), {}, ValueError, "cgroup is empty"),
    (
        "cgroups",
        "connect4",
        "attach_cgroup",
        ("/",),
        {"link": False, "replace": -1},
        ValueError,
        "replace",
    ),
    ("contexts", "mark", "test_run", (5,), {}, TypeError, "data is bytes, not int"),
    ("contexts", "mark", "test_run", ("x" * 64,), {}, TypeError, "data is bytes, not str"),
    ("contexts", "mark", "test_run", (bytes(64), {}), {"ctx_type": 5}, TypeError, "ctx_type is"),
    ("contexts", "mark", "test_run", (bytes(64),), {"repeat": "x"}, TypeError, "repeat is an int"),
    ("contexts", "third", "test_run", (), {"args": 5}, TypeError, "args is a sequence"),
]


@pytest.mark.parametrize(
    ("name", "program", "method", "arguments", "named", "error", "text"),
    MISTAKES,
    ids=[f"{each[2]}-{each[6]}" for each in MISTAKES],
)
def test_names_the_argument(open_test_object, name, program, method, arguments, named, error, text):
    obj = open_test_object(name)  # not loaded: the argument is looked at first
    with pytest.raises(error, match=text):
        getattr(obj.programs[program], method)(*arguments, **named)


def test_queries_name_the_argument(engine, make_cgroup):
    for attach_type, error in (("x", TypeError), (-1, ValueError), (HUGE, ValueError)):
        with pytest.raises(error, match="attach_type is"):
            pylibbpf.query_cgroup(make_cgroup(), attach_type, engine=engine)


def test_a_program_that_was_left_out(open_test_object):
    with open_test_object("sockets") as obj:  # SEC("?..."): none of its programs is loaded
        obj.load()
        with socket.socket() as one, pytest.raises(pylibbpf.BpfError, match="autoload") as caught:
            obj.programs["filter"].attach_socket(one)
        assert caught.value.errno == errno.EBADF


def test_a_descriptor_that_is_no_pidfd(load_test_object):
    program = load_test_object("iterators").programs["tasks"]
    with (
        open("/dev/null") as other,
        pytest.raises(pylibbpf.BpfError, match="is no pidfd") as caught,
    ):
        program.attach_iter(pidfd=other)
    assert caught.value.errno == errno.EBADF


def test_a_packet_and_a_context_that_are_too_long(load_test_object):
    program = load_test_object("contexts").programs["mark"]
    with pytest.raises(pylibbpf.BpfError, match="1048576 bytes, and a packet must fit into a page"):
        program.test_run(bytes(1 << 20))
    with pytest.raises(pylibbpf.BpfError, match="the context is longer") as caught:
        program.test_run(bytes(64), bytes(1 << 20))
    assert caught.value.errno == errno.E2BIG


def test_settings_name_themselves(open_test_object):
    obj = open_test_object("minimal")
    one = next(iter(obj.programs.values()))
    with pytest.raises(TypeError, match=f"type of {one.name!r}: 'x'"):
        one.type = "x"
    with pytest.raises(OverflowError, match=f"flags of {one.name!r}"):
        one.flags = HUGE
    table = next(iter(open_test_object("maps").maps.values()))
    with pytest.raises(TypeError, match=f"max_entries of {table.name!r}: None"):
        table.max_entries = None


@pytest.mark.parametrize("named", [{"flags": -1}, {"numa_node": "x"}, {"map_extra": HUGE}])
def test_a_map_that_makes_no_sense(engine, named):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(named))} is"):
        pylibbpf.create_map("hash", "u32", "u32", 1, engine=engine, **named)
    with pytest.raises(ValueError, match="max_entries is from 0"):
        pylibbpf.create_map("hash", "u32", "u32", -1, engine=engine)


def test_reuse_of_what_is_no_map(open_test_object):
    table = next(iter(open_test_object("maps").maps.values()))
    with open("/dev/null") as other, pytest.raises(pylibbpf.BpfError, match="of no map"):
        table.reuse(other.fileno())
    with pytest.raises(ValueError, match="cannot be one"):
        table.reuse(HUGE)


def test_devices_and_processes_that_cannot_be(engine, load_test_object):
    with pylibbpf.create_map("devmap", value=8, max_entries=2, engine=engine) as devices:
        with pytest.raises(pylibbpf.BpfError, match=r"no interface 'nope': it has .*lo") as caught:
            devices[0] = "nope"
        assert caught.value.errno == errno.ENODEV
        for wrong in (-1, 0, HUGE):
            with pytest.raises(ValueError, match="index of a device is from 1"):
                devices[0] = wrong
    tasks = load_test_object("storage").map("tasks")
    for wrong in (-1, 0, HUGE):
        with pytest.raises(ValueError, match="a pid is from 1"):
            tasks[wrong]
    with (
        pylibbpf.create_map("prog_array", max_entries=1, engine=engine) as programs,
        pytest.raises(ValueError, match="is no descriptor"),
    ):
        programs[0] = HUGE


@pytest.mark.parametrize(
    ("name", "program", "method"),
    [
        ("devices", "xdp_pass", r"attach_xdp\("),
        ("devices", "tc_first", r"attach_tc\("),
        ("sockets", "lookup", r"attach_sk_lookup\("),
        ("perf_event", "strike", r"attach_perf_event\("),
        ("probes", "uprobe", r"attach_uprobe\("),
        ("probes", "usdt", r"attach_usdt\("),
        ("traces", "tracepoint", r"attach_tracepoint\("),
        ("traces", "raw_tp", r"attach_raw_tracepoint\("),
    ],
)
def test_what_does_not_say_where_to_attach(open_test_object, name, program, method):
    obj = open_test_object(name)
    for each in obj.programs.values():
        each.autoload = each.name == program
    obj.load()
    with pytest.raises(pylibbpf.BpfError, match=f"that is said by {method}") as caught:
        obj.programs[program].attach()
    assert caught.value.errno == errno.EOPNOTSUPP
