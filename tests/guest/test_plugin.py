"""The pytest plugin with real guests; all that needs none is in tests/unit/guest/testing."""

from __future__ import annotations

import os

import pytest
from guest.test_runner import guests  # noqa: F401

pytest_plugins = ["pytester"]

TESTS = """
import os
import sys
import time

import pytest

pytestmark = pytest.mark.bpf_guest

@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("here") / "file"
    path.write_text("by root, in a guest")
    return path

def test_sees_its_kernel_and_the_hosts_files(written):
    print("on", os.uname().release)
    assert os.uname().release.startswith("6.12.")
    assert os.getuid() == 0
    assert os.path.exists(__file__)
    open(os.path.join(os.path.dirname(__file__), "made"), "w").close()

def test_fails():
    print("said before it failed")
    assert [1] == [2]

@pytest.mark.bpf_guest(features=["kprobe_multi", "ringbuf"])
def test_features():
    pass

@pytest.mark.bpf_guest(features=["sched_cls", "uprobe.session"])
def test_of_a_later_kernel():
    assert False

def test_panics():
    sys.stdout.write("the last words")
    with open("/proc/sysrq-trigger", "w") as trigger:
        trigger.write("c")
    time.sleep(60)

def test_goes_on(written):
    assert written.read_text() == "by root, in a guest"
"""


@pytest.fixture(autouse=True)
def _like_a_user(guests: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    # pytester has a home folder for each test: the kernels stay where they are
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    monkeypatch.setenv(
        "PYLIBBPF_CACHE", os.environ.get("PYLIBBPF_CACHE") or os.path.join(home, "pylibbpf")
    )


def test_results_and_a_panic_in_the_middle(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=TESTS)
    done = pytester.runpytest_subprocess("-v", "-rs", "-p", "no:cacheprovider", timeout=900)
    done.assert_outcomes(passed=3, failed=2, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "*test_sees_its_kernel_and_the_hosts_files[[]6.12] PASSED*",
            "*test_fails[[]6.12] FAILED*",
            "*test_features[[]6.12] PASSED*",
            "*test_of_a_later_kernel[[]6.12] SKIPPED*",
            "*test_panics[[]6.12] FAILED*",
            "*test_goes_on[[]6.12] PASSED*",
            "*_ test_fails[[]6.12] _*",
            ">       assert [[]1] == [[]2]",
            "said before it failed",
            "*_ test_panics[[]6.12] _*",
            "the guest's kernel panicked*: sysrq triggered crash",
            "*Captured stdout call*",
            "the last words",
            "6.12 (6.12.*): 3 passed, 2 failed, 1 skipped; 2 guests, * s",
            "*uprobe.session came with Linux 6.13; this kernel is 6.12.*",
        ]
    )
    assert not (pytester.path / "made").exists()


def test_workers_share_a_guest_and_x_ends_it(pytester: pytest.Pytester):
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    pytester.makepyfile(
        test_it="""
        import time
        import pytest

        pytestmark = pytest.mark.bpf_guest

        @pytest.mark.parametrize("n", range(4))
        def test_it(n):
            assert n != 1

        def test_that_would_last():
            time.sleep(3000)
        """
    )
    # Nothing but -x may end it within the patience below.
    pytester.makeini("[pytest]\nbpf_guest_timeout = 3000")
    done = pytester.runpytest_subprocess("-n2", "-x", timeout=900)
    counts = done.parseoutcomes()
    assert counts["failed"] == 1
    assert counts.get("passed", 0) >= 1
    done.stdout.fnmatch_lines(["*_ test_it[[]1-6.12] _*", "6.12 (6.12.*; 1 guest, * s"])
