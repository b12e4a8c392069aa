"""What can be done with entries: flags, many at once, per-CPU values; and with a map itself."""

from __future__ import annotations

import errno
import ipaddress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibbpf
from pylibbpf.uapi.flags import (
    BPF_EXIST,
    BPF_F_LOCK,
    BPF_F_NO_PREALLOC,
    BPF_F_NUMA_NODE,
    BPF_NOEXIST,
)

# A fixture of a test that hypothesis runs again and again: the same map, cleared each time.
SAME_MAP = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HASHES = ["hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "routes"]


@pytest.fixture
def obj(load_test_object):
    return load_test_object("maps")


@pytest.fixture
def shapes(load_test_object):
    return load_test_object("shapes")


def keys_and_value(m, count):
    """Keys for any of HASHES, and a value that fits."""
    if isinstance(m, pylibbpf.LpmTrie):
        return [(32, bytes([10, 0, n >> 8, n & 255])) for n in range(count)], 7
    one = 7 if m.cpus == 1 and m.type not in PER_CPU else [7] * m.cpus
    return list(range(count)), one


PER_CPU = {pylibbpf.MapType.PERCPU_HASH, pylibbpf.MapType.LRU_PERCPU_HASH}


@pytest.mark.parametrize("name", HASHES)
def test_many_at_once(obj, name):
    m = obj.map(name)
    keys, value = keys_and_value(m, 20)
    m.update_many(dict.fromkeys(keys, value))
    assert len(m) == 20
    assert len(m.to_dict()) == 20
    stored = m[keys[0]]
    absent = keys_and_value(m, 40)[0][30:]
    assert m.lookup_many([*absent, *keys]) == dict.fromkeys(keys, stored)
    assert m.delete_many([*absent, *keys[:5], *absent, keys[0], *keys[15:]]) == 10
    assert len(m) == 10
    m.update_many((key, value) for key in keys)  # pairs, some of them there already
    assert len(m) == 20
    m.clear()
    assert len(m) == 0
    assert m.delete_many(keys) == 0
    assert m.delete_many([]) == 0
    m.update_many([])
    assert m.lookup_many([]) == {}


def test_more_than_one_call_takes(load_test_object):
    m = load_test_object("iter").map("entries")
    m.update_many((n, n * 2) for n in range(10_000))
    assert len(m) == 10_000
    assert m.lookup_many(range(9_990, 10_010)) == {n: n * 2 for n in range(9_990, 10_000)}
    assert m.delete_many(range(1, 20_000)) == 9_999
    assert m.to_dict() == {0: 0}


def test_many_into_arrays(obj):
    m = obj.map("array")
    m.update_many({n: n * n for n in range(8)})
    assert m.to_dict() == {n: n * n for n in range(8)}
    assert m.lookup_many([2, 3]) == {2: 4, 3: 9}
    with pytest.raises(KeyError):
        m.update_many({1: 0, 8: 0})
    assert m[1] == 1  # all are checked before the first is written
    per_cpu = obj.map("percpu_array")
    cpus = per_cpu.cpus
    per_cpu.update_many({n: [n] * cpus for n in range(4)})
    assert per_cpu.to_dict() == {n: (n,) * cpus for n in range(4)}


@pytest.mark.parametrize("flags", [0, BPF_NOEXIST])
def test_a_map_that_fills(obj, flags):
    m = obj.map("small")
    with pytest.raises(pylibbpf.BpfError, match=r"full.*max_entries=2") as caught:
        m.update_many({n: n for n in range(5)}, flags)
    assert caught.value.errno == errno.E2BIG
    assert "2 of 5 entries were written" in caught.value.__notes__[0]
    assert len(m) == 2


def test_flags_for_many(obj):
    m = obj.map("hash")
    m[2] = 2
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_many({1: 1, 2: 0, 3: 0}, BPF_NOEXIST)
    assert caught.value.errno == errno.EEXIST
    assert m.to_dict() == {1: 1, 2: 2}
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_many({1: 5, 3: 0}, BPF_EXIST)
    assert caught.value.errno == errno.ENOENT
    assert m.to_dict() == {1: 5, 2: 2}


def test_what_does_not_fit_among_many(obj):
    m = obj.map("hash")
    for wrong, kind in (({1: 1, "x": 1}, TypeError), ({1: 1, 2: 2**64}, OverflowError)):
        with pytest.raises(kind):
            m.update_many(wrong)
    with pytest.raises(TypeError):
        m.delete_many([1, "x"])
    assert len(m) == 0
    untyped = obj.map("untyped")
    with pytest.raises(ValueError, match="5 bytes"):
        untyped.update_many({b"abc": b"12345", b"abd": b"1"})
    with pytest.raises(ValueError, match="3 bytes"):
        untyped.lookup_many([b"abc", b"abcd"])
    assert len(untyped) == 0


@SAME_MAP
@given(st.dictionaries(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), max_size=200))
def test_a_dict_there_and_back(obj, entries):
    m = obj.map("hash")
    m.clear()
    m.update_many(entries)
    assert m.to_dict() == entries
    assert m.lookup_many(entries) == entries
    half = list(entries)[::2]
    assert m.delete_many(half) == len(half)
    assert m.to_dict() == {key: entries[key] for key in entries if key not in half}


