"""Random programs by the kernel, and broken ones for all that reads them.

With those of test_translator.py there are a million broken ones, where nobody says another N.
"""

from __future__ import annotations

import random

import effort
import isa_checks
from isa_programs import hostile


def test_the_kernel_gets_the_same(bpf: None) -> None:
    isa_checks.compare_many(f"{effort.SEED} long", effort.cases(dear=10, promised=10_000))


def test_hostile_bytes(chance: random.Random) -> None:
    for _ in range(effort.cases(promised=350_000)):
        code = hostile(chance)
        try:
            isa_checks.survive(code, chance)
        except BaseException as error:
            error.add_note(f"bytes: {code.hex()}")
            raise


def test_hostile_text(chance: random.Random) -> None:
    for _ in range(effort.cases(promised=350_000)):
        isa_checks.survive_text(chance)
