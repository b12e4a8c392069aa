"""Every row as a service: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, no other capability, no root.

Once on the system as it is (Debian's kernels give perf events to root alone, and tracefs is root's,
too), and once where an administrator has opened both.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from guest.rows.ground import Ground
from guest.rows.row import Row
from guest.rows.trial import EVERY, Trial, needs_of, trial_of
from situations import NOBODY, PLACES, SERVICE, reachable, user

pytestmark = pytest.mark.bpf_guest

Note = Callable[[str, object], None]

PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


@contextmanager
def service(ground: Ground, folder: Path) -> Iterator[Trial]:
    """Tries rows as the service; what it writes down of its attachments is in a folder."""
    os.chown(folder, NOBODY, NOBODY)

    def set_folder() -> None:
        os.environ["PYLIBBPF_RUNTIME_DIR"] = str(folder)

    with trial_of(ground, set_folder, reachable(folder, *PLACES), user(*SERVICE)) as made:
        yield made
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def as_it_is(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with service(ground, tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY])
def test_on_the_system_as_it_is(row: Row, as_it_is: Trial, record_property: Note) -> None:
    as_it_is(row, record_property, "service", needs_of(row))


@pytest.fixture(scope="module")
def opened(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Perf events for those with CAP_PERFMON, as kernels without Debian's change have it.

    Tried by a process that was refused nothing before: libbpf remembers for good what it found out
    about the kernel's system calls while perf events were closed to it.
    """
    before = PARANOID.read_text()
    PARANOID.write_text("2")
    remount("750", NOBODY)  # as the errors say
    try:
        with service(ground, tmp_path_factory.mktemp("opened")) as made:
            yield made
    finally:
        remount("700", 0)
        PARANOID.write_text(before)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY if row.needs])
def test_where_perf_events_and_tracefs_are_open(
    row: Row, opened: Trial, record_property: Note
) -> None:
    """What is left is a want of capabilities."""
    needs = tuple(each for each in needs_of(row) if each.startswith("CAP_"))
    opened(row, record_property, "service, opened", needs)


def remount(mode: str, group: int) -> None:
    options = f"remount,mode={mode},gid={group}"
    subprocess.run(["mount", "-o", options, "/sys/kernel/tracing"], check=True)
