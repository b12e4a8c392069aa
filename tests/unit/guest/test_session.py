"""How a run ends, seen from the host: a script on PATH plays QEMU and its guest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylibbpf.guest import cache, image, qemu, runner, session, vmlinux
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.outcome import (
    BootFailed,
    Exited,
    GuestError,
    Hung,
    NoVerdict,
    Outcome,
    Panicked,
    Stopped,
    TimedOut,
)
from pylibbpf.guest.session import Job

# Plays the part in FAKE_GUEST, with what the guest has at hand.
FAKE = f"""#!{sys.executable}
import os, re, sys, time
ports = dict(re.findall(r"socket,id=(\\w+),fd=(\\d+)", " ".join(sys.argv)))
initrd = open(sys.argv[sys.argv.index("-initrd") + 1], "rb").read()
mark = re.search(rb"\\[end of guest [0-9a-f]+\\]", initrd)[0]
kvm = "kvm" in sys.argv
def write(port, data):
    os.write(int(ports[port]), data)
def control(*lines):
    write("control", "".join(line + "\\n" for line in lines).encode())
def started():
    control("boot", "run")
def asked():
    assert os.read(int(ports["control"]), 100) == b"dump\\n"
def panic():
    write("console", b"[ 1.0] Kernel panic - not syncing: sysrq triggered crash\\r\\n[ 1.1] CPU: 0")
def stay():
    time.sleep(600)
exec(os.environ["FAKE_GUEST"])
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose QEMU is a script, and without KVM; returns its cache."""
    program = tmp_path / "bin" / qemu.PROGRAM
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    folder = tmp_path / "cache"
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYLIBBPF_CACHE", str(folder))
    monkeypatch.setattr(image, "base", lambda *_: b"")
    monkeypatch.setattr(qemu.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(False, "a test"))
    return folder


class Run:
    """One run, what it wrote, and what was said about it."""

    def __init__(
        self,
        part: str,
        timeout: float | None = 60.0,
        output: Callable[[bytes], None] | None = None,
        **facts: object,
    ) -> None:
        self.written = b""
        self.said: list[str] = []
        kernel = Kernel("test", "1.2.3", Path("/dev/null"), None, None)
        job = Job(kernel=kernel, command=["true"], timeout=timeout, **facts)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAKE_GUEST", part)
            self.outcome: Outcome = runner.run(job, output or self._take, self.said.append)

    def _take(self, data: bytes) -> None:
        self.written += data


def test_exit(host):
    run = Run(
        "started(); write('output', b'hello'); control('exit 7'); write('output', mark); stay()"
    )
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 7
    assert run.written == b"hello"
    assert list(run.outcome.seconds) == ["boot", "run", "exit", "end"]
    assert run.outcome.kernel == "1.2.3"


def test_the_mark_comes_in_pieces_and_what_follows_it_is_not_output(host):
    run = Run(
        "started()\n"
        "for n in b'a[end of guest b' + mark + b' late':\n"
        "    write('output', bytes([n])); time.sleep(.002)\n"
        "control('exit 0'); stay()"
    )
    assert run.written == b"a[end of guest b"
    assert run.outcome.message == "the command ended with status 0"


def test_output_that_only_begins_like_the_mark_is_not_lost(host):
    run = Run("started(); write('output', b'x' + mark[:9]); control('exit 3')")
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 3
    assert run.written == b"x[end of g"


def test_notes(host):
    run = Run(
        "started(); control('log', '[ 1.0] x', '[ 2.0] Out of memory: x', 'exit 1')\n"
        "control(mark.decode(), 'exit 137'); write('output', mark)"
    )
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 137
    assert run.outcome.notes == ("[ 2.0] Out of memory: x",)


def test_panic(host):
    run = Run("started(); write('output', b'before'); panic()")
    assert isinstance(run.outcome, Panicked)
    assert run.outcome.panic == "sysrq triggered crash"
    assert run.outcome.last_lines(1) == "[ 1.1] CPU: 0"
    assert run.written == b"before"


def test_a_panic_after_which_the_kernel_stays(host):
    run = Run("started(); panic(); write('console', b'\\n---[ end Kernel panic - x ]---'); stay()")
    assert isinstance(run.outcome, Panicked)


def test_an_exit_that_was_reported_stands_whatever_comes_after(host):
    run = Run("started(); control('exit 4'); panic()")
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 4


def test_a_panic_before_the_command_is_no_panic_of_the_command_and_boots_again(host, tmp_path):
    run = Run(
        f"flag = {str(tmp_path / 'flag')!r}\n"
        "if os.path.exists(flag):\n"
        "    started(); control('exit 0'); write('output', mark); stay()\n"
        "open(flag, 'w'); control('boot'); panic()"
    )
    assert isinstance(run.outcome, Exited)
    assert run.said == [
        "the guest did not boot: its kernel panicked: sysrq triggered crash: booting once more"
    ]


def test_a_kernel_that_always_panics_boots_twice_and_no_more(host):
    run = Run("panic()")
    assert isinstance(run.outcome, BootFailed)
    assert len(run.said) == 1


@pytest.mark.parametrize("part", ["sys.exit(1)", "panic()", "write('console', b'x')"])
def test_a_kernel_that_does_not_start_unpacked_starts_as_it_is(host, monkeypatch, part):
    monkeypatch.setattr(vmlinux, "uncompressed", lambda *_: Path("/unpacked"))
    run = Run(
        f"if '/unpacked' in sys.argv:\n    {part}; sys.exit()\n"
        "started(); control('exit 3'); write('output', mark); stay()"
    )
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 3
    assert len(run.said) == 1
    assert run.said[0].endswith(": booting once more")


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("control('boot', 'fail cannot mount the files'); stay()", "cannot mount the files"),
        ("write('console', b'x\\npylibbpf-guest: fail no virtio\\r\\n')", "no virtio"),
        ("print('no memory'); sys.exit(1)", "QEMU ended with status 1: no memory"),
        ("sys.exit(1)", "QEMU ended with status 1: it said nothing"),
        ("os.kill(os.getpid(), 9)", "QEMU ended with status -9: it said nothing"),
        ("control('boot')", "the guest rebooted or switched itself off"),
    ],
)
def test_failed_boots(host, part, reason):
    run = Run(part)
    assert isinstance(run.outcome, BootFailed)
    assert run.outcome.reason == reason
    assert run.said == []


def test_a_boot_that_takes_for_ever(host, monkeypatch):
    monkeypatch.setattr(session, "BOOT", 0.3)
    run = Run("write('console', b'still here'); stay()")
    assert isinstance(run.outcome, BootFailed)
    assert run.outcome.console == "still here"


def test_a_guest_that_switches_itself_off_gives_no_verdict(host):
    run = Run("started()")
    assert isinstance(run.outcome, NoVerdict)
    assert "rebooted or switched itself off" in run.outcome.message


def test_a_qemu_that_crashes_gives_no_verdict(host):
    run = Run("started(); print('assertion'); sys.stdout.flush(); os.kill(os.getpid(), 11)")
    assert isinstance(run.outcome, NoVerdict)
    assert "QEMU ended with status -11: assertion" in run.outcome.message


def test_timeout_with_the_stacks_that_the_guest_sends(host):
    run = Run("started(); asked(); control('alive', 'dump -- 7 sleep', 'dumped'); stay()", 0.2)
    assert isinstance(run.outcome, TimedOut)
    assert run.outcome.last_lines(1) == "-- 7 sleep"
    assert run.outcome.message == "the command did not end within 0.2 s"


def test_a_guest_that_does_not_answer_hangs(host, monkeypatch):
    monkeypatch.setattr(session, "ANSWER", 0.3)
    run = Run("started(); stay()", 0.2)
    assert isinstance(run.outcome, Hung)


def test_a_command_that_ends_while_its_guest_is_asked(host):
    run = Run("started(); asked(); control('exit 5'); write('output', mark); stay()", 0.2)
    assert isinstance(run.outcome, Exited)


class Records:
    """Takes records."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces = 0

    def __call__(self, data: bytes) -> None:
        self.data += data
        self.pieces += 1


