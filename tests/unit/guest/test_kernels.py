"""The table of kernels, the cache, and packages from Debian's suites (played by scripts)."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pylibbpf.guest import cache, debian, kernels
from pylibbpf.guest.kernels import Package, Pin
from pylibbpf.guest.outcome import GuestError

ARCHIVE = b"a package"
PIN = Pin(
    "6.1",
    "bookworm",
    "max",
    "6.1.9-1-amd64",
    "6.1.9-1",
    (Package("linux-image", len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()),),
)

# apt-get, apt-cache and dpkg at once. The folder "suite" holds NAME=VERSION for what there is.
TOOL = f"""#!{sys.executable}
import hashlib, os, sys, time
from pathlib import Path
suite = Path(os.environ["SUITE"])
tool, words = Path(sys.argv[0]).name, sys.argv[1:]
have = dict(path.name.split("=") for path in suite.iterdir())
if tool == "dpkg":
    into = Path(words[2])
    for name in ("boot/vmlinuz-{{0}}", "boot/config-{{0}}", "lib/modules/{{0}}/modules.builtin"):
        release = Path(words[1]).name.partition("_")[0].removeprefix("linux-image-")
        path = into / name.format(release)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
elif "update" in words:
    if "offline" in os.environ:
        sys.exit("E: Failed to fetch")
elif "download" in words:
    if "SLOW" in os.environ:
        Path(os.environ["SLOW"], str(os.getpid())).touch()
        time.sleep(float(os.environ.get("SECONDS_OF_IT", "600")))
    name, version = words[-1].split("=")
    data = (suite / f"{{name}}={{version}}").read_bytes()
    Path(f"{{name}}_{{version}}_amd64.deb").write_bytes(data[: int(os.environ.get("CUT", "100"))])
elif "show" in words and words[-1] in have:
    data = (suite / f"{{words[-1]}}={{have[words[-1]]}}").read_bytes()
    print(f"Package: {{words[-1]}}\\nVersion: {{have[words[-1]]}}\\nSize: {{len(data)}}")
    print("SHA256: " + hashlib.sha256(data).hexdigest())
elif "depends" in words:
    print("linux-image-amd64", "  Depends: linux-base", sep="\\n")
    print("".join(f"  Depends: {{name}}\\n" for name in have))
else:
    sys.exit(100)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a host whose apt and dpkg are played."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "apt-cache", "dpkg"):
        (tools / name).write_text(TOOL)
        (tools / name).chmod(0o755)
    (tmp_path / "suite").mkdir()
    (tmp_path / "key").touch()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("SUITE", str(tmp_path / "suite"))
    monkeypatch.setenv("PYLIBBPF_DEBIAN_MIRROR", "http://mirror.invalid/debian")
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "key")
    made = tmp_path / "cache"
    made.mkdir()
    return made


@pytest.fixture
def suite(folder: Path, tmp_path: Path) -> Path:
    """What the suite has: the pinned package."""
    (tmp_path / "suite" / "linux-image-6.1.9-1-amd64=6.1.9-1").write_bytes(ARCHIVE)
    return tmp_path / "suite"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_the_table():
    rows = kernels.table()
    assert list(rows) == ["6.1", "6.12", "7.2"]
    assert kernels.DEFAULT in rows
    for name, pin in rows.items():
        assert pin.name == name
        assert pin.release.startswith(f"{name}.")
        assert pin.version.startswith(f"{name}.")
        assert all(len(p.sha256) == 64 and p.size > 1 << 18 for p in pin.packages)


def test_a_row_can_be_written_and_read(tmp_path):
    pin = kernels.table()["7.2"]
    (tmp_path / "kernels.toml").write_text(replace(pin, version="7.2.999-1").toml())
    assert kernels.table(tmp_path)["7.2"] == replace(pin, version="7.2.999-1")


def test_an_old_update_does_not_hide_newer_pins(tmp_path):
    pin = kernels.table()["7.2"]
    (tmp_path / "kernels.toml").write_text(replace(pin, version="7.2.2-1").toml())
    assert kernels.table(tmp_path)["7.2"] == pin


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "kernels.toml").write_text("[kernels.x]\n")
    with pytest.raises(GuestError, match=r"kernels.toml is no table"):
        kernels.table(tmp_path)


def test_unknown_kernels_name_the_known(tmp_path):
    with pytest.raises(GuestError, match=r"no kernel '5.10': there are 6.1, 6.12, 7.2"):
        kernels.get("5.10", tmp_path, print)


