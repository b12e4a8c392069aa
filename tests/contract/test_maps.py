"""Maps as Python collections."""

from __future__ import annotations

import errno
import threading
from collections.abc import MutableMapping

import pytest

import pylibbpf


@pytest.fixture
def obj(load_test_object):
    return load_test_object("maps")


def test_hash_is_a_mutable_mapping(obj):
    m = obj.map("hash")
    assert isinstance(m, MutableMapping)
    assert isinstance(m, pylibbpf.HashMap)
    m[1] = 10
    m[2] = 2**64 - 1
    assert m[1] == 10
    assert m[2] == 2**64 - 1
    assert dict(m.items()) == {1: 10, 2: 2**64 - 1}
    assert sorted(m) == [1, 2]
    assert sorted(m.values()) == [10, 2**64 - 1]
    assert len(m) == 2
    assert 1 in m
    assert 3 not in m
    assert m.get(3) is None
    assert m.pop(1) == 10
    assert 1 not in m
    m.update({5: 50, 6: 60})
    assert m.setdefault(5, 0) == 50
    m.clear()
    assert len(m) == 0
    assert list(m.items()) == []


def test_what_a_mapping_inherits(obj):
    m = obj.map("hash")
    assert m.pop(1, "default") == "default"
    with pytest.raises(KeyError):
        m.pop(1)
    assert m.setdefault(1, 5) == 5
    assert m.setdefault(1, 6) == 5
    assert 5 in m.values()
    assert 6 not in m.values()
    assert (1, 5) in m.items()
    assert m.popitem() == (1, 5)
    with pytest.raises(KeyError):
        m.popitem()
    lpm = obj.map("routes")
    lpm[(8, b"\x0a\0\0\0")] = 1
    assert lpm.pop((8, b"\x0a\0\0\0")) == 1
    assert len(lpm) == 0


def test_missing_key_is_a_key_error(obj):
    m = obj.map("hash")
    with pytest.raises(KeyError, match="7"):
        m[7]
    with pytest.raises(KeyError):
        del m[7]


@pytest.mark.parametrize("key", ["1", 1.0, None, b"abcd", (1,)])
def test_wrong_key_type_is_a_type_error(obj, key):
    m = obj.map("hash")
    for use in (lambda: m[key], lambda: m.__setitem__(key, 1), lambda: m.__delitem__(key)):
        with pytest.raises(TypeError):
            use()


@pytest.mark.parametrize("key", [-1, 2**32, 2**70])
def test_key_that_does_not_fit_is_an_overflow_error(obj, key):
    with pytest.raises(OverflowError):
        obj.map("hash")[key]


def test_value_must_fit(obj):
    m = obj.map("hash")
    with pytest.raises(OverflowError):
        m[1] = 2**64
    with pytest.raises(TypeError):
        m[1] = "x"
    assert len(m) == 0


def test_full_map_says_so(obj):
    m = obj.map("small")
    m[1] = m[2] = 1
    with pytest.raises(pylibbpf.BpfError, match=r"full.*max_entries=2") as caught:
        m[3] = 1
    assert caught.value.errno == errno.E2BIG
    assert caught.value.object == "small"
    assert caught.value.operation == "map update"


def test_update_elem_flags(obj):
    m = obj.map("hash")
    m.update_elem(1, 1, 1)  # BPF_NOEXIST
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_elem(1, 2, 1)
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_elem(2, 2, 2)  # BPF_EXIST
    assert caught.value.errno == errno.ENOENT
    assert dict(m.items()) == {1: 1}


def test_identity(obj):
    m = obj.map("hash")
    assert m == m
    assert m != obj.map("small")
    assert m != {}
    assert bool(m) is True
    assert {m: 1}[obj.map("hash")] == 1


def test_struct_keys_and_values(obj):
    m = obj.map("records")
    m[(7, "seven")] = {
        "total": 1,
        "last": -2,
        "state": 7,
        "seen": True,
        "mac": b"\1\2\3\4\5\6",
        "ports": (80, 443),
    }
    (key,) = m
    assert key.pid == 7
    assert key.name == "seven"
    value = m[key]
    assert value.total == 1
    assert value.last == -2
    assert value.state.name == "DONE"
    assert value.seen is True
    assert value.mac == b"\1\2\3\4\5\6"
    assert value.ports == (80, 443)
    assert hash(value) == hash(m[{"pid": 7, "name": "seven"}])
    m[key] = value
    assert m[key] == value


def test_small_and_signed_scalars(obj):
    signed = obj.map("signed_hash")
    signed[-5] = -32768
    assert dict(signed.items()) == {-5: -32768}
    states = obj.map("states")
    states[1] = True
    assert dict(states.items()) == {1: True}
    assert next(iter(states)).name == "RUNNING"
    assert states[1] is True


def test_map_without_types_takes_bytes(obj):
    m = obj.map("untyped")
    m[b"abc"] = b"12345"
    assert dict(m.items()) == {b"abc": b"12345"}
    with pytest.raises(ValueError, match="3 bytes"):
        m[b"abcd"]
    with pytest.raises(ValueError, match="5 bytes"):
        m[b"abc"] = b"1"
    with pytest.raises(TypeError, match="bytes"):
        m[1]


def test_array(obj):
    m = obj.map("array")
    assert len(m) == 8
    assert list(m) == list(range(8))
    assert list(m.values()) == [0] * 8
    m[3] = 9
    assert m[3] == 9
    assert dict(m.items())[3] == 9
    with pytest.raises(KeyError):
        m[8]
    with pytest.raises(KeyError):
        m[-1]
    with pytest.raises(TypeError):
        m["0"]
    with pytest.raises((AttributeError, TypeError)):
        del m[3]


