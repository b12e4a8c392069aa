"""Long random tests: ``make test-long [N=..] [SEED=..]``; see tests/effort.py.

Whatever is in this folder has the mark ``long``.
"""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("long")
