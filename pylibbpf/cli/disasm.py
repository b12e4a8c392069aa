"""Show the instructions of the programs in a BPF object file, with their C lines.

The instructions are as in the file, each program with the functions that it uses behind it: what
refers to a map, a variable or the kernel is not filled in yet, and a comment says what it is. The
text is the kernel's own, and what the assembler (pylibbpf.isa.asm) reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.values import plain
from pylibbpf.errors import Error
from pylibbpf.isa import insn as isa
from pylibbpf.isa.disasm import disassemble
from pylibbpf.loader.header import read_file
from pylibbpf.loader.link import Linked, Linker
from pylibbpf.loader.object import read
from pylibbpf.loader.patch import POISON
from pylibbpf.loader.relocated import RelocatedProgram
from pylibbpf.spec import FunctionSpec, ReferenceKind

_LONGEST = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf disasm``."""
    parser.add_argument("object", metavar="OBJ", help="BPF object file (.bpf.o)")
    parser.add_argument(
        "program", nargs="?", metavar="PROG", help="a program or function (default: all programs)"
    )


def main(args: argparse.Namespace) -> int:
    """Print it."""
    try:
        spec = read(read_file(args.object))
    except (Error, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        complain(f"{args.object}: {said}")
        return FAILED
    # A library of functions, or what an assembler made, has no programs.
    all_ = list(spec.programs or spec.functions)
    wanted = all_
    if args.program is not None:
        wanted = [each for each in spec.functions if each.name == args.program]
        if not wanted:
            names = ", ".join(each.name for each in all_) or "none"
            complain(f"{args.object}: no program {args.program!r}; there are: {names}")
            return MISUSED
    linker = Linker(spec)
    for number, program in enumerate(wanted):
        if number:
            print()
        for line in listing(linker.link(program)):
            print(plain(line))
    return DONE


def listing(linked: Linked | RelocatedProgram) -> Iterator[str]:
    """Write a program line by line, as it is in the file or as it was relocated."""
    starts = dict(linked.parts)
    last: tuple[str, int] | None = None
    for at, text in disassemble(linked.insns):
        function = starts.get(at)
        if function is not None:
            yield from _heading(function, first=at == 0)
        origin = linked.origin(at)
        if origin is not None:
            line = origin[0].line(origin[1])
            place = (line.file, line.number) if line is not None else None
            if line is not None and place != last:
                yield f"; {line.file}:{line.number}: {' '.join(line.text.split())[:_LONGEST]}"
            last = place
        note = _note(linked, at, origin)
        code = f"{at:4}: ({linked.insns[at].code:02x}) {text}"
        yield f"{code:<48} ; {note}" if note else code


def _heading(function: FunctionSpec, *, first: bool) -> Iterator[str]:
    if not first:
        yield ""
    yield f"{function.name}:  ; SEC({function.section!r})"


def _note(
    linked: Linked | RelocatedProgram, at: int, origin: tuple[FunctionSpec, int] | None
) -> str:
    """What an instruction refers to, in words."""
    reference = linked.references.get(at)
    if reference is not None:
        plus = f"+{reference.offset}" if reference.kind is ReferenceKind.DATA else ""
        module = f" of the module {reference.module}" if reference.module else ""
        return f"{reference.kind.value} {reference.target}{plus}{module}"
    insn = linked.insns[at]
    if insn.code == isa.CALL_CODE and insn.src == isa.PSEUDO_CALL:
        called = linked.origin(at + 1 + insn.imm)
        return f"function {called[0].name}" if called is not None and not called[1] else ""
    if origin is None:
        return ""
    function, offset = origin
    asked = [each for each in function.core if each.insn == offset]
    said = ", ".join(f"{each.kind.value} of {each.path or each.type_name}" for each in asked)
    if said and insn.code == isa.CALL_CODE and insn.imm == POISON:
        answer = linked.core.get(at) if isinstance(linked, RelocatedProgram) else None
        why = answer.why if answer is not None else "the kernel has no answer"
        return f"poison for {said}: {why}"
    return said
