"""Long random tests: the same N and seed are the same run, and nobody runs them unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import effort
print(effort.N, effort.SEED, effort.cases(), effort.cases(dear=10), effort.cases(dear=10**9),
      effort.cases(dear=10, promised=5000))
print(effort.chance("one").random(), effort.chance("two").random())
print(effort.again())
"""


def ask(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    for name in ("PYLIBBPF_TEST_N", "PYLIBBPF_TEST_SEED"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_seed_is_the_same_run():
    first = ask(PYLIBBPF_TEST_N="70", PYLIBBPF_TEST_SEED="5")
    numbers, random, again = first.stdout.splitlines()
    assert numbers == "70 5 70 7 1 7"
    assert again == "make test-long N=70 SEED=5"
    one, two = random.split()
    assert one != two  # each test has numbers of its own
    assert ask(PYLIBBPF_TEST_N="70", PYLIBBPF_TEST_SEED="5").stdout == first.stdout
    assert ask(PYLIBBPF_TEST_SEED="6").stdout.splitlines()[1] != random


def test_without_a_seed_each_run_is_another():
    first, second = (
        ask(PYLIBBPF_TEST_N="", PYLIBBPF_TEST_SEED="").stdout.splitlines() for _ in range(2)
    )
    assert first[0].startswith("1000 ")
    assert first[0].endswith(" 1000 100 1 5000")  # what is promised is kept
    assert first[2].startswith("make test-long SEED=")
    assert first[2] != second[2]


@pytest.mark.parametrize("wrong", ["many", "-3", "1.5"])
def test_what_is_no_number_is_said(wrong):
    done = ask(PYLIBBPF_TEST_N=wrong)
    assert f"PYLIBBPF_TEST_N={wrong!r} is no number" in done.stderr


@pytest.mark.parametrize(
    ("options", "collected"),
    [
        (["tests/long/test_types.py"], True),
        (["-m", "long", "tests"], True),
        (["-m", "not long", "tests"], False),
        (["tests"], False),
    ],
)
def test_long_tests_run_when_they_are_asked_for(tmp_path, options, collected):
    """In a folder with as much of ours as it takes."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for name in ("conftest.py", "effort.py", "wire.py", "long/conftest.py", "long/test_types.py"):
        (tmp_path / "tests" / "long").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "tests" / "test_other.py").write_text("def test_other(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--co", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        env={**os.environ, "PYLIBBPF_TEST_SEED": "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("test_the_codec_reads_what_c_reads" in done.stdout) == collected
    assert ("test_other" in done.stdout) == (options[-1] == "tests" and "long" not in options)
