"""A few damaged files each time, from a new seed; tests/long/test_damage.py tries many."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "long" / "damage.py"
OBJECTS = ROOT / "tests" / "objects"
SEED = random.SystemRandom().randrange(10**9)


@pytest.mark.parametrize("way", ["loader", "linker", "btf", "kernel", "archive"])
def test_a_damaged_file_gives_our_own_errors(way: str, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED} {way}")
    names = [
        chance.choice(
            ("link_main", "link_store", "core", "references", "nested", "struct_ops", "hidden")
        ),
        "every_map",
    ]
    files = [OBJECTS / f"{name}.bpf.o" for name in names]
    kept = tmp_path / "damaged"
    command = (sys.executable, SCRIPT, way, *files, str(SEED), "60", kept)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"status {done.returncode}, seed {SEED}: {' '.join(map(str, command[1:]))}\n"
        f"{done.stderr[-3000:]}"
    )
