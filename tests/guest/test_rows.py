"""Every row, as root: it fires, or its error names the version or the option that is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from guest.rows import ROWS, expect
from guest.rows.ground import Ground
from guest.rows.row import Row

import pylibbpf

pytestmark = pytest.mark.bpf_guest


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_as_root(row: Row, ground: Ground, record_property: Callable[[str, object], None]) -> None:
    lacks = expect.missing(row)
    ground.prepare(row)
    try:
        row.exercise(ground)
    except pylibbpf.Error as error:
        expect.record(record_property, row, "root", error)
        expect.judge(row, error, lacks)
        return
    expect.record(record_property, row, "root")
    assert not lacks, f"{row.name} fired, although {', '.join(lacks)} is missing: mend the row"
