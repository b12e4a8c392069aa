"""Whatever is declared of libbpf and of our own C is used: what is not, is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pylibbpf.engine.kernel as kernel

HERE = Path(kernel.__file__).parent
# Calls whose names are put together: f"plb_get_{key}{value}" and so on.
COMPOSED = (
    r"plb_[gs]et_[IiQq]{2}",  # scalars.py
    r"plb_(ring|perfbuf)_(drain|close|abandon)",  # records.py
    r"plb_fd_(program|map|link)",  # standing.py
    r"bpf_(prog|map|link)_get_next_id",  # standing.py
    r"bpf_map__(type|key_size|value_size|max_entries|map_flags|map_extra|numa_node)",  # inner.py
)


def declared(folder: Path) -> set[str]:
    text = "".join(header.read_text() for header in sorted(folder.glob("*.h")))
    without = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return set(re.findall(r"\b((?:lib)?bpf_\w+|btf__\w+|plb_\w+)\(", without))


def words(*patterns: str) -> list[str]:
    return [
        word
        for pattern in patterns
        for file in sorted(HERE.glob(pattern))
        for word in re.findall(r"\w+", file.read_text())
    ]


def test_every_function_of_libbpf_has_a_user():
    used = set(words("shim/*.c", "**/*.py"))
    names = declared(HERE / "decl")
    assert len(names) > 100
    assert not [
        name for name in sorted(names - used) if not any(re.fullmatch(p, name) for p in COMPOSED)
    ]


def test_every_function_of_ours_has_a_user():
    # In C it is defined once; what calls it there is a second time that its name is seen.
    used = set(words("**/*.py"))
    defined = words("shim/*.c")
    names = declared(HERE / "decl" / "shim")
    assert len(names) > 100
    assert not [
        name
        for name in sorted(names - used)
        if defined.count(name) < 2 and not any(re.fullmatch(p, name) for p in COMPOSED)
    ]