# ---- locks


def test_values_with_a_lock(shapes):
    m = shapes.map("guarded")
    m.update_elem(1, {"lock": (0,), "low": 2, "high": 3}, BPF_F_LOCK)
    found = m.lookup_elem(1, BPF_F_LOCK)
    assert (found.low, found.high) == (2, 3)
    with pytest.raises(KeyError):
        m.lookup_elem(2, BPF_F_LOCK)


def test_a_lock_where_there_is_none(obj):
    m = obj.map("hash")
    m[1] = 1
    with pytest.raises(pylibbpf.BpfError, match="spin lock") as caught:
        m.lookup_elem(1, BPF_F_LOCK)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(pylibbpf.BpfError, match="spin lock"):
        m.update_elem(1, 1, BPF_F_LOCK)


# ---- per-CPU values


def test_sums_over_cpus(obj, run):
    for _ in range(3):
        run(obj, "add", 1, 10)
    for name in ("percpu_hash", "percpu_array"):
        value = obj.map(name)[1]
        assert isinstance(value, pylibbpf.PerCpu)
        assert isinstance(value, tuple)
        assert len(value) == obj.map(name).cpus
        assert value.sum() == 30
        assert value.max() == max(value)
        assert value.min() == min(value)


def test_records_over_cpus(shapes, run):
    run(shapes, "count", 7, 100)
    tallies = shapes.map("tallies")
    cpus = tallies.cpus
    tallies[8] = [(n, -n, 2, (n, 1, 0), "same") for n in range(cpus)]
    value = tallies[8]
    total = value.sum()
    assert total.count == sum(range(cpus))
    assert total.least == -sum(range(cpus))
    assert total.unit.name == "BYTES"
    assert total.parts == (sum(range(cpus)), cpus, 0)
    assert total.name == "same"
    assert type(total) is type(value[0])
    assert value.min().least == 1 - cpus
    assert value.max().parts == (cpus - 1, 1, 0)
    (seen,) = (each for each in tallies[7] if each.count)
    assert (seen.count, seen.parts, seen.name) == (100, (0, 1, 0), "tally")


def test_what_has_no_sum():
    with pytest.raises(TypeError, match="differs by CPU"):
        pylibbpf.PerCpu(("a", "b")).sum()
    assert pylibbpf.PerCpu(("a", "a")).sum() == "a"
    assert pylibbpf.PerCpu((1.5, 2)).sum() == 3.5
    assert pylibbpf.PerCpu((True, True)).sum() == 2
    assert pylibbpf.PerCpu(((1, (2,)), (3, (4,)))).max() == (3, (4,))


