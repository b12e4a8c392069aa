"""Guests, booted again and again: each must end with its command's status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pylibbpf.errors import Error
from pylibbpf.guest import cache, kernels, qemu

BOOTS = 20


@pytest.mark.parametrize("name", list(kernels.table()))
def test_boots_in_a_row(name: str) -> None:
    """PYLIBBPF_TEST_BOOTS boots (default 20) of each kernel."""
    if os.environ.get("PYLIBBPF_GUEST"):
        pytest.skip("needs a host: this is a guest, and QEMU in QEMU takes for ever")
    try:
        qemu.find()
        folder = cache.place()
        if kernels.cached(kernels.pinned(name, folder), folder) is None:
            pytest.skip(f"needs the kernel {name}: pylibbpf vm fetch {name}")
    except Error as error:
        pytest.skip(f"needs a host that boots guests: {error}")
    wrong = []
    for number in range(int(os.environ.get("PYLIBBPF_TEST_BOOTS") or BOOTS)):
        status = number % 100 + 1
        command = ["sh", "-c", f"echo $((6 * 7)); echo to standard error >&2; exit {status}"]
        done = subprocess.run(
            [*(sys.executable, "-m", "pylibbpf", "vm", "run"), "--kernel", name, "--", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        # A kernel that was booted a second time says so on standard error.
        if (done.returncode, done.stdout) != (status, "42\nto standard error\n") or done.stderr:
            wrong.append((number, done))
    assert wrong == []
