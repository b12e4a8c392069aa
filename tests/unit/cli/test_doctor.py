"""``pylibbpf doctor``: its JSON, its text, and hosts that lack this or that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.ability import Ability, Library, Probe
from pylibbpf.checkup.facts import OPTIONS, examine
from pylibbpf.cli import doctor, main
from pylibbpf.engine.kernel.host import Host

# What ``--json`` has, whatever the machine: names and their types.
_TEXT, _NUMBER, _TRUTH = {str, type(None)}, {int, type(None)}, {bool, type(None)}
_SCHEMA = {
    "engine": {str},
    "kernel": {"release": _TEXT, "version": _TEXT, "machine": {str}, "build": _TEXT},
    "config": {"source": _TEXT, "options": {dict}},
    "btf": {"vmlinux": _NUMBER, "modules": {list}},
    "jit": {"enable": _NUMBER, "harden": _NUMBER, "always_on": _TRUTH},
    "process": {
        "uid": {int},
        "effective": {list, type(None)},
        "permitted": {list, type(None)},
        "bounding": {list, type(None)},
        "initial_user_namespace": _TRUTH,
        "seccomp": _TEXT,
        "filtered_calls": {list},
        "no_new_privileges": _TRUTH,
        "memlock": {"soft": _NUMBER, "hard": _NUMBER, "matters": _TRUTH},
    },
    "security": {
        "lockdown": _TEXT,
        "modules": {list, type(None)},
        "unprivileged_bpf_disabled": _NUMBER,
        "perf_event_paranoid": _NUMBER,
        "kptr_restrict": _NUMBER,
    },
    "mounts": [
        {
            "kind": {str},
            "place": {str},
            "mounted": _TRUTH,
            "mode": _TEXT,
            "readable": {bool},
            "used_for": {str},
            "mend": {str},
        }
    ],
    "library": {"extension": {bool}, "path": _TEXT, "version": _TEXT, "problem": {str}},
    "abilities": [
        {
            "kind": {str},
            "name": {str},
            "works": _TRUTH,
            "reason": {str},
            "mend": {str},
            "instead": {str},
            "since": {str},
            "libbpf": {str},
            "probes": [{"call": {str}, "errno": {int}, "answer": {str}}],
        }
    ],
}


def fits(value: object, schema: object, where: str = "") -> None:
    if isinstance(schema, set):
        assert type(value) in schema, f"{where}: {value!r}"
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for each in value:
            fits(each, schema[0], f"{where}[]")
    else:
        assert isinstance(schema, dict)
        assert isinstance(value, dict), where
        assert list(value) == list(schema), where
        for name, each in schema.items():
            fits(value[name], each, f"{where}.{name}")


class NoEngine:
    """An engine that can do nothing, on a host that has nothing."""

    name = "none"

    def library(self) -> Library:
        return Library(False, None, None, "there is no libbpf")

    def abilities(self) -> tuple[Ability, ...]:
        return (
            Ability("hook", "kprobe", None, "nobody knows"),
            Ability(
                "hook", "fentry", False, "why not", "do this", "raw_tp", "5.5", probes=(PROBE,)
            ),
            Ability("hook", "fexit", False, "why not", "do this", "raw_tp", "5.5", probes=(PROBE,)),
            Ability("hook", "raw_tp", True, probes=(Probe("OPEN", 0),)),
        )


PROBE = Probe("BPF_PROG_LOAD(tracing)", 1)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pylibbpf", "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_has_its_keys_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    fits(found, _SCHEMA)
    assert err == ""
    assert list(found["config"]["options"]) == list(OPTIONS)
    assert found["kernel"]["release"] == os.uname().release


def test_json_of_a_host_that_has_nothing(tmp_path: Path) -> None:
    report = examine(NoEngine(), Host(str(tmp_path)))  # type: ignore[arg-type]
    plain = json.loads(json.dumps(doctor._plain(report)))
    fits(plain, _SCHEMA)
    assert plain["kernel"]["version"] is None
    assert plain["process"]["effective"] is None
    assert {each["mounted"] for each in plain["mounts"]} == {None}


def test_text_of_a_host_that_has_nothing(tmp_path: Path) -> None:
    report = examine(NoEngine(), Host(str(tmp_path)))  # type: ignore[arg-type]
    text = "\n".join(doctor._lines(report, probes=True))
    for line in (
        "Linux (release unknown)",
        "not known (no /proc/config.gz, no /boot/config-*)",
        "there is no libbpf",
        "lockdown:          not known (securityfs is not mounted)",
        "    kprobe: nobody knows",
        "    fentry, fexit (EPERM): why not. Instead: raw_tp",
        "        To mend it: do this",
        "hook fentry:     BPF_PROG_LOAD(tracing): EPERM",
    ):
        assert line in text, text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_what_mends_two_things_is_told_once(tmp_path: Path) -> None:
    report = examine(NoEngine(), Host(str(tmp_path)))  # type: ignore[arg-type]
    other = replace(report.abilities[1], name="lsm", reason="another reason")
    text = list(doctor._lines(replace(report, abilities=(*report.abilities, other)), probes=False))
    assert [line.strip() for line in text if "To mend it" in line] == [
        "To mend it: do this",
        "To mend it: as above",
    ]


def test_text_of_this_machine() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for part in ("kernel:", "Program types", "Map types", "Hooks", "Beside that"):
        assert part in done.stdout
    assert os.uname().release in done.stdout
    assert "What the kernel was asked" not in done.stdout
    assert "BPF_PROG_LOAD(xdp)" in run("--probes").stdout


def test_without_libbpf() -> None:
    """The kernel is asked all the same: the doctor's calls are its own."""
    done = run("--json", PYLIBBPF_LIBBPF="/nonexistent/libbpf.so.1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fits(found, _SCHEMA)
    assert found["library"]["path"] is None
    assert "/nonexistent/libbpf.so.1" in found["library"]["problem"]
    assert found["abilities"] == json.loads(run("--json").stdout)["abilities"]


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; sys.modules['pylibbpf.engine.kernel._libbpf'] = None\n"
        "from pylibbpf.cli import main; sys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fits(found, _SCHEMA)
    assert found["library"]["extension"] is False
    assert "was not built" in found["library"]["problem"]


def test_as_a_user_without_privileges() -> None:
    """Nothing is refused without a reason, and nothing is a traceback."""
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, "-m", "pylibbpf", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fits(found, _SCHEMA)
    assert found["process"]["effective"] == []
    verdicts = {(each["kind"], each["name"]): each for each in found["abilities"]}
    assert verdicts["program", "xdp"]["works"] is False
    assert "CAP_NET_ADMIN" in verdicts["program", "xdp"]["reason"]
    assert "CAP_SYS_ADMIN" in verdicts["right", "programs, maps and links by id"]["reason"]
    assert all(each["reason"] for each in found["abilities"] if each["works"] is not True)


def test_an_engine_that_is_none() -> None:
    done = run("--engine", "pylibbpf-no-such-engine")
    assert done.returncode == 1
    assert done.stderr.startswith("pylibbpf: there is no engine")


def test_importing_the_package_does_not_import_the_doctor() -> None:
    program = (
        "import pylibbpf, sys; print([m for m in sys.modules if 'checkup' in m or 'probe' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert callable(pylibbpf.doctor)
    assert "doctor" in dir(pylibbpf)


def test_hooks_that_are_newer_than_libbpf(tmp_path: Path) -> None:
    """The kernel offers them all the same."""

    class OldLibrary(NoEngine):
        def library(self) -> Library:
            return Library(True, "libbpf.so.1", (1, 1), "")

        def abilities(self) -> tuple[Ability, ...]:
            return (
                Ability("hook", "tcx", True, libbpf="1.3"),
                Ability("hook", "xdp", True, libbpf="1.0"),
                Ability("hook", "netkit", False, "not built in", libbpf="1.3"),
            )

    report = examine(OldLibrary(), Host(str(tmp_path)))  # type: ignore[arg-type]
    text = " ".join(line.strip() for line in doctor._lines(report, probes=False))
    assert "libbpf 1.1 is older than these SEC() names" in text
    assert ": tcx (1.3). pylibbpf loads" in text
