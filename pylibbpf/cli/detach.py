"""Detach what dead processes left attached.

Programs that are attached without a link of the kernel's (XDP and tc by netlink, cgroup programs
with ``link=False``, programs of sockmaps) outlive a process that is killed. pylibbpf writes each
of them down, for each user; see :func:`pylibbpf.stale` for the folder. What a living process has
attached is left alone.

With ``--json``, standard output carries one JSON object per attachment and line:

``state``
    "detached", "attached" (with ``--dry-run``, or where detaching failed), "gone" (only the entry
    was left; it is removed unless ``--dry-run``) or "unknown".
``reason``
    Why it is gone or unknown, or why detaching failed; else null.
``kind``, ``place``
    What it is attached to, in short ("devices.xdp") and in words.
``program``
    ``id``, ``name``
``process``
    ``pid``, ``command``
``time``
    When it was attached, in seconds since the epoch.
``entry``
    The name of the file that it is written in.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from pylibbpf.cli import DONE, FAILED
from pylibbpf.errors import Error
from pylibbpf.leftovers import StaleAttachment, stale

_COMMAND = 60  # characters of a command line that are shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--stale", action="store_true", required=True, help="what processes left that are dead"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what there is, change nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object per attachment")


def main(args: argparse.Namespace) -> int:
    """Detach, or only say; returns the exit status."""
    failed = False
    left = stale()
    for each in left:
        found = _facts(each)
        if not args.dry_run and each.state != "unknown":
            was = each.state
            try:
                each.detach()
                found["state"] = "detached" if was == "attached" else "gone"
            except Error as error:
                found["reason"] = str(error)
                failed = True
        if args.json:
            print(json.dumps(found))
        else:
            print(_line(found))
    if not left and not args.json:
        print("no dead process left an attachment")
    return FAILED if failed else DONE


def _facts(each: StaleAttachment) -> dict[str, Any]:
    return {
        "state": each.state,
        "reason": each.reason,
        "kind": each.kind,
        "place": each.place,
        "program": {"id": each.program_id, "name": each.program_name},
        "process": {"pid": each.pid, "command": each.command},
        "time": each.time,
        "entry": each.entry,
    }


def _line(found: dict[str, Any]) -> str:
    said = f"{found['state']}: "
    if found["kind"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["time"]))
        said += (
            f"{found['place']}, program {found['program']['id']} {found['program']['name']!r}, "
            f"of process {found['process']['pid']} ({_brief(found['process']['command'])}), {when}"
        )
    else:
        said += str(found["entry"])
    return f"{said}: {found['reason']}" if found["reason"] else said


def _brief(command: str) -> str:
    """A command line as part of a line: it may hold anything, and be long."""
    words = " ".join(command.split())
    text = "".join(each if each.isprintable() else "?" for each in words)
    return text if len(text) <= _COMMAND else f"{text[: _COMMAND - 3]}..."
