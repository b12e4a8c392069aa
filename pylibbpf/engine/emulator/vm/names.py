"""What the names in the text of translated programs stand for, but for a program's own."""

from __future__ import annotations

import operator
import struct
from itertools import chain, repeat

from pylibbpf.engine.emulator.vm.interpreter import cast
from pylibbpf.engine.emulator.vm.loops import TURNS
from pylibbpf.errors import MemoryFault, RunError
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibbpf.engine.emulator.vm.memory import Memory
    from pylibbpf.engine.emulator.vm.program import Program
    from pylibbpf.engine.emulator.vm.run import Run

__all__ = ["SHARED", "memory_names", "settle", "spend"]

# Instructions that a loop takes from the budget at once, when it has run for a while.
_PORTION = 1 << 16
# What a look into a dictionary of regions, or at bytes, raises where it cannot be done.
_MISSES = (KeyError, IndexError, OverflowError, struct.error)


def _tail(run: Run, program: Program, r1: int, r2: int, r3: int) -> Program | None:
    return run.tail(program, r1, r2, r3)


def _fatal(program: Program, at: int) -> None:
    raise RunError(program.fatal[at])


def _packet(run: Run, r6: int, offset: int, size: int) -> int | None:
    if run.packet is None:
        raise RunError("reads the packet, and there is none")
    found = run.packet(r6, alu.signed(offset, 32), size)
    return None if found is None else int.from_bytes(found, "big")


class _Grant:
    """Turns that a loop was given, of which it may have taken some, and what each costs."""

    __slots__ = ("cost", "given", "turns")

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self.given = 0
        self.turns: Iterator[None] = repeat(None, 0)

    def settle(self, run: Run) -> None:
        """Pay for what was taken since this was last done."""
        rest = operator.length_hint(self.turns)
        run.left -= (self.given - rest) * self.cost
        self.given = rest


def settle(run: Run) -> None:
    """Pay for all that was taken: now ``run.left`` is what is left."""
    for grant in run.grants:
        grant.settle(run)


def spend(run: Run) -> None:
    """See whether the run may go on."""
    settle(run)
    run.check()


def _turns(run: Run, cost: int) -> Iterator[Iterator[None]]:
    """Turns for a loop, in portions that grow; they are paid for when they were taken."""
    grant = _Grant(cost)
    if not run.grants:
        run.grants = []
    run.grants.append(grant)
    most = max(1, _PORTION // cost)
    turns, taken = 16, 0
    run.left += cost  # the first turn is paid for when there is a second
    try:
        while True:
            settle(run)
            if run.left < cost or taken >= TURNS:
                run.left = -1
            if run.left < 0 or run.deadline is not None:
                run.check()
            # Other loops around or inside have theirs: no more than half, so that there is
            # something to pay with.
            grant.given = min(turns, most, max(1, run.left // cost // 2))
            grant.turns = repeat(None, grant.given)
            taken += grant.given
            yield grant.turns
            turns *= 2
    finally:
        grant.settle(run)
        run.grants.remove(grant)


def fuel(run: Run, cost: int) -> Iterator[None]:
    """What a loop goes round on: it ends the run by an error when the budget is used up."""
    return chain.from_iterable(_turns(run, cost))


SHARED: dict[str, object] = {
    # Without this, Python would add all its built-in functions.
    "__builtins__": {},
    "M": alu.U64,
    "L": alu.U32,
    "H": alu.U64 ^ alu.U32,
    "Z": bytearray(),
    "B": bytearray,
    "E": (RunError, *_MISSES),
    "fuel": fuel,
    "spend": spend,
    "u2": struct.Struct("<H").unpack_from,
    "u4": struct.Struct("<I").unpack_from,
    "u8": struct.Struct("<Q").unpack_from,
    "v2": struct.Struct(">H").unpack_from,
    "v4": struct.Struct(">I").unpack_from,
    "v8": struct.Struct(">Q").unpack_from,
    "i1": struct.Struct("<b").unpack_from,
    "i2": struct.Struct("<h").unpack_from,
    "i4": struct.Struct("<i").unpack_from,
    "p2": struct.Struct("<H").pack_into,
    "p4": struct.Struct("<I").pack_into,
    "p8": struct.Struct("<Q").pack_into,
    "pack32": struct.Struct("<I").pack,
    "pack64": struct.Struct("<Q").pack,
    "swap32": struct.Struct(">I").unpack,
    "swap64": struct.Struct(">Q").unpack,
    "sdiv": alu.BINARY[isa.DIV, 1],
    "smod": alu.BINARY[isa.MOD, 1],
    "cast": cast,
    "fatal": _fatal,
    "tail": _tail,
    "packet": _packet,
}


_ATOMIC = {
    4: (struct.Struct("<I").unpack_from, struct.Struct("<I").pack_into),
    8: (struct.Struct("<Q").unpack_from, struct.Struct("<Q").pack_into),
}


def memory_names(memory: Memory) -> dict[str, object]:
    """Make the names that stand for accesses to one memory.

    What these functions cannot do at once, the memory does, with its checks; the ones that are
    ``probed`` pass over faults (see ``Program.probes``).
    """
    readable, writable = memory.readable, memory.writable

    def atomic(address: int, size: int, imm: int, src: int, r0: int) -> int:
        data = writable.get(address >> 32)
        offset = address & alu.U32
        if data is None or offset & (size - 1) or offset >= len(data):
            return memory.atomic(address, size, imm, src, r0)
        load, store = _ATOMIC[size]
        op = imm if imm >= isa.ATOMIC_XCHG else imm & ~isa.FETCH
        with memory.lock:
            old: int = load(data, offset)[0]
            store(data, offset, alu.atomic(op, old, src, r0, size * 8))
        return old

    def adder(size: int) -> Callable[[int, int], int]:
        load, store = _ATOMIC[size]
        mask = (1 << 8 * size) - 1

        def add(address: int, src: int) -> int:
            data = writable.get(address >> 32)
            offset = address & alu.U32
            if data is None or offset & (size - 1) or offset >= len(data):
                return memory.atomic(address, size, isa.ATOMIC_ADD, src)
            with memory.lock:
                old: int = load(data, offset)[0]
                store(data, offset, old + src & mask)
            return old

        return add

    def probe(address: int, size: int) -> int:
        try:
            return memory.load(address, size)
        except MemoryFault:
            return 0

    def probed(address: int, size: int, value: int) -> None:
        try:
            memory.store(address, size, value)
        except MemoryFault:
            return

    def atomic_probed(address: int, size: int, imm: int, src: int, r0: int) -> int | None:
        try:
            return memory.atomic(address, size, imm, src, r0)
        except MemoryFault:
            return None

    def acquire_probed(address: int, size: int) -> int:
        try:
            return memory.load_acquire(address, size)
        except MemoryFault:
            return 0

    def release_probed(address: int, size: int, value: int) -> None:
        try:
            memory.store_release(address, size, value)
        except MemoryFault:
            return

    return {
        "P": readable,
        "W": writable,
        "Pget": readable.get,
        "Wget": writable.get,
        "frame": memory.open_frame,
        "close": memory.close_frame,
        "load": memory.load,
        "store": memory.store,
        "probe": probe,
        "probed": probed,
        "atomic": atomic,
        "add4": adder(4),
        "add8": adder(8),
        "acquire": memory.load_acquire,
        "release": memory.store_release,
        "atomic_probed": atomic_probed,
        "acquire_probed": acquire_probed,
        "release_probed": release_probed,
    }