def test_array_of_structs(obj):
    m = obj.map("array_records")
    assert m[0].total == 0
    m[2] = m[2]._replace(total=5)
    assert [value.total for value in m.values()] == [0, 0, 5, 0]


@pytest.mark.parametrize("name", ["percpu_hash", "lru_percpu_hash"])
def test_per_cpu_hash(obj, name):
    m = obj.map(name)
    cpus = m._handle.cpus
    m[1] = range(cpus)
    assert m[1] == tuple(range(cpus))
    assert dict(m.items()) == {1: tuple(range(cpus))}
    with pytest.raises(ValueError, match=f"{cpus} values"):
        m[1] = [1] * (cpus + 1)
    with pytest.raises(TypeError, match="sequence"):
        m[1] = 5


def test_per_cpu_values_of_odd_size(obj):
    m = obj.map("percpu_records")
    cpus = m._handle.cpus
    m[(1, "a")] = [(cpu, 2, 3) for cpu in range(cpus)]
    (value,) = m.values()
    assert [each.a for each in value] == list(range(cpus))
    assert all((each.b, each.c) == (2, 3) for each in value)


def test_per_cpu_array(obj):
    m = obj.map("percpu_array")
    cpus = m._handle.cpus
    m[1] = [7] * cpus
    assert list(m.values()) == [(0,) * cpus, (7,) * cpus, (0,) * cpus, (0,) * cpus]


def test_lru_keeps_the_newest(obj):
    m = obj.map("lru_hash")
    for i in range(1000):
        m[i] = i
    assert 0 < len(m) <= 128
    assert m[999] == 999
    assert all(key == value for key, value in m.items())


def test_lpm_trie(obj):
    m = obj.map("routes")
    m[(8, b"\x0a\0\0\0")] = 1
    m[(16, b"\x0a\1\0\0")] = 2
    assert m[(32, b"\x0a\1\2\3")] == 2
    assert m[(32, b"\x0a\2\2\3")] == 1
    with pytest.raises(KeyError):
        m[(32, b"\x0b\0\0\0")]
    assert sorted(key.prefixlen for key in m) == [8, 16]


def test_queue_and_stack(obj):
    queue, stack = obj.queue("queue"), obj.queue("stack")
    assert (queue, stack) == (obj.map("queue"), obj.map("stack"))
    with pytest.raises(TypeError, match="neither a queue nor a stack"):
        obj.queue("hash")
    for each in (queue, stack):
        with pytest.raises(IndexError, match="empty"):
            each.pop()
        each.push(1)
        each.push(2)
    assert (queue.peek(), queue.pop(), queue.pop()) == (1, 1, 2)
    assert (stack.peek(), stack.pop(), stack.pop()) == (2, 2, 1)


def test_ring_buffers_are_no_collections(load_test_object):
    obj = load_test_object("ring")
    with pytest.raises(pylibbpf.NotSupportedError, match="ringbuf"):
        obj.map("events")


def test_unknown_name_suggests(obj):
    with pytest.raises(KeyError, match="did you mean hash"):
        obj.map("hsh")


def test_before_load(open_test_object):
    obj = open_test_object("maps")
    m = obj.map("hash")
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        m[1]
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        list(m)
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        m[1] = 2
    m.max_entries = 5
    assert m.max_entries == 5
    obj.load()
    for i in range(5):
        m[i] = i
    with pytest.raises(pylibbpf.BpfError, match="max_entries=5"):
        m[5] = 5
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.max_entries = 6
    assert caught.value.errno == errno.EBUSY


def test_every_entry_once_by_batch(load_test_object, run):
    obj = load_test_object("iter")
    m = obj.map("entries")
    for first in range(0, 40000, 4096):
        run(obj, "fill", first, min(4096, 40000 - first))
    assert len(m) == 40000
    items = list(m.items())
    assert len(items) == 40000
    assert dict(items) == {i: i for i in range(40000)}


def test_walk_by_key_sees_what_stays(load_test_object, run):
    """Without batches: the key under the cursor is deleted again and again."""
    obj = load_test_object("iter")
    m = obj.map("entries")
    run(obj, "fill", 0, 4096)
    stay = set(range(0, 4096, 2))
    seen = []
    for raw in m._handle._walk():
        key = int.from_bytes(raw, "little")
        seen.append(key)
        if key not in stay:
            del m[key]
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


@pytest.mark.parametrize("how", ["_walk", "iter_keys"])
def test_iteration_ends_beside_a_writer(load_test_object, run, how):
    obj = load_test_object("iter")
    m = obj.map("entries")
    run(obj, "fill", 0, 2000)
    stop = threading.Event()

    def churn():
        first = 10000
        while not stop.is_set():
            run(obj, "fill", first, 200)
            run(obj, "drain", first, 200)
            first += 1

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(20):
            keys = [int.from_bytes(raw, "little") for raw in getattr(m._handle, how)()]
            assert len(keys) == len(set(keys))
            assert set(range(2000)) <= set(keys)
    finally:
        stop.set()
        writer.join()


def test_threads_share_a_map(obj):
    m = obj.map("hash")
    wrong = []

    def work(base):
        for i in range(2000):
            key = base + i % 50
            m[key] = key * 3
            if m[key] != key * 3:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(base,)) for base in (0, 100, 200, 300)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_close_under_use(load_test_object):
    """A map that is closed by another thread raises; it never reaches another descriptor."""
    for _ in range(20):
        obj = load_test_object("maps")
        m = obj.map("hash")
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
        obj.close()
        user.join(10)
        assert not user.is_alive()
        assert isinstance(caught[0], pylibbpf.ClosedError)
