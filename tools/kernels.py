#!/usr/bin/env python3
"""Writes the tables of docs/kernels.md: what works on which kernel, tried in guests.

    kernels.py [--kernels 6.1,6.12,7.2] [--libbpf PATH ...]

runs the tests of tests/guest that record rows, once for each libbpf, on all kernels, and replaces
that libbpf's section of docs/kernels.md (or adds it). Without ``--libbpf`` (PYLIBBPF_LIBBPF, or
``make kernels LIBBPF=path``) it takes the system's and that of Debian's backports. Where a test
fails, nothing is written: the tables hold what was seen, and the tests say what should be.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headers import fetch

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "kernels.md"
KERNELS = "6.1,6.12,7.2"
YES = "yes"
# In the order of the document. A situation that has no title here is shown by its name.
SITUATIONS = {
    "root": "As root",
    "service": "As a service with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN only",
    "service, opened": "As that service, tracefs open to its group, kernel.perf_event_paranoid=2",
    "lockdown, integrity": "As root, the kernel locked down (integrity)",
    "lockdown": "As root, the kernel locked down (confidentiality)",
    "unprivileged": "Without any capability, kernel.unprivileged_bpf_disabled=2",
    "unprivileged, 0": "Without any capability, kernel.unprivileged_bpf_disabled=0",
    "seccomp": "As root, with a seccomp filter that refuses bpf(2)",
    "seccomp, perf_event_open": "As root, with a seccomp filter that refuses perf_event_open(2)",
}
# What errors name as missing, from the first to the last that a table's cell should show.
MISSING = (
    re.compile(r"\bLinux \d+\.\d+"),
    re.compile(r"\blibbpf \d+\.\d+"),
    re.compile(r"\bCONFIG_\w+"),
    re.compile(r"\bCAP_\w+"),
    re.compile(r"\block(?:ed )?down\b"),
    re.compile(r"\bunprivileged_bpf_disabled\b"),
    re.compile(r"\bperf_event_paranoid\b"),
    re.compile(r"\btracefs\b"),
    re.compile(r"\bseccomp\b"),
    re.compile(r"\buser namespace\b"),
)
# Files of this machine, and no fact of a kernel.
LIBRARY = re.compile(r"(?:/[^\s/]+)+/(libbpf\.so)[.\d]*\d")


class Stop(Exception):
    """The tables cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one row went, in one situation, on one kernel."""

    kernel: str
    row: str
    group: str
    situation: str
    result: str
    """``yes``, or what the error said."""


def read(report: str) -> list[Result]:
    """The rows that tests have recorded, from pytest's JUnit file."""
    found = []
    for one in ElementTree.fromstring(report).iter("property"):
        if one.get("name") == "row":
            facts = json.loads(one.get("value", ""))
            names = ("kernel", "row", "group", "situation", "result")
            found.append(Result(*(str(facts[name]) for name in names)))
    return found


# --- writing ---


def begin(libbpf: str) -> str:
    return f"<!-- libbpf {libbpf}: written by tools/kernels.py -->"


def end(libbpf: str) -> str:
    return f"<!-- end of libbpf {libbpf} -->"


def section(
    results: Iterable[Result], libbpf: str, kernels: Mapping[str, str], order: Sequence[str]
) -> str:
    """The tables of one libbpf, by situation.

    ``kernels`` maps the name of each kernel to what is said of it; ``order`` holds the rows' names.

    Raises: Stop.
    """
    situations: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for one in sorted(results, key=lambda one: (_rank(order, one.row), one.kernel)):
        rows = situations.setdefault(one.situation, {})
        cells = rows.setdefault((one.group, one.row), {})
        if cells.setdefault(one.kernel, one.result) != one.result:
            raise Stop(f"{one.row} ({one.situation}) has two results on {one.kernel}")
    if not situations:
        raise Stop("no test recorded a row")
    notes = Notes()
    named = "; ".join(f"{name}: {release}" for name, release in kernels.items())
    lines = [begin(libbpf), f"## With libbpf {libbpf}", "", f"Kernels: {named}."]
    for situation in sorted(situations, key=lambda name: (_rank(list(SITUATIONS), name), name)):
        lines += ["", f"### {SITUATIONS.get(situation, situation)}", ""]
        lines += _table(situations[situation], kernels, notes)
    if notes.texts:
        lines += ["", "What the errors say:", ""]
        lines += [f"{number}. {text}" for text, number in notes.texts.items()]
    return "\n".join([*lines, end(libbpf), ""])


