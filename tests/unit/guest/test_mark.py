"""What a test's mark may say, and which kernels it lets through."""

from __future__ import annotations

import pytest

from pylibbpf.guest.mark import MarkError, Needs, needs, version_of


@pytest.mark.parametrize(
    ("kernel", "release", "allowed"),
    [
        (">=6.6", "6.12.94+deb13-amd64", True),
        (">=6.6", "6.1.0-53-amd64", False),
        ("<=6.12", "6.12.94-amd64", True),  # people name kernels by two numbers
        ("==6.12", "6.12.94", True),
        ("!=6.12", "6.12.94", False),
        (">6.12", "6.12.94", False),
        ("<7", "7.2.1-amd64", False),
        (">=7.2", "7.2-rc1", True),
        (">= 6.1 , <7", "6.12.1", True),
        (">=6.1,<6.12", "6.12.1", False),
        (">=6.12.90", "6.12.94", True),
    ],
)
def test_versions(kernel: str, release: str, allowed: bool):
    refusal = needs((), {"kernel": kernel}).refusal(release)
    assert (refusal is None) is allowed
    if refusal is not None:
        assert release in refusal


def test_nothing_is_needed_by_default():
    assert needs((), {}) == Needs()
    assert needs((), {"kernel": None, "features": None}) == Needs()
    assert Needs().refusal("2.6.32") is None


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((">=6.6",), {}, "no positional arguments"),
        ((), {"kernels": ">=6.6"}, "no argument 'kernels'"),
        ((), {"kernel": "6.6"}, "give comparisons"),
        ((), {"kernel": "~=6.6"}, "give comparisons"),
        ((), {"kernel": 6.6}, "kernel=6.6: give comparisons"),
        ((), {"kernel": ""}, "give comparisons"),
        ((), {"features": "kprobe_multi"}, "give a list of names"),
        ((), {"features": [1]}, "1 is no name"),
    ],
)
def test_wrong_arguments(args: tuple[object, ...], kwargs: dict[str, object], said: str):
    with pytest.raises(MarkError, match=said):
        needs(args, kwargs)


def test_the_numbers_of_a_release():
    assert version_of("7.2-rc1-amd64") == (7, 2, 0)
    assert version_of("6.12.94+deb13") == (6, 12, 94)
    assert version_of("what") == (0, 0, 0)
