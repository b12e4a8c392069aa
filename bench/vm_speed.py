"""BPF in Python: the translator beside plain decoding and dispatching, and how long it takes.

Eight programs (vm.bpf.c, and examples/xdp_filter.bpf.c) run on the same memory, with the same
helpers, in turns; every result of both is compared before. A run of ours is all of it, from
``Run(...)`` on, with every check of memory on. Times are CPU time of the thread; the figure
of a round is the best of several repetitions, and medians of the rounds are shown.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reference

from pylibbpf.engine.emulator.vm.interpreter import Coverage, Interpreter
from pylibbpf.engine.emulator.vm.memory import CONTEXT, MAP_VALUE, PACKET, READ, Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.engine.emulator.vm.translator import PATIENCE, Translator
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn, decode, encode
from pylibbpf.loader.link import Linker
from pylibbpf.loader.object import read
from pylibbpf.spec import ReferenceKind

HERE = Path(__file__).resolve().parent
# Times quicker, in the mean and for arithmetic; ns of an instruction of that; ms of translation.
MEAN, ALU, ALU_NS = 9, 14, 25
TRANSLATION = {500: 2, 9000: 300}


class Map:
    """As much of a hash or an array as the programs need."""

    def __init__(self, memory: Memory, size: int, entries: int = 0) -> None:
        self.memory = memory
        self.address = memory.map(Region(bytearray(8), "map", permissions=0)).base
        self.values: dict[bytes, Region] = {}
        self.size = size
        for key in range(entries):
            self.add(key.to_bytes(4, "little"))

    def add(self, key: bytes) -> Region:
        region = self.values[key] = self.memory.map(Region(bytearray(self.size), MAP_VALUE))
        return region


class World:
    """A memory with what a program gets: maps, global data, and its argument."""

    def __init__(self, path: Path, name: str) -> None:
        spec = read(path)
        linked = Linker(spec).link(spec.function(name))
        memory = self.memory = Memory()
        self.maps = {
            each.name: Map(memory, each.value_size, 0 if name == "counter" else each.max_entries)
            for each in spec.maps
            if each.value_size in (8, 16)
        }
        by_address = {each.address: each for each in self.maps.values()}

        def lookup(run: Any, map_: int, key: int, *unused: int) -> int:
            found = by_address[map_].values.get(run.memory.read(key, 4))
            return 0 if found is None else found.base

        def update(run: Any, map_: int, key: int, value: int, *unused: int) -> int:
            region = by_address[map_].add(run.memory.read(key, 4))
            region.data[:] = run.memory.read(value, region.size)
            return 0

        self.helpers = {1: lookup, 2: update}
        constants = {}
        insns = [Insn(i.code, i.dst, i.src, i.off, i.imm) for i in linked.insns]
        if name == "filter":
            _convert(insns)
        for at, what in linked.references.items():
            if what.kind is ReferenceKind.MAP:
                insns[at].src, constants[at] = isa.PSEUDO_MAP_FD, self.maps[what.target].address
            else:
                size = 256
                data = memory.map(Region(bytearray(size), "data", permissions=READ))
                insns[at].src, constants[at] = isa.PSEUDO_MAP_VALUE, data.base + what.offset
        self.program = Program(insns, memory, name=name, helpers=self.helpers, constants=constants)
        # The reference knows nothing of references.
        for at, value in constants.items():
            insns[at].src = 0
            insns[at].imm, insns[at + 1].imm = value & 0xFFFFFFFF, value >> 32
        self.code = encode(insns)
        self.stack = memory.map(Region(bytearray(isa.STACK_SIZE), "stack"))
        self.argument = 0

    def input(self, data: bytes, number: int = 0) -> None:
        packet = self.memory.map(Region(bytearray(data), PACKET))
        words = (packet.base, packet.base + len(data), number)
        context = bytearray(b"".join(word.to_bytes(8, "little") for word in words))
        self.argument = self.memory.map(Region(context, CONTEXT)).base

    def ours(self, translator: Translator) -> Callable[[], int]:
        memory, program, argument = self.memory, self.program, self.argument
        return lambda: Run(translator, memory).start(program, argument)

    def plain(self) -> Callable[[], int]:
        code, memory, argument = self.code, self.memory.readable, self.argument
        end = self.stack.base + isa.STACK_SIZE
        return lambda: reference.execute(code, memory, argument, end, self.helpers, self)

    def count(self) -> int:
        """How many instructions a run is."""
        coverage = Coverage()
        Run(Interpreter(coverage=coverage), self.memory).start(self.program, self.argument)
        return sum(coverage.of(self.program))


def _convert(insns: list[Insn]) -> None:
    """What the kernel makes of accesses to struct xdp_md: loads of pointers (xdp_convert_ctx)."""
    for insn in insns[:2]:
        assert insn.code == isa.LDX | isa.MEM | isa.W
        assert insn.src == 1
        insn.code = isa.LDX | isa.MEM | isa.DW
        insn.off *= 2


def _frame(protocol: int, port: int) -> bytes:
    """An Ethernet frame with IPv4, and what TCP and UDP have alike."""
    ip = bytes([0x45, 0, 0, 46, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    rest = b"\x30\x39" + port.to_bytes(2, "big") + bytes(8) + b"\x50\x18" + bytes(12)
    return bytes(12) + b"\x08\x00" + ip + rest


def worlds() -> dict[str, World]:
    """The eight programs, with what they work on."""
    found = {}
    for name, data, number in (
        ("alu", b"", 2000),
        ("checksum", bytes(at * 7 + 3 & 255 for at in range(1500)), 0),
        ("parse", _frame(6, 8080), 0),
        ("counter", b"", 77),
        ("scan", b"/usr/lib/x86_64-linux-gnu/libbpf.so.1.1.2\0", 0),
        ("hash", bytes(range(1, 17)), 0),
        ("histogram", b"", 123456789),
    ):
        found[name] = World(HERE / "vm.bpf.o", name)
        found[name].input(data, number)
    xdp = found["XDP filter"] = World(HERE.parent / "examples" / "xdp_filter.bpf.o", "filter")
    xdp.input(_frame(17, 53))
    return found


def _time(run: Callable[[], int], times: int) -> float:
    clock = time.thread_time
    best = 1e9
    for _ in range(3):
        begun = clock()
        for _ in range(times):
            run()
        best = min(best, clock() - begun)
    return best / times


def programs(rounds: int) -> None:
    translator = Translator(patience=0)
    figures: dict[str, tuple[list[float], list[float]]] = {}
    there = worlds()
    counts = {name: world.count() for name, world in there.items()}
    for name, world in there.items():
        ours, plain = world.ours(translator), world.plain()
        first, second = ours(), plain()
        if name == "counter":
            second -= 1  # it counts on
        if first != second or ours() != first + (2 if name == "counter" else 0):
            raise AssertionError(f"{name}: {first:#x}, and {second:#x} by the reference")
        figures[name] = ([], [])
    for _ in range(rounds):
        for name, world in there.items():
            ours, plain = world.ours(translator), world.plain()
            times = max(2, 40_000 // counts[name])
            mine, other = figures[name]
            mine.append(_time(ours, times))
            other.append(_time(plain, max(2, times // 8)))
    print(f"{'BPF program':12} insns   run, us   ns/insn   plain ns/insn   times quicker")
    ratios = []
    for name, (mine, other) in figures.items():
        count = counts[name]
        a, b = statistics.median(mine), statistics.median(other)
        ratios.append(b / a)
        print(
            f"{name:12} {count:5} {a * 1e6:9.2f} {a / count * 1e9:9.1f} {b / count * 1e9:15.1f}"
            f" {b / a:15.1f}"
        )
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean {mean:.1f} (goal: {MEAN}; alu: {ALU}, and {ALU_NS} ns each at most)")


# What the programs that are translated begin with: r6 is the context, the others are numbers.
NUMBERS = (0, 2, 3, 4, 5, 7, 8)


def _mixture(at: int, a: int, b: int) -> list[Insn]:
    """As compilers give it: an eighth are jumps, a quarter loads and stores."""
    return [
        Insn(isa.LDX | isa.MEM | isa.W, a, 6, at * 4 % 64),
        Insn(isa.ALU64 | isa.ADD | isa.X, b, a),
        Insn(isa.JMP | isa.JGT | isa.K, b, off=2, imm=at * 100),
        Insn(isa.ALU | isa.XOR | isa.K, b, imm=at),
        Insn(isa.ALU64 | isa.MOV | isa.X, a, b),
        Insn(isa.ALU64 | isa.RSH | isa.K, a, imm=3),
        Insn(isa.STX | isa.MEM | isa.DW, isa.R10, a, -8 * (1 + at % 16)),
        Insn(isa.ALU64 | isa.AND | isa.K, b, imm=0xFFFF),
    ]


def _arithmetic(at: int, a: int, b: int) -> list[Insn]:
    """Straight on, 64 and 32 bits."""
    return [
        Insn(isa.ALU64 | isa.ADD | isa.X, b, a),
        Insn(isa.ALU64 | isa.MOV | isa.X, a, b),
        Insn(isa.ALU64 | isa.RSH | isa.K, a, imm=7),
        Insn(isa.ALU64 | isa.XOR | isa.X, b, a),
        Insn(isa.ALU | isa.MUL | isa.K, b, imm=at * 77),
        Insn(isa.ALU | isa.SUB | isa.X, a, b),
        Insn(isa.ALU | isa.LSH | isa.K, a, imm=5),
        Insn(isa.ALU64 | isa.OR | isa.X, b, a),
    ]


def _memory(at: int, a: int, b: int) -> list[Insn]:
    """Three of four are loads and stores, of the context and of the stack."""
    sizes = (isa.B, isa.H, isa.W, isa.DW)
    return [
        Insn(isa.LDX | isa.MEM | sizes[at % 4], a, 6, at * 8 % 64),
        Insn(isa.STX | isa.MEM | sizes[at * 3 % 4], 6, a, at * 24 % 64),
        Insn(isa.LDX | isa.MEM | isa.DW, b, isa.R10, -8 * (1 + at % 16)),
        Insn(isa.ALU64 | isa.ADD | isa.X, b, a),
        Insn(isa.STX | isa.MEM | isa.DW, isa.R10, b, -8 * (1 + at % 16)),
        Insn(isa.LDX | isa.MEM | isa.W, b, 6, at * 16 % 64),
        Insn(isa.ALU64 | isa.XOR | isa.X, a, b),
        Insn(isa.STX | isa.MEM | isa.W, 6, a, at * 40 % 64),
    ]


def _branches(at: int, a: int, b: int) -> list[Insn]:
    """Three of eight are jumps: branches with both sides, and one in the other."""
    return [
        Insn(isa.JMP | isa.JGT | isa.K, a, off=4, imm=at * 10),
        Insn(isa.ALU64 | isa.ADD | isa.K, b, imm=at),
        Insn(isa.JMP | isa.JNE | isa.X, a, b, off=1),
        Insn(isa.ALU64 | isa.MOV | isa.K, a, imm=at),
        Insn(isa.JMP | isa.JA, off=2),
        Insn(isa.ALU64 | isa.XOR | isa.X, b, a),
        Insn(isa.ALU64 | isa.RSH | isa.K, a, imm=1),
        Insn(isa.ALU | isa.AND | isa.K, b, imm=0xFFFF),
    ]


def _calls(at: int, a: int, b: int) -> list[Insn]:
    """A helper that gets a pointer to the stack, and may give one."""
    at = at % 16
    return [
        Insn(isa.STX | isa.MEM | isa.W, isa.R10, 7, -4),
        Insn(isa.ALU64 | isa.MOV | isa.X, 2, isa.R10),
        Insn(isa.ALU64 | isa.ADD | isa.K, 2, imm=-4),
        Insn(isa.ALU64 | isa.MOV | isa.X, 1, 6),
        Insn(isa.CALL_CODE, imm=1),
        Insn(isa.JMP | isa.JEQ | isa.K, 0, off=2),
        Insn(isa.LDX | isa.MEM | isa.W, 7, 0, at),
        Insn(isa.ALU64 | isa.ADD | isa.K, 7, imm=at),
    ]


def long(shape: Callable[[int, int, int], list[Insn]], count: int, turns: int = 1) -> list[Insn]:
    """A program of so many instructions; most are in a loop if there are more turns than one."""
    insns: list[Insn] = [Insn(isa.ALU64 | isa.MOV | isa.X, 6, 1)]
    insns.append(Insn(isa.ALU64 | isa.MOV | isa.K, 9, imm=turns))
    insns += [Insn(isa.ALU64 | isa.MOV | isa.K, r, imm=r * 1000) for r in NUMBERS]
    at, first = 0, len(insns)
    while len(insns) < count - 10:
        insns += shape(at, NUMBERS[at % 7], NUMBERS[(at * 3 + 1) % 7])
        at += 1
    if turns > 1:
        insns.append(Insn(isa.ALU64 | isa.SUB | isa.K, 9, imm=1))
        insns.append(Insn(isa.JMP | isa.JNE | isa.K, 9, off=first - len(insns) - 1))
    insns += [Insn(isa.ALU64 | isa.MOV | isa.K, 1)] * (count - 1 - len(insns))
    return [*insns, Insn(isa.EXIT_CODE)]


TRANSLATED = (
    ("mixture", _mixture, 500, 1),
    ("arithmetic", _arithmetic, 500, 1),
    ("memory", _memory, 500, 1),
    ("branches", _branches, 500, 1),
    ("calls", _calls, 500, 1),
    ("loop, 3 turns", _mixture, 500, 3),
    ("loop, 30 turns", _mixture, 500, 30),
    ("mixture", _mixture, 2000, 1),
    ("mixture", _mixture, 9000, 1),
)


def translation(rounds: int) -> None:
    """Time what happens before and at the first run, of programs that no translator knows.

    ``decode``, ``check``: bytes become instructions, and these a program. ``write``, ``compile``:
    the text, and what Python makes of it. ``translated``: all of that, and one run. ``first
    result``: from bytes to the result of a run, as users have it; a second run is much the same,
    and after about the fourth, or as many turns of a loop, the program is translated.
    """
    print("translation, ms  insns  decode  check  write  compile  translated  first result")
    for name, shape, count, turns in TRANSLATED:
        code = encode(long(shape, count, turns))
        times: list[list[float]] = []
        for _ in range(rounds):
            times.append(_translate(code))
        row = [statistics.median(column) * 1e3 for column in zip(*times, strict=True)]
        cells = (8, 7, 7, 9, 12, 14)
        print(
            f"{name:15} {count:6}"
            + "".join(f"{ms:{cell}.2f}" for ms, cell in zip(row, cells, strict=True))
        )
    goals = ", ".join(f"{ms} ms for {count}" for count, ms in TRANSLATION.items())
    print(f"goals of a translation: {goals}")


def _translate(code: bytes) -> list[float]:
    clock = time.thread_time
    results = set()
    wholes = []
    for patience in (0, PATIENCE):
        memory = Memory()
        context = memory.map(Region(bytearray(64), CONTEXT)).base
        helpers = {1: lambda run, r1, *rest: r1}
        begun = clock()
        insns = decode(code)
        decoded = clock()
        program = Program(insns, memory, helpers=helpers)
        checked = clock()
        results.add(Run(Translator(patience=patience), memory).start(program, context))
        wholes.append(clock() - begun)
    if len(results) != 1:
        raise AssertionError(f"{results} by the two executors")
    started = clock()
    text = Translator().source(program, 0)
    written = clock()
    compile(text, "<bpf>", "exec", dont_inherit=True)
    compiled = clock()
    return [decoded - begun, checked - decoded, written - started, compiled - written, *wholes]


def main(rounds: int) -> None:
    programs(rounds)
    print()
    translation(rounds)
