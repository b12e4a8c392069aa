"""From an errno to a reason: by the kernel's age, its configuration, and the probes of EPERM."""

from __future__ import annotations

import errno
from dataclasses import replace

from pylibbpf.ability import Ability, Probe
from pylibbpf.btf.parse import Btf
from pylibbpf.engine.kernel.config import Config, read_config
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.privileges import explain_eperm
from pylibbpf.engine.kernel.probe.calls import Kernel
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.btf.types import Kind

__all__ = ["Asker"]

_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)  # the last by a filter, perhaps


class Asker:
    """Puts questions to one kernel, and remembers what several of them need."""

    def __init__(self, host: Host, kernel: Kernel) -> None:
        self.host = host
        self.kernel = kernel
        self.known: dict[str, Ability] = {}  # verdicts so far, by "kind name"
        self._config: Config | None = None
        self._btf: Btf | None = None
        self._btf_problem = ""

    @property
    def config(self) -> Config:
        """The kernel's configuration."""
        if self._config is None:
            self._config = read_config(self.host)
        return self._config

    def btf_id(self, name: str, kind: Kind) -> int:
        """The id of a type in the kernel's BTF, or 0."""
        btf = self._vmlinux()
        found = btf.find(name, kind) if btf is not None else []
        return found[0] if found else 0

    def member(self, struct: str, name: str) -> int:
        """The index of a struct's member in the kernel's BTF, or 0."""
        from pylibbpf.btf.types import Kind, Struct

        btf = self._vmlinux()
        type_id = self.btf_id(struct, Kind.STRUCT)
        found = btf.type(type_id) if btf is not None and type_id else None
        names = [each.name for each in found.members] if isinstance(found, Struct) else []
        return names.index(name) if name in names else 0

    def size(self, type_id: int) -> int:
        """The size of a type in the kernel's BTF."""
        btf = self._vmlinux()
        return btf.sizeof(type_id) if btf is not None else 0

    def why_no_btf(self, name: str) -> str:
        """Why :meth:`btf_id` found nothing."""
        if self._vmlinux() is None:
            return self._btf_problem
        return f"the kernel's BTF has no {name}"

    def _vmlinux(self) -> Btf | None:
        if self._btf is None and not self._btf_problem:
            data = self.host.read_bytes("sys/kernel/btf/vmlinux")
            if data is None:
                self._btf_problem = (
                    "the kernel's BTF (/sys/kernel/btf/vmlinux) is missing or may not be read"
                )
                return None
            try:
                self._btf = Btf(data)
            except BtfError as error:
                self._btf_problem = f"the kernel's BTF cannot be read ({error})"
        return self._btf

    def yes(self, about: Ability, *probes: Probe) -> Ability:
        """It works: the probes show it."""
        return self._note(replace(about, works=True, probes=(*about.probes, *probes)))

    def unknown(self, about: Ability, reason: str, *probes: Probe) -> Ability:
        """No probe can tell."""
        return self._note(
            replace(about, works=None, reason=reason, probes=(*about.probes, *probes))
        )

    def no(
        self,
        about: Ability,
        probe: Probe,
        operation: str,
        *,
        option: str = "",
        mend: str = "",
        reason: str = "",
        **facts: Any,
    ) -> Ability:
        """It does not work: ``probe`` was refused. Says why, as far as a probe shows it.

        ``option`` is what the kernel must be built with; ``facts`` say what was tried, as in
        :func:`.privileges.explain_eperm`. A ``reason`` that is known already is taken as it is.
        """
        if self.kernel.unknown:
            return self.unknown(about, self.kernel.unknown, probe)
        about = replace(about, works=False, mend=mend, probes=(*about.probes, probe))
        if reason:
            return self._note(replace(about, reason=reason))
        if probe.errno in _REFUSED:
            found = explain_eperm(operation, errno=probe.errno, host=self.host, **facts)
            if found.cause or probe.errno != errno.ENOSYS:
                return self._note(
                    replace(
                        about,
                        reason=found.reason(),
                        mend=found.mend or mend,
                        instead=found.instead or "",
                    )
                )
        return self._note(replace(about, reason=self._why(about, probe, option)))

    def _why(self, about: Ability, probe: Probe, option: str) -> str:
        if probe.errno == errno.ENOSYS:
            return "this kernel was built without the system call bpf(2)"
        kernel = self.host.kernel()
        if about.since and kernel is not None and kernel < _version(about.since):
            return f"it came with Linux {about.since}; this is {kernel[0]}.{kernel[1]}"
        if option and self.config.lacks(option):
            return f"this kernel was built without {option} ({self.config.source})"
        parts = ["no probe shows the cause"]
        if about.since and kernel is not None:
            parts.append(f"ruled out: the kernel's version (it came with Linux {about.since})")
        if option and self.config.source:
            parts.append(f"its configuration ({option} is set)")
        return "; ".join(parts)

    def _note(self, about: Ability) -> Ability:
        self.known[f"{about.kind} {about.name}"] = about
        return about


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
