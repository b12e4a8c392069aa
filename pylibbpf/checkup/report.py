"""The report of ``pylibbpf.doctor()``: frozen facts, None where something cannot be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pylibbpf.ability import Ability, Library, Probe

__all__ = [
    "Ability",
    "Btf",
    "Config",
    "Jit",
    "Kernel",
    "Library",
    "Memlock",
    "Mount",
    "Probe",
    "Process",
    "Report",
    "Security",
]


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel that runs."""

    release: str | None  # 6.12.9-amd64
    version: tuple[int, int] | None
    machine: str
    build: str | None  # /proc/version: the compiler, the date


@dataclass(frozen=True, slots=True)
class Config:
    """What the kernel was built with, of what matters for BPF."""

    source: str | None  # the file it was read from
    options: Mapping[str, str | None]  # CONFIG_BPF_JIT: "y", "m", a value; None: not set


@dataclass(frozen=True, slots=True)
class Btf:
    """The kernel's type information."""

    vmlinux: int | None  # bytes of /sys/kernel/btf/vmlinux; None: missing, or not to be read
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jit:
    """The compiler of BPF programs (sysctl net.core.bpf_jit_*)."""

    enable: int | None
    harden: int | None
    always_on: bool | None  # by CONFIG_BPF_JIT_ALWAYS_ON


@dataclass(frozen=True, slots=True)
class Memlock:
    """The limit on locked memory (RLIMIT_MEMLOCK) in bytes; None: unlimited."""

    soft: int | None
    hard: int | None
    matters: bool | None  # whether this kernel counts BPF's memory there (before 5.11)


@dataclass(frozen=True, slots=True)
class Process:
    """What this process may do. Sets of capabilities are without CAP_, and None where unknown."""

    uid: int
    effective: frozenset[str] | None
    permitted: frozenset[str] | None
    bounding: frozenset[str] | None
    initial_user_namespace: bool | None  # False: capabilities do not count for BPF
    seccomp: str | None  # "none", "strict", "filter"
    filtered_calls: tuple[str, ...]  # "bpf", "perf_event_open": those that the filter refuses
    no_new_privileges: bool | None
    memlock: Memlock


@dataclass(frozen=True, slots=True)
class Security:
    """What the system allows to whom."""

    lockdown: str | None  # "none", "integrity", "confidentiality"
    modules: tuple[str, ...] | None  # the LSM list
    unprivileged_bpf_disabled: int | None
    perf_event_paranoid: int | None
    kptr_restrict: int | None


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system that something of BPF needs."""

    kind: str
    place: str  # where it is mounted, or else where it belongs
    mounted: bool | None
    mode: int | None  # permissions of its top folder
    readable: bool
    used_for: str
    mend: str  # the command that mounts it, or lets this user read it; empty: nothing to mend


@dataclass(frozen=True, slots=True)
class Report:
    """What ``pylibbpf.doctor()`` found."""

    engine: str
    kernel: Kernel
    config: Config
    btf: Btf
    jit: Jit
    process: Process
    security: Security
    mounts: tuple[Mount, ...]
    library: Library
    abilities: tuple[Ability, ...]

    def ability(self, kind: str, name: str) -> Ability:
        """The verdict on one "program", "map", "hook" or "right".

        Raises:
            KeyError: the report has no such thing.
        """
        for each in self.abilities:
            if (each.kind, each.name) == (kind, name):
                return each
        kinds = list(dict.fromkeys(each.kind for each in self.abilities))
        if kind not in kinds:
            raise KeyError(f"the report has no {kind!r}, but {', '.join(kinds)}")
        import difflib

        known = [each.name for each in self.abilities if each.kind == kind]
        near = ", ".join(difflib.get_close_matches(str(name), known, 3))
        hint = f"; did you mean {near}?" if near else ""
        raise KeyError(f"the report has no {kind} {name!r}{hint}")
