"""Both executors on many random programs: 120,000, where nobody says another N."""

from __future__ import annotations

import random

import effort
import isa_checks
import pytest
import vm_pairs
from isa_programs import hostile

from pylibbpf.engine.emulator.vm.translator import Translator


@pytest.mark.parametrize("kind", vm_pairs.KINDS)
def test_both_executors(kind: str) -> None:
    vm_pairs.compare_many(kind, f"{effort.SEED} long", effort.cases(dear=10, promised=20_000))


def test_hostile_bytes(chance: random.Random) -> None:
    translator = Translator(patience=0)
    for _ in range(effort.cases(promised=300_000)):
        code = hostile(chance)
        try:
            isa_checks.survive(code, chance, translator)
        except BaseException as error:
            error.add_note(f"bytes: {code.hex()}")
            raise
