"""What tests of real kernels are given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest.rows.ground import Ground


@pytest.fixture(scope="session")
def guest() -> None:
    """A machine that is thrown away (``pylibbpf vm run``)."""
    if not os.environ.get("PYLIBBPF_GUEST"):
        pytest.skip("needs a guest: pylibbpf vm run -- python -m pytest tests/guest")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What children try with less than root's rights comes first, lockdown last.

    libbpf remembers for good what it found out as root (where tracefs is, what the kernel has), and
    a forked child remembers with it. Lockdown cannot be taken back.
    """
    last = ("test_rows.py", "test_lockdown.py")
    items.sort(key=lambda item: item.path.name in last and 1 + last.index(item.path.name))


@pytest.fixture(scope="session")
def ground(guest: None, bpf: None, objects: Path) -> Iterator[Ground]:
    """What rows stand on."""
    with Ground(objects) as made:
        yield made
