"""Run instructions given as hexadecimal bytes, in Python, and print r0.

The program comes by standard input and is not verified. With MEM_HEX, r1 points at that memory and
r2 is its length; else both are 0. This is what the runner of the public bpf_conformance project
asks of a plugin: hexadecimal bytes with or without spaces, r0 in hexadecimal on standard output,
status 0; what goes wrong on standard error, and another status.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibbpf.engine.emulator.vm.run import Executor

DONE, FAILED, MISUSED = 0, 1, 2

# A million instructions (isa.check.MOST), each byte with two spaces, as the runner writes them.
_LONGEST = 32_000_000
# What the runner's own plugin for the kernel is given, too. More come with the helpers.
_KTIME_GET_NS = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf exec``."""
    parser.add_argument("memory", nargs="?", default="", metavar="MEM_HEX", help="bytes at r1")
    parser.add_argument(
        "--budget", type=int, metavar="N", help="stop after this many instructions (default: 2**30)"
    )
    parser.add_argument(
        "--executor",
        choices=("translator", "interpreter"),
        default="translator",
        help="what runs it (default: translator)",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="stop after this time (default: never)"
    )


def main(args: argparse.Namespace) -> int:
    """Run it, and print r0."""
    from pylibbpf.cli import complain

    try:
        given = sys.stdin.read(_LONGEST + 1) if sys.stdin is not None else ""
        if len(given) > _LONGEST:
            complain(f"the program is longer than any can be: over {_LONGEST} characters")
            return MISUSED
        code = bytes.fromhex(given)
        memory = bytes.fromhex(args.memory)
    except ValueError as error:
        complain(f"these are no hexadecimal bytes: {error}")
        return MISUSED
    try:
        r0 = execute(code, memory, args.executor, budget=args.budget, timeout=args.timeout)
    except KeyboardInterrupt:
        complain("the program was interrupted")
        return FAILED
    print(f"{r0:x}")
    return DONE


def execute(
    code: bytes,
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
    import time

    from pylibbpf.engine.emulator.vm.memory import Memory, Region
    from pylibbpf.engine.emulator.vm.program import Program
    from pylibbpf.engine.emulator.vm.run import BUDGET, Run
    from pylibbpf.isa.insn import decode

    world = Memory()
    helpers = {_KTIME_GET_NS: lambda run, *arguments: time.monotonic_ns()}
    program = Program(decode(code), world, helpers=helpers)
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
