"""Damaged ELF and BTF files: our own errors, in bounded time and memory, and no crash.

Of a million files is promised, that they do no harm: so many are tried, unless somebody says N.
"""

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
FILES += [ROOT / "bench" / "loader.bpf.o"]
FILES += sorted(ROOT.glob("tests/unit/loader/*.o"))  # with DWARF


def damage(way: str, path: Path, chance: random.Random, count: int, kept: Path) -> int:
    """Open so many damaged files in another process; tell how many of them could be."""
    command = (sys.executable, SCRIPT, way, path, chance.choice(FILES))
    command += (str(chance.randrange(10**9)), str(count), kept)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    again = f"{way} read {kept}, made by: {' '.join(map(str, command[1:]))}"
    if done.returncode < 0:
        pytest.fail(f"{signal.Signals(-done.returncode).name} while {again}")
    assert done.returncode == 0, f"{again}\n{done.stderr[-3000:]}"
    return int(done.stdout)


WAYS = ("loader", "btf", "kernel")
EACH = 1_000_000 // (len(WAYS) * len(FILES)) + 1


@pytest.mark.parametrize("way", [*WAYS, "linker", "libbpf"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_but_our_own_errors(way: str, path: Path, chance: random.Random, tmp_path: Path):
    count = cases(dear=10, promised=EACH if way in WAYS else 0)
    opened = damage(way, path, chance, count, tmp_path / "damaged")
    assert opened < count or count < 20  # some damage is found


@pytest.mark.parametrize("path", FILES[:12], ids=lambda path: path.name)
def test_archives(path: Path, chance: random.Random, tmp_path: Path):
    damage("archive", path, chance, cases(dear=10), tmp_path / "damaged")
