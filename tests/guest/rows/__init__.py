"""One row for each kind of hook, map and program: tried for real, on each kernel.

What a row is says :mod:`.row`, what it stands on :mod:`.ground`, what is expected of it here
:mod:`.expect`. Each file of rows registers its own; the order below is that of the tables in
docs/kernels.md.
"""

from __future__ import annotations

from guest.rows import (
    buffers,
    cgroups,
    devices,
    maps,
    probes,
    security,
    sockets,
    struct_ops,
    token,
    tracing,
)
from guest.rows.row import Row

_GROUPS = (
    *(probes, tracing, security, devices, cgroups, sockets),
    *(struct_ops, buffers, maps, token),
)
ROWS: tuple[Row, ...] = tuple(row for each in _GROUPS for row in each.rows)
assert len({row.name for row in ROWS}) == len(ROWS), "two rows have one name"
