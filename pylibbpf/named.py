"""Programs and maps by name."""

from __future__ import annotations

from collections.abc import Mapping

from pylibbpf.handle import Of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pylibbpf.handle import T

__all__ = ["Named"]


class Named(Of["T"], Mapping["str", "T"]):
    """What an object has of one kind, by name: ``obj.maps["counts"]`` or ``obj.maps.counts``.

    A mapping that cannot be written to. The name of a method of mappings (``items``), or one that
    starts with an underscore, is no attribute: it is had by ``[...]`` only.
    """

    __slots__ = ("_table", "_what")

    def __init__(self, table: Mapping[str, T], what: str) -> None:
        self._table = table
        self._what = what

    def __getitem__(self, name: str) -> T:
        try:
            return self._table[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    if not TYPE_CHECKING:  # which then knows only what a generated module says

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_"):
                if name in self._table:
                    return self._table[name]
                raise AttributeError(self._missing(name))
            raise AttributeError(name)

    def _missing(self, name: object) -> str:
        import difflib

        near = difflib.get_close_matches(str(name), list(self._table), 3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return f"the object has no {self._what} {name!r}{hint}"

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __dir__(self) -> list[str]:
        return sorted(
            {*object.__dir__(self), *(each for each in self._table if each.isidentifier())}
        )

    def __repr__(self) -> str:
        return f"<{self._what}s: {', '.join(self._table)}>"
