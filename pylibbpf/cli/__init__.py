"""The command ``pylibbpf``: one file for each verb. Only this package prints.

Exit status: 0 done, 1 the thing failed, 2 bad use or a missing privilege.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from pylibbpf import __version__
from pylibbpf.errors import BpfPermissionError, Error

DONE, FAILED, MISUSED = 0, 1, 2

VERBS = ("run", "inspect", "portability", "disasm", "btf", "gen", "doctor", "detach", "exec", "vm")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        return _main(argv)
    except BrokenPipeError:
        # Whoever read our output has left: that is no failure.
        return _discard_output(DONE)
    except KeyboardInterrupt:
        return _discard_output(DONE)
    except BpfPermissionError as error:
        complain(error)
        return MISUSED if error.explained else FAILED
    except Error as error:
        complain(error)
        return FAILED
    except OSError as error:
        complain(error)
        return _discard_output(FAILED)


def _main(argv: Sequence[str] | None) -> int:
    if sys.stdout is None:  # closed by the caller (>&-)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the rest of the process
    # A name that the terminal's encoding lacks must not end a tool.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(
        prog="pylibbpf", description="Load, run and look into eBPF objects.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pylibbpf {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    given = sys.argv[1:] if argv is None else argv
    for name in VERBS:
        if given and given[0] in VERBS and name != given[0]:
            continue  # what the others import takes most of the time of a short command
        module = importlib.import_module(f"pylibbpf.cli.{name}")
        summary = (module.__doc__ or "").splitlines()[0]
        verb = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        module.configure(verb)
        verb.set_defaults(main=module.main)
    args = parser.parse_args(argv)
    status = int(args.main(args))
    sys.stdout.flush()
    return status


def _discard_output(status: int) -> int:
    """What is still buffered could not be written, and would fail again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def complain(problem: object) -> None:
    """One message on standard error, under the command's name."""
    say(f"pylibbpf: {problem}")


def say(text: str) -> None:
    """One line on standard error, if there is one."""
    if sys.stderr is None:
        return  # closed by the caller (2>&-); print() would take standard output
    with contextlib.suppress(OSError):  # full, or its reader has left: nobody is there to tell
        print(text, file=sys.stderr, flush=True)
