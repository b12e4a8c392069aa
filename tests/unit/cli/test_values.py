"""Text to values and back, for the command line."""

from __future__ import annotations

import enum

import pytest

from pylibbpf.cli.values import parse_value, show


class State(enum.IntEnum):
    IDLE = 0
    DONE = 7


@pytest.mark.parametrize(
    ("text", "current", "value"),
    [
        ("10", 0, 10),
        ("0x1f", 0, 31),
        ("-5", 0, -5),
        ("true", False, True),
        ("0", True, False),
        ("DONE", State.IDLE, State.DONE),
        ("3", State.IDLE, 3),
        ("1.5", 0.0, 1.5),
        ("a=b", "", "a=b"),
        ("00ff", b"", b"\x00\xff"),
        ("[1, 2]", (0, 0), [1, 2]),
        ('{"x": 1}', (0,), {"x": 1}),
    ],
)
def test_parse(text, current, value):
    parsed = parse_value(text, current)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "current"),
    [("x", 0), ("maybe", True), ("GONE", State.IDLE), ("x", 0.0), ("xyz", b""), ("{", (0,))],
)
def test_parse_refuses(text, current):
    with pytest.raises(ValueError, match=r"number|neither|none of|hex|JSON"):
        parse_value(text, current)


def test_show():
    assert show(5) == "5"
    assert show("a'b") == '"a\'b"'
    assert show(b"\x00\xff") == "00ff"
    assert show(State.DONE) == "DONE"
    assert show((1, (2, 3))) == "[1, [2, 3]]"
