"""``pylibbpf disasm``: C lines, what instructions refer to, and that it can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from isa_objects import written

from pylibbpf.cli import main
from pylibbpf.cli.disasm import listing
from pylibbpf.isa.asm import assemble
from pylibbpf.isa.insn import encode
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


def test_an_object_of_functions_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an assembler, or the runner of bpf_conformance, makes has no program."""
    path = tmp_path / "main.o"
    path.write_bytes(written(encode(assemble("r0 = 7\nexit"))))
    assert main(["disasm", str(path)]) == 0
    assert "main:  ; SEC('.text')\n   0: (b7) r0 = 7\n" in capsys.readouterr().out
    assert main(["disasm", str(path), "other"]) == 2
    assert "no program 'other'; there are: main" in capsys.readouterr().err


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
