"""Setting up: what it says before it does anything, and that a second time it does nothing."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def bootstrap(
    *arguments: str | Path, clone: Path = ROOT, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, clone / "tools" / "bootstrap.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a clone as is looked at before anything is made."""
    (tmp_path / "clone" / "pylibbpf" / "engine" / "kernel").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", tmp_path / "clone" / "tools")
    return tmp_path / "clone"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "letter").touch()
    done = bootstrap("--venv", tmp_path)
    assert done.returncode == 2
    assert "is no virtual environment" in done.stderr
    assert os.listdir(tmp_path) == ["letter"]


def powerless() -> tuple[str, ...]:
    """Before a command: as root, without the capability to write everywhere."""
    return ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()


def test_a_clone_that_may_not_be_written_to(clone):
    clone.chmod(0o555)
    done = bootstrap(clone=clone, before=powerless())
    assert done.returncode == 2
    assert f"git clone {clone}" in done.stderr
    assert "safe.directory" in done.stderr
    assert not (clone / ".venv").exists()


def test_an_environment_in_somebody_elses_place(clone):
    place = clone / "closed"
    place.mkdir(mode=0o555)
    done = bootstrap("--venv", place / "venv", clone=clone, before=powerless())
    assert done.returncode == 2
    assert "VENV=" in done.stderr


def test_an_environment_of_somebody_else(clone):
    if os.geteuid() != 0:
        pytest.skip("needs CAP_CHOWN")
    (clone / ".venv").mkdir()
    os.chown(clone / ".venv", 12345, 12345)
    done = bootstrap(clone=clone)
    assert done.returncode == 2
    assert "belongs to user 12345" in done.stderr
    assert "VENV=" in done.stderr


def test_an_old_python_is_told_so(tmp_path):
    code = "import sys; sys.version_info = (3, 9, 2); sys.path.insert(0, {!r}); import bootstrap; "
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(ROOT / "tools")) + "bootstrap.main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is Python 3.9.2; pylibbpf needs 3.11 or later" in done.stderr


def test_the_first_usable_python_is_taken(tmp_path):
    """One that does not run, then one that is too old, then one that will do."""
    for name, text in {
        "python3": "#!/no/such/interpreter\n",
        "python3.14": "#!/bin/sh\ncase $2 in pass) exit 0;; *) exit 1;; esac\n",
        "python3.13": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    done = subprocess.run(
        ["/bin/sh", ROOT / "tools" / "python.sh"],
        env={"PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path}/python3.13\n"


@pytest.fixture
def module(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("bootstrap")


def test_a_second_time_does_nothing(module):
    setup = module.Setup(Path(sys.prefix), [])
    if not setup.up_to_date():
        pytest.skip("needs the environment that make test has just made or looked at")
    logs = setup.log, setup.stamp  # each step is written into the first
    before = [path.read_bytes() for path in logs]
    assert bootstrap("--venv", sys.prefix).returncode == 0
    assert [path.read_bytes() for path in logs] == before


@pytest.mark.parametrize(
    ("machine", "found", "wanted"),
    [
        ("x86_64", [], ["qemu-system-x86", "busybox-static"]),
        ("x86_64", ["busybox"], ["qemu-system-x86"]),
        ("x86_64", ["busybox", "qemu-system-x86_64"], []),
        ("aarch64", [], []),
    ],
)
def test_what_guests_need(module, monkeypatch, machine, found, wanted):
    monkeypatch.setattr(module.platform, "machine", lambda: machine)
    monkeypatch.setattr(module.shutil, "which", lambda name: name if name in found else None)
    assert module.for_guests() == wanted


@pytest.mark.parametrize("outcome", ["installed", "failed"])
def test_root_gets_what_guests_need_and_a_failure_is_not_tried_again(
    module, monkeypatch, tmp_path, outcome
):
    monkeypatch.setattr(module, "may_install", lambda: True)
    monkeypatch.setattr(module, "for_guests", lambda: ["qemu-system-x86"])
    for check in ("has_library", "compiles"):
        monkeypatch.setattr(module, check, lambda *given: True)
    for check in ("has_ensurepip", "has_python_h"):
        monkeypatch.setattr(module, check, lambda: True)
    commands = []

    def command(self, words, environment=None):
        commands.append(words)
        if outcome == "failed":
            raise module.Stop("no network")
        monkeypatch.setattr(module, "for_guests", list)

    monkeypatch.setattr(module.Setup, "command", command)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    setup = module.Setup(tmp_path, ["test"])
    setup.system_packages()
    assert commands[0][:4] == ["apt-get", "install", "-y", "--no-install-recommends"]
    assert "qemu-system-x86" in commands[0]
    setup.finish(extension=False)
    assert module.Setup(tmp_path, ["test"]).up_to_date()
    # without the tests nothing of it is wanted
    del commands[:]
    module.Setup(tmp_path, []).system_packages()
    assert not any("qemu-system-x86" in words for words in commands)
