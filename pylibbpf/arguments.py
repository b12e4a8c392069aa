"""Checks of arguments that several methods take.

They come before anything is attached, and name the argument: what cffi says of a wrong one ("an
integer is required") names nothing.
"""

from __future__ import annotations

import operator

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    NetnsName = str | int | os.PathLike[str] | None


def text(what: str, value: str) -> str:
    """A name that is to become a C string.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, or has a NUL in it.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} is empty")
    if "\0" in value:
        raise ValueError(f"there is a NUL in the {what} {value!r}")
    return value


def integer(what: str, value: int, bits: int, least: int = 0) -> int:
    """A number without sign.

    Raises:
        TypeError: it is no int.
        ValueError: it is less than ``least``, or has more bits.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is an int, not {type(value).__name__}") from None
    if not least <= number < 1 << bits:
        raise ValueError(f"{what} is from {least} to {(1 << bits) - 1}, not {number}")
    return number


def cookie(value: int | None) -> int | None:
    """What bpf_get_attach_cookie() is to give: 64 bits."""
    return None if value is None else integer("cookie", value, 64)


def integers(what: str, values: Iterable[int], bits: int = 64) -> tuple[int, ...]:
    """Several numbers; ``what`` is the argument's name."""
    try:
        found = tuple(values)
    except TypeError:
        raise TypeError(f"{what} is a sequence of numbers, not {type(values).__name__}") from None
    return tuple(integer(f"each of {what}", value, bits) for value in found)


def descriptor(what: str, value: int) -> int:
    """The number of an open file; whether it is one, and of what, the kernel says."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a descriptor, not {type(value).__name__}")
    number = operator.index(value)
    if not 0 <= number < 1 << 31:
        raise ValueError(f"{what} is a descriptor, and {number} cannot be one")
    return number


def network_namespace(netns: NetnsName) -> NetnsName:
    """A network namespace as engines take it.

    Raises:
        TypeError: it is no name, path or descriptor.
    """
    if netns is None or isinstance(netns, str) or hasattr(netns, "__fspath__"):
        return netns
    if isinstance(netns, int) and not isinstance(netns, bool):
        return netns
    raise TypeError(
        f"a network namespace is a name, a path or a descriptor, not {type(netns).__name__}"
    )
