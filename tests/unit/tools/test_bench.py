"""The benchmark's own side still runs (the peers are brought by ``make bench`` alone)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench"


@pytest.mark.parametrize(
    ("job", "figures"),
    [("load", {"load wall", "load CPU"}), ("data", {"update", "m[k]", "items", "ring"})],
)
def test_our_side(bpf, job, figures):
    done = subprocess.run(
        [sys.executable, str(BENCH / "peers" / "ours.py"), job, str(BENCH / "peers.bpf.o")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == figures
    assert all(figure > 0 for figure in found.values())