def test_records(host):
    records = Records()
    run = Run(
        "started(); write('records', b'one\\n'); write('output', b'out')\n"
        "write('records', b'two')\n"
        "write('records', mark + b'late'); control('exit 0'); write('output', mark); stay()",
        records=records,
    )
    assert isinstance(run.outcome, Exited)
    assert records.data == b"one\ntwo"
    assert run.written == b"out"


def test_there_is_no_port_for_records_that_nobody_takes(host):
    run = Run("control('fail ' + ','.join(sorted(ports))); stay()")
    assert isinstance(run.outcome, BootFailed)
    assert run.outcome.reason == "console,control,output"


def test_a_command_that_records_nothing(host):
    records = Records()
    run = Run(
        "started(); write('records', mark); control('exit 2'); write('output', mark); stay()",
        records=records,
    )
    assert isinstance(run.outcome, Exited)
    assert records.pieces == 0


def test_an_exit_waits_for_the_records(host):
    records = Records()
    run = Run(
        "started(); control('exit 2'); write('output', mark); time.sleep(.5)\n"
        "write('records', b'late' + mark); stay()",
        records=records,
    )
    assert isinstance(run.outcome, Exited)
    assert records.data == b"late"


def test_records_whose_port_something_that_the_command_left_running_holds(host, monkeypatch):
    monkeypatch.setattr(session, "SETTLED", 0.3)
    records = Records()
    run = Run(
        "started(); write('records', b'x'); control('unsealed', 'exit 2'); write('output', mark)\n"
        "stay()",
        records=records,
    )
    assert isinstance(run.outcome, Exited)
    assert records.data == b"x"


