"""Tell what BPF programs can do on this machine, for this user, and why not the rest.

Needs no privilege, no libbpf and no BPF object. Loads programs of two instructions and creates
maps of one entry, to see what the kernel says; attaches and changes nothing. Run it as the user
that the tool or service will run as.

With ``--json``, standard output carries one JSON object. Keys are stable and always there; what
cannot be known is null.

``engine``
    The engine that was examined ("kernel").
``kernel``
    ``release``, ``version`` ("6.12"), ``machine``, ``build`` (/proc/version).
``config``
    ``source`` (the file, or null) and ``options`` ({"CONFIG_BPF_JIT": "y", ...}; null: not set).
``btf``
    ``vmlinux`` (bytes, or null) and ``modules`` (those with type information).
``jit``
    ``enable``, ``harden`` (the sysctls), ``always_on``.
``process``
    ``uid``, ``effective``, ``permitted``, ``bounding`` (["CAP_BPF", ...]),
    ``initial_user_namespace``, ``seccomp`` ("none", "strict", "filter"), ``filtered_calls``
    (["bpf", "perf_event_open"]: those that the filter refuses), ``no_new_privileges``,
    ``memlock`` (``soft``, ``hard``: bytes, null for unlimited; ``matters``: whether this kernel
    counts BPF's memory there).
``security``
    ``lockdown`` ("none", "integrity", "confidentiality"), ``modules`` (the LSM list),
    ``unprivileged_bpf_disabled``, ``perf_event_paranoid``, ``kptr_restrict``.
``mounts``
    ``kind``, ``place``, ``mounted``, ``mode`` ("0700"), ``readable``, ``used_for``, ``mend`` (a
    command, or "").
``library``
    ``extension`` (whether it was built), ``path`` and ``version`` of libbpf, ``problem``.
``abilities``
    ``kind`` ("program", "map", "hook", "right"), ``name``, ``works`` (null: no probe can tell),
    ``reason``, ``mend``, ``instead``, ``since`` (the kernel that brought it), ``libbpf`` (the
    first that knows a hook's SEC() name, or ""), ``probes`` (``call``, ``errno``, ``answer``).
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pylibbpf.checkup import doctor
from pylibbpf.checkup.report import Ability, Mount, Probe, Process, Report

DONE = 0

_WIDTH = 100
_TITLES = (
    ("program", "Program types"),
    ("map", "Map types"),
    ("hook", "Hooks"),
    ("right", "Beside that"),
)
_STATES = ((True, "work"), (None, "not known"), (False, "do not"))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf doctor``."""
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument(
        "--probes", action="store_true", help="show what the kernel was asked, and its answers"
    )
    parser.add_argument("--engine", help='which engine to examine (default: "kernel")')


def main(args: argparse.Namespace) -> int:
    """Run ``pylibbpf doctor``."""
    report = doctor(engine=args.engine)
    if args.json:
        print(json.dumps(_plain(report)))
    else:
        for line in _lines(report, probes=args.probes):
            print(line)
    return DONE


# --------------------------------------------------------------------------------------------
# JSON


def _plain(value: object, name: str = "") -> Any:
    if isinstance(value, Probe):
        return {"call": value.call, "errno": value.errno, "answer": value.answer}
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name), each.name) for each in fields(value)}
    if isinstance(value, frozenset):
        return sorted(f"CAP_{each}" for each in value)
    if isinstance(value, Mapping):
        return dict(value)
    if name == "version":
        return _version(value)
    if name == "mode":
        return f"{value:04o}" if isinstance(value, int) else None
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _version(value: object) -> str | None:
    return ".".join(map(str, value)) if isinstance(value, tuple) else None


# --------------------------------------------------------------------------------------------
# Text


def _lines(report: Report, *, probes: bool) -> Iterator[str]:
    yield from _about_kernel(report)
    yield from _about_process(report)
    yield ""
    yield "File systems"
    for mount in report.mounts:
        yield from _fact(f"  {mount.kind}", _about_mount(mount))
        if mount.mend:  # on a line of its own, however long: to be copied
            yield f"{' ' * 19} {mount.mend}"
    mends: set[str] = set()
    for kind, title in _TITLES:
        yield ""
        yield title
        yield from _abilities([each for each in report.abilities if each.kind == kind], mends)
        if kind == "hook":
            yield from _newer_than_libbpf(report)
    if probes:
        yield ""
        yield "What the kernel was asked"
        for each in report.abilities:
            answers = "; ".join(map(str, each.probes)) or "nothing"
            yield from _fact(f"  {each.kind} {each.name}", answers)


def _about_kernel(report: Report) -> Iterator[str]:
    kernel, library = report.kernel, report.library
    yield from _fact("kernel", f"Linux {kernel.release or '(release unknown)'}, {kernel.machine}")
    config = report.config
    if config.source is None:
        yield from _fact("config", "not known (no /proc/config.gz, no /boot/config-*)")
    else:
        absent = [name for name, value in config.options.items() if value is None]
        yield from _fact(
            "config", f"{config.source}; not set, of what BPF can use: {_joined(absent, 'none')}"
        )
    size = report.btf.vmlinux
    if size is None:
        yield from _fact(
            "BTF", "none to be read (/sys/kernel/btf/vmlinux): CO-RE, tp_btf, fentry need it"
        )
    else:
        count = len(report.btf.modules)
        yield from _fact("BTF", f"of the kernel ({size / 1e6:.1f} MB), and of {count} modules")
    yield from _fact("JIT", _about_jit(report))
    if library.problem:
        yield from _fact("libbpf", library.problem)
    else:
        yield from _fact("libbpf", f"{_version(library.version)}, {library.path}")