def test_fetch(folder, suite):
    said: list[str] = []
    assert kernels.cached(PIN, folder) is None
    kernel = kernels.fetch(PIN, folder, said.append)
    assert kernel.release == "6.1.9-1-amd64"
    assert kernel.image.name == "vmlinuz-6.1.9-1-amd64"
    assert kernel.config is not None
    assert len(said) == 1
    assert kernels.fetch(PIN, folder, said.append) == kernel
    assert len(said) == 1
    assert left(folder) == ["kernels"]


def test_a_wrong_checksum_is_refused(folder, suite):
    bad = replace(PIN, packages=(replace(PIN.packages[0], sha256="0" * 64),))
    with pytest.raises(GuestError, match="wrong checksum"):
        kernels.fetch(bad, folder, print)
    assert left(folder) == []


def test_half_a_download_is_refused(folder, suite, monkeypatch):
    monkeypatch.setenv("CUT", "4")
    with pytest.raises(GuestError, match="has 4 bytes, not 9"):
        kernels.fetch(PIN, folder, print)
    assert left(folder) == []
    monkeypatch.delenv("CUT")
    assert kernels.fetch(PIN, folder, print).release == PIN.release


def test_what_a_killed_fetch_left_is_removed_by_the_next(folder, suite):
    (folder / ".part-dead" / "unpacked").mkdir(parents=True)
    (folder / ".part-note").touch()
    kernels.fetch(PIN, folder, print)
    assert left(folder) == ["kernels"]


FETCH = """
import sys
from pathlib import Path
from pylibbpf.guest import debian, kernels
folder = Path(sys.argv[1])
debian.KEYRING = Path(sys.argv[2])
pin = kernels._read(folder.parent / "pins.toml")["6.1"]
print(kernels.fetch(pin, folder, lambda text: print(text, file=sys.stderr)).release)
"""


