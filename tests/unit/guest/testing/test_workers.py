"""pytest-xdist: its controller boots, its workers report."""

from __future__ import annotations

import pytest
from unit.guest.testing.conftest import Guests

pytest_plugins = ["pytester"]

TESTS = """
import os
import warnings

import pytest

@pytest.mark.bpf_guest
@pytest.mark.parametrize("n", range(4))
def test_it(n):
    print("in the guest", n)
    if n == 0:
        warnings.warn("of a guest")
    assert n != 2

@pytest.mark.parametrize("n", range(4))
def test_here(n):
    pass
"""


@pytest.fixture(autouse=True)
def _xdist() -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist")


def test_one_guest_for_all_workers(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TESTS)
    done = pytester.runpytest_inprocess("-n2", "--bpf-kernels=6.1,7.2")
    done.assert_outcomes(passed=10, failed=2, warnings=2)
    assert sorted(guests.booted) == ["6.1", "7.2"]
    done.stdout.fnmatch_lines(
        [
            "bpf guests: 6.1, 7.2 (auto)",
            "*test_it[[]2-*",
            "*Captured stdout call*",
            "in the guest 2",
            "*of a guest*",
            "*= bpf guests =*",
        ]
    )
    for kernel in ("6.1 (6.1.0-50-amd64", "7.2 (7.2.13-amd64"):
        assert f"{kernel}, pretended): 3 passed, 1 failed; 1 guest" in done.stdout.str()
    assert guests.running == 0


def test_stopping_early(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TESTS)
    done = pytester.runpytest_inprocess("-n2", "-x", "--dist=loadfile")
    assert done.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert done.parseoutcomes()["failed"] == 1
    assert guests.running == 0


def test_a_wrong_mark(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TESTS.replace("bpf_guest", 'bpf_guest(kernel="6")'))
    done = pytester.runpytest_inprocess("-n2")
    done.assert_outcomes(passed=4, errors=4)
    done.stdout.fnmatch_lines("*bpf_guest kernel='6': give comparisons*")


def test_each_worker_takes_all(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TESTS)
    done = pytester.runpytest_inprocess("--dist=each", "--tx", "2*popen", "-k", "not here")
    done.assert_outcomes(passed=6, failed=2, warnings=2)
    assert guests.booted == ["6.12"]


def test_a_panic_and_a_worker_that_crashes(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(
        test_it="""
        import os
        import signal

        import pytest

        pytestmark = pytest.mark.bpf_guest

        @pytest.mark.parametrize("n", range(6))
        def test_it(n):
            if n == 1:
                os.kill(os.getpid(), signal.SIGKILL)

        """,
        test_other="""
        import os

        def test_crashes():
            os.abort()
        """,
    )
    done = pytester.runpytest_inprocess("-n2")
    done.assert_outcomes(passed=5, failed=2)
    done.stdout.fnmatch_lines_random(
        ["*the guest's kernel panicked*", "*worker 'gw*' crashed*test_crashes*"]
    )
    assert guests.booted == ["6.12", "6.12"]
    assert guests.running == 0