def _about_jit(report: Report) -> str:
    jit = report.jit
    if jit.enable is None:
        return "always on" if jit.always_on else "not known (sysctl net.core.bpf_jit_enable)"
    state = "on" if jit.enable else "off: sudo sysctl net.core.bpf_jit_enable=1"
    return f"{state}, hardening {jit.harden}" if jit.harden else state


def _about_process(report: Report) -> Iterator[str]:
    process, security = report.process, report.security
    yield from _fact("user", f"uid {process.uid}{_about_namespace(process)}")
    yield from _fact("capabilities", _about_capabilities(process))
    filtered = " and ".join(process.filtered_calls)
    seccomp = process.seccomp or "not known"
    yield from _fact("seccomp", f"{seccomp}, which refuses {filtered}" if filtered else seccomp)
    yield from _fact("lockdown", security.lockdown or "not known (securityfs is not mounted)")
    modules = security.modules
    yield from _fact(
        "LSMs", ", ".join(modules) if modules else "not known (securityfs is not mounted)"
    )
    for name, value in (
        ("unprivileged_bpf_disabled", security.unprivileged_bpf_disabled),
        ("perf_event_paranoid", security.perf_event_paranoid),
        ("kptr_restrict", security.kptr_restrict),
    ):
        yield from _fact(f"kernel.{name}", "not known" if value is None else str(value))
    memlock = process.memlock
    limit = "unlimited" if memlock.soft is None else f"{memlock.soft} bytes"
    matter = {
        True: "this kernel counts BPF's memory there: ulimit -l unlimited",
        False: "does not matter: this kernel counts BPF's memory in the memory cgroup",
        None: "matters before Linux 5.11",
    }[memlock.matters]
    yield from _fact("locked memory", f"{limit} ({matter})")


def _about_namespace(process: Process) -> str:
    if process.initial_user_namespace is False:
        return ", in a user namespace: its capabilities do not count for BPF"
    return ""


def _about_capabilities(process: Process) -> str:
    have = process.effective
    if have is None:
        return "not known (/proc/self/status)"
    if not have:
        text = "none"
    elif len(have) > 20:
        from pylibbpf.engine.kernel.host import CAPABILITIES

        absent = [f"CAP_{each}" for each in CAPABILITIES if each not in have]
        text = f"all but {', '.join(absent)}" if absent else "all"
    else:
        text = ", ".join(f"CAP_{each}" for each in sorted(have))
    wanted = ("BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN")
    never = [
        f"CAP_{each}"
        for each in wanted
        if process.bounding is not None and each not in process.bounding
    ]
    return f"{text}; can never get {', '.join(never)}" if never else text


def _about_mount(mount: Mount) -> str:
    if mount.mounted is None:
        return "not known (/proc/self/mounts)"
    if not mount.mounted:
        return f"not mounted; it is for {mount.used_for}"
    mode = "" if mount.mode is None else f", mode {mount.mode:04o}"
    if mount.readable:
        return f"{mount.place}{mode}"
    return f"{mount.place}{mode}, may not be read by this user; it is for {mount.used_for}"


def _abilities(every: list[Ability], mends: set[str]) -> Iterator[str]:
    """Those of one kind; ``mends`` are those that were told already."""
    for works, title in _STATES:
        found = [each for each in every if each.works is works]
        if not found:
            continue
        if works:
            yield from _fact(f"  {title} ({len(found)})", ", ".join(each.name for each in found))
            continue
        yield f"  {title} ({len(found)})"
        for names, first in _alike(found):
            answer = f" ({first.probes[-1].answer})" if first.probes else ""
            instead = f". Instead: {first.instead}" if first.instead else ""
            text = f"    {', '.join(names)}{answer}: {first.reason}{instead}"
            yield from _wrapped(text, "        ")
            if first.mend:
                yield f"        To mend it: {'as above' if first.mend in mends else first.mend}"
                mends.add(first.mend)


def _newer_than_libbpf(report: Report) -> Iterator[str]:
    """Hooks that the kernel offers, and this libbpf came before."""
    version = report.library.version
    if version is None:
        return
    newer = [
        f"{each.name} ({each.libbpf})"
        for each in report.abilities
        if each.works and each.libbpf and tuple(map(int, each.libbpf.split("."))) > version
    ]
    if newer:
        yield from _wrapped(
            f"  libbpf {_version(version)} is older than these SEC() names (in brackets: the first"
            f" that knows them): {', '.join(newer)}. pylibbpf loads such programs all the same, and"
            " says so where attaching them needs a newer one.",
            "    ",
        )


def _alike(found: list[Ability]) -> list[tuple[list[str], Ability]]:
    """Those with the same answer and reason together, in order."""
    groups: dict[object, tuple[list[str], Ability]] = {}
    for each in found:
        answer = each.probes[-1].answer if each.probes else ""
        key = (answer, each.reason, each.mend, each.instead)
        groups.setdefault(key, ([], each))[0].append(each.name)
    return list(groups.values())


def _joined(names: list[str], none: str) -> str:
    return ", ".join(each.removeprefix("CONFIG_") for each in names) or none


def _fact(name: str, text: str) -> Iterator[str]:
    yield from _wrapped(f"{name + ':':<18} {text}", " " * 19)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
