"""The command ``pylibbpf``: one file for each verb. Only this package prints.

Exit status: 0 done, 1 the thing failed, 2 bad use or a missing privilege.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pylibbpf import __version__
from pylibbpf.errors import BpfPermissionError, Error

DONE, FAILED, MISUSED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    from pylibbpf.cli import inspect, run

    parser = argparse.ArgumentParser(
        prog="pylibbpf", description="Load, run and look into eBPF objects."
    )
    parser.add_argument("--version", action="version", version=f"pylibbpf {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in (("run", run), ("inspect", inspect)):
        summary = (module.__doc__ or "").splitlines()[0]
        verb = verbs.add_parser(name, help=summary, description=summary)
        module.configure(verb)
        verb.set_defaults(main=module.main)
    args = parser.parse_args(argv)
    try:
        status = int(args.main(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has left: that is no failure. What is still buffered would
        # fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except BpfPermissionError as error:
        complain(error)
        return MISUSED
    except Error as error:
        complain(error)
        return FAILED
    except KeyboardInterrupt:
        return DONE


def complain(problem: object) -> None:
    """One message on standard error."""
    print(f"pylibbpf: {problem}", file=sys.stderr, flush=True)
