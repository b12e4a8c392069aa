from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylibbpf.errors import BtfError
from pylibbpf.loader import btf_files
from pylibbpf.loader.btf_files import BtfFile, KernelBtf, find_btf, one_kernel, read_btf

BTF = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1) + b"\0"


def read_all(*paths: Path) -> list[KernelBtf]:
    return [kernel for file in find_btf(paths) for kernel in read_btf(file)]


def archive(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def vmlinux(section: bytes = BTF, *, order: str = "<") -> bytes:
    """An ELF file that is no BPF object, with the sections .BTF and .shstrtab."""
    names = b"\0.BTF\0.shstrtab\0"
    sections = [(0, 0, 0, 0), (1, 1, 64, len(section)), (6, 3, 64 + len(section), len(names))]
    data = b"\x7fELF\2" + (b"\1" if order == "<" else b"\2") + b"\1" + bytes(9)
    table = 64 + len(section) + len(names)
    data += struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 56, 0, 64, 3, 2)
    data += section + names
    for name, kind, offset, size in sections:
        data += struct.pack(order + "IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)
    return data


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress, bz2.compress])
def test_bare_btf_however_it_is_packed(pack, tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(pack(BTF))
    (kernel,) = read_all(path)
    assert (kernel.kernel, kernel.path, kernel.data, kernel.modules) == ("some", str(path), BTF, {})


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("6.1.0-50.btf", "6.1.0-50"),
        ("6.1.0-50.btf.xz", "6.1.0-50"),
        ("6.1.0-50.btf.tar.xz", "6.1.0-50"),
        ("6.1.0-50.tgz", "6.1.0-50"),
        ("vmlinux-6.1.0-50", "vmlinux-6.1.0-50"),
    ],
)
def test_names_go_without_what_only_says_how_they_are_packed(
    name: str, kernel: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(BTF)
    (file,) = find_btf([tmp_path / name])
    assert file.kernel == kernel


def test_a_tree_like_btfhub(tmp_path: Path) -> None:
    for place in ("ubuntu/20.04/x86_64/5.4.0-9-generic", "debian/12/arm64/6.1.0-50-arm64"):
        path = tmp_path / f"{place}.btf.tar.xz"
        path.parent.mkdir(parents=True)
        path.write_bytes(lzma.compress(archive((f"./{path.name[:-7]}", BTF))))
    (tmp_path / "ubuntu" / "README.md").write_text("no BTF")
    (tmp_path / "ubuntu" / "LICENSE").write_text("no BTF")
    found = read_all(tmp_path)
    assert [each.kernel for each in found] == [
        "debian/12/arm64/6.1.0-50-arm64",
        "ubuntu/20.04/x86_64/5.4.0-9-generic",
    ]
    assert {each.data for each in found} == {BTF}


def test_an_archive_of_several_kernels(tmp_path: Path) -> None:
    path = tmp_path / "all.tar.gz"
    path.write_bytes(
        gzip.compress(archive(("x/5.4.btf", BTF), ("x/README", b""), ("x/6.1.btf", BTF)))
    )
    assert [each.kernel for each in read_all(path)] == ["all/x/5.4", "all/x/6.1"]


def test_pipes_and_devices_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.btf").write_bytes(BTF)
    os.mkfifo(tmp_path / "b.btf")
    os.symlink("/dev/zero", tmp_path / "c.btf")
    os.symlink("nothing", tmp_path / "d.btf")
    assert [each.kernel for each in find_btf([tmp_path])] == ["a", "d"]


def test_of_several_kernels_only_two_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.btf").write_bytes(BTF)
    read: list[str] = []

    def counted(file: BtfFile) -> Iterator[KernelBtf]:
        read.append(file.kernel)
        yield from read_btf(file)

    monkeypatch.setattr(btf_files, "read_btf", counted)
    with pytest.raises(BtfError, match=r"several kernels \(a, b, \.\.\.\)"):
        one_kernel(tmp_path)
    assert read == ["a", "b"]
    assert one_kernel(tmp_path / "c.btf").data == BTF


def test_streams_one_after_another_are_one(tmp_path: Path) -> None:
    path = tmp_path / "some.btf.xz"
    path.write_bytes(lzma.compress(BTF[:10]) + bytes(8) + lzma.compress(BTF[10:]) + bytes(4))
    assert read_all(path)[0].data == BTF
    path.write_bytes(gzip.compress(BTF[:10]) + gzip.compress(BTF[10:]))
    assert read_all(path)[0].data == BTF


def test_a_folder_like_sys_kernel_btf_is_one_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "6.1"
    folder.mkdir()
    for name in ("vmlinux", "nf_tables", "veth"):
        (folder / name).write_bytes(BTF)
    assert list(find_btf([folder])) == [
        BtfFile(
            "6.1",
            str(folder / "vmlinux"),
            (("nf_tables", str(folder / "nf_tables")), ("veth", str(folder / "veth"))),
        )
    ]
    (kernel,) = read_all(tmp_path)
    assert (kernel.kernel, kernel.modules) == ("6.1", {"nf_tables": BTF, "veth": BTF})


def test_vmlinux(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux-6.1"
    path.write_bytes(vmlinux())
    assert read_all(path)[0].data == BTF
    assert read_all(tmp_path)[0].kernel == "vmlinux-6.1"


def test_this_kernel() -> None:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        pytest.skip("needs /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)")
    (kernel,) = read_all(path.parent)
    assert kernel.data == path.read_bytes()
    assert kernel.kernel == os.uname().release


def wrong(path: Path) -> str:
    with pytest.raises(BtfError) as info:
        read_all(path)
    said = str(info.value)
    assert said.startswith(f"{path}: ")
    assert said.count(str(path)) == 1
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\x7fELF", "its ELF header is damaged"),
        (vmlinux()[:100], "it ends before its tables do"),
        (vmlinux(order=">"), "only the BTF of 64-bit little-endian kernels can be read"),
        (vmlinux().replace(b".BTF\0", b".DTF\0"), "has no section .BTF"),
        (b"#include", "neither BTF nor an archive of it: it starts with 23 69 6e 63"),
        (gzip.compress(b"\x7fELF"), "a compressed ELF file: unpack it first"),
        (bytes(0x202) + b"HdrS", "a kernel image that boots"),
        (lzma.compress(BTF)[:40], "the compressed data is cut off"),
        (gzip.compress(BTF)[:-9], "the compressed data is cut off"),
        (b"\xfd7zXZ\0" + bytes(100), "the compressed data is damaged"),
        (b"\x1f\x8b" + bytes(100), "the compressed data is damaged"),
        (b"BZh" + bytes(100), "the compressed data is damaged"),
        (archive(("README", b"")), "an archive without a .btf file"),
        (archive(("a.btf", BTF + bytes(9000)))[:4000], "a damaged archive: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(content)
    assert said in wrong(path)


def test_a_folder_without_btf(tmp_path: Path) -> None:
    (tmp_path / "a.bpf.o").write_bytes(vmlinux())
    assert "no BTF in this folder" in wrong(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_all(tmp_path / "none")


def test_what_unpacks_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(btf_files, "LARGEST", 1 << 20)
    monkeypatch.setattr(btf_files, "LARGEST_ARCHIVE", 4 << 20)
    monkeypatch.setattr(btf_files, "MOST_MEMBERS", 100)
    path = tmp_path / "bomb"
    path.write_bytes(lzma.compress(BTF + bytes(64 << 20)))
    assert "of BTF, which no kernel has" in wrong(path)
    path.write_bytes(lzma.compress(archive(("a", bytes(64 << 20)))))
    assert "unpacks to more than" in wrong(path)
    path.write_bytes(lzma.compress(archive(("a.btf", bytes(2 << 20)))))
    assert "larger than any kernel's BTF" in wrong(path)
    path.write_bytes(lzma.compress(archive(*[(str(n), b"") for n in range(200)])))
    assert "more than 100 members" in wrong(path)
    path.write_bytes(vmlinux(BTF + bytes(2 << 20)))
    assert "section .BTF has" in wrong(path)


def test_damaged_archives(tmp_path: Path) -> None:
    chance = random.Random(1)
    whole = archive(("a/b.btf", BTF), ("c.btf", BTF), ("d" * 200 + ".btf", BTF))
    path = tmp_path / "some"
    for pack in (bytes, lzma.compress, gzip.compress, bz2.compress):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 2, 8))):
                data[chance.randrange(len(data) // 4)] = chance.randrange(256)
            packed = bytearray(pack(bytes(data)))
            if chance.random() < 0.3:
                packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
            path.write_bytes(packed[: chance.choice((len(packed), chance.randrange(len(packed))))])
            try:
                read_all(path)
            except BtfError:
                pass
