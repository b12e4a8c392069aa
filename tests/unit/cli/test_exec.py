"""``pylibbpf exec``: what it prints, and how it fails."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from pylibbpf.cli import main
from pylibbpf.isa.asm import assemble
from pylibbpf.isa.insn import encode


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(encode(assemble(text)).hex(" ")))


def test_r0_in_hexadecimal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, "r0 = -1\nexit")
    assert main(["exec"]) == 0
    assert capsys.readouterr().out == "ffffffffffffffff\n"


def test_memory_and_its_length(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, "r0 = *(u16 *)(r1 +1)\nr2 <<= 32\nr0 |= r2\nexit")
    assert main(["exec", "01 02  03"]) == 0
    assert capsys.readouterr().out == "300000302\n"


@pytest.mark.parametrize(
    ("program", "memory", "status", "said"),
    [
        ("r0 = *(u64 *)(r1 +1)\nexit", "00 00", 1, "reads 8 bytes at offset 1 of memory"),
        ("r0 = *(u8 *)(r1 +0)\nexit", "", 1, "through a null pointer"),
        ("r0 = 1", "", 1, "instruction 0: runs on past the end of its function"),
        ("call 7\nexit", "", 1, "calls helper 7 (bpf_get_prandom_u32), which there is not here"),
        ("r0 = 1\nexit", "0g", 2, "these are no hexadecimal bytes"),
    ],
)
def test_failures(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    memory: str,
    status: int,
    said: str,
) -> None:
    give(monkeypatch, program)
    assert main(["exec", memory]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_endless_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/zero") as zeros:
        monkeypatch.setattr(sys, "stdin", zeros)
        assert main(["exec"]) == 2
    assert "longer than any can be" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [["--budget", "1000"], ["--timeout", "0.01"]])
def test_limits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: list[str]
) -> None:
    give(monkeypatch, "goto -1")
    assert main(["exec", *limit]) == 1
    assert "runs longer than the" in capsys.readouterr().err


def test_it_imports_little() -> None:
    """The runner starts it once for each of its cases."""
    code = (
        "import sys; from pylibbpf.cli import main; main(['exec']);"
        "print([m for m in sys.modules if m.startswith(('elftools', 'pyroute2', 'numpy', 'rich',"
        " 'pylibbpf.btf', 'pylibbpf.engine.kernel', 'pylibbpf.loader.object'))])"
    )
    program = encode(assemble("r0 = 5\nexit")).hex()
    done = subprocess.run(
        [sys.executable, "-c", code], input=program, capture_output=True, text=True, check=True
    )
    assert done.stdout == "5\n[]\n"


def test_as_a_plugin_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The runner wants a path to one program, which gets the memory and options as arguments."""
    plugin = tmp_path / "plugin"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m pylibbpf exec "$@"\n')
    plugin.chmod(0o755)
    program = "".join(f"{byte:02x}  " for byte in encode(assemble("r0 = *(u8 *)(r1 +1)\nexit")))
    done = subprocess.run(
        [plugin, "01  ff  "], input=program + "\n", capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("ff\n", "")
    done = subprocess.run([plugin], input=program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "null pointer" in done.stderr
