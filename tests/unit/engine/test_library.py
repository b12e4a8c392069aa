"""Finding libbpf, and doing without what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

OLD = """
typedef int (*print_fn)(int, const char *, void *);
print_fn libbpf_set_print(print_fn fn) { return (print_fn)0; }
unsigned libbpf_major_version(void) { return 1; }
unsigned libbpf_minor_version(void) { return 0; }
"""

OPEN = "import sys, pylibbpf; pylibbpf.open_object(sys.argv[1])"


def _open(path: object, libbpf: object) -> str:
    """What opening an object says under another libbpf."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)],
        env={**os.environ, "PYLIBBPF_LIBBPF": str(libbpf)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.fixture
def extension() -> None:
    pytest.importorskip(
        "pylibbpf.engine.kernel._libbpf", reason="the extension was not built (no C compiler)"
    )


def test_no_such_file(extension, objects, tmp_path):
    said = _open(objects / "minimal.bpf.o", tmp_path / "nothing.so")
    assert said.startswith("pylibbpf.errors.NotSupportedError: libbpf 1.0 or later was not found")
    assert "nothing.so" in said
    assert "PYLIBBPF_LIBBPF names a file that is no libbpf" in said


def test_another_library(extension, objects):
    said = _open(objects / "minimal.bpf.o", "libm.so.6")
    assert "not libbpf 1.0 or later" in said


def test_a_call_that_is_not_there(extension, objects, tmp_path):
    """A libbpf that lacks what is called: the call, what it needs and what there is are named."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "old.c", tmp_path / "old.so"
    source.write_text(OLD)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    said = _open(objects / "minimal.bpf.o", library)
    assert said == (
        "pylibbpf.errors.NotSupportedError: bpf_object__open_mem() needs libbpf 1.0; "
        f"{library} is 1.0"
    )
