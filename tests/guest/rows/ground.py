"""What rows stand on: objects, and what root prepares before an exercise that has no rights.

A piece is made once in a run, when the first row asks for it, and removed at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pylibbpf

if TYPE_CHECKING:
    from guest.rows.row import Row

__all__ = ["Ground", "piece"]

Piece = Callable[["Ground"], contextlib.AbstractContextManager[Any]]
_PIECES: dict[str, Piece] = {}


def piece(name: str) -> Callable[[Piece], Piece]:
    """Register a context manager that makes a piece of ground, and removes it."""

    def register(make: Piece) -> Piece:
        assert name not in _PIECES, name
        _PIECES[name] = make
        return make

    return register


class Ground:
    """``objects`` is the folder with tests/objects; ``ground["name"]`` a piece that was prepared.

    A child that was forked has what was prepared before.
    """

    def __init__(self, objects: Path) -> None:
        self.objects = objects
        self._made: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()

    def prepare(self, row: Row) -> None:
        """Make what the row asks for, where it is not there yet."""
        for name in row.ground:
            if name not in self._made:
                self._made[name] = self._stack.enter_context(_PIECES[name](self))

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *exception: object) -> None:
        self._made.clear()
        self._stack.close()

    @contextlib.contextmanager
    def opened(self, name: str, *programs: str, **settings: int) -> Iterator[pylibbpf.Object]:
        """One of tests/objects, of which only these programs are loaded; sets its globals."""
        with pylibbpf.open_object(self.objects / f"{name}.bpf.o", engine="kernel") as obj:
            for program in obj.programs.values():
                program.autoload = program.name in programs
            for setting, value in settings.items():
                obj.globals[setting] = value
            yield obj

    @contextlib.contextmanager
    def loaded(self, name: str, *programs: str, **settings: int) -> Iterator[pylibbpf.Object]:
        """The same, loaded."""
        with self.opened(name, *programs, **settings) as obj:
            obj.load()
            yield obj
