"""The test cases of the public bpf_conformance project, from the folder PYLIBBPF_CORPORA names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pylibbpf.isa.asm import assemble
from pylibbpf.isa.insn import Insn

EXPECTED = 313


@dataclass(frozen=True)
class Conformance:
    """One case: instructions, the memory at r1, and what r0 has to be."""

    name: str
    insns: list[Insn]
    memory: bytes
    result: int


def corpora() -> Path | None:
    """The folder of test data that is not part of this project; None where none was given."""
    given = os.environ.get("PYLIBBPF_CORPORA")
    return Path(given) if given else None


def read(path: Path) -> Conformance:
    """Take a file apart: sections start with ``-- NAME``."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("-- "):
            lines = sections.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    memory = " ".join(line.partition("#")[0] for line in sections.get("mem", ()))
    return Conformance(
        path.name,
        assemble("\n".join(sections["asm"])),
        bytes.fromhex(memory),
        int(sections["result"][0], 16),
    )


def cases(folder: Path) -> list[Conformance]:
    """All cases of a folder of corpora."""
    return [read(path) for path in sorted((folder / "bpf_conformance").glob("*.data"))]
