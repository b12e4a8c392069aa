"""What is expected of the rows of tests/guest."""

from __future__ import annotations

import errno
import json

import pytest
from guest.rows import ROWS, expect
from guest.rows.row import Row

import pylibbpf


@pytest.fixture
def row() -> Row:
    return Row("kprobe.session", "probes", print, since=(6, 10), config=("CONFIG_A", "CONFIG_B"))


def refusal(text: str) -> pylibbpf.BpfError:
    return pylibbpf.BpfError(errno.EINVAL, "attach", "x", text)


def test_what_is_missing(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expect.library, "version", lambda: (1, 4))
    monkeypatch.setattr(expect, "options", lambda: frozenset({"CONFIG_A"}))
    monkeypatch.setattr(expect, "kernel", lambda: (6, 1))
    assert expect.missing(row) == ("Linux 6.10",)
    monkeypatch.setattr(expect, "kernel", lambda: (6, 10))
    assert expect.missing(row) == ("CONFIG_B",)
    monkeypatch.setattr(expect.library, "version", lambda: (0, 9))
    assert expect.missing(row) == ("libbpf 1.0", "CONFIG_B")


def test_an_error_must_name_it(row: Row) -> None:
    expect.judge(row, refusal("it needs Linux 6.10; this is 6.1"), ("Linux 6.10",))
    expect.judge(row, refusal("built without CONFIG_B"), ("libbpf 1.5", "CONFIG_B"))
    for text in ("it needs Linux 6.100", "Linux 6.1 is too old", "no idea"):
        with pytest.raises(AssertionError, match=r"should name Linux 6\.10"):
            expect.judge(row, refusal(text), ("Linux 6.10",))
    with pytest.raises(AssertionError, match=r"should work here: .*no idea"):
        expect.judge(row, refusal("no idea"), ())


def test_an_old_libbpf_has_an_error_of_its_own(row: Row) -> None:
    error = pylibbpf.NotSupportedError("f() needs libbpf 1.5; it is 1.4")
    expect.judge(row, error, ("libbpf 1.5",))
    with pytest.raises(AssertionError, match="BpfError"):
        expect.judge(row, refusal("needs libbpf 1.5"), ("libbpf 1.5",))


def test_what_is_recorded(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expect.library, "version", lambda: (1, 4))
    monkeypatch.setenv("PYLIBBPF_GUEST", "6.12")  # else the host's, or that of the guest it runs in
    noted = []
    error = refusal("it is e.g. too old. To mend it: no")
    expect.record(lambda name, value: noted.append((name, json.loads(value))), row, "root", error)
    ((name, result),) = noted
    assert name == "row"
    assert result == {
        "row": "kprobe.session",
        "group": "probes",
        "situation": "root",
        "result": "attach 'x': EINVAL (Invalid argument): it is e.g. too old.",
        "libbpf": "1.4",
        "kernel": "6.12",
    }


def test_rows_name_what_there_is() -> None:
    assert all(row.name and row.group and row.exercise.__name__ for row in ROWS)
    assert all(option.startswith("CONFIG_") for row in ROWS for option in row.config)