def test_small_signed_numbers_by_cpu(shapes):
    m = shapes.map("small_numbers")
    cpus = m.cpus
    m[2] = [-n for n in range(cpus)]
    assert m[2] == tuple(-n for n in range(cpus))
    assert m[0] == (0,) * cpus


@pytest.mark.parametrize("name", ["percpu_hash", "percpu_array", "lru_percpu_hash"])
def test_one_cpu(obj, name, kernel_version):
    m = obj.map(name)
    cpus = m.cpus
    m[1] = range(cpus)
    if kernel_version < (7, 0):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"Linux 7\.0"):
            m.lookup_elem(1, cpu=0)
        with pytest.raises(pylibbpf.NotSupportedError, match=r"Linux 7\.0"):
            m.update_elem(1, 5, cpu=0)
        return
    assert m.lookup_elem(1, cpu=cpus - 1) == cpus - 1
    m.update_elem(1, 50, cpu=0)
    assert m[1] == (50, *range(1, cpus))
    m.update_elem(1, 9, cpu="all")
    assert m[1] == (9,) * cpus
    if name != "percpu_array":
        with pytest.raises(KeyError):
            m.lookup_elem(2, cpu=0)


def test_one_cpu_of_those_there_are(obj):
    m = obj.map("percpu_hash")
    for cpu in (-1, m.cpus):
        with pytest.raises(ValueError, match="possible"):
            m.lookup_elem(1, cpu=cpu)
    with pytest.raises(pylibbpf.NotSupportedError, match="one value"):
        obj.map("hash").lookup_elem(1, cpu=0)
    with pytest.raises(pylibbpf.NotSupportedError, match="one value"):
        obj.map("hash").update_elem(1, 1, cpu="all")


# ---- the map itself


def test_frozen(shapes):
    m = shapes.map("freezable")
    m[1] = 5
    assert not m.frozen
    m.freeze()
    assert m.frozen
    assert m[1] == 5
    with pytest.raises(pylibbpf.BpfPermissionError, match="frozen"):
        m[1] = 6
    with pytest.raises(pylibbpf.BpfError, match="the map is frozen") as caught:
        m.freeze()
    assert caught.value.errno in (errno.EBUSY, errno.EPERM)  # 6.1 says the one, 6.18 the other


def test_what_the_kernel_says_of_a_map(obj):
    m = obj.map("hash")
    info = m.fdinfo()
    assert info["map_id"] == m.id > 0
    assert info["max_entries"] == m.max_entries == 1024
    # 1024 entries of at least 12 bytes, all allocated at the start.
    assert m.memory >= 12 * 1024
    assert m.id != obj.map("small").id


def test_settings_before_load(open_test_object):
    obj = open_test_object("maps")
    m = obj.map("records")
    assert (m.map_extra, m.numa_node, m.ifindex) == (0, None, 0)
    m.numa_node = 0
    assert m.numa_node == 0
    assert m.flags == BPF_F_NUMA_NODE | BPF_F_NO_PREALLOC
    m.numa_node = None
    assert m.flags == BPF_F_NO_PREALLOC
    m.numa_node = 0
    obj.maps["untyped"].autocreate = False
    obj.load()
    assert m._handle.info().flags == BPF_F_NUMA_NODE | BPF_F_NO_PREALLOC
    for name, value in (("numa_node", 1), ("map_extra", 1), ("ifindex", 1)):
        with pytest.raises(pylibbpf.BpfError, match="until load") as caught:
            setattr(m, name, value)
        assert caught.value.errno == errno.EBUSY
    with pytest.raises(pylibbpf.BpfError, match=r"left out"):
        _ = obj.maps["untyped"].memory


def test_a_map_for_a_device_that_is_not_there(open_test_object):
    obj = open_test_object("maps")
    obj.maps["hash"].ifindex = 2**31 - 1
    assert obj.maps["hash"].ifindex == 2**31 - 1
    with pytest.raises(pylibbpf.BpfError, match="device"):
        obj.load()


