"""Objects whose type information is damaged: an error each, and never a crash of the process."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap

import pytest
from elftools.elf.elffile import ELFFile

import pylibbpf

# Opens damaged copies one after the other; what it was at when it died is in the file.
OPENER = """
    import random, struct, sys, pylibbpf
    data = open(sys.argv[1], "rb").read()
    engine, start, size, seed, trace = sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6]
    chance = random.Random(seed)
    opened = refused = 0
    for number in range(400):
        damaged = bytearray(data)
        edits = []
        for _ in range(chance.choice((1, 1, 2, 4))):
            at = chance.randrange(size // 4) * 4
            value = chance.choice((1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(2000)))
            if chance.random() < 0.5:
                at, value = at + chance.randrange(4), value & 0xFF
                damaged[start + at] = value
            else:
                struct.pack_into("<I", damaged, start + at, value)
            edits.append((at, value))
        with open(trace, "w") as file:
            file.write(f"{number}: {edits}")
        try:
            pylibbpf.open_object(bytes(damaged), engine=engine).close()
            opened += 1
        except pylibbpf.Error:
            refused += 1
    print(opened, refused)
"""


def section(data: bytes, name: str) -> tuple[int, int]:
    found = ELFFile(io.BytesIO(data)).get_section_by_name(name)
    return found["sh_offset"], found["sh_size"]


@pytest.mark.parametrize("name", ["maps", "globals", "links"])
def test_no_damage_crashes(engine, objects, tmp_path, name):
    path = objects / f"{name}.bpf.o"
    start, size = section(path.read_bytes(), ".BTF")
    done = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(OPENER), path, engine),
            *map(str, (start, size, 1, tmp_path / "trace")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    at = (tmp_path / "trace").read_text()
    assert done.returncode == 0, f"signal {-done.returncode} at {at}: {done.stderr[-2000:]}"
    opened, refused = map(int, done.stdout.split())
    assert opened > 0
    assert refused > 0


def test_what_is_damaged_is_said(engine, objects):
    data = bytearray((objects / "maps.bpf.o").read_bytes())
    start, _ = section(bytes(data), ".BTF")
    header = int.from_bytes(data[start + 4 : start + 8], "little")
    data[start + header : start + header + 4] = b"\xff" * 4  # the first type's name
    with pytest.raises(pylibbpf.BtfError, match=r"\(\.BTF\) is damaged"):
        pylibbpf.open_object(bytes(data), engine=engine)
