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
# Names of busybox that the scripts use, so that they work whatever its shell was built with.
_APPLETS = (
    "cat", "chroot", "cp", "dmesg", "grep", "head", "insmod", "ip", "ln", "mkdir", "mount", "ps",
    "reboot", "sed", "setsid", "sleep", "stty", "sync", "tr", "usleep",
)  # fmt: skip
# What is mounted at once, each in the form of fstab.
_MOUNTS = {
    "first": """\
proc /proc proc
sys /sys sysfs
dev /dev devtmpfs
upper /upper tmpfs mode=755,size=75%
""",
    "files": """\
host /lower 9p trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose
overlay /new overlay lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work
""",
    "kernel": """\
/run /new/run none bind
proc /new/proc proc
sys /new/sys sysfs
dev /new/dev devtmpfs
shm /new/dev/shm tmpfs mode=1777
devpts /new/dev/pts devpts ptmxmode=666
bpf /new/sys/fs/bpf bpf
debugfs /new/sys/kernel/debug debugfs
tracefs /new/sys/kernel/tracing tracefs
cgroup /new/sys/fs/cgroup cgroup2
securityfs /new/sys/kernel/security securityfs
""",
}
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
    kept = cache.Kept(folder / "images", "initramfs", str(kernel.image), key.hexdigest())
    made = kept.open()
    if made is not None:
        with made:
            return made.read()
    data = _make(kernel, busybox.read_bytes())
    kept.write(data)
    return data


def _make(kernel: Kernel, busybox: bytes) -> bytes:
    archive = Cpio()
    for name in ("dev", "proc", "sys", "lower", "upper", "new"):
        archive.folder(name)
    archive.device("dev/console", 0o600, 5, 1)
    archive.device("dev/null", 0o666, 1, 3)
    archive.file("init", (_HERE / "init.sh").read_bytes(), 0o755)
    # What becomes the guest's /run.
    for name in ("", "/lock", *(f"/guest{sub}" for sub in ("", "/bin", "/modules", "/mounts"))):
        archive.folder(f"run{name}")
    archive.file("run/guest/busybox", busybox, 0o755)
    for name in _APPLETS:
        archive.link(f"run/guest/bin/{name}", "../busybox")
    archive.file("run/guest/run.sh", (_HERE / "run.sh").read_bytes(), 0o755)
    archive.file("run/guest/modprobe", (_HERE / "modprobe.sh").read_bytes(), 0o755)
    archive.fifo("run/guest/pipe", 0o600)
    for name, text in _MOUNTS.items():
        archive.file(f"run/guest/mounts/{name}", text.encode())
    for name in ("dev", "dev/pts", "dev/shm"):
        archive.folder(f"run/guest/{name}")
    archive.link("run/guest/dev/fd", "/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        archive.link(f"run/guest/dev/{name}", f"fd/{number}")
    if kernel.config is not None:
        archive.file("run/guest/config", kernel.config.read_bytes())
    needed: list[str] = []
    if kernel.modules is not None:
        needed = _add_modules(archive, Folder(kernel.modules))
    about = f"modules={shlex.quote(' '.join(needed))}\n"
    about += f"folder_of_modules={shlex.quote(str(kernel.modules or ''))}\n"
    archive.file("run/guest/modules/needed", about.encode(errors="surrogateescape"))
    return archive.finish()


def _add_modules(archive: Cpio, folder: Folder) -> list[str]:
    demanded = [name for name in ON_DEMAND if folder.has(name)]
    aliases: dict[str, str] = {}
    for module in folder.closure((*NEEDED, *demanded)):
        archive.file(f"run/guest/modules/{module.name}.ko", module.data)
        order = " ".join(one.name for one in folder.closure([module.name]))
        for alias in (module.name, *module.aliases):
            aliases.setdefault(alias, order)
    lines = "".join(f"{alias} {order}\n" for alias, order in aliases.items())
    archive.file("run/guest/modules/aliases", lines.encode())
    return [module.name for module in folder.closure(NEEDED)]


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
    about = {
        "folder": folder,
        "mark": mark,
        "terminal": f"cols {terminal[0]} rows {terminal[1]}" if terminal else "",
        "records": "yes" if records else "",
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in about.items()]
    lines += [
        "shares() {",
        *(f"share share{number} {shlex.quote(path)}" for number, path in enumerate(shares)),
        ":",
        "}",
        f"shares_written() {{ {'sync' if shares else ':'}; }}",
    ]
    started = [
        f"export {name}={shlex.quote(value)}"
        for name, value in {"PATH": _STANDARD_PATH, **environment}.items()
        if _NAME.fullmatch(name)  # a shell's exported functions have other names
        and name != RECORDS  # of a guest that this host may be
    ]
    if records:  # init writes the device's name there
        started.append(f"read -r {RECORDS} </run/guest/records; export {RECORDS}")
    started.append(f"exec {shlex.join(command)}")
    archive = Cpio()
    archive.folder("run")
    archive.folder("run/guest")
    for name, text in ("own", lines), ("command", started):
        data = "\n".join([*text, ""]).encode(errors="surrogateescape")
        archive.file(f"run/guest/{name}", data)
    if files:
        archive.folder("run/guest/files")
    for name, data in (files or {}).items():
        archive.file(f"run/guest/files/{name}", data)
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
