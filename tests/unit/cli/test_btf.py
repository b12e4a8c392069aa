"""pylibbpf btf c and btf diff, on files made here."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import struct
from pathlib import Path

import pytest

from pylibbpf.cli import main


class Raw:
    """BTF with the type ``int`` and structs of one int each, by name."""

    def __init__(self, *names: str, first: int = 1, str_first: int = 0) -> None:
        strings = b"" if str_first else b"\0"
        types = b""

        def string(text: str) -> int:
            nonlocal strings
            strings += text.encode() + b"\0"
            return str_first + len(strings) - len(text) - 1

        of = 1
        if first == 1:
            types += struct.pack("<IIII", string("int"), 1 << 24, 4, 1 << 24 | 32)
        for name in names:
            types += struct.pack("<IIIIII", string(name), 4 << 24 | 1, 4, string("m"), of, 0)
        self.ids = len(names) + (first == 1)
        self.strings = len(strings)
        sizes = (0, len(types), len(types), len(strings))
        self.data = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + types + strings


def elf(**sections: bytes) -> bytes:
    """A 64-bit ELF file for x86-64 with these sections (``_`` stands for a dot)."""
    names, bodies, headers = b"\0", b"", [bytes(64)]
    at = 64
    for name, data in {**sections, "_shstrtab": b""}.items():
        start = len(names)
        names += name.replace("_", ".").encode() + b"\0"
        body = names if name == "_shstrtab" else data
        kind = 3 if name == "_shstrtab" else 1
        headers.append(struct.pack("<IIQQQQIIQQ", start, kind, 0, 0, at, len(body), 0, 0, 1, 0))
        bodies += body
        at += len(body)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    count = len(headers)
    head = struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, count, count - 1)
    return ident + head + bodies + b"".join(headers)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.btf"
    path.write_bytes(Raw("task", "file").data)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["btf", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_c_of_a_file(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "c", raw)
    assert (status, err) == (0, "")
    assert out.startswith("#ifndef __VMLINUX_H__\n")
    assert "struct task {\n\tint m;\n};\n" in out


def test_c_of_an_object(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "c", objects / "shapes.bpf.o")
    assert status == 0
    assert "struct " in out


@pytest.mark.parametrize("packed", [None, gzip.compress, lzma.compress])
@pytest.mark.parametrize("module", [False, True])
def test_c_of_what_is_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: object, module: bool
) -> None:
    data = Raw("task").data
    path = tmp_path / ("one.ko.x" if module else "one.btf.x")
    data = elf(_BTF=data) if module else data
    path.write_bytes(packed(data) if callable(packed) else data)
    status, out, err = run(capsys, "c", path)
    assert (status, err) == (0, "")
    assert "struct task {" in out


def test_c_of_some_types(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("file", "struct file"):
        status, out, _ = run(capsys, "c", raw, "--type", name)
        assert status == 0
        assert "struct file {" in out
        assert "struct task {" not in out
    for name in ("fil", "union file", "enum", "class file", ""):
        status, out, err = run(capsys, "c", raw, "--type", name)
        assert (status, out) == (1, "")
        assert f"no type {name!r}" in err
    assert "there is file" in run(capsys, "c", raw, "--type", "fil")[2]
    assert "there is" not in run(capsys, "c", raw, "--type", "")[2]


def test_c_into_a_file(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "vmlinux.h"
    assert run(capsys, "c", raw, "-o", into, "--guard", "TASKS_H") == (0, "", "")
    assert into.read_text().startswith("#ifndef TASKS_H\n")
    status, _, err = run(capsys, "c", raw, "-o", tmp_path / "none" / "vmlinux.h")
    assert status == 1
    assert "No such file" in err
    status, _, err = run(capsys, "c", raw, "--guard", "a b")
    assert status == 2
    assert "no name of a macro" in err


def test_a_module_finds_the_kernel_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Raw("task")
    module = Raw("device", first=kernel.ids + 1, str_first=kernel.strings).data
    alone = tmp_path / "alone"
    alone.write_bytes(module)
    status, _, err = run(capsys, "c", alone)
    assert status == 1
    assert "--base" in err
    (tmp_path / "vmlinux").write_bytes(kernel.data)
    for words in ([alone], [alone, "--base", tmp_path / "vmlinux"]):
        status, out, err = run(capsys, "c", *words)
        assert (status, err) == (0, "")
        assert "struct task {" in out
        assert "struct device {" in out


def test_a_base_for_what_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kernel").write_bytes(Raw("task").data)
    (tmp_path / "other").write_bytes(Raw("device", "inode").data)
    status, _, err = run(capsys, "c", tmp_path / "kernel", "--base", tmp_path / "other")
    assert status == 1
    assert "--base is of no use" in err


def test_a_module_that_brings_types_of_its_kernel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Raw("task")
    module = Raw("device", first=kernel.ids + 1, str_first=kernel.strings).data
    path = tmp_path / "own.ko"
    # _ becomes a dot
    path.write_bytes(elf(_BTF=module, _BTF_base=kernel.data))
    status, out, err = run(capsys, "c", path)
    assert (status, err) == (0, "")
    assert "struct device {" in out
    other = tmp_path / "other"
    other.write_bytes(kernel.data)
    status, _, err = run(capsys, "c", path, "--base", other)
    assert status == 1
    assert ".BTF.base" in err


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty", b"", "empty"),
        ("text", b"hello, world, this is no BTF", "neither BTF nor an archive"),
        ("cut", Raw("task").data[:30], "BTF type section ends"),
        ("elf", elf(_text=b"x"), "no section .BTF"),
        ("zst", b"\x28\xb5\x2f\xfd" + bytes(40), "zstd -d"),
        ("a.ko.xz", lzma.compress(b"x")[:-9], "is cut off"),
        ("a.ko.gz", gzip.compress(b"x")[:-9], "is cut off"),
        ("b.ko.xz", lzma.compress(b"x"), "unpacked, it is wrong: not an ELF file"),
        ("c.ko.xz", lzma.compress(b"x")[:12] + bytes(40), "the compressed data is damaged"),
        ("image", bytes(0x202) + b"HdrS" + bytes(0x100), "bzImage"),
    ],
)
def test_what_has_no_btf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, said: str
) -> None:
    import re

    path = tmp_path / name
    path.write_bytes(data)
    status, out, err = run(capsys, "c", path)
    assert (status, out) == (1, "")
    assert err.startswith(f"pylibbpf: {path}: ")
    assert re.search(said, err)
    assert err.count(str(path)) == 1
    status, out, err = run(capsys, "diff", path, path)
    assert (status, out) == (2, "")


def test_a_pipe_cannot_be_read_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        status, _, err = run(capsys, "c", pipe)
    finally:
        os.close(held)
    assert (status, err) == (
        1,
        f"pylibbpf: {pipe}: a pipe, which can be read only once: give a file\n",
    )


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "c", tmp_path / "none")
    assert status == 1
    assert "No such file" in err
    status, _, err = run(capsys, "c", tmp_path)
    assert status == 1
    assert "Is a directory" in err


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    path = tmp_path / "newer.btf"
    path.write_bytes(Raw("task", "inode").data)
    return path


def test_diff(raw: Path, newer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "diff", raw, raw) == (0, "", "")
    assert run(capsys, "diff", raw, newer) == (
        1, "- struct file: 4 bytes\n+ struct inode: 4 bytes\n", "",
    )  # fmt: skip
    assert run(capsys, "diff", raw, newer, "--names-only") == (
        1, "- struct file\n+ struct inode\n", "",
    )  # fmt: skip
    assert run(capsys, "diff", raw, newer, "--type", "task") == (0, "", "")
    assert run(capsys, "diff", raw, newer, "--type", "struct file")[1] == "- struct file: 4 bytes\n"
    assert run(capsys, "diff", raw, newer, "--kind", "union") == (0, "", "")
    status, _, err = run(capsys, "diff", raw, newer, "--type", "none")
    assert status == 2
    assert "neither" in err


def test_diff_in_json(raw: Path, newer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "diff", raw, newer, "--json")
    first, second = map(json.loads, out.splitlines())
    assert status == 1
    assert first == {
        "kind": "struct",
        "name": "file",
        "change": "removed",
        "details": [
            {"what": "kind", "name": "", "before": "struct", "after": None},
            {"what": "size", "name": "", "before": 4, "after": None},
            {
                "what": "member",
                "name": "m",
                "before": {"offset": 0, "bits": 0, "type": "int"},
                "after": None,
            },
        ],
    }
    assert (second["name"], second["change"]) == ("inode", "added")
    _, out, _ = run(capsys, "diff", raw, newer, "--json", "--names-only")
    assert json.loads(out.splitlines()[0]) == {
        "kind": "struct",
        "name": "file",
        "change": "removed",
    }


def test_members_that_moved_together_share_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(name: str, shift: int, *more: str) -> Path:
        """struct s { int a, b, c; }, with others before."""
        strings = b"\0int\0s\0"
        members = b""
        names = [*more, "a", "b", "c"]
        for number, text in enumerate(names):
            members += struct.pack("<III", len(strings), 1, 32 * (number + shift))
            strings += text.encode() + b"\0"
        size = 4 * (len(names) + shift)
        types = struct.pack("<IIII", 1, 1 << 24, 4, 1 << 24 | 32)
        types += struct.pack("<III", 5, 4 << 24 | len(names), size) + members
        sizes = (0, len(types), len(types), len(strings))
        path = tmp_path / name
        path.write_bytes(struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + types + strings)
        return path

    plain, longer, later = made("a", 0), made("b", 0, "new", "two"), made("c", 1)
    assert run(capsys, "diff", plain, longer)[1] == (
        "~ struct s: 12 -> 20 bytes\n"
        "    ~ a to c: 3 members 8 bytes later (0 -> 8)\n"
        "    + new: int at 0\n"
        "    + two: int at 4\n"
    )
    assert run(capsys, "diff", later, plain)[1] == (
        "~ struct s: 16 -> 12 bytes\n    ~ a to c: 3 members 4 bytes earlier (4 -> 0)\n"
    )


def test_help_tells_what_the_header_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["btf", "c", "--help"])
    assert "BPF_NO_PRESERVE_ACCESS_INDEX" in capsys.readouterr().out
