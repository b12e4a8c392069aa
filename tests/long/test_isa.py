"""Many random programs and many broken ones; with N=1000000 as many as 100,000 and 1,000,000."""

from __future__ import annotations

import random

import effort
import isa_checks
from isa_programs import hostile


def test_the_kernel_gets_the_same(bpf: None) -> None:
    isa_checks.compare_many(f"{effort.SEED} long", effort.cases(dear=10))


def test_hostile_bytes(chance: random.Random) -> None:
    for _ in range(effort.N):
        code = hostile(chance)
        try:
            isa_checks.survive(code, chance)
        except BaseException as error:
            error.add_note(f"bytes: {code.hex()}")
            raise


def test_hostile_text(chance: random.Random) -> None:
    for _ in range(effort.N):
        isa_checks.survive_text(chance)
