"""``pylibbpf disasm``: C lines, what instructions refer to, and that it can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.cli import main
from pylibbpf.cli.disasm import listing
from pylibbpf.isa.asm import assemble
from pylibbpf.loader.link import Linker
from pylibbpf.loader.object import read


def test_c_lines_and_references(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disasm", str(examples / "opensnoop.bpf.o"), "enter_openat"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("enter_openat:  ; SEC('tracepoint/syscalls/sys_enter_openat')\n; ")
    lines = out.splitlines()
    assert any(
        "opensnoop.bpf.c:" in line and "bpf_get_current_pid_tgid()" in line for line in lines
    )
    assert any(line.endswith("; map openings") for line in lines)
    assert any("; data .rodata+" in line for line in lines)
    assert any("(85) call bpf_map_update_elem#2" in line for line in lines)
    assert any("byte_off of args[" in line for line in lines)


def test_all_programs_and_mistakes(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(examples / "opensnoop.bpf.o")
    assert main(["disasm", path]) == 0
    out = capsys.readouterr().out
    assert "\n\nleave_openat:  ;" in out
    assert main(["disasm", path, "nothing"]) == 2
    assert "no program 'nothing'; there are: enter_open" in capsys.readouterr().err
    assert main(["disasm", str(examples / "opensnoop.py")]) == 1
    assert "opensnoop.py" in capsys.readouterr().err


def test_every_listing_is_read_back(examples: Path, objects: Path) -> None:
    """All programs of our objects, functions behind them included."""
    count = 0
    for path in (*sorted(examples.glob("*.bpf.o")), *sorted(objects.glob("*.bpf.o"))):
        spec = read(path.read_bytes())
        for program in spec.programs:
            linked = Linker(spec).link(program)
            text = "\n".join(listing(linked))
            assert assemble(text) == list(linked.insns), (path, program.name)
            count += 1
    assert count > 50
