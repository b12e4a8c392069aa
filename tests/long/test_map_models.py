"""Random operations on maps, beside a dict or a list that says what must come of them."""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

import pytest
from effort import cases
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import pylibbpf

ROOM = 8
keys = st.integers(0, 11)  # more than there is room for
values = st.integers(0, 2**64 - 1)
some_keys = st.lists(keys, max_size=ROOM + 2)
some_values = st.dictionaries(keys, values, max_size=ROOM + 2)


class Model(RuleBasedStateMachine):
    """A map of one type for each run, closed at its end."""

    type = ""

    def make(self, value: Any = "u64", **options: Any) -> Any:
        key = None if self.type in ("array", "percpu_array", "queue", "stack") else "u32"
        return pylibbpf.create_map(self.type, key, value, ROOM, **options)

    @initialize()
    def begin(self) -> None:
        self.map = self.make()
        self.model: dict[int, Any] = {}

    def teardown(self) -> None:
        self.map.close()

    def value(self, number: int) -> Any:
        """A value of the map, for a number."""
        return number


class Hash(Model):
    type = "hash"

    def fits(self, key: int) -> bool:
        return key in self.model or len(self.model) < ROOM

    @rule(key=keys, number=values)
    def set(self, key: int, number: int) -> None:
        if self.fits(key):
            self.map[key] = self.value(number)
            self.model[key] = self.value(number)
        else:
            with pytest.raises(pylibbpf.BpfError, match="full") as caught:
                self.map[key] = self.value(number)
            assert caught.value.errno == errno.E2BIG

    @rule(key=keys)
    def delete(self, key: int) -> None:
        if key in self.model:
            del self.map[key]
            del self.model[key]
        else:
            with pytest.raises(KeyError):
                del self.map[key]

    @rule(key=keys)
    def pop(self, key: int) -> None:
        assert self.map.pop(key, None) == self.model.pop(key, None)

    @rule(key=keys, number=values)
    def setdefault(self, key: int, number: int) -> None:
        if self.fits(key):
            expected = self.model.setdefault(key, self.value(number))
            assert self.map.setdefault(key, self.value(number)) == expected

    @rule()
    def popitem(self) -> None:
        if self.model:
            key, value = self.map.popitem()
            assert self.model.pop(key) == value
        else:
            with pytest.raises(KeyError):
                self.map.popitem()

    @rule(entries=some_values)
    def set_many(self, entries: dict[int, int]) -> None:
        made = {key: self.value(number) for key, number in entries.items()}
        if len(self.model | made) <= ROOM:
            self.map.update_many(made)
            self.model |= made
            return
        with pytest.raises(pylibbpf.BpfError) as caught:
            self.map.update_many(made)
        assert caught.value.errno == errno.E2BIG
        # what came before the one too many is there, and nothing else
        found = self.map.to_dict()
        for key, value in found.items():
            assert value in (made.get(key), self.model.get(key))
        assert self.model.keys() <= found.keys() <= (self.model | made).keys()
        self.model = found

    @rule(wanted=some_keys)
    def get_many(self, wanted: list[int]) -> None:
        expected = {key: self.model[key] for key in wanted if key in self.model}
        assert self.map.lookup_many(wanted) == expected

    @rule(gone=some_keys)
    def delete_many(self, gone: list[int]) -> None:
        expected = self.model.keys() & set(gone)
        assert self.map.delete_many(gone) == len(expected)
        for key in expected:
            del self.model[key]

    @rule()
    def clear(self) -> None:
        self.map.clear()
        self.model.clear()

    @rule(key=keys)
    def go_through_while_deleting(self, key: int) -> None:
        seen = []
        for found in self.map:
            seen.append(found)
            self.map.pop(key, None)
        assert len(seen) == len(set(seen))
        assert self.model.keys() - {key} <= set(seen) <= self.model.keys()
        self.model.pop(key, None)

    @invariant()
    def same(self) -> None:
        assert self.map.to_dict() == dict(self.map.items()) == self.model
        assert len(self.map) == len(self.model)
        assert [key for key in range(13) if key in self.map] == sorted(self.model)


