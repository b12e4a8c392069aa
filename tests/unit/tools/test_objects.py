"""What is committed beside the BPF sources: built from them, listed, and free of debug sections."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[3]
MANIFEST = json.loads((ROOT / "tools" / "objects.json").read_text())
OBJECTS = sorted(MANIFEST["objects"])


def test_every_source_has_its_object():
    folders = ("bench", "examples", "tests/objects")
    sources = [path for folder in folders for path in (ROOT / folder).glob("*.bpf.c")]
    names = sorted(str(path.relative_to(ROOT).with_suffix(".o")) for path in sources)
    assert names == OBJECTS
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize("name", OBJECTS)
def test_object_and_source_are_those_of_the_manifest(name):
    def digest(data: bytes) -> str:
        return "sha256:" + hashlib.sha256(data).hexdigest()

    recorded = MANIFEST["objects"][name]
    headers = sorted((ROOT / "examples" / "include").rglob("*.h"))
    sources = [path.read_bytes() for path in ((ROOT / name).with_suffix(".c"), *headers)]
    assert recorded["source"] == digest(b"\0".join(sources)), "changed since: run make objects"
    assert recorded["object"] == digest((ROOT / name).read_bytes())


@pytest.mark.parametrize("name", OBJECTS)
def test_object_has_btf_and_no_dwarf(name):
    with (ROOT / name).open("rb") as file:
        found = list(ELFFile(file).iter_sections())
        sections = {section.name for section in found}
        code = [s for s in found if s["sh_flags"] & 4 and s["sh_size"]]  # SHF_EXECINSTR
    assert ".BTF" in sections
    assert (".BTF.ext" in sections) == bool(code)
    assert not [s for s in sections if ".debug" in s or ".eh_frame" in s]
    assert str(ROOT).encode() not in (ROOT / name).read_bytes()
