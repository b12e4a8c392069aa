"""Damaged ELF and BTF files: our own errors, in bounded time and memory, and no crash."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from effort import cases

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "damage.py"
FILES = sorted([*ROOT.glob("tests/objects/*.bpf.o"), *ROOT.glob("examples/*.bpf.o")])
FILES += sorted(ROOT.glob("tests/unit/loader/*.o"))  # with DWARF


@pytest.mark.parametrize("way", ["libbpf", "loader", "btf"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_but_our_own_errors(way: str, path: Path, chance: random.Random, tmp_path: Path):
    kept = tmp_path / "damaged"
    other = chance.choice(FILES)
    number, count = chance.randrange(10**9), cases(dear=10)
    command = (sys.executable, SCRIPT, way, path, other, str(number), str(count), kept)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        pytest.fail(f"{name} while {way} read {kept}")
    assert done.returncode == 0, f"{way} read {kept}: {done.stderr[-3000:]}"
    assert int(done.stdout) < count or count < 20  # some damage is found
