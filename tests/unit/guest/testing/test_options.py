"""pytest's own options mean for marked tests what they mean for others."""

from __future__ import annotations

import pytest
from unit.guest.testing.conftest import Guests

pytest_plugins = ["pytester"]

SOME = """
import pytest

pytestmark = pytest.mark.bpf_guest

def test_one():
    pass

def test_two():
    assert False

def test_three():
    pass

class TestMore:
    @pytest.mark.parametrize("n", [1, 2])
    def test_four(self, n):
        assert n != 2
"""


def test_stopping_early(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=SOME)
    done = pytester.runpytest_inprocess("-x", "--bpf-kernels=6.1,7.2")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines("*stopping after 1 failures*")
    assert guests.booted == ["6.1"]
    assert guests.running == 0


def test_selecting(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=SOME)
    done = pytester.runpytest_inprocess("-k", "one or three", "--import-mode=importlib")
    done.assert_outcomes(passed=2, deselected=3)
    done = pytester.runpytest_inprocess("--deselect", "test_it.py::test_two[6.12]")
    done.assert_outcomes(passed=3, failed=1, deselected=1)
    done = pytester.runpytest_inprocess("test_it.py::TestMore", "--maxfail=1")
    done.assert_outcomes(passed=1, failed=1)
    done = pytester.runpytest_inprocess("--lf", "-v")  # all that failed so far
    done.assert_outcomes(failed=1, deselected=4)
    done.stdout.fnmatch_lines("*test_four[[]2-6.12] FAILED*")
    done = pytester.runpytest_inprocess("--ff", "-v")
    done.assert_outcomes(passed=3, failed=2)
    done.stdout.fnmatch_lines(["*test_four[[]2-6.12] FAILED*", "*test_one[[]6.12] PASSED*"])
    done = pytester.runpytest_inprocess("--sw")
    done.assert_outcomes(passed=1, failed=1)
    assert guests.running == 0


def test_what_boots_nothing(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=SOME)
    done = pytester.runpytest_inprocess("--collect-only", "-q")
    done.stdout.fnmatch_lines(["*test_one[[]6.12]", "*TestMore::test_four[[]1-6.12]"])
    done = pytester.runpytest_inprocess("--setup-plan")
    assert done.ret == 0
    done.stdout.fnmatch_lines("*test_it.py::test_one[[]6.12]*")
    done = pytester.runpytest_inprocess("--bpf-guests=off", "-rs")
    done.assert_outcomes(skipped=5)
    done.stdout.fnmatch_lines(
        ["bpf guests: 6.12 (off)", "*tests in guests are switched off (--bpf-guests=off)"]
    )
    assert guests.booted == guests.fetched == []


def test_a_kernel_that_is_too_old_for_all_is_not_even_fetched(
    pytester: pytest.Pytester, guests: Guests
):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bpf_guest(kernel=">=6.6")
        def test_one():
            pass

        @pytest.mark.bpf_guest(features=["kprobe.session"])
        def test_two():
            pass
        """
    )
    done = pytester.runpytest_inprocess("-rs", "--bpf-kernels=6.1")
    done.assert_outcomes(skipped=2)
    done.stdout.fnmatch_lines(
        [
            "*: needs Linux >=6.6; this kernel is 6.1.*",
            "*: kprobe.session came with Linux 6.10; this kernel is 6.1.*",
        ]
    )
    assert guests.booted == []


def test_a_debugger_is_refused(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(test_it=SOME)
    for option in ("--pdb", "--trace"):
        done = pytester.runpytest_inprocess(option)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(
            f"ERROR: {option} cannot reach a test in a guest, and *test_one[[]6.12] runs in one: "
            'leave them out (-m "not bpf_guest"), or *pylibbpf vm shell --kernel 6.12*'
        )
    done = pytester.runpytest_inprocess("--pdb", "-m", "not bpf_guest")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert guests.booted == []


def test_names_that_do_not_exist(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bpf_guest(features=["kprobe-mutli"])
        def test_one():
            pass
        """
    )
    done = pytester.runpytest_inprocess()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(
        "ERROR: *::test_one[[]6.12]: bpf_guest features=[[]'kprobe-mutli']: "
        "no feature is called 'kprobe-mutli'; did you mean kprobe.multi*"
    )
    pytester.makepyfile("import pytest\n@pytest.mark.bpf_guest\ndef test_it(): pass")
    done = pytester.runpytest_inprocess("--bpf-kernels=6.11")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines("ERROR: there is no kernel '6.11': give names of 6.1, 6.12, 7.2*")
    done = pytester.runpytest_inprocess("--bpf-kernels=/dev/null")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines("ERROR: --bpf-kernels: /dev/null is no bzImage of x86 Linux")


def test_kernels_by_path(pytester: pytest.Pytester, guests: Guests):
    for name in ("one/mine", "two/mine"):
        (pytester.path / name / "lib/modules/9.9").mkdir(parents=True)
        (pytester.path / name / "lib/modules/9.9/vmlinuz").touch()
    pytester.makepyfile("import pytest\n@pytest.mark.bpf_guest\ndef test_it(): pass")
    done = pytester.runpytest_inprocess("--bpf-kernels=one/mine/,6.1", "--collect-only", "-q")
    done.stdout.fnmatch_lines(["*::test_it[[]mine]", "*::test_it[[]6.1]"])
    done = pytester.runpytest_inprocess("--bpf-kernels=one/mine,two/mine")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines("ERROR: two kernels end with mine, *")


def test_a_test_that_ends_the_session(pytester: pytest.Pytester, guests: Guests):
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.bpf_guest
        def test_one():
            pytest.exit("that is enough", returncode=7)

        @pytest.mark.bpf_guest
        def test_two():
            pass
        """
    )
    done = pytester.runpytest_inprocess(no_reraise_ctrlc=True)
    assert done.ret == 7
    done.stdout.fnmatch_lines("*Exit: that is enough*")
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.bpf_guest
        def test_one(request):
            request.session.shouldstop = "no more"

        @pytest.mark.bpf_guest
        def test_two():
            pass
        """
    )
    done = pytester.runpytest_inprocess(no_reraise_ctrlc=True)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines("*in the guest with Linux 6.12: no more*")
    assert guests.running == 0


@pytest.mark.parametrize(("ini", "options"), [("filterwarnings = error", ()), ("", ("-Werror",))])
def test_where_warnings_are_errors(
    pytester: pytest.Pytester, guests: Guests, ini: str, options: tuple[str, ...]
):
    pytester.makepyfile(
        test_it="""
        import warnings
        import pytest

        @pytest.mark.bpf_guest
        def test_one():
            pass

        @pytest.mark.bpf_guest
        def test_warns():
            warnings.warn("an error")
        """
    )
    pytester.makeini(f"[pytest]\n{ini}")
    done = pytester.runpytest_inprocess(*options)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines("E*UserWarning: an error")


def test_nobody_is_asked_for_headers_that_nobody_sees(pytester: pytest.Pytester, guests: Guests):
    pytester.makeconftest(
        """
        import os

        def pytest_report_header():
            assert "PYLIBBPF_GUEST" not in os.environ
            return "of the host"
        """
    )
    pytester.makepyfile("import pytest\n@pytest.mark.bpf_guest\ndef test_it(): pass")
    done = pytester.runpytest_inprocess("-v")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines("of the host")
