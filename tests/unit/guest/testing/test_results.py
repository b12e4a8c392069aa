"""Marked tests on the host: their results are those of any other test."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from unit.guest.testing.conftest import Guests

pytest_plugins = ["pytester"]

TESTS = """
import os
import subprocess
import sys
import unittest
import warnings

import pytest

pytestmark = pytest.mark.bpf_guest

@pytest.fixture(scope="module")
def module():
    assert "PYLIBBPF_GUEST" in os.environ, "set up on the host"
    print("set up once")
    yield os.getpid()
    print("torn down")

def test_passes(module, tmp_path, capsys):
    print("hello")
    assert capsys.readouterr().out == "hello\\n"
    assert module == os.getpid()

def test_fails(module):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)
    assert [1, 2] == [1, 3], "told why"

@pytest.mark.parametrize("what", ["a b", "x/::y", "[z]", "\\u00fc"])
def test_parameters(what):
    pass

@pytest.mark.xfail(strict=True, reason="expected")
def test_xfails():
    assert False

@pytest.mark.xfail(strict=True)
def test_xpasses():
    pass

def test_skips():
    pytest.skip("not now")

@pytest.fixture
def broken():
    yield
    raise RuntimeError("in teardown")

def test_teardown(broken):
    pass

def test_warns(record_property):
    record_property("row", "[1, 2]")
    warnings.warn("look at this")

class TestOfUnittest(unittest.TestCase):
    def test_method(self):
        self.assertEqual(os.environ["PYLIBBPF_GUEST"], "6.12")

@pytest.mark.skipif(pytest.version_tuple < (9,), reason="needs pytest 9")
def test_subtests(request):
    subtests = request.getfixturevalue("subtests")
    for number in range(3):
        with subtests.test(number=number):
            assert number != 1
"""


def test_of_each_kind(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=TESTS)
    done = pytester.runpytest_inprocess("-rA", "-v", "--junitxml=out.xml", "--durations=2")
    assert guests.booted == ["6.12"]
    done.stdout.fnmatch_lines(
        [
            "*collected 13 items",
            "bpf guests: 6.12 (auto)",
            "bpf guests: fetching Linux 6.12",
            "test_it.py::test_passes[[]6.12] PASSED*",
            "test_it.py::test_fails[[]6.12] FAILED*",
            "test_it.py::test_parameters[[]a b-6.12] PASSED*",
            "test_it.py::test_parameters[[]x/::y-6.12] PASSED*",
            "test_it.py::test_parameters[[][[]z]-6.12] PASSED*",
            "test_it.py::test_xfails[[]6.12] XFAIL (expected)*",
            "test_it.py::test_xpasses[[]6.12] FAILED*",
            "test_it.py::test_skips[[]6.12] SKIPPED (not now)*",
            "test_it.py::test_teardown[[]6.12] PASSED*",
            "test_it.py::test_teardown[[]6.12] ERROR*",
            "test_it.py::TestOfUnittest::test_method[[]6.12] PASSED*",
            "*_ ERROR at teardown of test_teardown[[]6.12] _*",
            "*_ test_fails[[]6.12] _*",
            '>       assert [[]1, 2] == [[]1, 3], "told why"',
            "E       AssertionError: told why",
            "test_it.py:*: AssertionError",
            "*Captured stdout call*",
            "to standard output",
            "from a child",
            "*Captured stderr call*",
            "to standard error",
            "*= warnings summary =*",
            "test_it.py::test_warns[[]6.12]",
            "*UserWarning: look at this",
            "*= bpf guests =*",
            "6.12 (6.12.117-amd64, pretended): 8 passed, * failed, 1 error, *; 1 guest, * s",
            "*= slowest 2 durations =*",
        ]
    )
    if pytest.version_tuple >= (9,):
        done.stdout.fnmatch_lines(
            ["test_it.py::test_subtests[[]6.12] FAILED*", "*contains 1 failed subtest"]
        )
    suite = ET.parse(pytester.path / "out.xml").getroot()[0]
    case = next(each for each in suite if each.get("name") == "test_warns[6.12]")
    assert [(p.get("name"), p.get("value")) for p in case.iter("property")] == [("row", "[1, 2]")]
    assert suite.get("tests") is not None
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_unmarked_tests_come_first_and_fixtures_end_before_a_guest(
    pytester: pytest.Pytester, guests: Guests
):
    pytester.makepyfile(
        """
        import os
        import pytest

        there = []

        @pytest.fixture(scope="session")
        def shared():
            there.append(1)
            yield
            there.pop()
            raise RuntimeError("at its end")

        @pytest.mark.bpf_guest
        def test_in_a_guest():
            assert not there

        def test_here(shared):
            assert "PYLIBBPF_GUEST" not in os.environ

        @pytest.mark.bpf_guest(kernel="!=7.2.13")
        def test_elsewhere():
            pass
        """
    )
    done = pytester.runpytest_inprocess("-v", "-rs", "--bpf-kernels=6.12,7.2,6.1")
    done.stdout.fnmatch_lines(
        [
            "bpf guests: 6.12, 7.2, 6.1 (auto)",
            "*::test_here PASSED*",
            "*::test_here ERROR*",  # with the test, as anywhere else
            "*::test_in_a_guest[[]6.12] PASSED*",
            "*::test_elsewhere[[]6.12] PASSED*",
            "*::test_in_a_guest[[]7.2] PASSED*",
            "*::test_elsewhere[[]7.2] SKIPPED*",
            "*::test_in_a_guest[[]6.1] PASSED*",
            "*::test_elsewhere[[]6.1] PASSED*",
            "SKIPPED *.py:*: needs Linux !=7.2.13; this kernel is 7.2.13*",
        ]
    )
    assert guests.booted == ["6.12", "7.2", "6.1"]
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_what_is_shown_live(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(
        test_it="""
        import subprocess
        import pytest

        @pytest.mark.bpf_guest
        @pytest.mark.parametrize("n", range(2))
        def test_it(n):
            print("printed", n)
            subprocess.run(["echo", f"echoed {n}"], check=True)
            print("at the end", end="")
        """
    )
    done = pytester.runpytest_inprocess("-s", "-v")
    # in its order with the results
    done.stdout.fnmatch_lines(
        [
            "bpf guests: fetching Linux 6.12",
            "printed 0",
            "echoed 0",
            "at the end",
            "*test_it[[]0-6.12] PASSED*",
            "*test_it[[]1-6.12] printed 1",
            "echoed 1",
            "at the endPASSED*",
        ],
        consecutive=True,
    )
