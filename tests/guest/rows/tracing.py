"""Rows of the kernel's own trace points and functions, and of its security hooks."""

from __future__ import annotations

import os

from guest.rows.firing import calls, fires_until_closed, opens
from guest.rows.ground import Ground
from guest.rows.row import Rows

rows = Rows("tracing")


@rows.row("fentry")
def fentry(ground: Ground) -> None:
    with ground.loaded("traces", "fentry", target_pid=os.getpid()) as obj:
        link = obj.programs["fentry"].attach()
        fires_until_closed(link, lambda: obj.globals["hits"], opens)


@rows.row("raw_tp")
def raw_tp(ground: Ground) -> None:
    with ground.loaded("traces", "raw_tp", target_pid=os.getpid()) as obj:
        link = obj.programs["raw_tp"].attach_raw_tracepoint("sys_enter")
        fires_until_closed(link, lambda: obj.globals["hits"], calls)
