"""The exceptions: their tree, their texts, and that they cross processes whole."""

from __future__ import annotations

import errno
import pickle

import pytest

import pylibbpf
from pylibbpf.errors import errno_text

BPF = [pylibbpf.BpfError, pylibbpf.BpfPermissionError, pylibbpf.VerifierError]
PLAIN = [
    pylibbpf.Error,
    pylibbpf.NotSupportedError,
    pylibbpf.ElfError,
    pylibbpf.BtfError,
    pylibbpf.RelocationError,
    pylibbpf.ClosedError,
]


@pytest.mark.parametrize("kind", BPF + PLAIN)
def test_one_root(kind):
    assert issubclass(kind, pylibbpf.Error)


def test_python_s_own_kinds():
    assert issubclass(pylibbpf.BpfError, OSError)
    assert issubclass(pylibbpf.BpfPermissionError, PermissionError)
    assert not issubclass(pylibbpf.VerifierError, PermissionError)
    for kind in (pylibbpf.ElfError, pylibbpf.BtfError, pylibbpf.ClosedError):
        assert issubclass(kind, ValueError)
        assert not issubclass(kind, OSError)


@pytest.mark.parametrize("kind", BPF)
def test_bpf_errors_pickle(kind):
    error = kind(errno.E2BIG, "map update", "counts", "map is full", log="line one\nline two\n")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    for name in ("errno", "operation", "object", "cause", "log"):
        assert getattr(again, name) == getattr(error, name)


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_errors_pickle(kind):
    again = pickle.loads(pickle.dumps(kind("what happened")))
    assert (type(again), str(again)) == (kind, "what happened")


def test_attach_error_pickles():
    failures = {"a": pylibbpf.BpfError(errno.ENOENT, "attach", "a")}
    again = pickle.loads(pickle.dumps(pylibbpf.AttachError(failures)))
    assert again.failures["a"].errno == errno.ENOENT
    assert str(again) == str(pylibbpf.AttachError(failures))


def test_text_names_operation_object_and_cause():
    error = pylibbpf.BpfError(errno.E2BIG, "map update", "counts", "map is full (max_entries=4)")
    assert str(error) == (
        "map update 'counts': E2BIG (Argument list too long): map is full (max_entries=4)"
    )
    assert str(pylibbpf.BpfError(errno.ENOENT, "load")) == (
        "load: ENOENT (No such file or directory)"
    )


def test_errno_of_a_bpf_error_is_an_oserror_s():
    with pytest.raises(OSError, match="EBUSY") as caught:
        raise pylibbpf.BpfError(errno.EBUSY, "attach", "x")
    assert caught.value.errno == errno.EBUSY


@pytest.mark.parametrize(
    ("number", "text"),
    [(524, "ENOTSUPP"), (4003, "LIBBPF_ERRNO__ENDIAN"), (2, "ENOENT"), (9999, "errno 9999")],
)
def test_numbers_that_the_c_library_cannot_name(number, text):
    assert text in errno_text(number)
