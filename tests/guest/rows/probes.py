"""Rows of probes: functions of the kernel, and of programs of users."""

from __future__ import annotations

import os

from guest.rows.firing import fires_until_closed, opens
from guest.rows.ground import Ground
from guest.rows.row import Rows

rows = Rows("probes")


@rows.row("kprobe", config="KPROBES KPROBE_EVENTS", needs="perf_event_paranoid")
def kprobe(ground: Ground) -> None:
    with ground.loaded("probes", "kprobe", target_pid=os.getpid()) as obj:
        link = obj.programs["kprobe"].attach_kprobe("do_sys_openat2", cookie=7)
        fires_until_closed(link, lambda: obj.globals["hits"], opens)
        assert obj.globals["cookie"] == 7
