"""Run instructions given as hexadecimal bytes, in Python, and print r0.

The program comes by standard input and is not verified. With MEM_HEX, r1 points at that memory and
r2 is its length; else both are 0. This is what the runner of the public bpf_conformance project
asks of a plugin: hexadecimal bytes with or without spaces, r0 in hexadecimal on standard output,
status 0; what goes wrong on standard error, and another status. With --elf, as the runner says for
its own --elf, the bytes are an object file, of which the first program runs, or the first function
where there is no program.
"""

from __future__ import annotations

import argparse
import string
import sys
from typing import TYPE_CHECKING

from pylibbpf.cli import DONE, FAILED, MISUSED, complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibbpf.engine.emulator.vm.run import Executor
    from pylibbpf.isa.insn import Insn

# A million instructions (isa.check.MOST), each byte with two spaces, as the runner writes them.
_LONGEST = 32_000_000
_DIGITS = 20  # as 2**64 has: nobody waits for more instructions than that


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf exec``."""
    # Runners of 2022 say "" where there is no memory, and "" again where they have no options.
    parser.add_argument("memory", nargs="*", default=[], metavar="MEM_HEX", help="bytes at r1")
    parser.add_argument(
        "--budget",
        type=_count,
        metavar="N",
        help="stop after this many instructions (default: 2**30)",
    )
    parser.add_argument(
        "--elf", action="store_true", help="the bytes are an object file: run what is first in it"
    )
    parser.add_argument(
        "--executor",
        choices=("translator", "interpreter"),
        default="translator",
        help="what runs it (default: translator)",
    )
    parser.add_argument(
        "--program", metavar="HEX", help="the program (default: comes by standard input)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="stop after this time (default: never)"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of instructions")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # nan is not, either
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def main(args: argparse.Namespace) -> int:
    """Run it, and print r0."""
    memories = [each for each in args.memory if each.strip()]
    if len(memories) > 1:
        complain(f"there can be one memory, not {len(memories)}: spaces in it need quotes")
        return MISUSED
    try:
        given = args.program if args.program is not None else _read()
        if len(given) > _LONGEST:
            complain(f"the program is longer than any can be: over {_LONGEST} characters")
            return MISUSED
        code = _bytes("the program", given)
        memory = _bytes("the memory", memories[0] if memories else "")
    except UnicodeDecodeError:
        complain("the program is to be hexadecimal digits, and is no text")
        return MISUSED
    except ValueError as error:
        complain(str(error))
        return MISUSED
    try:
        insns = _insns(code, elf=args.elf)
        r0 = execute(insns, memory, args.executor, budget=args.budget, timeout=args.timeout)
    except KeyboardInterrupt:
        complain("the program was interrupted")
        return FAILED
    print(f"{r0:x}")
    return DONE


def _read() -> str:
    return sys.stdin.read(_LONGEST + 1) if sys.stdin is not None else ""


def _bytes(what: str, given: str) -> bytes:
    """What hexadecimal digits stand for.

    Raises:
        ValueError: they are none; in words that say which, and where.
    """
    try:
        return bytes.fromhex(given)
    except ValueError:
        said = "has half a byte: two hexadecimal digits are one"
        for at, each in enumerate(given, 1):
            if each not in string.hexdigits and each not in string.whitespace:
                said = f"is to be hexadecimal digits only: character {at} is {each!r}"
                break
    raise ValueError(f"{what} {said}")


def _insns(code: bytes, *, elf: bool) -> Sequence[Insn]:
    """What is to run.

    Raises:
        InsnError: these are no instructions.
        ElfError: this is no object file.
    """
    if not elf:
        from pylibbpf.isa.insn import decode

        return decode(code)
    from pylibbpf.errors import ElfError
    from pylibbpf.loader.link import Linker
    from pylibbpf.loader.object import read

    spec = read(code)
    first = next(iter(spec.programs or spec.functions), None)
    if first is None:
        raise ElfError("there is no program in this object")
    linked = Linker(spec).link(first)
    for at, reference in linked.references.items():
        raise ElfError(
            f"instruction {at} of {first.name} refers to the {reference.kind.value}"
            f" {reference.target!r}, and there is nothing here but instructions and the memory"
        )
    return linked.insns


def execute(
    insns: Sequence[Insn],
    memory: bytes,
    executor: str = "translator",
    *,
    budget: int | None = None,
    timeout: float | None = None,
) -> int:
    """Run a program on a memory, and give r0.

    Raises:
        InsnError: it is no program.
        RunError: it did what none may.
    """
    from pylibbpf.engine.emulator.vm.bare import HELPERS
    from pylibbpf.engine.emulator.vm.memory import Memory, Region
    from pylibbpf.engine.emulator.vm.program import Program
    from pylibbpf.engine.emulator.vm.run import BUDGET, Run

    world = Memory()
    program = Program(insns, world, helpers=HELPERS)
    run = Run(
        _executor(executor), world, budget=BUDGET if budget is None else budget, timeout=timeout
    )
    if not memory:
        return run.start(program)
    region = world.map(Region(bytearray(memory), "memory"))
    return run.start(program, region.base, len(memory))


def _executor(name: str) -> Executor:
    if name == "interpreter":
        from pylibbpf.engine.emulator.vm.interpreter import Interpreter

        return Interpreter()
    from pylibbpf.engine.emulator.vm.translator import Translator

    return Translator(patience=0)
