"""What a user of pylibbpf may write: three tests of a program, on real kernels."""

import os
from pathlib import Path

import pytest

import pylibbpf

pytestmark = pytest.mark.bpf_guest


@pytest.fixture
def opens():
    with pylibbpf.open_object(Path(__file__).with_name("opens.bpf.o")) as obj:
        obj.globals["process"] = os.getpid()
        obj.load()
        yield obj


def use_a_file():
    with open("/proc/self/status") as file:
        file.read()


def test_opens_are_counted(opens):
    with opens.programs["count_opens"].attach():
        use_a_file()
        seen = opens.globals["opens"]
        assert seen >= 1
    use_a_file()
    assert opens.globals["opens"] == seen


def test_opens_are_told(opens):
    with opens.programs["tell_opens"].attach():
        use_a_file()
    with opens.ringbuf("events", type="struct event") as events:
        event = next(iter(events))
    assert event.pid == os.getpid()
    assert event.comm == Path("/proc/self/comm").read_text().strip()


@pytest.mark.bpf_guest(kernel=">=5.5", features=["fentry"])
def test_reads_are_counted(opens):
    with opens.programs["count_reads"].attach():
        use_a_file()
    assert opens.globals["reads"] >= 1
