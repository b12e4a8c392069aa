"""Many random programs and many broken ones; with N=1000000 as many as 100,000 and 1,000,000."""

from __future__ import annotations

import random

import effort
import isa_checks
from isa_programs import hostile


def test_the_kernel_gets_the_same(bpf: None) -> None:
    wanted = effort.cases(dear=10)
    taken = sum(
        isa_checks.compare_with_kernel(f"{effort.SEED} long {number}") for number in range(wanted)
    )
    assert taken > (wanted * 0.9 if isa_checks.kernel_has_everything() else 0)


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
