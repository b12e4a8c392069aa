"""The modules that a guest needs, and what they need, in the order of loading."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pylibbpf.guest.outcome import GuestError

# Without these no guest boots.
NEEDED = ("virtio_pci", "9p", "9pnet_virtio", "virtio_console", "overlay")
# What BPF programs attach to or are built into: loaded when the guest's kernel asks for them
# (there is no modprobe in the guest but ours, and no depmod).
ON_DEMAND = (
    "veth", "dummy", "netkit", "bridge", "sch_ingress", "cls_bpf", "act_bpf",
    "nf_defrag_ipv4", "nf_defrag_ipv6", "nf_conntrack", "nf_nat", "nf_tables",
    "tcp_bbr", "tcp_dctcp", "tcp_vegas", "tcp_westwood",
    "crc32c_generic",  # libcrc32c asks for "crypto-crc32c"
)  # fmt: skip

_SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its ELF file, what must be loaded before it, and its names for the kernel."""

    name: str
    data: bytes
    depends: tuple[str, ...]
    wishes: tuple[str, ...]
    aliases: tuple[str, ...]


def plain(name: str) -> str:
    """The kernel takes - and _ in names for the same."""
    return name.replace("-", "_")


class Folder:
    """The modules of one kernel (``lib/modules/RELEASE``).

    Raises:
        GuestError: it lacks modules.builtin, without which nothing tells what is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, Path] = {}
        self._read: dict[str, Module] = {}
        for root, _, names in os.walk(path / "kernel"):
            for name in names:
                stem, dot, rest = name.partition(".ko")
                if dot + rest in _SUFFIXES:
                    self._files[plain(stem)] = Path(root, name)
        try:
            lines = (path / "modules.builtin").read_text().splitlines()
        except OSError as error:
            raise GuestError(f"cannot read {path}/modules.builtin: {error.strerror}") from None
        self._builtin = {plain(os.path.basename(line).removesuffix(".ko")) for line in lines}

    def has(self, name: str) -> bool:
        """Whether it is there, as a module or built in."""
        return plain(name) in self._files or plain(name) in self._builtin

    def closure(self, names: Iterable[str]) -> list[Module]:
        """The modules of these names and all that they need, each after what it needs.

        Raises:
            GuestError: one is neither there nor built in.
        """
        done: dict[str, Module] = {}
        seen: set[str] = set()

        def visit(name: str) -> None:
            name = plain(name)
            if name in seen or name in self._builtin:
                return
            seen.add(name)
            module = self._module(name)
            for other in module.depends:
                visit(other)
            for other in module.wishes:
                if self.has(other):
                    visit(other)
            done[name] = module

        for name in names:
            visit(name)
        return list(done.values())

    def _module(self, name: str) -> Module:
        if name not in self._read:
            path = self._files.get(name)
            if path is None:
                raise GuestError(
                    f"the kernel of {self.path} has no {name}, neither as a module nor built in. "
                    f"A guest needs {', '.join(NEEDED)} (Debian's cloud kernels have no 9p)"
                )
            self._read[name] = parse(name, _contents(path))
        return self._read[name]


def parse(name: str, data: bytes) -> Module:
    """Read a module's .modinfo, which is a row of ``key=value`` strings."""
    found: dict[str, list[str]] = {"depends": [], "alias": [], "softdep": []}
    for key, value in re.findall(rb"\0(depends|alias|softdep)=([^\0]*)(?=\0)", data):
        found[key.decode()].append(value.decode(errors="replace"))
    wishes = []
    for text in found["softdep"]:
        before = text.partition("post:")[0]
        wishes += before.partition("pre:")[2].split()
    return Module(
        name=name,
        data=data,
        depends=tuple(plain(one) for text in found["depends"] for one in text.split(",") if one),
        wishes=tuple(plain(one) for one in wishes),
        # Patterns stand for devices, and a guest's are known.
        aliases=tuple(plain(a) for a in found["alias"] if not set(a) & set("*?[/")),
    )


def _contents(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return zlib.decompress(data, wbits=31)
        if path.suffix == ".zst":
            return _zstd(path, data)
    except (OSError, lzma.LZMAError, zlib.error) as error:
        raise GuestError(f"cannot read the module {path}: {error}") from None
    return data


def _zstd(path: Path, data: bytes) -> bytes:
    tool = shutil.which("zstd")
    if tool is None:
        raise GuestError(f"{path} is compressed with zstd: install zstd")
    done = subprocess.run([tool, "-dcq"], input=data, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise GuestError(f"cannot read the module {path}: {done.stderr.decode(errors='replace')}")
    return done.stdout