def test_records_that_never_end_do_not_keep_the_guest(host, monkeypatch):
    monkeypatch.setattr(session, "DRAIN", 0.5)
    run = Run(
        "started(); control('unsealed', 'exit 2'); write('output', mark)\n"
        "while True: write('records', b'x' * 100)",
        records=Records(),
    )
    assert isinstance(run.outcome, Exited)


def test_what_was_written_before_a_panic_is_delivered_before_the_outcome(host):
    # more than sockets hold: the guest waits for us, and panics as soon as the last part is away
    records = Records()
    run = Run(
        "started()\n"
        "def push(port, size):\n"
        "    data = memoryview(bytes(size))\n"
        "    while data: data = data[os.write(int(ports[port]), data):]\n"
        "push('records', 5_000_000); push('output', 3_000_000)\n"
        "write('records', b'last' + mark[:5]); panic()",
        records=records,
    )
    assert isinstance(run.outcome, Panicked)
    assert records.data == bytes(5_000_000) + b"last[end "
    assert len(run.written) == 3_000_000


def test_what_was_written_before_a_panic_after_which_the_kernel_stays(host):
    records = Records()
    run = Run(
        "started(); panic(); write('console', b'\\n---[ end Kernel panic - x ]---')\n"
        "for n in range(40): write('records', bytes(100_000))\n"
        "stay()",
        records=records,
    )
    assert isinstance(run.outcome, Panicked)
    assert len(records.data) == 4_000_000


def test_a_command_that_records_nothing_for_too_long(host):
    run = Run(
        "started(); write('records', b'x'); asked(); control('alive', 'dump -- 7 x', 'dumped')\n"
        "stay()",
        timeout=None,
        idle=0.3,
        records=Records(),
    )
    assert isinstance(run.outcome, TimedOut)
    assert run.outcome.message == "the command recorded nothing for 0.3 s"
    assert run.outcome.last_lines(1) == "-- 7 x"


def test_a_limit_that_only_the_caller_knows(host):
    recorded = []
    run = Run(
        "started(); write('records', b'x'); asked()\n"
        "control('alive', 'dump -- 7 x', 'dumped'); stay()",
        timeout=None,
        records=recorded.append,
        overdue=lambda: 7.0 if recorded else None,
    )
    assert isinstance(run.outcome, TimedOut)
    assert run.outcome.timeout == 7.0
    assert run.outcome.last_lines(1) == "-- 7 x"


def test_a_guest_that_records_nothing_and_does_not_answer(host, monkeypatch):
    monkeypatch.setattr(session, "ANSWER", 0.3)
    run = Run("started(); stay()", timeout=None, idle=0.2, records=Records())
    assert isinstance(run.outcome, Hung)
    assert run.outcome.message == (
        "the guest hangs: the command recorded nothing for 0.2 s, and the guest does not answer"
    )


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Takes records, each for five seconds of the session's clock; nothing else takes any."""
    now = [0.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def take(data: bytes) -> None:
        now[0] += 5.0

    return take


def test_records_keep_a_command_from_being_idle(host, slow):
    # one at a time, so that none is taken with another
    run = Run(
        "started()\n"
        "for n in range(8): write('records', b'x'); time.sleep(.05)\n"
        "write('records', mark); control('exit 0'); write('output', mark); stay()",
        timeout=None,
        idle=8.0,
        records=slow,
    )
    assert isinstance(run.outcome, Exited)


def test_the_time_that_the_host_takes_for_a_record_is_not_the_commands(host, slow):
    run = Run(
        "started(); write('records', b'x'); time.sleep(.3); write('records', b'y' + mark)\n"
        "control('exit 0'); write('output', mark); stay()",
        timeout=None,
        idle=1.0,
        records=slow,
    )
    assert isinstance(run.outcome, Exited)


def test_a_run_in_another_thread_is_stopped_from_this_one(host):
    stop = threading.Event()
    runs: list[Run] = []
    pids: list[int] = []
    seen = threading.Event()

    def take(data: bytes) -> None:
        pids.append(int(data))
        seen.set()

    def job() -> None:
        part = "started(); write('records', b'%d' % os.getpid()); stay()"
        runs.append(Run(part, stop=stop, records=take))

    thread = threading.Thread(target=job)
    thread.start()
    try:
        assert seen.wait(30)
        guest = os.pidfd_open(pids[0])
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert isinstance(runs[0].outcome, Stopped)
    assert runs[0].outcome.message == "the run was stopped before the command ended"
    assert select.select([guest], [], [], 0)[0], "QEMU is still there"
    os.close(guest)


def test_an_exit_that_was_reported_is_no_stop(host):
    stop = threading.Event()
    run = Run(
        "started(); control('exit 4'); time.sleep(.3); write('output', b'x'); stay()",
        stop=stop,
        output=lambda data: stop.set(),
    )
    assert isinstance(run.outcome, Exited)


@pytest.mark.parametrize(
    "part",
    [
        "print('KVM internal error. Suberror: 1', flush=True); stay()",
        "sys.exit('failed to set MSR 0x10a')",
        "stay()",  # silent for ever
    ],
)
def test_kvm_that_does_not_work_is_left_and_remembered(host, monkeypatch, part):
    monkeypatch.setattr(session, "KVM_SILENCE", 0.3)
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(True))
    run = Run(f"if kvm:\n    {part}\nstarted(); control('exit 9'); write('output', mark); stay()")
    assert isinstance(run.outcome, Exited)
    assert (run.outcome.status, run.outcome.accelerator) == (9, "tcg")
    assert len(run.said) == 1
    assert run.said[0].startswith("with KVM, the guest did not boot: ")
    assert (host / "kvm.json").exists()


