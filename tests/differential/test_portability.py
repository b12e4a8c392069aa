"""What the portability report says of this kernel is what happens when it loads the object.

One program at a time, through libbpf. A program that is said to fail has to fail. Of one that is
not, whatever this kernel or libbpf minds is nothing that the report looks at.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.loader.portability import portability
from pylibbpf.loader.problem import Verdict
from pylibbpf.loader.relocate import POISON_KFUNC

ROOT = Path(__file__).parents[2]
OBJECTS = sorted(
    [*ROOT.glob("tests/objects/*.bpf.o"), *ROOT.glob("examples/*.bpf.o")], key=lambda p: p.name
)
# The words of libbpf and of the verifier for what the report tells before.
WORDS = (
    "195896080",
    "invalid CO-RE relocation",
    str(POISON_KFUNC)[:7],
    "not found in kernel or module BTFs",
    "failed to find kernel BTF type ID",
    "is not found in vmlinux BTF",
)


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_this_kernel(bpf: None, path: Path) -> None:
    (report,) = portability(path)
    assert report.error is None
    fails = [each for each in report.problems if each.verdict in (Verdict.FAILS, Verdict.OPTIONAL)]
    stopped = {name for each in fails for name in each.programs}
    whole = [each for each in fails if not each.programs]
    try:
        with pylibbpf.open_object(path, engine="kernel") as obj:
            names = list(obj.programs)
    except pylibbpf.Error as error:
        # This libbpf does not know the object's sections, or legacy maps.
        pytest.skip(f"this libbpf does not open it: {error}")
    checks = {name for each in report.problems for name in each.programs} - stopped
    others = [name for name in names if name not in stopped | checks]
    for name in (*stopped, *checks, *others[:4]):
        said = _load(path, name)
        if name in stopped or whole:
            assert said is not None, f"{name} loads, and this was said: {fails}"
        elif said is not None:
            assert not [word for word in WORDS if word in said], said


def _load(path: Path, name: str) -> str | None:
    """Load one program of an object; give what went wrong."""
    with pylibbpf.open_object(path, engine="kernel") as obj:
        for program in obj.programs.values():
            program.autoload = program.name == name
        try:
            obj.load()
        except pylibbpf.Error as error:
            return f"{error}\n{getattr(error, 'log', '')}"
    return None
