"""Maps of no object."""

from __future__ import annotations

import errno
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pylibbpf
from pylibbpf.uapi.flags import BPF_F_NO_PREALLOC

NUMBERS = {
    f"{sign}{bits}": (
        st.integers(0, 2**bits - 1)
        if sign == "u"
        else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    for sign in "us"
    for bits in (8, 16, 32, 64)
}
TYPES = {
    **NUMBERS,
    "bool": st.booleans(),
    "char[8]": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=7),
    "u8[6]": st.binary(min_size=6, max_size=6),
    "s16[3]": st.tuples(*[NUMBERS["s16"]] * 3),
}


@pytest.fixture
def create(engine):
    """Make a map on the engine under test; what the test leaves open is closed."""
    made = []

    def create_one(*args, **kwargs):
        made.append(pylibbpf.create_map(*args, engine=engine, **kwargs))
        return made[-1]

    yield create_one
    for each in made:
        each.close()


def test_a_hash(create):
    m = create("hash", "u32", "u64", 4, name="numbers")
    assert isinstance(m, pylibbpf.HashMap)
    assert (m.name, m.type, m.max_entries) == ("numbers", pylibbpf.MapType.HASH, 4)
    m.update({1: 10, 2: 20})
    assert m.to_dict() == {1: 10, 2: 20}
    with pytest.raises(KeyError):
        m[3]
    with pytest.raises(OverflowError):
        m[-1]
    assert m.id > 0
    m.close()
    m.close()
    assert m.closed
    with pytest.raises(pylibbpf.ClosedError, match=r"numbers.*is closed"):
        m[1]


def test_records(create):
    m = create("hash", {"pid": "u32", "name": "char[12]"}, {"hits": "u8", "bytes": "u64"}, 4)
    m[(7, "seven")] = {"hits": 1, "bytes": 2**40}
    ((key, value),) = m.items()
    assert (key.pid, key.name, value.hits, value.bytes) == (7, "seven", 1, 2**40)
    assert (m.key_size, m.value_size) == (16, 16)  # laid out as C does
    nested = create("array", value={"a": "u16", "b": {"c": "u8", "d": 3}}, max_entries=1)
    nested[0] = (1, (2, b"abc"))
    assert nested[0].b.d == b"abc"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_types_there_and_back(data):
    key, value = (data.draw(st.sampled_from(sorted(TYPES))) for _ in range(2))
    entries = data.draw(st.dictionaries(TYPES[key], TYPES[value], max_size=8))
    with make_or_skip("hash", key, value, 16) as m:
        m.update_many(entries)
        assert m.to_dict() == entries


def make_or_skip(*args):
    try:
        return pylibbpf.create_map(*args)
    except pylibbpf.BpfPermissionError as error:
        pytest.skip(f"needs CAP_BPF: {error}")


def test_bytes(create):
    m = create("hash", 3, 5, 4)
    m[b"abc"] = b"12345"
    assert m.to_dict() == {b"abc": b"12345"}
    with pytest.raises(TypeError, match="bytes"):
        m[1]


def test_every_class(create):
    for kind, cls, facts in (
        ("array", "ArrayMap", {"value": "u64"}),
        ("percpu_array", "ArrayMap", {"value": "u64"}),
        ("percpu_hash", "HashMap", {"key": "u16", "value": "u32"}),
        ("lru_hash", "HashMap", {"key": "u16", "value": "u32"}),
        ("queue", "QueueMap", {"value": "u32"}),
        ("stack", "QueueMap", {"value": {"x": "u8"}}),
        ("bloom_filter", "BloomFilter", {"value": "u32"}),
        ("stack_trace", "StackTraceMap", {"value": 8 * 16}),
        ("prog_array", "ProgramArray", {}),
        ("perf_event_array", "PerfEventArray", {}),
        ("cgroup_array", "CgroupArray", {}),
        ("devmap", "DevMap", {"value": 8}),
        ("devmap_hash", "DevMapHash", {"value": 4}),
        ("cpumap", "CpuMap", {"value": 8}),
        ("xskmap", "XskMap", {}),
        ("sockmap", "SockMap", {"value": 8}),
        ("sockhash", "SockHash", {"key": "u64", "value": 8}),
        ("reuseport_sockarray", "ReuseportArray", {"value": 8}),
    ):
        m = create(kind, max_entries=4, **facts)
        assert type(m).__name__ == cls, kind
        assert m.memory >= 0


@pytest.mark.parametrize(
    ("kind", "since", "key", "value", "flags"),
    [
        ("insn_array", (6, 19), "u32", {"original": "u32", "now": "u32", "jitted": "u64"}, 0),
        ("rhash", (7, 2), "u64", "u32", BPF_F_NO_PREALLOC),
    ],
)
def test_the_newest(create, kernel_version, kind, since, key, value, flags):
    if kernel_version < since:
        with pytest.raises(pylibbpf.BpfError, match=f"type {kind} needs Linux"):
            create(kind, key, value, 4, flags=flags)
        return
    m = create(kind, key, value, 4, flags=flags)
    if kind == "insn_array":
        m[2] = (7, 0, 0)
        assert m[2].original == 7
        assert len(m) == 4
    else:
        m.update_many({n: n for n in range(4)})
        assert m.to_dict() == {n: n for n in range(4)}
        assert m.pop(2) == 2
        m.clear()
        assert len(m) == 0