@pytest.fixture
def fetching(folder: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which each download leaves the number of its process."""
    (tmp_path / "pins.toml").write_text(PIN.toml())
    (tmp_path / "downloads").mkdir()
    monkeypatch.setenv("SLOW", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


def fetch(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(folder), str(folder.parent / "key")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_fetch_at_once(folder, fetching, monkeypatch):
    monkeypatch.setenv("SECONDS_OF_IT", "0.5")
    said = ""
    with fetch(folder) as one, fetch(folder) as other:
        for process in (one, other):
            out, error = process.communicate(timeout=60)
            assert (process.returncode, out) == (0, "6.1.9-1-amd64\n"), error
            said += error
    assert said.count("fetching Linux 6.1") == 1
    assert len(list(fetching.iterdir())) == 1
    assert left(folder) == ["kernels"]


def test_ctrl_c_in_the_middle_of_a_fetch(folder, fetching):
    with fetch(folder) as process:
        deadline = time.monotonic() + 60
        while not list(fetching.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (number,) = (int(path.name) for path in fetching.iterdir())
        download = os.pidfd_open(number)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in error
    assert select.select([download], [], [], 60)[0], "apt-get is still there"
    os.close(download)
    assert left(folder) == []


def test_no_network(folder, suite, monkeypatch):
    monkeypatch.setenv("offline", "1")
    with pytest.raises(GuestError, match=r"apt-get failed .*\n.*Failed to fetch"):
        kernels.fetch(PIN, folder, print)
    assert left(folder) == []


def test_no_space(folder, suite, monkeypatch):
    usage = (1 << 30, 1 << 30, 10)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": usage[2]}))
    with pytest.raises(GuestError, match=r"0 MB free.*vm prune"):
        kernels.fetch(PIN, folder, print)


@pytest.mark.parametrize("tool", ["apt-get", "dpkg"])
def test_no_debian(folder, suite, tmp_path, tool):
    (tmp_path / "bin" / tool).unlink()
    with pytest.raises(GuestError, match=f"{tool} is missing.*--kernel PATH"):
        kernels.fetch(PIN, folder, print)


def test_a_suite_that_has_moved_on(folder, suite, monkeypatch):
    (suite / "linux-image-6.1.9-1-amd64=6.1.9-1").unlink()
    (suite / "linux-image-6.1.10-1-amd64=6.1.10-1").write_bytes(b"newer")
    with pytest.raises(GuestError, match=r"has 6.1.10-1-amd64 now.*vm fetch --update 6.1"):
        kernels.fetch(PIN, folder, print)
    monkeypatch.setattr(kernels, "TABLE", folder / "pins.toml")
    (folder / "pins.toml").write_text(PIN.toml())
    said: list[str] = []
    kernel = kernels.update("6.1", folder, said.append)
    assert kernel.release == "6.1.10-1-amd64"
    assert hashlib.sha256(b"newer").hexdigest() in said[-1]
    assert kernels.get("6.1", folder, print) == kernel
    assert kernels.update("6.1", folder, said.append) == kernel
    assert "nothing to update" in said[-1]


def test_the_same_release_in_another_build_is_another_kernel(folder, suite):
    (suite / "linux-image-6.1.9-1-amd64=6.1.9-1").rename(
        suite / "linux-image-6.1.9-1-amd64=6.1.9-2"
    )
    with pytest.raises(GuestError, match=r"it has linux-image-6.1.9-1-amd64 6.1.9-2 now"):
        kernels.fetch(PIN, folder, print)


def test_a_suite_that_has_left_the_series(folder, suite, monkeypatch):
    monkeypatch.setattr(kernels, "TABLE", folder / "pins.toml")
    (folder / "pins.toml").write_text(PIN.toml())
    (suite / "linux-image-6.1.9-1-amd64=6.1.9-1").rename(
        suite / "linux-image-6.10.1-1-amd64=6.10.1-1"
    )
    with pytest.raises(GuestError, match=r"has 6.10.1-1-amd64 now, and no 6.1"):
        kernels.update("6.1", folder, print)


def test_prune(folder, suite):
    kernels.fetch(PIN, folder, print)
    (folder / "images").mkdir()
    gone = kernels.prune(folder)  # PIN is not in the table
    assert [path.name for path in gone] == [PIN.key, "images"]
    assert left(folder) == ["kernels"]
    assert kernels.prune(folder) == []


def test_the_mirror_is_the_hosts(tmp_path, monkeypatch):
    monkeypatch.delenv("PYLIBBPF_DEBIAN_MIRROR", raising=False)
    with pytest.raises(GuestError, match="set PYLIBBPF_DEBIAN_MIRROR"):
        debian.mirror(tmp_path)
    (tmp_path / "sources.list").write_text("# none\ndeb http://x.invalid/debian-security y main\n")
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "a.sources").write_text("Types: deb\nURIs: http://m.invalid/debian\nSuites: s\n")
    assert debian.mirror(tmp_path) == "http://m.invalid/debian"
    (tmp_path / "sources.list").write_text("deb [arch=amd64] http://n.invalid/debian/ y main\n")
    assert debian.mirror(tmp_path) == "http://n.invalid/debian/"


def bzimage(release: str) -> bytes:
    data = bytearray(0x1000)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, 0x300)
    data[0x500 : 0x500 + len(release) + 8] = release.encode() + b" (gcc) \0"
    return bytes(data)


def test_a_kernel_by_path(tmp_path):
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz").write_bytes(bzimage("9.9.9-mine"))
    (tmp_path / "boot" / "config-9.9.9-mine").touch()
    bare = kernels.get(str(tmp_path / "boot" / "vmlinuz"), tmp_path, print)
    assert (bare.release, bare.modules) == ("9.9.9-mine", None)
    assert bare.config == tmp_path / "boot" / "config-9.9.9-mine"
    (tmp_path / "lib" / "modules" / "9.9.9-mine").mkdir(parents=True)
    found = kernels.at(tmp_path / "boot" / "vmlinuz")
    assert found.modules == tmp_path / "lib" / "modules" / "9.9.9-mine"


def test_a_folder_that_is_called_like_a_kernel_is_not_taken_for_it(
    folder, suite, tmp_path, monkeypatch
):
    monkeypatch.setattr(kernels, "table", lambda folder=None: {"6.1": PIN})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "6.1").mkdir()
    assert kernels.get("6.1", folder, print).release == PIN.release
    with pytest.raises(GuestError, match="modules of 0 kernels"):
        kernels.get("./6.1", folder, print)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "no bzImage"), (b"\x7fELF" + bytes(1000), "no bzImage"), (None, "cannot read")],
)
def test_no_kernel_by_path(tmp_path, data, message):
    if data is not None:
        (tmp_path / "vmlinuz").write_bytes(data)
    with pytest.raises(GuestError, match=message):
        kernels.at(tmp_path / "vmlinuz")


def test_a_folder_without_a_kernel(tmp_path):
    with pytest.raises(GuestError, match="modules of 0 kernels"):
        kernels.at(tmp_path)
    (tmp_path / "lib" / "modules" / "1.2").mkdir(parents=True)
    with pytest.raises(GuestError, match="has no kernel"):
        kernels.at(tmp_path)