def _rank(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


class Notes:
    """The errors' texts, each once, numbered as they come."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def cell(self, result: str | None) -> str:
        """What the table shows."""
        if result is None:
            return "-"
        if result == YES:
            return YES
        text = _escaped(LIBRARY.sub(r"\1", " ".join(result.split())))
        number = self.texts.setdefault(text, len(self.texts) + 1)
        return f"{short(result)} ({number})"


def short(error: str) -> str:
    """What is missing, in the words of the error; ``no`` where it names nothing."""
    for pattern in MISSING:
        found = pattern.search(error)
        if found:
            return found[0]
    return "no"


def _table(
    rows: Mapping[tuple[str, str], Mapping[str, str]], kernels: Mapping[str, str], notes: Notes
) -> list[str]:
    lines = [f"| | {' | '.join(kernels)} |", "|---|" + "---|" * len(kernels)]
    above = ""
    for (group, row), cells in rows.items():
        if group != above:
            lines.append(f"| **{group}** |" + " |" * len(kernels))
            above = group
        lines.append(f"| {row} | {' | '.join(notes.cell(cells.get(name)) for name in kernels)} |")
    return lines


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)


def replaced(document: str, libbpf: str, new: str) -> str:
    """The document with this libbpf's section in it; sections are in the order of versions."""
    pattern = re.compile(f"{begin('(?P<version>[0-9.]+)')}\n.*?{end('(?P=version)')}\n", re.DOTALL)
    found = {one["version"]: one[0] for one in pattern.finditer(document)}
    found[libbpf] = new
    first = pattern.search(document)
    before = document[: first.start()] if first else document.rstrip("\n") + "\n\n"
    rest = pattern.sub("", document[first.start() :]).strip("\n") if first else ""
    sections = "\n".join(found[version] for version in sorted(found, key=_numbers))
    return before + sections + (f"\n{rest}\n" if rest else "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


# --- running ---


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kernels", default=KERNELS)
    parser.add_argument("--libbpf", action="append", default=[], metavar="PATH")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    args = parser.parse_args()
    try:
        libraries = args.libbpf or [os.environ.get("PYLIBBPF_LIBBPF") or None]
        if libraries == [None]:
            libraries = [system_library(), backports_library()]
        for library in libraries:
            write(args.document, library, args.kernels.split(","))
    except Stop as stop:
        print(f"kernels: {stop}", file=sys.stderr)
        return 1
    return 0


def write(document: Path, library: str, kernels: Sequence[str]) -> None:
    version = version_of(library)
    print(f"kernels: libbpf {version} ({library}) on Linux {', '.join(kernels)}", flush=True)
    results = run(library, kernels)
    new = section(results, version, describe(kernels), row_names())
    document.write_text(replaced(document.read_text(), version, new))
    print(f"kernels: {len(results)} results are in {document}", flush=True)


def run(library: str, kernels: Sequence[str]) -> list[Result]:
    """Run the tests that record rows. Raises: Stop."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "bpf_guest"),
            *("-o", "junit_family=xunit1"),  # xunit2 holds no properties
            *("--bpf-guests=require", f"--bpf-kernels={','.join(kernels)}"),
            *(f"--junitxml={report}", str(ROOT / "tests" / "guest")),
        ]
        environment = {**os.environ, "PYLIBBPF_LIBBPF": library}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            raise Stop("the tests did not pass, so the tables are left as they were")
        return read(report.read_text())


def version_of(library: str) -> str:
    """The whole version, which a file of libbpf has in its name."""
    found = re.search(r"\.so\.(\d+\.\d+\.\d+)$", os.path.realpath(library))
    if not found:
        raise Stop(f"{library}: its name does not say which version it is (libbpf.so.1.4.6)")
    return found[1]


def system_library() -> str:
    from pylibbpf.engine.kernel import library

    return os.path.realpath(library.path())


def backports_library() -> str:
    found = fetch("bookworm-backports").library
    if found is None:
        raise Stop("Debian's backports have no libbpf.so.1")
    return str(found)


def describe(kernels: Iterable[str]) -> dict[str, str]:
    """Each kernel's release and package version, as pylibbpf/guest/kernels.toml pins them."""
    from pylibbpf.guest import cache
    from pylibbpf.guest.kernels import pinned

    pins = {name: pinned(name, cache.place()) for name in kernels}
    return {name: f"{pin.release} (Debian {pin.version})" for name, pin in pins.items()}


def row_names() -> list[str]:
    sys.path.insert(0, str(ROOT / "tests"))
    rows = importlib.import_module("guest.rows").ROWS
    return [row.name for row in rows]


if __name__ == "__main__":
    sys.exit(main())
