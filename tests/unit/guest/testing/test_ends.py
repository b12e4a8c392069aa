"""A guest that ends otherwise than it should: whose fault it is, and what goes on."""

from __future__ import annotations

import pytest
from unit.guest.testing.conftest import Guests

from pylibbpf.guest import qemu
from pylibbpf.guest.outcome import BootFailed, GuestError, Outcome, Panicked
from pylibbpf.guest.session import Job, Output

pytest_plugins = ["pytester"]

FIND = qemu.find  # before it is replaced

DEADLY = """
import os
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.bpf_guest

def panic():
    os.kill(os.getpid(), signal.SIGKILL)  # of the guest's pytest: stands for a panic

def test_first():
    pass

def test_panics():
    print("written just before")
    panic()

def test_second():
    pass

@pytest.fixture
def deadly():
    subprocess.run(["echo", "written by a child"], check=True)
    time.sleep(1)  # a child's output is looked for ten times a second
    yield
    panic()

def test_panics_in_teardown(deadly):
    pass

def test_hangs():
    print("waiting")
    time.sleep(1000)

def test_crashes():
    os.abort()

def test_writes_for_ever():
    while True:
        print("more", end=" ")

def test_last():
    pass
"""


def test_each_death_is_its_tests_failure_and_the_rest_goes_on(
    pytester: pytest.Pytester, guests: Guests
):
    pytester.makepyfile(test_it=DEADLY)
    pytester.makeini("[pytest]\nbpf_guest_timeout = 10")
    done = pytester.runpytest_inprocess("-v")
    assert len(guests.booted) == 6
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(passed=4, failed=4, errors=1)
    done.stdout.fnmatch_lines(
        [
            "*test_first[[]6.12] PASSED*",
            "*test_panics[[]6.12] FAILED*",
            "*test_second[[]6.12] PASSED*",
            "*test_panics_in_teardown[[]6.12] PASSED*",
            "*test_panics_in_teardown[[]6.12] ERROR*",
            "*test_hangs[[]6.12] FAILED*",
            "*test_crashes[[]6.12] FAILED*",
            "*test_writes_for_ever[[]6.12] FAILED*",
            "*test_last[[]6.12] PASSED*",
            "*_ ERROR at teardown of test_panics_in_teardown[[]6.12] _*",
            "the guest's kernel panicked while the command ran: pretended",
            "*_ test_panics[[]6.12] _*",
            "the guest's kernel panicked while the command ran: pretended",
            "Linux 6.12.117-amd64 (pretended)",
            "--- the last lines of the guest's console ---",
            "last line of the console",
            "*Captured stdout call*",
            "written just before",
            "*_ test_hangs[[]6.12] _*",
            "the test did not end within 10 s (bpf_guest_timeout)",
            "*test_it.py* line * in test_hangs*",  # Python's stack
            "stack of what hangs",
            "*Captured stdout call*",
            "waiting",
            "*_ test_crashes[[]6.12] _*",
            "Python ended in the guest with status 134 (SIGABRT: Aborted)",
            "*Fatal Python error: Aborted*",
            "*_ test_writes_for_ever[[]6.12] _*",
            "the test did not end within 10 s (bpf_guest_timeout)",
            "*Captured stdout call*",
            "*more more more*",
        ]
    )


def test_a_guest_that_dies_after_a_test_is_that_tests_error(
    pytester: pytest.Pytester, guests: Guests
):
    pytester.makepyfile(
        test_it="""
        import atexit
        import os
        import signal
        import pytest

        @pytest.mark.bpf_guest
        def test_first():
            pass

        @pytest.mark.bpf_guest
        def test_leaves_something():
            if "PYLIBBPF_GUEST" in os.environ:
                atexit.register(os.kill, os.getpid(), signal.SIGKILL)
        """
    )
    done = pytester.runpytest_inprocess("-v")
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(
        [
            "*_ ERROR at teardown of test_leaves_something[[]6.12] _*",
            "after this test, the guest's kernel panicked while the command ran: pretended",
        ]
    )
    assert done.ret == pytest.ExitCode.TESTS_FAILED


TWO = """
import pytest

@pytest.mark.bpf_guest
@pytest.mark.parametrize("n", range(2))
def test_it(n):
    pass

def test_here():
    pass
"""


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_a_guest_that_does_not_boot_is_never_a_skip(
    pytester: pytest.Pytester, guests: Guests, mode: str
):
    def end(job: Job, output: Output) -> Outcome:
        return BootFailed(
            kernel="6.12.117", accelerator="tcg", reason="no root file system", console="a line"
        )

    guests.end = end
    pytester.makepyfile(test_it=TWO)
    done = pytester.runpytest_inprocess(f"--bpf-guests={mode}")
    assert len(guests.booted) == 1
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(
        [
            "*_ ERROR at setup of test_it[[]0-6.12] _*",
            "the guest did not boot: no root file system",
            "a line",
            "*_ ERROR at setup of test_it[[]1-6.12] _*",
            "*did not boot: no root file system (in full at test_it.py::test_it[[]0-6.12])",
        ]
    )


