"""Values of per-CPU maps: one for each possible CPU, and what they come to together."""

from __future__ import annotations

import enum
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pylibbpf.handle import T

__all__ = ["PerCpu"]


class PerCpu(tuple["T", ...]):
    """A value for each possible CPU, by CPU number: ``value[3]`` is CPU 3's.

    CPUs that were never online have zeros. Sums, greatest and least values of records and arrays
    are taken field by field; strings, bytes and enumerations must be the same for all CPUs.
    """

    __slots__ = ()

    def sum(self) -> T:
        """All CPUs' values added.

        Raises:
            TypeError: they hold something that is no number, and differ in it.
        """
        found: T = _fold(self, sum)
        return found

    def max(self) -> T:
        """The greatest value, field by field.

        Raises:
            TypeError: they hold something that is no number, and differ in it.
        """
        found: T = _fold(self, max)
        return found

    def min(self) -> T:
        """The least value, field by field.

        Raises:
            TypeError: they hold something that is no number, and differ in it.
        """
        found: T = _fold(self, min)
        return found


def _fold(values: Sequence[Any], how: Callable[[Sequence[Any]], Any], where: str = "") -> Any:
    first = values[0]
    if isinstance(first, tuple):
        names = getattr(first, "_fields", None) or [f"[{i}]" for i in range(len(first))]
        parts = (
            _fold(column, how, f"{where}.{name}".lstrip("."))
            for name, column in zip(names, zip(*values, strict=True), strict=True)
        )
        if hasattr(first, "_make"):
            return first._make(parts)
        return tuple(parts)
    if isinstance(first, int | float) and not isinstance(first, enum.Enum):
        return how(values)
    if any(value != first for value in values):
        raise TypeError(
            f"{where or 'the value'} is {type(first).__name__}, not a number, and differs by CPU"
        )
    return first


def decoder(
    decode_one: Callable[..., Any], scalar: str | None, cpus: int, stride: int, size: int
) -> Callable[[bytes], PerCpu[Any]]:
    """What makes a value of the bytes that a lookup gives: ``size`` of each ``stride``."""
    new = tuple.__new__
    if scalar is not None:
        gap = stride - size
        unpack = struct.Struct("<" + (f"{scalar}{gap}x" if gap else scalar) * cpus).unpack

        def decode_scalars(data: bytes) -> PerCpu[Any]:
            return new(PerCpu, unpack(data))

        return decode_scalars
    starts = range(0, cpus * stride, stride)

    def decode(data: bytes) -> PerCpu[Any]:
        return new(PerCpu, [decode_one(data[start : start + size]) for start in starts])

    return decode