class HashOfRecords(Hash):
    def make(self, value: Any = "u64", **options: Any) -> Any:
        return super().make({"low": "u32", "flag": "bool", "name": "char[8]"}, **options)

    def value(self, number: int) -> Any:
        return (number & 0xFFFFFFFF, bool(number >> 63), f"{number % 1000}")


class PerCpuHash(Hash):
    type = "percpu_hash"

    def value(self, number: int) -> Any:
        return tuple((number + cpu) % 2**64 for cpu in range(CPUS))


class Lru(Model):
    """The kernel may drop entries, but never changes one."""

    type = "lru_hash"

    @rule(key=st.integers(0, 100), number=values)
    def set(self, key: int, number: int) -> None:
        self.map[key] = number
        self.model[key] = number

    @rule(key=st.integers(0, 100))
    def delete(self, key: int) -> None:
        there = key in self.map
        assert (self.map.pop(key, None) is not None) == there
        self.model.pop(key, None)

    @invariant()
    def nothing_else(self) -> None:
        found = self.map.to_dict()
        assert found.items() <= self.model.items()
        assert len(found) <= ROOM


class Array(Model):
    type = "array"

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.model = {index: self.value(0) for index in range(ROOM)}

    @rule(key=keys, number=values)
    def set(self, key: int, number: int) -> None:
        if key < ROOM:
            self.map[key] = self.model[key] = self.value(number)
        else:
            with pytest.raises(KeyError):
                self.map[key] = self.value(number)

    @rule(entries=some_values)
    def set_many(self, entries: dict[int, int]) -> None:
        made = {key: self.value(number) for key, number in entries.items() if key < ROOM}
        self.map.update_many(made)
        self.model |= made

    @rule(wanted=some_keys)
    def get_many(self, wanted: list[int]) -> None:
        expected = {key: self.model[key] for key in wanted if key < ROOM}
        assert self.map.lookup_many([key for key in wanted if key < ROOM]) == expected

    @invariant()
    def same(self) -> None:
        assert self.map.to_dict() == dict(self.map.items()) == self.model
        assert len(self.map) == ROOM


class PerCpuArray(Array):
    type = "percpu_array"

    def value(self, number: int) -> Any:
        return tuple((number * (cpu + 1)) % 2**64 for cpu in range(CPUS))


class Queue(Model):
    type = "queue"

    @initialize()
    def begin(self) -> None:
        self.map = self.make()
        self.held: deque[int] = deque()

    def next(self) -> int:
        return 0

    @rule(number=values)
    def push(self, number: int) -> None:
        if len(self.held) < ROOM:
            self.map.push(number)
            self.held.append(number)
        else:
            with pytest.raises(pylibbpf.BpfError, match="full") as caught:
                self.map.push(number)
            assert caught.value.errno == errno.E2BIG

    @rule(number=values)
    def push_over(self, number: int) -> None:
        self.map.push(number, overwrite=True)
        if len(self.held) == ROOM:
            self.held.popleft()
        self.held.append(number)

    @rule()
    def pop(self) -> None:
        if self.held:
            assert self.map.pop() == self.held[self.next()]
            del self.held[self.next()]
        else:
            with pytest.raises(IndexError):
                self.map.pop()

    @invariant()
    def peek(self) -> None:
        if self.held:
            assert self.map.peek() == self.held[self.next()]
        else:
            with pytest.raises(IndexError):
                self.map.peek()


class Stack(Queue):
    type = "stack"

    def next(self) -> int:
        return -1


def _cpus() -> int:
    """The possible CPUs, as the kernel lists them: 0-3, or 0,2-5."""
    with open("/sys/devices/system/cpu/possible") as file:
        return int(file.read().strip().replace("-", ",").split(",")[-1]) + 1


CPUS = _cpus()
MACHINES = [Hash, HashOfRecords, PerCpuHash, Lru, Array, PerCpuArray, Queue, Stack]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_as_the_model_says(bpf: None, machine: type[Model]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=cases(dear=5)))