def test_a_guest_that_dies_before_its_first_test_is_booted_once_more(
    pytester: pytest.Pytester, guests: Guests
):
    def end(job: Job, output: Output) -> Outcome | None:
        if len(guests.booted) == always:
            return None
        output(b"said before\n")
        return Panicked(kernel="6.12.117", accelerator="tcg", panic="at random")

    guests.end = end
    pytester.makepyfile(test_it=TWO)
    always = 2
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines("*at random, before the first test began: booting once more")
    assert len(guests.booted) == 2
    guests.booted.clear()
    always = 0
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(["*ERROR at setup*", "*panicked*: at random", "said before"])
    assert len(guests.booted) == 2


def test_no_qemu(pytester: pytest.Pytester, guests: Guests, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qemu, "find", FIND)
    monkeypatch.setattr(qemu.shutil, "which", lambda name: None)
    monkeypatch.setattr(qemu.platform, "machine", lambda: "x86_64")
    pytester.makepyfile(test_it=TWO)
    line = "qemu-system-x86_64 is missing: apt-get install --no-install-recommends qemu-system-x86"
    done = pytester.runpytest_inprocess("-rs")
    done.assert_outcomes(passed=1, skipped=2)
    # once for both
    done.stdout.fnmatch_lines(f"SKIPPED [[]2] test_it.py:1: no guest with Linux 6.12: {line}")
    assert done.ret == pytest.ExitCode.OK
    done = pytester.runpytest_inprocess("--bpf-guests=require")
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(f"no guest with Linux 6.12: {line}")


def test_a_kernel_that_cannot_be_fetched(
    pytester: pytest.Pytester, guests: Guests, monkeypatch: pytest.MonkeyPatch
):
    def get(name: str, folder: object, say: object) -> None:
        raise GuestError("the mirror is down")

    monkeypatch.setattr("pylibbpf.guest.kernels.get", get)
    pytester.makepyfile(test_it=TWO)
    pytester.runpytest_inprocess().assert_outcomes(passed=1, skipped=2)
    done = pytester.runpytest_inprocess("--bpf-guests=require")
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines("no guest with Linux 6.12: the mirror is down")
    assert guests.booted == []


def test_a_host_that_can_boot_no_second_guest(pytester: pytest.Pytester, guests: Guests):
    def end(job: Job, output: Output) -> Outcome | None:
        if len(guests.booted) == 2:
            raise GuestError("no space is left")
        return None

    guests.end = end
    pytester.makepyfile(
        test_it="""
        import os
        import signal
        import pytest

        @pytest.mark.bpf_guest
        @pytest.mark.parametrize("n", range(3))
        def test_it(n):
            if n == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(failed=1, errors=2)
    done.stdout.fnmatch_lines("no guest with Linux 6.12: no space is left")


def test_what_cannot_be_collected_in_the_guest(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(
        test_one="""
        import os
        import pytest

        @pytest.mark.bpf_guest
        @pytest.mark.parametrize("where", [os.environ.get("PYLIBBPF_GUEST", "host")])
        def test_differs(where):
            pass

        @pytest.mark.bpf_guest
        def test_fine():
            pass
        """,
        test_two="""
        import os
        import pytest

        if "PYLIBBPF_GUEST" in os.environ:
            raise RuntimeError("not here")

        @pytest.mark.bpf_guest
        def test_lost():
            pass
        """,
    )
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(
        [
            "*_ ERROR at setup of test_differs[[]host-6.12] _*",
            "the guest's pytest did not collect this test. Of test_one.py, it collected",
            "  test_one.py::test_differs[[]6.12-6.12]",
            "*_ ERROR at setup of test_lost[[]6.12] _*",
            "in the guest, test_two.py could not be collected:",
            "*RuntimeError: not here",
        ]
    )
    assert len(guests.booted) == 1


def test_pytest_that_fails_in_the_guest(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TWO)
    pytester.makeconftest(
        """
        import os

        def pytest_sessionstart():
            if "PYLIBBPF_GUEST" in os.environ:
                raise RuntimeError("a broken plugin")
        """
    )
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(
        ["pytest failed in the guest (internal error):", "*RuntimeError: a broken plugin"]
    )
    assert len(guests.booted) == 1  # another one would fail the same way
    pytester.makeconftest(
        """
        import os
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop():
            yield
            if "PYLIBBPF_GUEST" in os.environ:
                raise RuntimeError("after all tests")
        """
    )
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(
        [
            "*_ ERROR at teardown of test_it[[]1-6.12] _*",
            "after this test, pytest failed in the guest (internal error):",
            "*RuntimeError: after all tests",
        ]
    )
    pytester.makeconftest(
        """
        import os
        import pytest

        def pytest_configure():
            if "PYLIBBPF_GUEST" in os.environ:
                raise pytest.UsageError("not with these options")
        """
    )
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines(
        ["pytest ended in the guest with status 4", "*ERROR: not with these options"]
    )
