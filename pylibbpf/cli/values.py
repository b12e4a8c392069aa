"""Text to values of global variables, and values to text."""

from __future__ import annotations

import argparse
import enum
import json
from typing import Any


def plain(text: str) -> str:
    """Keep what a file calls itself from steering the terminal."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def parse_value(text: str, current: Any) -> Any:
    """The value that ``text`` stands for, of the type that the variable's ``current`` value has.

    Integers in decimal, 0x, 0o or 0b; enums by name or number; true and false; strings as they
    are; bytes in hex; structs and arrays in JSON.

    Raises:
        ValueError: the text stands for nothing of that type.
    """
    if isinstance(current, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"{text!r} is neither true nor false")
        return words[text.lower()]
    if isinstance(current, enum.Enum):
        kind: Any = type(current)
        if text in kind.__members__:
            return kind[text]
        try:
            return int(text, 0)
        except ValueError:
            names = ", ".join(kind.__members__)
            raise ValueError(f"{text!r} is none of {names}") from None
    if isinstance(current, int | float):
        try:
            return int(text, 0) if isinstance(current, int) else float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
    if isinstance(current, str):
        return text
    if isinstance(current, bytes):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise ValueError(f"bytes are given in hex, not as {text!r}") from None
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"a struct or array is given in JSON ({error})") from None


def show(value: Any) -> str:
    """A value for people: names for enums, hex for bytes, fields by name."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, bytes):
        return value.hex() or "''"
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        if fields is not None:
            inner = (f"{name}={show(each)}" for name, each in zip(fields, value, strict=True))
            return "{" + " ".join(inner) + "}"
        return "[" + ", ".join(show(each) for each in value) + "]"
    return str(value)


def map_type(text: str) -> tuple[str, str]:
    """``MAP=STRUCT`` of a command line, as map and C type."""
    name, equals, kind = text.partition("=")
    if not (name and equals and kind.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not MAP=STRUCT")
    return name, kind.strip()
