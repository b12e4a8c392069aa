"""One row for each kind of hook, map and program: tried for real, on each kernel.

What a row is says :mod:`.row`, what it stands on :mod:`.ground`, what is expected of it here
:mod:`.expect`. Each file of rows registers its own; the order below is that of the tables in
docs/kernels.md.
"""

from __future__ import annotations

from guest.rows import cgroups, devices, probes, sockets, tracing
from guest.rows.row import Row

ROWS: tuple[Row, ...] = tuple(
    row for each in (probes, tracing, devices, cgroups, sockets) for row in each.rows
)
