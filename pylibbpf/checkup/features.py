"""Features of kernels by name: since when, built with what, and whether this kernel has them.

What is asked of a kernel for ``@pytest.mark.bpf_guest(features=[...])``. The rows are those of the
probes behind :func:`pylibbpf.doctor`: hooks, map types and program types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pylibbpf.ability import Ability
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.probe.calls import Kernel
from pylibbpf.engine.kernel.probe.hooks import HOOKS, hook, row_of
from pylibbpf.engine.kernel.probe.maps import MAPS, map_type
from pylibbpf.engine.kernel.probe.programs import PROGRAMS, program_type
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.sections import SECTIONS

__all__ = ["Feature", "feature", "features"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a kernel can have."""

    name: str
    kind: str  # "hook", "map", "program": of the ability
    since: tuple[int, int]  # the kernel that brought it
    options: tuple[str, ...]  # what the kernel must be built with: CONFIG_...
    _ask: Callable[[Asker], Ability]

    def why_not(self, version: tuple[int, ...], options: Mapping[str, str] | None) -> str | None:
        """Why a kernel cannot have it, by its version and by what it was built with.

        ``options`` are those that are set, with their values; None where they are not known.
        """
        if version[:2] < self.since:
            return f"{self.name} came with Linux {self.since[0]}.{self.since[1]}"
        lacking = [each for each in self.options if options is not None and each not in options]
        if lacking:
            return f"for {self.name}, the kernel must be built with {' and '.join(lacking)}"
        return None

    def ability(self) -> Ability:
        """Whether the kernel that runs has it, for this process; takes some milliseconds."""
        return self._ask(Asker(Host(), Kernel()))


def plain(name: str) -> str:
    """A name as it is looked up: ``kprobe.multi`` and ``kprobe_multi`` are one."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").removeprefix("bpf_")


def feature(name: str) -> Feature:
    """The feature of a name.

    Raises:
        KeyError: there is none; the text names those that are near.
    """
    known = features()
    found = known.get(plain(name))
    if found is None:
        import difflib

        near = [known[each].name for each in difflib.get_close_matches(plain(name), known, 3)]
        hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
        raise KeyError(f"no feature is called {name!r}{hint}")
    return found


_OLDEST = (5, 10)  # in the table of SEC() names it stands for older ones, too
_known: dict[str, Feature] = {}


def features() -> dict[str, Feature]:
    """All features by their plain names. Of a name with several meanings, the hook has it."""
    if not _known:
        for each in _rows():
            _known.setdefault(plain(each.name), each)
    return _known


def _rows() -> list[Feature]:
    hooks = {
        row.name: Feature(
            re.sub(r" \((software)\)", "", row.name),
            "hook",
            _version(row.since),
            _options(row.option, row.load.option),
            lambda asker, row=row: hook(asker, row),  # type: ignore[misc]  # the default binds it
        )
        for row in HOOKS
    }
    # SEC() names of the same hooks: kretprobe, usdt, fexit.s
    sections = []
    for name, about in SECTIONS.items():
        row = row_of(name)
        if row is not None:
            own = hooks[row.name]
            since = max(own.since, about.kernel if about.kernel > _OLDEST else (0, 0))
            sections.append(Feature(name, own.kind, since, own.options, own._ask))
    maps = [
        Feature(
            each.type.name.lower(),
            "map",
            _version(each.since),
            _options(each.option),
            lambda asker, each=each: map_type(asker, each),  # type: ignore[misc]
        )
        for each in MAPS
    ]
    programs = [
        Feature(
            load.type.name.lower(),
            "program",
            _version(load.since),
            _options(load.option),
            lambda asker, load=load: program_type(asker, load),  # type: ignore[misc]
        )
        for load in PROGRAMS
    ]
    return [*hooks.values(), *sections, *maps, *programs]


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _options(*given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in given if each))
