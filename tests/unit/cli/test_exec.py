"""``pylibbpf exec``: what it prints, and how it fails."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from isa_objects import written

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
        ("call 1\nexit", "", 1, "calls helper 1 (bpf_map_lookup_elem), which there is not here"),
        (
            "r0 = 1\nexit",
            "0g",
            2,
            "the memory is to be hexadecimal digits only: ",
        ),
        ("r0 = 1\nexit", "0x01", 2, "character 2 is 'x'"),
        ("r0 = 1\nexit", "0 1", 2, "the memory has half a byte"),
        ("r1 = map[fd:1]+0\nexit", "", 1, "nothing says what this constant refers to"),
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


@pytest.mark.parametrize(
    ("arguments", "memory"), [(["", ""], 0), (["01  02  ", ""], 2), (["--executor=interpreter"], 0)]
)
def test_what_runners_say_when_they_have_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    memory: int,
) -> None:
    """Older ones give an empty memory and empty options, newer ones nothing."""
    give(monkeypatch, "r0 = r2\nexit")
    assert main(["exec", *arguments]) == 0
    assert capsys.readouterr().out == f"{memory:x}\n"


def test_two_memories(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    give(monkeypatch, "r0 = r2\nexit")
    assert main(["exec", "01", "02"]) == 2
    assert "one memory, not 2: spaces in it need quotes" in capsys.readouterr().err


def test_the_program_as_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    program = encode(assemble("r0 = *(u8 *)(r1 +0)\nexit")).hex(" ")
    assert main(["exec", "--program", program, "07"]) == 0
    assert capsys.readouterr().out == "7\n"


LOOP = """
        r1 = 1000
        r2 = subprog[visit]+0
        r3 = r10
        r3 += -8
        *(u64 *)(r3 +0) = 0
        r4 = 0
        call bpf_loop
        r1 = *(u64 *)(r10 -8)
        r1 <<= 32
        r0 |= r1
        exit
    visit:
        r3 = *(u64 *)(r2 +0)
        r3 += r1
        *(u64 *)(r2 +0) = r3
        r0 = 0
        if r1 < 100 goto +1
        r0 = 1
        exit
"""


@pytest.mark.parametrize("executor", ["translator", "interpreter"])
@pytest.mark.parametrize(
    ("text", "result"),
    [
        (LOOP, 101 | sum(range(101)) << 32),
        ("r1 = 9000000\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit", -7),
        ("r1 = 0\nr2 = 0\nr3 = 0\nr4 = 1\ncall bpf_loop\nexit", -22),
        ("r3 = r1\nr3 += 4\nr2 = 4\ncall bpf_strncmp\nexit", -1),
        ("r3 = r1\nr3 += 4\nr2 = 3\ncall bpf_strncmp\nexit", 0),
        ("call bpf_ktime_get_ns\nr7 = r0\ncall bpf_ktime_get_ns\nr0 -= r7\nr0 s>>= 63\nexit", 0),
        ("call bpf_ktime_get_boot_ns\nr0 s>>= 63\nexit", 0),
        ("call bpf_get_prandom_u32\nr0 >>= 32\nexit", 0),
    ],
)
def test_helpers_that_need_no_world(
    executor: str,
    text: str,
    result: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(monkeypatch, text)
    assert main(["exec", "61 62 63 64 61 62 63 65", "--executor", executor]) == 0
    assert capsys.readouterr().out == f"{result & (1 << 64) - 1:x}\n"


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


@pytest.mark.parametrize("section", [b".text", b"xdp"])
def test_object_files(
    section: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = encode(assemble("r0 = *(u8 *)(r1 +1)\nr0 += r2\nexit"))
    given = "".join(f"{byte:02x}  " for byte in written(code, section)) + "\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    assert main(["exec", "01  20  ", "--elf"]) == 0
    assert capsys.readouterr().out == "22\n"


def test_object_files_that_need_more(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(__file__).parents[3] / "examples" / "opensnoop.bpf.o"
    assert main(["exec", "--elf", "--program", file.read_bytes().hex()]) == 1
    assert "refers to the data '.rodata', and there is nothing here but" in capsys.readouterr().err
    assert main(["exec", "--elf", "--program", "7f 45 4c 46"]) == 1
    assert "pylibbpf: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("--budget=" + "9" * 5000, id="digits"),
        "--budget=0",
        "--budget=-1",
        "--budget=x",
        "--timeout=nan",
        "--timeout=0",
    ],
)
def test_limits_that_are_none(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["exec", option])
    assert caught.value.code == 2
    assert "is no number of" in capsys.readouterr().err


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
