"""The kernels that a guest can boot: the pinned ones, fetched into the cache, or one by path."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pylibbpf.guest import cache, debian
from pylibbpf.guest.outcome import GuestError

DEFAULT = "6.12"
TABLE = Path(__file__).with_name("kernels.toml")
META = "linux-image-amd64"  # depends on the newest kernel of its suite

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Package:
    """One archive: named ``prefix-release``."""

    prefix: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A row of the table: exactly which packages make a kernel."""

    name: str
    suite: str
    cpu: str
    release: str
    version: str
    packages: tuple[Package, ...]

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(package.size for package in self.packages)

    @property
    def key(self) -> str:
        """Names what is unpacked: another checksum is another kernel."""
        sums = "".join(package.sha256 for package in self.packages)
        return f"{self.release}-{hashlib.sha256(sums.encode()).hexdigest()[:12]}"

    def toml(self) -> str:
        """The row as it stands in the table."""
        lines = [f'[kernels."{self.name}"]']
        lines += [
            f'{key} = "{getattr(self, key)}"' for key in ("suite", "cpu", "release", "version")
        ]
        for package in self.packages:
            lines += ["", f'[[kernels."{self.name}".packages]]', f'prefix = "{package.prefix}"']
            lines += [f"size = {package.size}", f'sha256 = "{package.sha256}"']
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that lies unpacked on this host.

    ``modules`` and ``config`` are None for a kernel by path that has none: then it must have all
    that a guest needs built in.
    """

    name: str
    release: str
    image: Path
    modules: Path | None
    config: Path | None
    cpu: str = "max"


def table(folder: Path | None = None) -> dict[str, Pin]:
    """All pinned kernels by name; with the cache's folder, as updated there."""
    rows = _read(TABLE)
    updated = (folder or Path("/nonexistent")) / "kernels.toml"
    if folder is not None and updated.exists():
        ours = _read(updated)
        # A release of this package may bring newer pins than an old update.
        rows.update({n: pin for n, pin in ours.items() if n in rows and _newer(pin, rows[n])})
    return rows


