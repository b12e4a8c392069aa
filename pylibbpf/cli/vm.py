"""Run a command in a throwaway VM, on a kernel of your choice.

``vm run`` ends with the command's own exit status. Where there is none, a message and the last
lines of the guest's console say why, and the status is

====  ============================================================================
120   the guest's kernel panicked (an oops or BUG counts)
121   the command did not end within ``--timeout``
122   the guest did not boot, or the command could not be started
123   the guest hangs: it did not answer after ``--timeout``
124   the guest rebooted, switched itself off or broke down: no status came
125   nothing was started: no QEMU, no such kernel, no space, no command
2     an option is wrong
130   Ctrl-C
====  ============================================================================

A command may end with one of these itself; then there is no message.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable

from pylibbpf.cli import complain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.guest.outcome import Outcome

PANIC, TIMEOUT, BOOT, HANG, LOST, SETUP = 120, 121, 122, 123, 124, 125
INTERRUPTED, BROKEN_PIPE = 130, 141


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of ``pylibbpf vm``."""
    verbs = parser.add_subparsers(dest="vm_verb", required=True, metavar="VERB")

    def verb(name: str, summary: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)

    run = verb("run", "Run a command in a guest, and end with its exit status.")
    _guest_options(run)
    run.add_argument(
        "--timeout",
        type=_seconds,
        default=900.0,
        metavar="SECONDS",
        help="time for the command, from its start; 0 for no limit (default: 900)",
    )
    run.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD...", help="command and arguments"
    )
    shell = verb("shell", "Open a shell in a guest, on this terminal.")
    _guest_options(shell)
    fetch = verb("fetch", "Fetch kernels into the cache.")
    fetch.add_argument("kernels", nargs="*", metavar="KERNEL", help="default: all in the table")
    fetch.add_argument(
        "--update",
        action="store_true",
        help="take what the suite has now, where it no longer has the pinned version",
    )
    verb("list", "Show the kernels, and which of them are fetched.")
    prune = verb("prune", "Remove from the cache what is no longer used.")
    prune.add_argument("--all", action="store_true", help="all kernels, too")


def _guest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kernel",
        default="6.12",
        metavar="NAME|PATH",
        help="a kernel of `pylibbpf vm list`, a bzImage, or a folder of unpacked packages "
        "(default: 6.12)",
    )
    parser.add_argument(
        "--memory", type=_mebibytes, default=512, metavar="SIZE", help="512M, 2G (default: 512M)"
    )
    parser.add_argument(
        "--append", action="append", default=[], metavar="TEXT", help="more for the kernel's line"
    )
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of this host that the guest may write to (repeatable)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds such as 30 (0: no limit)"
        )
    return value


def _mebibytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([MG]?)i?B?", text, re.ASCII | re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 512M or 2G")
    return int(found[1]) << (10 if found[2].upper() == "G" else 0)


def main(args: argparse.Namespace) -> int:
    """Do what the verb says; what keeps a guest from being started is status 125."""
    from pylibbpf.guest.outcome import GuestError

    try:
        return int(_VERBS[args.vm_verb](args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except GuestError as error:
        complain(error)
    except OSError as error:
        complain(error)
    return SETUP


def _run(args: argparse.Namespace) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        complain("vm run: the command is missing: pylibbpf vm run [OPTIONS] -- CMD...")
        return SETUP
    return _guest(args, command, args.timeout or None, _emit)


def _shell(args: argparse.Namespace) -> int:
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        complain("vm shell needs a terminal; for a script there is vm run")
        return SETUP
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    raw = False

    def output(data: bytes) -> None:
        nonlocal raw
        if not raw:  # from its first output on, all keys are the guest's: Ctrl-C, too
            raw = True
            tty.setraw(terminal)
        _emit(data)

    try:
        return _guest(args, [_shell_program(), "-i"], None, output, terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _shell_program() -> str:
    shell = os.environ.get("SHELL", "")
    usable = os.access(shell, os.X_OK) and os.path.basename(shell) in ("bash", "dash", "sh", "zsh")
    return shell if usable else "/bin/sh"


def _emit(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _tell(text: str) -> None:
    say(f"pylibbpf: {text}")


def _guest(
    args: argparse.Namespace,
    command: list[str],
    timeout: float | None,
    output: Callable[[bytes], None],
    terminal: int | None = None,
) -> int:
    from pylibbpf.guest import cache, image, kernels, runner
    from pylibbpf.guest.outcome import GuestError
    from pylibbpf.guest.session import Job

    kernel = kernels.get(args.kernel, cache.place(), _tell)
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise GuestError("the current folder does not exist any more") from None
    size = shutil.get_terminal_size()
    outcome = runner.run(
        Job(
            kernel=kernel,
            command=command,
            folder=folder,
            environment=image.environment(os.environ, kernel),
            memory=args.memory,
            timeout=timeout,
            append=" ".join(args.append),
            shares=args.share,
            terminal=terminal,
            size=(size.columns, size.lines),
        ),
        output,
        _tell,
    )
    return report(outcome)


def report(outcome: Outcome) -> int:
    """Say how a run ended, where its status alone does not; returns the status for it."""
    from pylibbpf.guest import outcome as ways

    for note in outcome.notes:
        _tell(f"the guest's kernel says: {note}")
    if isinstance(outcome, ways.Exited):
        return outcome.status
    kinds: dict[type[Outcome], int] = {
        ways.Panicked: PANIC,
        ways.TimedOut: TIMEOUT,
        ways.BootFailed: BOOT,
        ways.Hung: HANG,
        ways.NoVerdict: LOST,
        ways.Stopped: INTERRUPTED,
    }
    _tell(f"Linux {outcome.kernel}: {outcome.message}")
    lines = outcome.last_lines()
    if lines.strip():
        say(f"--- the last lines of the guest's console\n{lines}\n---")
    else:
        say("--- the guest's console stayed empty ---")
    return kinds[type(outcome)]


def _fetch(args: argparse.Namespace) -> int:
    from pylibbpf.guest import cache, kernels

    folder = cache.place()
    for name in args.kernels or kernels.table(folder):
        pin = kernels.pinned(name, folder)
        if args.update:
            kernel = kernels.update(name, folder, _tell)
        else:
            kernel = kernels.fetch(pin, folder, _tell)
        print(f"{name}: Linux {kernel.release} in {kernel.image}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from pylibbpf.guest import cache, kernels

    folder = cache.place()
    for name, pin in kernels.table(folder).items():
        kernel = kernels.cached(pin, folder)
        state = "fetched" if kernel is not None else f"not fetched ({pin.size >> 20} MB)"
        print(f"{name:6} {pin.release:24} {pin.suite:10} {state}")
    print(f"cache: {folder}")
    return 0


def _prune(args: argparse.Namespace) -> int:
    from pylibbpf.guest import cache, kernels

    for path in kernels.prune(cache.place(), everything=args.all):
        print(f"removed {path}")
    return 0


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "shell": _shell,
    "fetch": _fetch,
    "list": _list,
    "prune": _prune,
}
