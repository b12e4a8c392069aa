"""How much the long random tests do, and from which seed: ``make test-long [N=..] [SEED=..]``.

The same N and the same seed are the same run, whatever else is run along with a test. A test with
hypothesis needs nothing of this: its examples are N, from SEED. Others take the fixture ``chance``
(random numbers of their own) and ``cases(dear=...)``::

    @pytest.mark.long  # in tests/long nothing needs to say so
    def test_something(chance):
        for _ in range(cases(dear=10)):
            ...

What the project promises a number of, such as 100,000 programs run by both executors, is tried so
often where nobody says N: ``cases(dear=10, promised=20_000)``.
"""

from __future__ import annotations

import os
import random

DEFAULT = 1000


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise ValueError(f"{name}={text!r} is no number")
    return int(text)


GIVEN = bool(os.environ.get("PYLIBBPF_TEST_N"))
N = _number("PYLIBBPF_TEST_N", DEFAULT)
SEED = _number("PYLIBBPF_TEST_SEED", random.SystemRandom().randrange(10**9))


def cases(dear: int = 1, *, promised: int = 0) -> int:
    """How often to try what costs ``dear`` times as much as an example of a quick test: N / dear.

    Never less than once. ``promised``: so often, unless somebody said N.
    """
    return promised if promised and not GIVEN else max(1, N // dear)


def chance(name: str) -> random.Random:
    """Random numbers from the seed, for the test of that name alone."""
    return random.Random(f"{SEED} {name}")


def again() -> str:
    """The command that runs the same once more."""
    return f"make test-long N={N} SEED={SEED}" if GIVEN else f"make test-long SEED={SEED}"