def test_an_unknown_node(open_test_object):
    obj = open_test_object("maps")
    obj.maps["hash"].numa_node = 1000
    with pytest.raises(pylibbpf.BpfError, match="NUMA") as caught:
        obj.load()
    assert caught.value.errno == errno.EINVAL


# ---- bloom filters


def test_bloom_filter(load_test_object, run):
    obj = load_test_object("bloom")
    m = obj.map("seen")
    assert isinstance(m, pylibbpf.BloomFilter)
    assert m.map_extra == 3
    for n in range(100):
        m.add(n)
    assert all(n in m for n in range(100))
    assert sum(n in m for n in range(10_000, 20_000)) < 1_000
    assert run(obj, "test", 5) == 1
    assert run(obj, "add", 2**40) == 0
    assert 2**40 in m
    with pytest.raises(OverflowError):
        m.add(-1)
    with pytest.raises(TypeError):
        assert "x" in m


# ---- tries


def test_addresses_as_keys(shapes, run):
    m = shapes.map("routes4")
    m["10.0.0.0/8"] = 1
    m[ipaddress.ip_network("10.1.0.0/16")] = 2
    m[ipaddress.ip_address("10.1.2.3")] = 3
    assert m["10.1.2.3"] == 3
    assert m["10.1.2.4"] == 2
    assert m[ipaddress.ip_interface("10.9.0.7/16")] == 1
    assert run(shapes, "route", int.from_bytes(bytes([10, 1, 9, 9]), "little")) == 2
    assert "11.0.0.1" not in m
    assert m.lookup_many(["10.0.0.1", "11.0.0.1"]) == {"10.0.0.1": 1}
    assert {str(key): value for key, value in m.networks()} == {
        "10.0.0.0/8": 1,
        "10.1.0.0/16": 2,
        "10.1.2.3/32": 3,
    }
    assert {key.prefixlen for key in m} == {8, 16, 32}
    m[(24, int.from_bytes(bytes([10, 2, 3, 0]), "little"))] = 4
    assert m["10.2.3.9"] == 4
    assert m.pop("10.1.0.0/16") == 2
    del m["10.0.0.0/8"]
    with pytest.raises(KeyError):
        del m["10.0.0.0/8"]


def test_addresses_of_ipv6_and_without_type(shapes):
    m = shapes.map("routes6")
    m["2001:db8::/32"] = 6
    assert m["2001:db8::1"] == 6
    with pytest.raises(TypeError, match="IPv6"):
        m["10.0.0.0/8"]
    untyped = shapes.map("routes_untyped")
    untyped["192.0.2.0/24"] = b"abcd"
    assert untyped["192.0.2.77"] == b"abcd"
    assert [str(network) for network, _ in untyped.networks()] == ["192.0.2.0/24"]


@pytest.mark.parametrize("key", ["10.0.0.1/8", "10.0.0.0/33", "here", ""])
def test_no_address(shapes, key):
    with pytest.raises(ValueError):
        shapes.map("routes4")[key]


def test_a_trie_of_other_data(shapes):
    m = shapes.map("words")
    m[(24, "abc")] = 3
    m[(8, "a")] = 1
    assert m[(96, "abcdef")] == 3
    assert m[(96, "axyz")] == 1
    with pytest.raises(TypeError):
        m["10.0.0.0/8"]
    with pytest.raises(TypeError, match="no addresses"):
        list(m.networks())


@SAME_MAP
@given(st.dictionaries(st.ip_addresses(v=4), st.integers(0, 2**32 - 1), max_size=30), st.data())
def test_networks_there_and_back(shapes, addresses, data):
    m = shapes.map("routes4")
    m.clear()
    entries = {}
    for address, value in addresses.items():
        bits = data.draw(st.integers(0, 32))
        entries[ipaddress.ip_network((address, bits), strict=False)] = value
    m.update_many(entries)
    assert dict(m.networks()) == entries
