"""Maps of plain numbers: calls in C that take and give ints.

A lookup by bytes costs three allocations and as many calls; here it is one call, whose arguments
and result C keeps on its stack (shim/scalars.c).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["ScalarCalls", "scalar_calls"]

# PLB_ODD of shim/scalars.c, as the two types of result show it.
_ODD = 0x9E3779B97F4A7C15
_ODD_SIGNED = _ODD - (1 << 64)


class ScalarCalls:
    """``lookup(cell, key)`` and ``update(cell, key, value)`` of one loaded map, on ints.

    ``lookup`` gives ``odd`` where there is no value, where something failed, and where that is
    the value: the caller asks again by bytes. ``update`` gives 0, or the caller does it by bytes.
    An int that does not fit is an ``OverflowError``, what is no int a ``TypeError``.
    """

    __slots__ = ("cell", "lookup", "odd", "update")

    def __init__(
        self,
        cell: Any,
        lookup: Callable[[Any, Any], Any],
        update: Callable[[Any, Any, Any], int],
        odd: int,
    ) -> None:
        self.cell = cell
        self.lookup = lookup
        self.update = update
        self.odd = odd


def scalar_calls(lib: Any, cell: Any, key: str, value: str) -> ScalarCalls | None:
    """Give the calls for a map, by the format characters of its key and value in :mod:`struct`."""
    lookup = getattr(lib, f"plb_get_{key}{value}", None)
    if lookup is None:
        return None
    update = getattr(lib, f"plb_set_{key}{value}")
    odd = _ODD_SIGNED if value in "iq" else _ODD
    return ScalarCalls(cell, lookup, update, odd)