def test_rings_and_tries(create):
    page = os.sysconf("SC_PAGE_SIZE")
    assert type(create("ringbuf", max_entries=page)) is pylibbpf.Map
    with pytest.raises(pylibbpf.BpfError, match="power of two"):
        create("ringbuf", max_entries=page + 1)
    prefix = {"prefixlen": "u32", "address": "u8[4]"}
    trie = create("lpm_trie", prefix, "u32", 8, flags=BPF_F_NO_PREALLOC)
    trie["192.0.2.0/24"] = 1
    assert trie["192.0.2.1"] == 1
    with pytest.raises(pylibbpf.BpfError, match="BPF_F_NO_PREALLOC"):
        create("lpm_trie", prefix, "u32", 8)


def test_maps_of_maps(create):
    inner = create("hash", "u32", "u64", 4)
    outer = create("array_of_maps", max_entries=2, inner=inner)
    outer[1] = inner
    inner[5] = 6
    assert outer.map_ids() == {1: inner.id}
    # A map of no object has no type that the kernel knows: bytes.
    assert outer[1].to_dict() == {(5).to_bytes(4, "little"): (6).to_bytes(8, "little")}
    with pytest.raises(pylibbpf.NotSupportedError, match="does not declare"):
        outer.create_inner()
    with pytest.raises(pylibbpf.NotSupportedError):
        _ = outer.inner
    with pytest.raises(TypeError, match="needs inner="):
        create("hash_of_maps", "u32", max_entries=2)
    with pytest.raises(TypeError, match="inner is a map"):
        create("hash_of_maps", "u32", max_entries=2, inner=3)


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        (("hsh", "u32", "u32", 1), ValueError, "did you mean 'hash'"),
        ((1.5, "u32", "u32", 1), TypeError, "MapType or its name"),
        (("hash", "u33", "u32", 1), ValueError, "no type for a key"),
        (("hash", "u32", "long", 1), ValueError, "no type for a value"),
        (("hash", "u32", None, 1), TypeError, "Give value="),
        (("hash", -1, "u32", 1), ValueError, "cannot have -1 bytes"),
        (("hash", {}, "u32", 1), TypeError, "C type"),
        (("hash", {"a b": "u8"}, "u32", 1), ValueError, "no name for a field"),
    ],
)
def test_what_is_no_map(create, args, kind, words):
    with pytest.raises(kind, match=words):
        create(*args)


@pytest.mark.parametrize("name", ["with space", "x" * 16, "ü", "a\0b"])
def test_what_is_no_name(create, name):
    with pytest.raises(ValueError, match="letters, digits"):
        create("hash", "u32", "u32", 1, name=name)


def test_refusals(create):
    with pytest.raises(pylibbpf.BpfError, match="max_entries is 0") as caught:
        create("hash", "u32", "u32", 0)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.operation == "map create"
    with pytest.raises(pylibbpf.BpfError, match="does not know maps of type 999"):
        create(999, "u32", "u32", 1)
    m = create("hash", "u32", "u32", 1)
    for field in ("max_entries", "flags", "type", "ifindex", "numa_node", "autocreate"):
        with pytest.raises(pylibbpf.BpfError, match="in the kernel already"):
            setattr(m, field, 1)


def test_one_that_is_forgotten(engine):
    forgotten = [pylibbpf.create_map("hash", "u32", "u32", 1, name="lost", engine=engine)]
    with pytest.warns(ResourceWarning, match="unclosed map 'lost'"):
        forgotten.clear()


def test_a_forked_child_has_none(create):
    m = create("hash", "u32", "u32", 4)
    m[1] = 2
    fd = m.fd
    child = os.fork()
    if not child:
        try:
            try:
                m[1]
            except pylibbpf.ClosedError as error:
                ok = "parent" in str(error) and m.closed
            try:
                os.fstat(fd)
            except OSError:
                os._exit(0 if ok else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert m[1] == 2


def test_close_under_use(create):
    for _ in range(20):
        m = create("hash", "u32", "u64", 4)
        m[1] = 1
        caught = []
        started = threading.Event()

        def use(m=m, caught=caught, started=started):
            try:
                while True:
                    assert m[1] == 1
                    started.set()
            except ValueError as error:
                caught.append(error)

        user = threading.Thread(target=use)
        user.start()
        started.wait()
        m.close()
        user.join(10)
        assert not user.is_alive()
        assert isinstance(caught[0], pylibbpf.ClosedError)
