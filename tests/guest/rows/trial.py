"""Rows that are tried in a child, which may do less than root may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guest.rows import ROWS, expect
from guest.rows.ground import Ground
from guest.rows.row import Row
from situations import Child, preload

import pylibbpf
from pylibbpf.engine.kernel import library

__all__ = ["EVERY", "Trial", "by_multi", "names", "needs_of", "trial_of"]

Note = Callable[[str, object], None]

# The row of tokens has a container of its own, which stays what it is.
EVERY = tuple(row for row in ROWS if row.group != "token")


def by_multi(row: Row) -> bool:
    """Whether libbpf attaches it by uprobe.multi, which needs less, where the kernel has that."""
    return row.name == "usdt" and expect.kernel() >= (6, 6) and library.version() >= (1, 3)


def needs_of(row: Row) -> tuple[str, ...]:
    """What a service with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN lacks for the row here."""
    return (row.needs,) if row.needs and not by_multi(row) else ()


class Trial:
    """Tries rows in one child, which has become something; ``ground`` is ready for all of them."""

    def __init__(self, ground: Ground, child: Child) -> None:
        self._ground = ground
        self._child = child

    def __call__(
        self, row: Row, note: Note, situation: str, needs: tuple[str, ...]
    ) -> pylibbpf.Error | None:
        """Fail unless the row works, or its error names what is missing here. Gives the error.

        ``needs`` is what a process lacks in this situation, as the error is to name it (one of
        them is enough); empty where the row works. It is compared both ways: a row that is said
        to need something, and works without, is a mistake of the table.
        """
        lacks = expect.missing(row)
        found = self._child.ask(ROWS.index(row))
        if not isinstance(found, pylibbpf.Error):
            expect.record(note, row, situation)
            needless = ", ".join((*lacks, *needs))
            assert not needless, f"{row.name} works without {needless}: mend the row"
            return None
        expect.record(note, row, situation, found)
        text = str(found)
        if any(names(text, each) for each in needs):
            refusal = pylibbpf.BpfPermissionError | pylibbpf.VerifierError
            assert isinstance(found, refusal), f"{type(found)} for {text}"
        elif lacks:
            expect.judge(row, found, lacks)
        else:
            wanted = f"name {' or '.join(needs)}" if needs else "work"
            raise AssertionError(f"{row.name} should {wanted} here: {text}")
        return found


@contextmanager
def trial_of(ground: Ground, *become: Callable[[], None]) -> Iterator[Trial]:
    """Make the ground of every row, and a child that has become what it is to be."""
    for row in ROWS:
        ground.prepare(row)
    preload()
    with Child(lambda number: ROWS[number].exercise(ground), *become) as child:
        yield Trial(ground, child)


def names(text: str, what: str) -> bool:
    """Whether an error's text names a capability, a sysctl or a file."""
    return re.search(rf"(?<![\w/.]){re.escape(what)}(?![\w.]*\w)", text) is not None
