"""Copies of descriptors."""

from __future__ import annotations

import os

import pytest

import pylibbpf
from pylibbpf.engine.kernel.copies import copied

pytest.importorskip(
    "pylibbpf.engine.kernel._libbpf", reason="the extension was not built (no C compiler)"
)


def test_a_copy_is_closed_with_its_block():
    with open(os.devnull) as file, copied(file.fileno()) as fd:
        assert fd != file.fileno()
        assert os.path.sameopenfile(fd, file.fileno())
        assert not os.get_inheritable(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_copy_that_is_forgotten_is_closed():
    with open(os.devnull) as file:
        before = os.listdir("/proc/self/fd")
        copied(file.fileno())
        assert os.listdir("/proc/self/fd") == before


def test_no_descriptor():
    with pytest.raises(pylibbpf.BpfError, match="copy descriptor 4000000"):
        copied(4000000)