def test_kvm_that_does_not_work_and_a_cache_that_takes_no_note(host, monkeypatch):
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(True))
    host.mkdir()
    (host / "kvm.json").mkdir()  # no file can take its place
    run = Run("if kvm: sys.exit(1)\nstarted(); control('exit 9'); write('output', mark); stay()")
    assert isinstance(run.outcome, Exited)
    assert run.outcome.status == 9
    assert run.said[1].startswith("KVM will be tried again, since ")


def test_a_kernel_that_cannot_boot_says_nothing_about_kvm(host, monkeypatch):
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(True))
    run = Run("control('fail no 9p'); stay()")
    assert isinstance(run.outcome, BootFailed)
    assert not (host / "kvm.json").exists()


def test_a_stop_says_nothing_about_kvm(host, monkeypatch):
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(True))
    stop = threading.Event()
    run = Run(
        "if kvm: sys.exit(1)\nstarted(); write('output', b'x'); stay()",
        stop=stop,
        output=lambda data: stop.set(),
    )
    assert isinstance(run.outcome, Stopped)
    assert not (host / "kvm.json").exists()


def test_kvm_that_works_is_used(host, monkeypatch):
    monkeypatch.setattr(qemu, "kvm", lambda *_: qemu.Verdict(True))
    run = Run("started(); control('exit 0'); write('output', mark); stay()")
    assert run.outcome.accelerator == "kvm"
    assert run.said == []


def test_whatever_is_raised_ends_qemu(host, monkeypatch):
    pids = []

    def take(data: bytes) -> None:
        pids.append(int(data))
        raise KeyboardInterrupt

    kernel = Kernel("test", "1.2.3", Path("/dev/null"), None, None)
    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setenv("FAKE_GUEST", "started(); write('output', b'%d' % os.getpid()); stay()")
    with pytest.raises(KeyboardInterrupt):
        runner.run(Job(kernel=kernel, command=["true"]), take, print)
    assert not os.path.exists(f"/proc/{pids[0]}")
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)]
)
def test_qemu_ends_with_the_command(host, number, status):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pylibbpf.guest import image, kernels, qemu\n"
        "image.base = lambda *_: b''\n"
        "qemu.kvm = lambda *_: qemu.Verdict(False)\n"
        "kernels.get = lambda *_: kernels.Kernel('t', '1', Path('/dev/null'), None, None)\n"
        "from pylibbpf.cli import main\n"
        "sys.exit(main(['vm', 'run', '--', 'true']))\n"
    )
    part = "started(); write('output', b'%d\\n' % os.getpid()); stay()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "FAKE_GUEST": part},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        # as a pidfd, since numbers are used again
        guest = os.pidfd_open(pid)
        process.send_signal(number)
        assert process.wait(30) == status
        assert select.select([guest], [], [], 30)[0], "QEMU is still there"
        os.close(guest)
        assert b"Traceback" not in process.stderr.read()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"shares": ["/"]}, "cannot share /"),
        ({"shares": ["/etc/passwd"]}, "it is no folder"),
        ({"memory": 8}, "8M of memory"),
    ],
)
def test_bad_jobs(host, facts, message):
    with pytest.raises(GuestError, match=message):
        Run("stay()", **facts)


def test_no_qemu(host, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match=r"apt-get install .*qemu-system-x86"):
        Run("stay()")


def test_another_machine(host, monkeypatch):
    monkeypatch.setattr(qemu.platform, "machine", lambda: "aarch64")
    with pytest.raises(GuestError, match="this host is aarch64"):
        Run("stay()")


def test_a_cache_that_cannot_be_made(monkeypatch):
    monkeypatch.setenv("PYLIBBPF_CACHE", "/dev/null/x")
    with pytest.raises(GuestError, match="set PYLIBBPF_CACHE"):
        cache.place()