def _read(path: Path) -> dict[str, Pin]:
    try:
        rows = tomllib.loads(path.read_text())["kernels"]
        return {
            name: Pin(
                name,
                row["suite"],
                row["cpu"],
                row["release"],
                row["version"],
                tuple(Package(p["prefix"], p["size"], p["sha256"]) for p in row["packages"]),
            )
            for name, row in rows.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GuestError(f"{path} is no table of kernels ({error!r}): remove it") from None


def _newer(one: Pin, other: Pin) -> bool:
    def numbers(pin: Pin) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", pin.version)]

    return numbers(one) > numbers(other)


def pinned(name: str, folder: Path) -> Pin:
    """The row of one kernel.

    Raises:
        GuestError: there is none of this name.
    """
    rows = table(folder)
    if name not in rows:
        raise GuestError(
            f"no kernel {name!r}: there are {', '.join(rows)} (a guest's may also be given by path)"
        )
    return rows[name]


def cached(pin: Pin, folder: Path) -> Kernel | None:
    """The kernel, if the cache has it whole."""
    root = folder / "kernels" / pin.key
    return _unpacked(root, pin.name, pin.cpu) if root.is_dir() else None


def get(name: str, folder: Path, say: Say) -> Kernel:
    """A kernel by its name in the table, fetched if need be, or by path.

    Raises:
        GuestError: it is not to be had, and what to do about it.
    """
    # A name of the table is no path, even where a folder is called so.
    if "/" in name or (name not in table(folder) and os.path.exists(name)):
        return at(Path(name))
    return fetch(pinned(name, folder), folder, say)


def fetch(pin: Pin, folder: Path, say: Say) -> Kernel:
    """Bring a pinned kernel into the cache, unless it is there.

    Raises:
        GuestError: no space, no network, a wrong checksum, or the suite has moved on.
    """
    found = cached(pin, folder)
    if found is not None:
        return found
    with cache.changing(folder):
        found = cached(pin, folder)  # somebody else may have fetched it while we waited
        if found is not None:
            return found
        # The archives, beside what they unpack to: up to five times as much.
        cache.need_space(folder, 6 * pin.size)
        say(f"fetching Linux {pin.name} ({pin.release}, {pin.size >> 20} MB) from {pin.suite}")
        with cache.part(folder) as work:
            suite = debian.Suite(pin.suite, work / "apt")
            _same_version(suite, pin)
            archives = [
                suite.download(f"{p.prefix}-{pin.release}", pin.version, work / "archives")
                for p in pin.packages
            ]
            return _install(pin, archives, folder, work)


def _same_version(suite: debian.Suite, pin: Pin) -> None:
    for package in pin.packages:
        name = f"{package.prefix}-{pin.release}"
        now = suite.find(name)
        if now is not None and now.version == pin.version:
            continue
        newest = _newest(suite) if now is None else pin.release
        have = f"{newest or 'no kernel'}" if now is None else f"{name} {now.version}"
        raise GuestError(
            f"{suite.name} has moved on: it has {have} now, and no longer {name} {pin.version}. "
            f"To take what it has, signed by Debian: pylibbpf vm fetch --update {pin.name}"
        )


def _newest(suite: debian.Suite) -> str | None:
    """The release that the suite's meta package stands for."""
    found = (re.fullmatch(r"linux-image-(\d\S+)", name) for name in suite.depends(META))
    return next((match[1] for match in found if match), None)


def _install(pin: Pin, archives: list[Path], folder: Path, work: Path) -> Kernel:
    """Check, unpack, and let it appear in the cache: whole, or not at all."""
    for package, archive in zip(pin.packages, archives, strict=True):
        check(archive, package)
    for archive in archives:
        debian.unpack(archive, work / "unpacked")
        archive.unlink()
    _unpacked(work / "unpacked", pin.name, pin.cpu)
    kernels = folder / "kernels"
    kernels.mkdir(exist_ok=True)
    root = kernels / pin.key
    (work / "unpacked").rename(root)
    return _unpacked(root, pin.name, pin.cpu)


def check(archive: Path, package: Package) -> None:
    """Compare an archive with its row.

    Raises:
        GuestError: it is not the one that was pinned.
    """
    size = archive.stat().st_size
    if size != package.size:
        raise GuestError(f"{archive.name} has {size} bytes, not {package.size}: fetch it again")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise GuestError(
            f"{archive.name} has the wrong checksum:\n  sha256 {found}\n  pinned {package.sha256}\n"
            "It was damaged or exchanged on its way, and is not used"
        )


def update(name: str, folder: Path, say: Say) -> Kernel:
    """Pin and fetch what the suite has now. The new row is kept in the cache, and shown.

    Raises:
        GuestError: as :func:`fetch`, or the suite has no kernel of this name any more.
    """
    pin = pinned(name, folder)
    with cache.changing(folder):
        cache.need_space(folder, 6 * pin.size)
        with cache.part(folder) as work:
            suite = debian.Suite(pin.suite, work / "apt")
            release = _newest(suite)
            if release is None or not release.startswith(f"{name}."):
                raise GuestError(
                    f"{pin.suite} has {release or 'no kernel'} now, and no {name}: a newer version "
                    "of this package may know another place; or use --kernel PATH"
                )
            found = []
            for package in pin.packages:
                now = suite.find(f"{package.prefix}-{release}")
                if now is None:
                    raise GuestError(f"{pin.suite} has no {package.prefix}-{release}")
                found.append(now)
            new = Pin(
                name,
                pin.suite,
                pin.cpu,
                release,
                found[0].version,
                tuple(
                    Package(package.prefix, now.size, now.sha256)
                    for package, now in zip(pin.packages, found, strict=True)
                ),
            )
            if new == pin:
                say(f"{pin.suite} still has {release}: nothing to update")
            kernel = cached(new, folder)
            if kernel is None:
                say(f"fetching Linux {name} ({release}, {new.size >> 20} MB) from {pin.suite}")
                archives = [
                    suite.download(now.name, now.version, work / "archives") for now in found
                ]
                kernel = _install(new, archives, folder, work)
            if new != pin:
                _remember(new, folder, work)
                say(f"Linux {name} is now pinned in {folder / 'kernels.toml'} as\n{new.toml()}")
            return kernel


def _remember(pin: Pin, folder: Path, work: Path) -> None:
    place = folder / "kernels.toml"
    rows = _read(place) if place.exists() else {}
    rows[pin.name] = pin
    (work / "kernels.toml").write_text("\n".join(row.toml() for row in rows.values()))
    (work / "kernels.toml").rename(place)


def prune(folder: Path, *, everything: bool = False) -> list[Path]:
    """Remove kernels that no row names any more, images, and leftovers; returns what went.

    With ``everything``, all kernels and updated rows too.
    """
    gone = []
    with cache.changing(folder):
        keep = set() if everything else {pin.key for pin in table(folder).values()}
        for path in sorted((folder / "kernels").glob("*")):
            if path.name not in keep:
                shutil.rmtree(path)
                gone.append(path)
        for path in [folder / "images", folder / "busybox"]:
            if path.is_dir():
                shutil.rmtree(path)
                gone.append(path)
        for path in [folder / "kvm.json", *([folder / "kernels.toml"] if everything else [])]:
            if path.exists():
                path.unlink()
                gone.append(path)
    return gone


def at(path: Path) -> Kernel:
    """A kernel of this host: a bzImage (``/boot/vmlinuz-...``), or a folder of unpacked packages.

    Raises:
        GuestError: there is none.
    """
    path = path.absolute()
    if path.is_dir():
        return _unpacked(path, str(path), "max")
    release = release_of(path)
    # Where distributions, our cache and a kernel's own `make modules_install` put them.
    modules = _first(
        *(path.parent.parent / sub / release for sub in ("lib/modules", "usr/lib/modules")),
        Path("/lib/modules", release),
        *([path.parent] if (path.parent / "modules.builtin").exists() else []),
    )
    config = _first(
        path.parent / f"config-{release}",
        *([modules / "config"] if modules is not None else []),
        path.parent / "config",
    )
    return Kernel(str(path), release, path, modules, config)


def _unpacked(root: Path, name: str, cpu: str) -> Kernel:
    folders = [*root.glob("usr/lib/modules/*"), *root.glob("lib/modules/*")]
    if len(folders) != 1:
        raise GuestError(
            f"{root} holds the modules of {len(folders)} kernels, not of one: it should have "
            "lib/modules/RELEASE or usr/lib/modules/RELEASE"
        )
    modules = folders[0]
    release = modules.name
    image = _first(root / "boot" / f"vmlinuz-{release}", modules / "vmlinuz")
    if image is None:
        raise GuestError(
            f"{root} has no kernel: neither boot/vmlinuz-{release} nor {modules}/vmlinuz"
        )
    config = _first(root / "boot" / f"config-{release}", modules / "config")
    return Kernel(name, release, image, modules, config, cpu)


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def release_of(image: Path) -> str:
    """The release that a bzImage says it is (Documentation/arch/x86/boot.rst, kernel_version).

    Raises:
        GuestError: the file is no bzImage, or cannot be read.
    """
    try:
        with image.open("rb") as file:
            head = file.read(0x8000)
    except OSError as error:
        raise GuestError(f"cannot read the kernel {image}: {error.strerror}") from None
    if len(head) < 0x210 or head[0x202:0x206] != b"HdrS":
        raise GuestError(f"{image} is no bzImage of x86 Linux")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    text = head[offset + 0x200 : offset + 0x300].split(b"\0")[0].decode("ascii", "replace")
    if not offset or not text:
        raise GuestError(f"{image} does not say which release it is")
    return text.split()[0]
