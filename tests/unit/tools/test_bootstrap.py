"""Setting up: what it says before it does anything, and that a second time it does nothing."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import subprocess
import sys
import time
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


def test_a_second_time_takes_no_time(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    setup = importlib.import_module("bootstrap").Setup(Path(sys.prefix), [])
    if not setup.up_to_date():
        pytest.skip("needs the environment that make test has just made or looked at")
    started = time.monotonic()
    assert bootstrap("--venv", sys.prefix).returncode == 0
    assert time.monotonic() - started < 2
