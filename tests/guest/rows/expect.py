"""What is expected of a row here: that it fires, or an error that names what is missing."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pylibbpf
from pylibbpf.engine.kernel import library

if TYPE_CHECKING:
    from collections.abc import Callable

    from guest.rows.row import Row

__all__ = ["first_sentence", "judge", "kernel", "missing", "record"]


def kernel() -> tuple[int, int]:
    """Major and minor version of the kernel that runs."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


@functools.cache
def options() -> frozenset[str]:
    """What the kernel was built with, as y or m."""
    text = Path(f"/boot/config-{os.uname().release}").read_text()
    return frozenset(re.findall(r"^(CONFIG_\w+)=[ym]$", text, re.M))


def missing(row: Row) -> tuple[str, ...]:
    """What the row needs and this machine has not, as the error is to name it; empty: it fires.

    One of them is enough: where the kernel lacks it, newer libraries do not help.
    """
    found = []
    if kernel() < row.since:
        found.append("Linux {}.{}".format(*row.since))
    if library.version() < row.libbpf:
        found.append("libbpf {}.{}".format(*row.libbpf))
    # An option that an older kernel has not is none of which it could speak.
    if kernel() >= row.since:
        found += [option for option in row.config if option not in options()]
    return tuple(found)


def judge(row: Row, error: pylibbpf.Error, lacks: tuple[str, ...]) -> None:
    """Fail unless the error is of the class for it, and names something that is missing."""
    text = str(error)
    assert lacks, f"{row.name} should work here: {text}"
    named = [each for each in lacks if re.search(rf"\b{re.escape(each)}(?!\w)", text)]
    assert named, f"{row.name} should name {' or '.join(lacks)}: {text}"
    if named[0].startswith("libbpf"):
        # Or the kernel was asked, and refused: what the newer one would do is to have a token.
        classes = (pylibbpf.NotSupportedError, pylibbpf.BpfPermissionError)
        assert isinstance(error, classes), f"{type(error)} for {text}"
    else:
        assert isinstance(error, pylibbpf.BpfError | pylibbpf.NotSupportedError), type(error)


def first_sentence(error: BaseException) -> str:
    """What a table has room for."""
    line = str(error).partition("\n")[0]
    return re.split(r"(?<=[^.]\.) (?=[A-Z])", line)[0]


def record(
    note: Callable[[str, object], None],
    row: Row,
    situation: str,
    error: BaseException | None = None,
) -> None:
    """Note how it went, with pytest's ``record_property``: docs/kernels.md is made of that."""
    result = {
        "kernel": os.environ.get("PYLIBBPF_GUEST", os.uname().release),
        "row": row.name,
        "group": row.group,
        "situation": situation,
        "result": "yes" if error is None else first_sentence(error),
        "libbpf": "{}.{}".format(*library.version()),
    }
    note("row", json.dumps(result))
