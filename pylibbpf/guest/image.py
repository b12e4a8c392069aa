"""What a guest boots from: busybox, modules and our init in one initramfs.

The larger part is the same for each run of a kernel, and is kept in the cache; what is this run's
own (the command, its environment) follows it as a second archive.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pylibbpf.guest import cache, debian
from pylibbpf.guest.cpio import Cpio
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.modules import NEEDED, ON_DEMAND, Folder
from pylibbpf.guest.outcome import GuestError

_HERE = Path(__file__).parent
_SCRIPTS = ("init.sh", "run.sh", "modprobe.sh")
_BUSYBOX = "/usr/bin/busybox", "/bin/busybox"
_STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PT_INTERP = 3
RECORDS = "PYLIBBPF_RECORDS"  # names the character device that takes a command's records


def base(kernel: Kernel, folder: Path, say: Callable[[str], None]) -> bytes:
    """The part that all runs of a kernel share, from the cache or else made.

    Raises:
        GuestError: the kernel lacks what guests need, or busybox is not to be had.
    """
    busybox = find_busybox(folder, say)
    key = hashlib.sha256()
    for path in (*(_HERE / name for name in _SCRIPTS), Path(__file__)):
        key.update(path.read_bytes())
    for path in (busybox, kernel.image, *filter(None, (kernel.modules, kernel.config))):
        about = path.stat()
        key.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0".encode(errors="replace"))
    key.update(repr((NEEDED, ON_DEMAND)).encode())
    kept = folder / "images" / f"{kernel.release}-{key.hexdigest()[:16]}.cpio"
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        pass
    data = _make(kernel, busybox.read_bytes())
    _keep(kept, data)
    return data


def _keep(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-") as file:
            file.write(data)
            file.flush()
            try:
                os.link(file.name, path)  # appears whole, or not at all
            except FileExistsError:
                pass  # of a run at the same time, and the same
    except OSError as error:
        raise GuestError(f"cannot write {path}: {error.strerror}") from None


def _make(kernel: Kernel, busybox: bytes) -> bytes:
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "lower", "upper", "new", "guest"):
        archive.folder(name)
    for name in ("modules", "alias", "dev", "dev/pts", "dev/shm"):
        archive.folder(f"guest/{name}")
    archive.link("guest/dev/fd", "/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        archive.link(f"guest/dev/{name}", f"fd/{number}")
    archive.device("dev/console", 0o600, 5, 1)
    archive.device("dev/null", 0o666, 1, 3)
    archive.file("bin/busybox", busybox, 0o755)
    archive.file("init", (_HERE / "init.sh").read_bytes(), 0o755)
    archive.file("guest/run.sh", (_HERE / "run.sh").read_bytes(), 0o755)
    archive.file("guest/modprobe", (_HERE / "modprobe.sh").read_bytes(), 0o755)
    if kernel.config is not None:
        archive.file("guest/config", kernel.config.read_bytes())
    if kernel.modules is not None:
        archive.file("guest/module-folder", os.fsencode(kernel.modules) + b"\n")
        _add_modules(archive, Folder(kernel.modules))
    return archive.finish()


def _add_modules(archive: Cpio, folder: Folder) -> None:
    needed = folder.closure(NEEDED)
    demanded = [name for name in ON_DEMAND if folder.has(name)]
    for module in folder.closure((*NEEDED, *demanded)):
        archive.file(f"guest/modules/{module.name}.ko", module.data)
        order = " ".join(one.name for one in folder.closure([module.name]))
        for alias in dict.fromkeys((module.name, *module.aliases)):
            archive.file(f"guest/alias/{alias}", order.encode())
    archive.file("guest/needed", (" ".join(module.name for module in needed) + "\n").encode())


def own(
    command: Sequence[str],
    *,
    folder: str,
    environment: Mapping[str, str],
    shares: Sequence[str],
    mark: str,
    terminal: tuple[int, int] | None = None,
    records: bool = False,
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """The part of one run. ``mark`` ends the command's output, and its records.

    ``terminal`` is the size (columns, rows) of the terminal that the command gets, if any;
    ``records`` whether there is a port for records; ``files`` come below /run/guest/files.
    """
    archive = Cpio()
    archive.folder("guest")
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in environment.items()
        if _NAME.fullmatch(name)  # a shell's exported functions have other names
        and name != RECORDS  # of a guest that this host may be
    ]
    if records:
        archive.file("guest/records", b"")  # init writes the device's name into it
        lines.append(f"read -r {RECORDS} </run/guest/records; export {RECORDS}")
    text = "\n".join([*lines, f"exec {shlex.join(command)}", ""])
    archive.file("guest/command", text.encode(errors="surrogateescape"))
    archive.file("guest/folder", os.fsencode(folder))
    archive.file("guest/mark", f"{mark}\n".encode())
    if terminal is not None:
        archive.file("guest/terminal", f"cols {terminal[0]} rows {terminal[1]}".encode())
    if files:
        archive.folder("guest/files")
    for name, data in (files or {}).items():
        archive.file(f"guest/files/{name}", data)
    for number, share in enumerate(shares):
        archive.file(f"guest/share.{number}", os.fsencode(share))
    return archive.finish()


def environment(host: Mapping[str, str], kernel: Kernel) -> dict[str, str]:
    """The environment of a command in the guest: the host's, as root, in a known guest."""
    path = [one for one in host.get("PATH", "").split(":") if one]
    path += [one for one in _STANDARD_PATH.split(":") if one not in path]
    return {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **host,
        "USER": "root",
        "LOGNAME": "root",
        "PATH": ":".join(path),
        "PYLIBBPF_GUEST": kernel.name,
    }


def find_busybox(folder: Path, say: Callable[[str], None]) -> Path:
    """A busybox that needs no shared library: the host's, or else Debian's, in the cache.

    Raises:
        GuestError: neither is to be had.
    """
    for name in (*_BUSYBOX, str(folder / "busybox" / "busybox")):
        if os.access(name, os.R_OK) and static(Path(name)):
            return Path(name)
    with cache.changing(folder):
        say("fetching busybox-static, which this host has not installed")
        with cache.part(folder) as work:
            try:
                suite = debian.Suite("stable", work / "apt")
                now = suite.find("busybox-static")
                if now is None:
                    raise GuestError("Debian stable has no busybox-static")
                archive = suite.download(now.name, now.version, work / "archives")
            except GuestError as error:
                raise GuestError(
                    f"busybox is missing: apt-get install busybox-static (fetching it: {error})"
                ) from None
            debian.unpack(archive, work / "unpacked")
            found = next((p for p in work.glob("unpacked/**/bin/busybox") if static(p)), None)
            if found is None:
                raise GuestError(f"{archive.name} holds no busybox")
            ready = work / "ready"
            ready.mkdir()
            shutil.move(found, ready / "busybox")
            shutil.rmtree(folder / "busybox", ignore_errors=True)
            ready.rename(folder / "busybox")
    return folder / "busybox" / "busybox"


def static(path: Path) -> bool:
    """Whether a 64-bit ELF file runs without a loader: it has no PT_INTERP."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:5] != b"\x7fELF\x02":
        return False
    (start,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    kinds = [
        struct.unpack_from("<I", head, start + number * size)[0]
        for number in range(count)
        if start + number * size + 4 <= len(head)
    ]
    return bool(kinds) and _PT_INTERP not in kinds
