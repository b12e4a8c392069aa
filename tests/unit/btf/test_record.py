"""Records and enumerations as plain data, and their form in JSON."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from typing import Any

import pytest

from pylibbpf.btf.record import (
    Record,
    field_names,
    make_enumeration,
    make_record,
    to_json,
)

event = make_record("event", ("pid", "comm"), (int, str))
state = make_enumeration("state", (("IDLE", 0), ("BUSY", 3)))


def test_made_by_position_and_by_name() -> None:
    assert event(1, "init") == event(pid=1, comm="init") == event(1, comm="init") == (1, "init")
    assert event._make([1, "init"]) == (1, "init")
    for wrong in (lambda: event(1), lambda: event(1, "a", 2), lambda: event._make([1])):
        with pytest.raises(TypeError, match="event has 2 fields"):
            wrong()
    with pytest.raises(TypeError, match="event: missing comm; unexpected more"):
        event(1, more=2)


def test_is_plain_data() -> None:
    record = event(1, "init")
    assert hash(record) == hash((1, "init"))
    assert record._asdict() == {"pid": 1, "comm": "init"}
    assert record._replace(comm="sh") == event(1, "sh")
    assert repr(record) == "event(pid=1, comm='init')"
    with pytest.raises(TypeError, match="no field nope"):
        record._replace(nope=1)
    with pytest.raises(AttributeError):
        record.pid = 2
    with pytest.raises(AttributeError):
        record.other = 2
    assert not hasattr(record, "__dict__")
    match record:
        case Record(pid=pid):
            assert pid == 1


def test_copies_and_pickles() -> None:
    value = make_record("outer", ("inner", "state"))(event(1, "x"), state.BUSY)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert again == value
        assert type(again) is type(value)
        assert type(again.inner) is event
        assert again.state is state.BUSY
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value
    assert copy.deepcopy(state.BUSY) is state.BUSY


def test_pickles_into_another_process() -> None:
    value = make_record("alien", ("in_", "state"))(b"\1", make_enumeration("e", (("A", 1),))(1))
    code = "import pickle, sys; print(repr(pickle.load(sys.stdin.buffer)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(value),
        capture_output=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.decode().strip() == repr(value) == "alien(in_=b'\\x01', state=<e.A: 1>)"


def test_field_names() -> None:
    assert field_names(("pid", "from", "class", "_private", "count", "index", "__dict__")) == (
        "pid",
        "from_",
        "class_",
        "_private",
        "count",
        "index",
        "__dict___",
    )
    assert field_names(("from", "from_", "from__", "_asdict")) == (
        "from___",
        "from_",
        "from__",
        "_asdict_",
    )


def test_names_of_every_sort_work() -> None:
    names = ("count", "index", "__class__", "__len__", "_fields", "self", "cls", "a b", "None", "é")
    fields = field_names(names)
    record = make_record("odd", fields)(*range(len(names)))
    assert [getattr(record, field) for field in fields] == list(range(len(names)))
    assert type(record)(**record._asdict()) == record
    assert record._replace(self=0, cls=0).cls == 0
    assert len(record) == len(names)
    assert pickle.loads(pickle.dumps(record)) == record


def test_to_json() -> None:
    value = make_record("outer", ("inner", "list", "raw", "state", "big", "real", "yes"))(
        event(1, "\udcff"), (1, (2, b"\1")), b"\xab\xcd", state.BUSY, 1 << 64, math.inf, True
    )
    made = to_json(value)
    assert made == {
        "inner": {"pid": 1, "comm": "\udcff"},
        "list": [1, [2, "01"]],
        "raw": "abcd",
        "state": "BUSY",
        "big": 1 << 64,
        "real": "inf",
        "yes": True,
    }
    assert type(made["state"]) is str
    assert json.loads(json.dumps(made)) == made
    other: dict[Any, Any] = {state.IDLE: 5, 7: None, event(1, "a"): 0.5, b"\1": [1]}
    assert to_json(other) == {"IDLE": 5, "7": None, "{'pid': 1, 'comm': 'a'}": 0.5, "01": [1]}
    assert str(to_json(math.nan)) == "nan"


def test_enumerations() -> None:
    assert make_enumeration("state", (("IDLE", 0), ("BUSY", 3))) is state
    assert isinstance(state.BUSY, int)
    assert state["BUSY"] == 3
    assert to_json(state.BUSY) == "BUSY"
