"""The pytest plugin, in projects of its own and without a guest."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

MARKED = """
import os
import pytest

@pytest.mark.bpf_guest
def test_marked():
    print("ran on", os.environ["PYLIBBPF_GUEST"])

@pytest.mark.bpf_guest(kernel=">=99")
@pytest.mark.parametrize("what", ["a", "b"])
def test_of_the_future(what):
    assert False

def test_of_the_host():
    pass
"""


@pytest.fixture(autouse=True)
def _on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYLIBBPF_GUEST", raising=False)


def test_each_kernel_makes_a_test_of_its_own(pytester: pytest.Pytester):
    pytester.makepyfile(MARKED)
    done = pytester.runpytest_subprocess("--collect-only", "-q", "--bpf-kernels=6.1, 7.2")
    done.stdout.fnmatch_lines(
        [
            "*::test_marked[[]6.1]",
            "*::test_of_the_future[[]a-6.1]",
            "*::test_of_the_future[[]b-6.1]",
            "*::test_marked[[]7.2]",
            "*::test_of_the_future[[]a-7.2]",
            "*::test_of_the_future[[]b-7.2]",
            "*::test_of_the_host",
        ]
    )


def test_kernels_of_the_ini_and_the_default(pytester: pytest.Pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.bpf_guest\ndef test_it(): pass")
    assert pytester.runpytest_subprocess("--collect-only", "-q").outlines[0].endswith("[6.12]")
    pytester.makeini("[pytest]\nbpf_kernels = 6.1 7.2")
    lines = pytester.runpytest_subprocess("--collect-only", "-q").outlines
    assert [line.rpartition("::")[2] for line in lines[:2]] == ["test_it[6.1]", "test_it[7.2]"]


def test_the_library_is_not_rewritten(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pylibbpf.ringbuf

        def test_loader():
            assert "rewrite" not in type(pylibbpf.ringbuf.__loader__).__module__
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_in_a_guest_marked_tests_run_in_place(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYLIBBPF_GUEST", "7.2")
    pytester.makepyfile(MARKED)
    # which kernels a session on the host would boot does not matter
    done = pytester.runpytest_subprocess("-rs", "-s", "-v", "--bpf-kernels=6.1,6.12")
    done.assert_outcomes(passed=2, skipped=2)
    done.stdout.fnmatch_lines(["*::test_marked[[]7.2] ran on 7.2", "*needs Linux >=99; *"])


def test_wrong_arguments_of_a_mark_are_a_usage_error(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bpf_guest(kernel="6.6")
        def test_one(): pass

        @pytest.mark.bpf_guest("kprobe_multi")
        def test_two(): pass
        """
    )
    done = pytester.runpytest_subprocess()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(
        [
            "ERROR: *::test_one[[]6.12]: bpf_guest kernel='6.6': give comparisons*",
            "ERROR: *::test_two[[]6.12]: bpf_guest takes no positional arguments*",
        ]
    )
    # those that are not selected do not matter
    assert pytester.runpytest_subprocess("-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_empty_list_of_kernels(pytester: pytest.Pytester):
    pytester.makepyfile(MARKED)
    done = pytester.runpytest_subprocess("--bpf-kernels=,")
    assert done.ret != 0
    assert "names no kernel" in "\n".join(done.outlines + done.errlines)


def test_a_session_without_marked_tests_pays_for_nothing(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            heavy = ("pylibbpf.guest", "pylibbpf.checkup", "pylibbpf.engine.kernel", "cffi",
                     "numpy", "pyroute2", "elftools", "tomllib")
            assert "pylibbpf.pytest_plugin" in sys.modules
            assert [each for each in heavy if each in sys.modules] == []
        """
    )
    # hypothesis, where it is installed, imports tomllib itself
    done = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "--bpf-guests=require")
    done.assert_outcomes(passed=1)


def test_a_feature_that_should_be_there_and_is_not_fails_its_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYLIBBPF_GUEST", "6.12")
    pytester.makeconftest(
        """
        from dataclasses import replace
        from pylibbpf.ability import Ability
        from pylibbpf.checkup import features

        def have(name, works, reason):
            ability = Ability("hook", name, works, reason)
            known = features.features()
            known[name] = features.Feature(name, "hook", (3, 0), (), lambda asker: ability)

        have("lost", False, "nobody knows why")
        have("found", True, "")
        have("unknown", None, "no probe can tell")
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bpf_guest(features=["found", "unknown"])
        def test_one():
            pass

        @pytest.mark.bpf_guest(features=["found", "lost"])
        def test_two():
            pass
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines("Linux * should have lost, and has not: nobody knows why")
