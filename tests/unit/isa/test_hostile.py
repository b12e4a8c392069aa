"""Bytes that are nearly programs, given to all that reads instructions: only our own errors."""

from __future__ import annotations

import random
from collections import Counter

import effort
import isa_checks
from hypothesis import given
from hypothesis import strategies as st
from isa_programs import CALM, Case, hostile, outcome, programs


def test_nearly_programs() -> None:
    rng = random.Random(f"{effort.SEED} hostile")
    seen = Counter(isa_checks.survive(hostile(rng), rng) for _ in range(500))
    # What is tried reaches every part: it is refused, faults, and runs.
    assert {"ran", "MemoryFault", "InsnError", "decode"} <= set(seen), (effort.SEED, seen)


def test_nearly_assembler() -> None:
    rng = random.Random(f"{effort.SEED} text")
    seen = Counter(isa_checks.survive_text(rng) for _ in range(500))
    assert set(seen) == {True, False}, (effort.SEED, seen)


@CALM
@given(st.binary(max_size=64), st.integers())
def test_any_bytes(code: bytes, seed: int) -> None:
    isa_checks.survive(code, random.Random(seed))


@CALM
@given(programs())
def test_a_run_can_be_repeated(case: Case) -> None:
    """Addresses differ between two runs in one process; nothing else may."""
    for executor in isa_checks.EXECUTORS:
        assert outcome(executor, case) == outcome(executor, case)
