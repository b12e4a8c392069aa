"""The initramfs: its archive format, the closure of modules, and what one run adds."""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pylibbpf.guest import image, qemu
from pylibbpf.guest.cpio import Cpio
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.modules import Folder, parse
from pylibbpf.guest.outcome import GuestError


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and contents by name, of one or more archives."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(data):
        if not data[at]:
            at += 1  # padding between archives
            continue
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        at += -(-(110 + name_size) // 4) * 4
        if name != "TRAILER!!!":
            found[name] = (mode, data[at : at + size])
        at += -(-size // 4) * 4
    return found


def test_cpio():
    archive = Cpio()
    archive.folder("a")
    archive.file("a/b", b"12345", 0o755)
    archive.link("a/c", "b")
    archive.device("a/console", 0o600, 5, 1)
    data = archive.finish()
    assert len(data) % 512 == 0
    assert read(data) == {
        "a": (0o40755, b""),
        "a/b": (0o100755, b"12345"),
        "a/c": (0o120777, b"b"),
        "a/console": (0o20600, b""),
    }
    assert data == data[:]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_cpio_reads_it(tmp_path):
    archive = Cpio()
    archive.folder("x")
    archive.file("x/y", b"z")
    done = subprocess.run(
        ["cpio", "-itv"], input=archive.finish(), capture_output=True, check=True, cwd=tmp_path
    )
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [b"x", b"x/y"]


def ko(**facts: str | list[str]) -> bytes:
    """What matters of a module: \0key=value\0 somewhere in it."""
    data = b"\x7fELF\0"
    for key, value in facts.items():
        for one in [value] if isinstance(value, str) else value:
            data += f"{key}={one}".encode() + b"\0"
    return data + b"\0rest"


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Modules that need each other, in three ways compressed."""
    folder = tmp_path / "modules"
    (folder / "kernel" / "net").mkdir(parents=True)
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    net = folder / "kernel" / "net"
    (net / "9p.ko").write_bytes(ko(depends="9pnet,netfs", alias="fs-9p"))
    (net / "9pnet.ko.xz").write_bytes(lzma.compress(ko(depends="")))
    (net / "netfs.ko").write_bytes(ko(depends="", softdep="pre: fs-cache gone post: later"))
    (net / "fs-cache.ko").write_bytes(ko(depends=""))
    (net / "later.ko").write_bytes(ko(depends=""))
    (net / "9pnet_virtio.ko").write_bytes(ko(depends="9pnet", alias=["virtio:d9v*", "9pv"]))
    (net / "virtio_console.ko").write_bytes(ko(depends=""))
    (net / "overlay.ko").write_bytes(ko(depends=""))
    (net / "veth.ko").write_bytes(ko(depends="", alias="rtnl-link-veth"))
    return folder


def test_parse():
    module = parse("x", ko(depends="a-b,c", softdep="pre: d e post: f", alias=["g-h", "pci:*"]))
    assert module.depends == ("a_b", "c")
    assert module.wishes == ("d", "e")
    assert module.aliases == ("g_h",)


def test_closure(modules):
    folder = Folder(modules)
    assert [module.name for module in folder.closure(["9p", "9pnet-virtio", "virtio_pci"])] == [
        "9pnet",
        "fs_cache",
        "netfs",
        "9p",
        "9pnet_virtio",
    ]


def test_modules_that_need_each_other_do_not_loop(modules):
    (modules / "kernel" / "a.ko").write_bytes(ko(depends="b"))
    (modules / "kernel" / "b.ko").write_bytes(ko(depends="a"))
    assert {module.name for module in Folder(modules).closure(["a"])} == {"a", "b"}


def test_a_kernel_without_9p_is_refused_before_it_boots(modules):
    (modules / "kernel" / "net" / "9p.ko").unlink()
    with pytest.raises(GuestError, match="has no 9p, neither as a module nor built in"):
        Folder(modules).closure(["9p"])


def test_damaged_modules_are_named(modules):
    (modules / "kernel" / "net" / "9pnet.ko.xz").write_bytes(b"no xz")
    with pytest.raises(GuestError, match=r"9pnet\.ko\.xz"):
        Folder(modules).closure(["9p"])
    with pytest.raises(GuestError, match=r"modules\.builtin"):
        Folder(modules / "kernel")


@pytest.fixture
def kernel(modules: Path, tmp_path: Path) -> Kernel:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "config").write_bytes(b"CONFIG_BPF=y\n")
    return Kernel("t", "1.2.3", tmp_path / "vmlinuz", modules, tmp_path / "config")


def elf(*kinds: int) -> bytes:
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(kinds))
    return bytes(head) + b"".join(struct.pack("<I", kind) + bytes(52) for kind in kinds)


@pytest.fixture
def busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "busybox"
    path.write_bytes(elf(1, 1))
    monkeypatch.setattr(image, "_BUSYBOX", (str(path),))
    return path


def test_static(tmp_path):
    for data, expected in [(elf(1, 2), True), (elf(1, 3), False), (b"#!/bin/sh\n", False)]:
        (tmp_path / "x").write_bytes(data)
        assert image.static(tmp_path / "x") is expected


def test_base(kernel, busybox, tmp_path):
    data = image.base(kernel, tmp_path, print)
    found = read(data)
    assert found["init"][0] == 0o100755
    needed = found["run/guest/modules/needed"][1].decode().splitlines()
    assert needed[0] == "modules='9pnet fs_cache netfs 9p 9pnet_virtio virtio_console overlay'"
    aliases = found["run/guest/modules/aliases"][1].decode().splitlines()
    assert "rtnl_link_veth veth" in aliases
    assert "fs_9p 9pnet fs_cache netfs 9p" in aliases
    assert found["run/guest/config"][1] == b"CONFIG_BPF=y\n"
    assert "run/guest/modules/later.ko" not in found
    assert found["run/guest/pipe"][0] == 0o10600
    # the second time out of the cache; made again where anything in it has changed
    (kept,) = (tmp_path / "images").iterdir()
    kept.write_bytes(b"kept")
    assert image.base(kernel, tmp_path, print) == b"kept"
    busybox.write_bytes(elf(1, 1, 1))
    assert image.base(kernel, tmp_path, print) != b"kept"
    assert [p for p in (tmp_path / "images").iterdir() if p.name.startswith(".")] == []


def test_own():
    data = image.own(
        ["echo", "it's $HOME", "ä"],
        folder="/a b",
        environment={"A": "x\ny'z", "BASH_FUNC_f%%": "() { :; }"},
        shares=["/s,1", "/it's 2"],
        mark="MARK",
    )
    found = read(data)
    script = b'share() { echo "<$1> <$2>"; }\n' + found["run/guest/own"][1]
    script += b'shares; echo "<$folder> <$mark> <$terminal> <$records>"'
    assert shell(script) == b"<share0> </s,1>\n<share1> </it's 2>\n</a b> <MARK> <> <>\n"
    script = found["run/guest/command"][1]
    assert b"BASH_FUNC" not in script
    assert shell(script) == "it's $HOME ä\n".encode()


def test_own_of_a_terminal_and_records():
    found = read(
        image.own(
            ["sh", "-c", "echo $PATH; echo $PYLIBBPF_RECORDS"],
            folder="/",
            environment={"PYLIBBPF_RECORDS": "of another guest"},
            shares=(),
            mark="m",
            terminal=(80, 24),
            records=True,
        )
    )
    script = found["run/guest/own"][1] + b'shares; echo "<$terminal> <$records>"'
    assert shell(script) == b"<cols 80 rows 24> <yes>\n"
    script = found["run/guest/command"][1].replace(b"</run/guest/records", b"<<<'/dev/vport'")
    done = subprocess.run(["bash"], input=script, capture_output=True, check=True)
    assert done.stdout == f"{image._STANDARD_PATH}\n/dev/vport\n".encode()


def shell(script: bytes) -> bytes:
    return subprocess.run(["/bin/sh"], input=script, capture_output=True, check=True).stdout


def test_files_of_a_run():
    files = read(
        image.own(["x"], folder="/", environment={}, shares=(), mark="m", files={"a": b"1\0"})
    )
    assert files["run/guest/files"][0] == 0o40755
    assert files["run/guest/files/a"][1] == b"1\0"


def test_environment(tmp_path):
    kernel = Kernel("6.1", "6.1.0", tmp_path, None, None)
    found = image.environment({"PATH": "/venv/bin:/bin", "USER": "nobody", "HOME": "/h"}, kernel)
    assert found["PATH"].startswith("/venv/bin:/bin:")
    assert "/usr/sbin" in found["PATH"].split(":")
    assert (found["USER"], found["HOME"], found["PYLIBBPF_GUEST"]) == ("root", "/h", "6.1")


# KVM


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host on which KVM looks well."""
    root = tmp_path / "root"
    for name, text in {
        "dev/kvm": "",
        "proc/cpuinfo": "processor : 0\nflags\t\t: fpu vmx sse\n",
        "proc/sys/kernel/random/boot_id": "boot-1\n",
        "bin/qemu": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "sys/module/kvm").mkdir(parents=True)
    return root


def test_kvm(root, tmp_path):
    assert qemu.kvm(str(root / "bin/qemu"), tmp_path, root) == qemu.Verdict(True)


def test_no_kvm_where_a_hypervisor_emulates_it(root, tmp_path):
    (root / "sys/module/kvm_pvm").mkdir()
    verdict = qemu.kvm(str(root / "bin/qemu"), tmp_path, root)
    assert not verdict.kvm
    assert "kvm_pvm" in verdict.reason


def test_no_kvm_without_the_processors_help(root, tmp_path):
    (root / "proc/cpuinfo").write_text("processor : 0\nflags\t\t: fpu sse vmxish\n")
    assert "vmx" in qemu.kvm(str(root / "bin/qemu"), tmp_path, root).reason


def test_no_kvm_without_the_device(root, tmp_path):
    (root / "dev/kvm").unlink()
    assert "not there" in qemu.kvm(str(root / "bin/qemu"), tmp_path, root).reason


def test_what_was_seen_of_kvm_holds_for_this_boot_and_this_qemu(root, tmp_path):
    program = str(root / "bin/qemu")
    qemu.remember("it crashed", program, tmp_path, root)
    assert qemu.kvm(program, tmp_path, root) == qemu.Verdict(False, "it crashed")
    os.utime(program, (1, 1))
    assert qemu.kvm(program, tmp_path, root).kvm
    qemu.remember("it crashed", program, tmp_path, root)
    (root / "proc/sys/kernel/random/boot_id").write_text("boot-2\n")
    assert qemu.kvm(program, tmp_path, root).kvm
    (tmp_path / "kvm.json").write_text("{")
    assert qemu.kvm(program, tmp_path, root).kvm


def test_the_command_line(tmp_path):
    kernel = Kernel("6.1", "6.1.0", Path("/k"), None, None, "max,cx16=off")
    words = qemu.Machine(
        kernel=kernel,
        accelerator=qemu.TCG,
        memory=256,
        initramfs=9,
        console=3,
        control=4,
        output=5,
        append="lockdown=integrity",
        shares=["/a,b"],
    ).command("qemu")
    text = " ".join(words)
    assert "-cpu max,cx16=off,erms=off" in text
    assert "-initrd /proc/self/fd/9" in text
    assert text.count("readonly=on") == 1
    assert "path=/,mount_tag=host,security_model=none,readonly=on" in text
    assert "path=/a,,b,mount_tag=share0,security_model=none,multidevs" in text
    assert words[words.index("-append") + 1].endswith(" lockdown=integrity")
