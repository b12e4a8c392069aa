"""Put a program and the functions it uses into one piece, as libbpf hands it to the kernel."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Mapping

from pylibbpf.isa import insn as isa
from pylibbpf.isa.calls import OutputCall, output_calls
from pylibbpf.isa.insn import Insn
from pylibbpf.spec import FunctionSpec, ObjectSpec, Reference, ReferenceKind

__all__ = ["Linked", "Linker", "sending_calls"]


@dataclasses.dataclass(frozen=True, slots=True)
class Linked:
    """A program with its functions behind it; calls between them are relative, maps still names.

    ``parts`` are the functions and where each starts; ``references`` are all that is left for a
    loader to fill in, by instruction.
    """

    insns: tuple[Insn, ...]
    parts: tuple[tuple[int, FunctionSpec], ...]
    references: dict[int, Reference]

    def origin(self, insn: int) -> tuple[FunctionSpec, int] | None:
        """Tell which function an instruction came from, and its number there."""
        at = bisect_right(self.parts, insn, key=lambda part: part[0]) - 1
        start, function = self.parts[at]
        return (function, insn - start) if insn - start < function.insn_count else None

    def maps(self) -> dict[int, str]:
        """Which instructions load a reference to which map."""
        return {
            at: reference.target
            for at, reference in self.references.items()
            if reference.kind is ReferenceKind.MAP
        }


class Linker:
    """Knows the functions of an object by place, to link any of its programs.

    ``code`` are the instructions of those that were changed, by section and offset.
    """

    def __init__(
        self, spec: ObjectSpec, code: Mapping[tuple[str, int], list[Insn]] | None = None
    ) -> None:
        self._by_place = {_place(f): f for f in spec.functions}
        self._decoded: dict[tuple[str, int], list[Insn]] = dict(code or {})

    def used(self, program: FunctionSpec, last: FunctionSpec | None = None) -> list[FunctionSpec]:
        """List a program and the functions that it uses, directly or not, in order of linking.

        A function comes when it is first used, and what it uses itself right behind it
        (bpf_object__reloc_code). ``last`` comes after them, if it was not used.
        """
        found: list[FunctionSpec] = []
        seen: set[tuple[str, int]] = set()
        for start in (program, last):
            if start is not None and _place(start) not in seen:
                seen.add(_place(start))
                self._follow(start, found, seen)
        return found

    def _follow(
        self, start: FunctionSpec, found: list[FunctionSpec], seen: set[tuple[str, int]]
    ) -> None:
        found.append(start)
        waiting = [iter(start.references)]
        while waiting:
            for reference in waiting[-1]:
                place = (reference.section, reference.offset)
                if reference.kind is ReferenceKind.FUNCTION and place not in seen:
                    seen.add(place)
                    if place in self._by_place:
                        function = self._by_place[place]
                        found.append(function)
                        waiting.append(iter(function.references))
                        break
            else:
                waiting.pop()

    def link(self, program: FunctionSpec, last: FunctionSpec | None = None) -> Linked:
        """Link a program as libbpf's bpf_object__relocate_calls does: each function once."""
        parts: list[tuple[int, FunctionSpec]] = []
        starts: dict[tuple[str, int], int] = {}
        insns: list[Insn] = []
        references: dict[int, Reference] = {}
        for function in self.used(program, last):
            place = _place(function)
            base = starts[place] = len(insns)
            parts.append((base, function))
            if place not in self._decoded:
                self._decoded[place] = isa.decode(function.code)
            insns += self._decoded[place]
            for reference in function.references:
                at = base + reference.insn
                references[at] = dataclasses.replace(reference, insn=at)
        for at, reference in list(references.items()):
            if reference.kind is ReferenceKind.FUNCTION:
                start = starts.get((reference.section, reference.offset))
                old = insns[at]
                if start is not None and old.code in (isa.CALL_CODE, isa.LD_IMM64):
                    kind = isa.PSEUDO_CALL if old.code == isa.CALL_CODE else isa.PSEUDO_FUNC
                    insns[at] = Insn(old.code, old.dst, kind, old.off, start - at - 1)
                    del references[at]
        return Linked(tuple(insns), tuple(parts), references)


def _place(function: FunctionSpec) -> tuple[str, int]:
    return function.section, function.offset


# Programs that share functions are looked at with each: of a file made for it, that could be the
# square of its size. The largest real object seen has a fifth of this.
_LIMIT = 400_000


def sending_calls(spec: ObjectSpec) -> list[tuple[OutputCall, FunctionSpec, int]]:
    """List the calls that send records, of all programs, each once.

    With each come the function it stands in and its instruction number there. A function that
    several programs share is listed once per finding, so that programs that pass it different
    maps or sizes are all heard. So are functions that no program uses.
    """
    linker = Linker(spec)
    found: dict[tuple[object, ...], tuple[OutputCall, FunctionSpec, int]] = {}
    work = 0
    reached: set[tuple[str, int]] = set()
    for program in (*spec.programs, *(f for f in spec.functions if not f.program)):
        if not program.program and _place(program) in reached:
            continue
        functions = linker.used(program)
        reached.update(map(_place, functions))
        work += sum(function.insn_count for function in functions)
        if work > _LIMIT:
            return []
        linked = linker.link(program)
        for call in output_calls(linked.insns, linked.maps()):
            where = linked.origin(call.insn_index)
            if where is None:
                continue
            function, insn = where
            data = None if call.data is None or call.data[0] == "record" else call.data
            key = (*_place(function), insn, call.map, call.size, data)
            found.setdefault(key, (call, function, insn))
    return list(found.values())
