"""``pylibbpf vm``: arguments, exit statuses and messages (the guests are played)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pylibbpf.cli import main, vm
from pylibbpf.guest import kernels, outcome, runner
from pylibbpf.guest.session import Job

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs are noted, not run."""
    found: list[Job] = []

    def run(job, output, say):
        found.append(job)
        output(b"out")
        return outcome.Exited(kernel="1.2.3", accelerator="tcg", status=7)

    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(
        kernels, "get", lambda name, *_: kernels.Kernel(name, name, tmp_path, None, None)
    )
    return found


def test_run(jobs, capfd):
    assert main(["vm", "run", "--", "sh", "-c", "x", "--", "--memory"]) == 7
    (job,) = jobs
    assert job.command == ["sh", "-c", "x", "--", "--memory"]
    assert (job.kernel.name, job.memory, job.timeout, job.append) == ("6.12", 512, 900.0, "")
    assert job.folder == str(Path.cwd())
    assert job.environment["PYLIBBPF_GUEST"] == "6.12"
    assert capfd.readouterr() == ("out", "")


def test_options(jobs):
    words = "vm run --kernel 7.2 --memory 2G --timeout 0 --append a=1 --append b --share /x ls -l"
    assert main(words.split()) == 7
    (job,) = jobs
    assert job.command == ["ls", "-l"]
    assert (job.kernel.name, job.memory, job.timeout, job.append) == ("7.2", 2048, None, "a=1 b")
    assert job.shares == ["/x"]


@pytest.mark.parametrize("words", [["vm", "run"], ["vm", "run", "--kernel", "6.1", "--"]])
def test_no_command(jobs, capfd, words):
    assert main(words) == vm.SETUP
    assert "the command is missing" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--memory=much", "'much' is no size like 512M or 2G"),
        ("--timeout=-1", "'-1' is no number of seconds"),
        ("--timeout=x", "'x' is no number of seconds"),
        ("--timeout=nan", "'nan' is no number of seconds"),
        ("--what", "--what"),
    ],
)
def test_bad_options(jobs, capfd, option, message):
    with pytest.raises(SystemExit) as caught:
        main(["vm", "run", option, "--", "true"])
    assert caught.value.code == 2
    assert message in capfd.readouterr().err
    assert jobs == []


def test_a_shell_needs_a_terminal(jobs, capfd):
    assert main(["vm", "shell"]) == vm.SETUP
    assert "needs a terminal" in capfd.readouterr().err


FACTS = {"kernel": "6.1.0", "accelerator": "tcg", "console": "one\ntwo\x1b[2J\n"}


@pytest.mark.parametrize(
    ("ended", "status", "message"),
    [
        (outcome.Panicked(panic="sysrq", **FACTS), 120, "panicked while the command ran: sysrq"),
        (outcome.TimedOut(timeout=5, **FACTS), 121, "did not end within 5 s"),
        (outcome.BootFailed(reason="no 9p", **FACTS), 122, "did not boot: no 9p"),
        (outcome.Hung(timeout=5, **FACTS), 123, "hangs"),
        (outcome.NoVerdict(reason="gone", **FACTS), 124, "no status of the command: gone"),
    ],
)
def test_each_way_to_end_has_a_status_and_the_last_lines(capfd, ended, status, message):
    assert vm.report(ended) == status
    said = capfd.readouterr().err
    assert "pylibbpf: Linux 6.1.0: " in said
    assert message in said
    assert "one\ntwo?[2J\n---" in said


def test_notes_of_the_kernel_are_said(capfd):
    ended = outcome.Exited(kernel="1", accelerator="tcg", status=137, notes=("Out of memory: x",))
    assert vm.report(ended) == 137
    assert "the guest's kernel says: Out of memory: x" in capfd.readouterr().err


def test_what_this_host_lacks_is_status_125(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path))
    assert main(["vm", "run", "--kernel", "5.9", "--", "true"]) == 125
    assert "no kernel '5.9'" in capfd.readouterr().err
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        kernels, "get", lambda name, *_: kernels.Kernel(name, name, tmp_path, None, None)
    )
    assert main(["vm", "run", "--", "true"]) == 125
    assert "qemu-system-x86_64 is missing" in capfd.readouterr().err


def test_interrupted(jobs, monkeypatch):
    def run(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", run)
    assert main(["vm", "run", "--", "true"]) == 130


def test_list_and_prune(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path))
    assert main(["vm", "list"]) == 0
    said = capfd.readouterr().out
    assert said.count("not fetched") == 3
    assert str(tmp_path) in said
    assert main(["vm", "prune", "--all"]) == 0
    assert capfd.readouterr().out == ""


def test_the_module_of_the_checkout(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vm", "list"],
        cwd=ROOT,
        env={"PYLIBBPF_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "6.12" in done.stdout


def test_the_guests_code_is_loaded_for_its_verb_alone():
    code = (
        "import sys; from pylibbpf.cli import main\n"
        "try: main(['doctor', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if 'pylibbpf.guest' in m or m == 'tomllib'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
