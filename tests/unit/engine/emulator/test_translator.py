"""The translator: what it writes, how long that is, what it learns, and when it stops a run."""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Callable

import effort
import isa_checks
import pytest
import vm_pairs
from hypothesis import given
from isa_programs import CALM, Case, hostile, programs
from vm_pairs import both, made, source

from pylibbpf.engine.emulator.vm.flow import Flow
from pylibbpf.engine.emulator.vm.interpreter import Coverage, Interpreter
from pylibbpf.engine.emulator.vm.memory import CONTEXT, STACK, Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.engine.emulator.vm.translator import EXACT, PATIENCE, Translator
from pylibbpf.errors import BudgetError, MemoryFault, RunError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn

# ------------------------------------------------------------------------------ random programs


@pytest.mark.parametrize(
    ("kind", "count"),
    [("program", 500), ("dense", 700), ("graph", 250), ("walk", 250), ("origins", 250)],
)
def test_both_executors(kind: str, count: int) -> None:
    seen = vm_pairs.compare_many(kind, effort.SEED, count)
    assert {"ran", "fault" if kind in ("program", "walk") else "ran"} <= seen, effort.SEED


@CALM
@given(programs())
def test_both_executors_by_hypothesis(case: Case) -> None:
    vm_pairs.compare(case)


def test_hostile_bytes() -> None:
    rng = random.Random(f"{effort.SEED} translator")
    translator = Translator(patience=0)
    seen = {isa_checks.survive(hostile(rng), rng, translator) for _ in range(300)}
    assert {"ran", "MemoryFault"} <= seen, effort.SEED


# ------------------------------------------------------------------------------ the text


def test_loops_are_loops() -> None:
    program = made("r0 = 0\nr2 = 0\nL: r0 += 3\nr2 += 1\nif r2 < 1000 goto L\nexit")
    text = source(program)
    assert "for _ in g2:" in text
    # Neither can get to 2**64, so nothing is masked.
    assert "&" not in text.partition("for _")[2]
    assert both(program) == 3000


def test_masks_are_there_where_they_must_be() -> None:
    text = "r0 = -1\nr0 += r1\nr2 = r0\nr2 >>= 60\nr0 <<= 4\nr0 ^= r2\nexit"
    assert both(made(text), 5) == 4 << 4
    assert both(made("r0 = r1\nr0 *= r0\nr0 *= r0\nr0 >>= 7\nexit"), 1 << 63) == 0
    assert both(made("r0 = r1\nr0 -= 1\nif r0 s< 0 goto +1\nr0 = 7\nexit"), 0) == (1 << 64) - 1


SWITCH = "\n".join(
    ["r0 = 0"]
    + [f"if r1 == {case} goto case{case}" for case in range(200)]
    + ["goto out"]
    + [f"case{case}: r0 += {case * 3}\nr0 *= 2\nr0 ^= r1\ngoto out" for case in range(200)]
    + ["out: r0 += 1\nr1 = r0\nr0 *= r1\nr0 += 5\nexit"]
)
DIAMONDS = "\n".join(
    ["r0 = r1"]
    + [
        f"if r0 > {n * 2} goto a{n}\nr0 += {n}\nr2 = r0\ngoto b{n}\n"
        f"a{n}: r0 ^= {n}\nr2 = 1\nb{n}: r0 += r2"
        for n in range(1000)
    ]
    + ["exit"]
)
CHECKS = "\n".join(
    ["r0 = r1"]
    + [f"r0 += {n}\nif r0 == {n * n} goto out" for n in range(1000)]
    + ["r0 += 1", "out: r2 = r0\nr0 <<= 1\nr0 ^= r2\nr0 += 1\nexit"]
)
EXITS = """
    r0 = 0
    r2 = r1
L:  r0 += 1
    if r0 == 7 goto seven
    r2 -= 1
    if r2 == 3 goto three
    if r2 == 50 goto fifty
    r3 = r0
M:  r3 += 1
    if r3 == 40 goto seven
    if r3 == 1000 goto L
    r3 += r0
    if r3 < 90 goto M
    if r0 < 30 goto L
    r0 += 1000
seven:
    r0 += 7
three:
    r0 *= 3
    goto out
fifty:
    r0 += 50
    r0 *= 50
out:
    r0 += 1
    r2 = r0
    r0 += r2
    exit
"""
NESTED = "\n".join(
    [f"r0 = 0\nr9 = r1\n*(u64 *)(r10 -{8 * n + 8}) = 2\nL{n}:\nr0 += {n}" for n in range(10)]
    + [
        f"r2 = *(u64 *)(r10 -{8 * n + 8})\nr2 -= 1\n*(u64 *)(r10 -{8 * n + 8}) = r2\n"
        f"if r2 != 0 goto L{n}"
        for n in reversed(range(10))
    ]
    + ["exit"]
)
INTO_A_LOOP = """
    r0 = 0
    if r1 > 5 goto middle
top:
    r0 += 1
    r2 = r0
middle:
    r0 += 10
    r1 += 1
    if r1 < 20 goto top
    exit
"""
DEEP = "\n".join(
    ["r0 = 0"]
    + [f"if r1 < {n} goto out{n}\nr0 += {n}\nr0 ^= 3" for n in range(150)]
    + [f"r0 += 1\nout{n}: r0 += r1\nr0 ^= {n}" for n in reversed(range(150))]
    + ["exit"]
)


@pytest.mark.parametrize(
    "text",
    [SWITCH, DIAMONDS, CHECKS, EXITS, NESTED, INTO_A_LOOP, DEEP],
    ids=["switch", "diamonds", "checks", "exits", "nested", "into a loop", "deep"],
)
def test_shapes(text: str) -> None:
    program = made(text)
    for argument in (0, 1, 2, 3, 7, 30, 64, 199, 200, 100_000, (1 << 64) - 1):
        both(program, argument)


@pytest.mark.parametrize(
    ("text", "structured"),
    [(SWITCH, True), (DIAMONDS, True), (CHECKS, True), (EXITS, True), (INTO_A_LOOP, False)],
    ids=["switch", "diamonds", "checks", "exits", "into a loop"],
)
def test_which_are_structured(text: str, structured: bool) -> None:
    program = made(text)
    assert Flow(program.insns, 0, len(program.insns), 0).structured is structured
    assert ("if b<" in source(program)) is not structured


def test_more_loops_in_each_other_than_python_allows() -> None:
    count = 30
    text = "\n".join(
        ["r0 = 0"]
        + [f"L{n}: r0 += 1" for n in range(count)]
        + [f"if r0 s< {900 + n} goto L{n}" for n in reversed(range(count))]
        + ["exit"]
    )
    both(made(text))


def test_the_text_grows_as_the_program_does() -> None:
    rng = random.Random(7)
    sizes = []
    for count in (500, 1000, 2000):
        insns = [Insn(isa.ALU64 | isa.MOV | isa.X, 0, 1)]
        while len(insns) < count:
            insns.append(Insn(isa.ALU64 | isa.ADD | isa.K, 0, imm=len(insns)))
            far = rng.randrange(0, max(1, min(300, count - len(insns))))
            insns.append(Insn(isa.JMP | isa.JGT | isa.K, 0, off=far, imm=rng.randrange(1 << 30)))
        # Jumps land on what is there: up to the end.
        insns += [Insn(isa.ALU64 | isa.ADD | isa.K, 0, imm=1)] * 301 + [Insn(isa.EXIT_CODE)]
        program = Program(insns, Memory())
        sizes.append(source(program).count("\n"))
        both(program, 12345)
    assert sizes[2] < 2.5 * sizes[1] < 7 * sizes[0]


def jump(off: int, imm: int) -> Insn:
    return Insn(isa.JMP | isa.JEQ | isa.K, 1, 0, off, imm)


LARGE: dict[str, Callable[[int], list[Insn]]] = {
    "jumps back to one place": lambda n: [jump(-at - 1, at) for at in range(n)],
    "loops in each other": lambda n: (
        [Insn(isa.ALU64 | isa.ADD | isa.K, 0, imm=1)] * (n // 2)
        + [jump(-2 * at - 2, at) for at in range(n // 2)]
    ),
    "jumps out": lambda n: [jump(n - at - 1, at) for at in range(n)],
    "crossing jumps": lambda n: [jump(min(n - at - 1, 50), at) for at in range(n)],
}


@pytest.mark.parametrize("name", LARGE)
def test_no_graph_takes_more_than_its_size(name: str) -> None:
    """Eight times the instructions: quadratic would be 64 times the time. Not of the clock."""

    def took(count: int) -> float:
        insns = [Insn(isa.ALU64 | isa.MOV | isa.K, 0), *LARGE[name](count), Insn(isa.EXIT_CODE)]
        program = Program(insns, Memory())
        begun = time.process_time()
        source(program)
        return time.process_time() - begun

    # The least of some: other processes make a run dearer, never cheaper.
    small, large = (min(took(count) for _ in range(3)) for count in (1_500, 12_000))
    assert large < 28 * max(0.005, small)


def test_nine_thousand_instructions() -> None:
    lines = ["r0 = r1"]
    for n in range(2250):
        lines += [f"r0 += {n}", f"if r0 > {n << 20} goto +1", "r0 ^= 5", "r2 = r0"]
    program = made("\n".join([*lines, "exit"]))
    assert len(program.insns) > 9000
    both(program, 99)


def test_nothing_of_a_program_gets_into_its_text_but_numbers() -> None:
    """Every name is ours, and what can be reached by them is listed here."""
    names = set()
    rng = random.Random(f"{effort.SEED} text")
    for _ in range(60):
        for kind in vm_pairs.KINDS.values():
            case = kind(rng)
            program = Program(case.insns, Memory(), name="');import os;('")
            for start in program.starts:
                for node in ast.walk(ast.parse(source(program, start))):
                    if isinstance(node, ast.Name):
                        names.add(node.id.rstrip("0123456789w") if node.id != "Wget" else "Wget")
                    assert not isinstance(node, ast.Import | ast.Lambda | ast.Constant) or (
                        isinstance(node, ast.Constant)
                        and (node.value is None or type(node.value) in (int, bool))
                    )
    assert names <= {
        *"rsdobaktgmxfEMLBPWZHFRheDuvipc", "run", "PR", "_", "Pget", "Wget", "frame", "close",
        "fuel", "spend", "fatal",
        "swap", "pack", "sdiv", "smod", "load", "store", "atomic", "add", "acquire", "release",
    }  # fmt: skip


def test_functions_get_no_more_than_they_need() -> None:
    memory = Memory()
    program = made("call 5\nexit", memory, helpers={5: lambda *given: 3, 6: lambda *given: 4})
    Run(Translator(patience=0), memory).start(program)
    assert program.translated is not None
    names = program.translated.globals
    assert names["__builtins__"] == {}
    assert "h5" in names
    assert "h6" not in names


# ------------------------------------------------------------------------------ kept, and learned


def test_the_same_program_is_translated_once() -> None:
    translator = Translator(patience=0)
    memory = Memory()
    text = "r0 = r1\nr0 += 1\nexit"
    codes = set()
    for _ in range(3):
        program = made(text, memory)
        assert Run(translator, memory).start(program, 4) == 5
        assert program.translated is not None
        codes.add(program.translated.functions[0].__code__)  # type: ignore[attr-defined]
    assert len(codes) == 1


def test_programs_differ_by_more_than_their_instructions() -> None:
    """Constants and helpers are each program's own."""
    translator = Translator(patience=0)
    memory = Memory()
    text = "r1 = map[fd:3]+0\ncall 5\nexit"
    for value in (3, 1 << 40):
        helper = lambda run, r1, *rest: r1 + 1  # noqa: E731
        program = made(text, memory, constants={0: value}, helpers={5: helper})
        assert Run(translator, memory).start(program) == value + 1


def test_an_access_that_needs_a_closer_look_is_learned() -> None:
    class Field(Region):
        def load(self, offset: int, size: int) -> int:
            return offset * 100 + size

    memory = Memory()
    computed = memory.map(Field(None, CONTEXT, size=16))
    plain = memory.allocate(16)
    program = made("r0 = *(u32 *)(r1 +4)\nr0 += 1\nexit", memory)
    translator = Translator(patience=0)
    assert "load(" not in translator.source(program, 0)
    for _ in range(3):
        assert Run(translator, memory).start(program, computed.base) == 405
        assert Run(translator, memory).start(program, plain.base) == 1
    assert "load(r1+4&M,4)" in translator.source(program, 0)


def test_what_was_done_before_such_an_access_is_not_done_again() -> None:
    memory = Memory()
    counted: list[int] = []
    helper = lambda run, r1, *rest: counted.append(r1) or len(counted)  # noqa: E731
    strict = memory.map(Region(bytearray(16), CONTEXT, strict=True))
    text = """
        r6 = r1
        r1 = 1
        call 5
        r7 = r0
        r8 = *(u64 *)(r6 +8)
        r1 = 2
        call 5
        r0 += r7
        exit
    """
    program = made(text, memory, helpers={5: helper})
    translator = Translator(patience=0)
    for number in range(4):
        assert Run(translator, memory).start(program, strict.base) == 4 * number + 3
    assert counted == [1, 2] * 4


def test_a_broken_helper_is_not_taken_for_a_fault() -> None:
    memory = Memory()

    def broken(run: Run, *given: int) -> int:
        raise KeyError("of its own")

    program = made("call 5\nexit", memory, helpers={5: broken})
    with pytest.raises(KeyError, match="of its own"):
        Run(Translator(patience=0), memory).start(program)
    program = made("call 5\nexit", memory, helpers={5: {}.__getitem__})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        Run(Translator(patience=0), memory).start(program)
    assert len(memory.slots) == 2


# -------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    "steps",
    [
        # What is left of a division of a number that is kept without a mask: any number.
        "r1 = -r1; w1 %= w2; w3 <<= w1; r0 = r3",
        "r1 = -r1; r1 -= 7; w1 /= w2; w3 s>>= w1; r0 = r3",
        "r1 -= r2; w1 %= 77; w3 >>= w1; r0 = r3",
        "r1 = (s8)r1; w1 %= w2; *(u8 *)(r10 -8) = r1; r0 = *(u8 *)(r10 -8)",
    ],
)
def test_ranges_of_what_is_divided(steps: str) -> None:
    program = made(steps.replace(";", "\n") + "\nexit")
    for r1 in (0, 1, 11, 0x7F, 0x80, 0xFF, 1 << 31, (1 << 32) + 5, (1 << 64) - 11):
        for r2 in (1, 256, (1 << 32) - 1, (1 << 40) + 3):
            both(program, r1, r2, 0x7FFF7C273A93)


@pytest.mark.parametrize("atomic", ["cmpxchg", "xchg", "fetch_add", "fetch_xor"])
def test_atomics_of_32_bits_take_half_of_their_registers(atomic: str) -> None:
    """RFC 9669, section 5.3; the other half of r0 plays no part in the comparison."""
    for r0 in (0x1234, 0x5_0000_1234):
        memory = Memory()
        old = "r0, r3" if atomic == "cmpxchg" else "r3"
        result = "r0" if atomic == "cmpxchg" else "r3"
        text = f"""
            r0 = r2
            r3 = 0x9_00000063
            {result} = atomic_{atomic}((u32 *)(r1 +0), {old})
            r0 = {result}
            r4 = *(u64 *)(r1 +0)
            r0 ^= r4
            exit
        """
        program = made(text.replace("_00000063", "00000063"), memory)
        results = set()
        for executor in (Interpreter(), Translator(patience=0), Translator(patience=0)):
            region = memory.allocate(8)
            region.store(0, 8, 0x7_0000_1234)
            results.add(Run(executor, memory).start(program, region.base, r0))
        stored = {"fetch_add": 0x1297, "fetch_xor": 0x1234 ^ 0x63}.get(atomic, 0x63)
        assert results == {0x7_0000_0000 | stored ^ 0x1234}


# ------------------------------------------------------------------------------ patience


def test_what_runs_seldom_is_not_translated() -> None:
    memory = Memory()
    program = made("r0 = r1\nr0 += 1\nr0 *= 3\nexit", memory)
    translator = Translator(patience=5)
    for number in range(5):
        assert Run(translator, memory).start(program, number) == 3 * (number + 1)
        assert program.translated is not None
        assert program.translated.translation.texts == {}
    assert Run(translator, memory).start(program, 7) == 24
    assert set(program.translated.translation.texts) == {0}
    # The same once more: that is known of it.
    other = made("r0 = r1\nr0 += 1\nr0 *= 3\nexit", memory)
    assert Run(translator, memory).start(other, 7) == 24
    assert other.translated is not None
    assert set(other.translated.globals) >= {"F0"}


def test_loops_are_translated_while_they_run() -> None:
    """Those of functions that an interpreted one calls as well."""
    memory = Memory()
    counted: list[int] = []
    helper = lambda run, r1, *rest: counted.append(r1) or r1  # noqa: E731
    text = """
        r6 = r1
        call f
        r0 += r6
        exit
    f:  r0 = 0
        r6 = 0
    L:  *(u64 *)(r10 -8) = r6
        r2 = 0
    M:  r2 += 1
        r0 += r2
        r1 = r10
        r1 += -8
        if r2 < 7 goto M
        r1 = *(u64 *)(r1 +0)
        call 5
        r0 += r6
        r6 += 1
        if r6 < 100 goto L
        exit
    """
    program = made(text, memory, helpers={5: helper})
    expected = Run(Interpreter(), memory).start(program, 5)
    assert counted == list(range(100))
    for patience in (*range(1, 9), 30):
        counted.clear()
        program = made(text, memory, helpers={5: helper})
        run = Run(Translator(patience=patience), memory)
        assert run.start(program, 5) == expected
        assert counted == list(range(100))
        assert (run.frames, run.stack) == (0, 0)
        assert program.translated is not None
        assert program.translated.translation.texts == {}
        assert any(name.startswith("R4_") for name in program.translated.globals)
        assert run.start(program, 5) == expected
        assert set(program.translated.translation.texts) >= {4}
    assert not any(region.kind == STACK for region in memory.slots.values())


def test_what_fails_in_a_loop_that_was_interpreted_first() -> None:
    memory = Memory()
    region = memory.allocate(64)
    text = "r0 = 0\nL: r2 = *(u8 *)(r1 +0)\nr0 += r2\nr1 += 1\nr3 = 9\ngoto L"
    found = set()
    for executor in (Interpreter(), *(Translator(patience=patience) for patience in range(6))):
        program = made(text, memory)
        with pytest.raises(MemoryFault) as caught:
            Run(executor, memory).start(program, region.base)
        found.add((caught.value.insn, caught.value.offset, caught.value.register))
    assert found == {(1, 64, 1)}


def test_a_budget_is_kept_with_patience() -> None:
    memory = Memory()
    callers = "\n".join(["call f"] * 60)
    program = made(
        f"{callers}\nr0 = 1\nexit\nf: {callers.replace('f', 'g')}\nexit\n"
        "g: r0 = 0\nL: r0 += 1\nif r0 < 500 goto L\nexit",
        memory,
    )
    for _ in range(3):
        run = Run(Translator(), memory, budget=2 * EXACT)
        with pytest.raises(BudgetError):
            run.start(program)
        assert (run.frames, run.stack) == (0, 0)
    assert len(memory.slots) == 1


@pytest.mark.parametrize("count", [40, 3000])
def test_expressions_end_before_python_has_enough(count: int) -> None:
    lines = ["r0 = r1", *["r0 += 12345", "r0 *= r0", "r0 &= 255", "r0 += r1"] * count, "exit"]
    both(made("\n".join(lines)), 9)


# ------------------------------------------------------------------------------ limits

ENDLESS = {
    "one block": "L: r0 += 1\ngoto L",
    "nested": "L: r2 = 0\nM: r2 += 1\nif r2 < 10 goto M\ngoto L",
    "any": INTO_A_LOOP.replace("r1 < 20", "r1 < -1"),
    "calls": "L: call f\ngoto L\nf: r0 = 1\nexit",
    "may_goto": "r0 = 0\nL: may_goto out\ngoto L\nout: exit",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_budget_ends_any_loop(text: str) -> None:
    memory = Memory()
    program = made(text, memory)
    with pytest.raises(BudgetError, match="number of instructions") as caught:
        Run(Translator(patience=0), memory, budget=3 * EXACT).start(program)
    assert caught.value.insn is not None
    assert len(memory.slots) == 1


def test_calls_without_loops_end_too() -> None:
    """Seven levels of functions, each of which calls the next twenty times."""
    lines = ["call f0", "exit"]
    for level in range(7):
        body = [f"call f{level + 1}"] * 20 if level < 6 else ["r0 = 1"]
        lines += [f"f{level}:", *body, "exit"]
    memory = Memory()
    program = made("\n".join(lines), memory)
    with pytest.raises(BudgetError):
        Run(Translator(patience=0), memory, budget=2 * EXACT).start(program)
    begun = time.monotonic()
    with pytest.raises(BudgetError, match="time"):
        Run(Translator(patience=0), memory, timeout=0.05).start(program)
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize(
    "text",
    [
        "r0 = 0\nL: r0 += 1\nr2 = r0\nif r0 < 40000 goto L\nexit",
        (
            "r0 = 0\nL: r2 = 0\nM: r2 += 1\nr3 = r2\nif r2 < 10 goto M\n"
            "r0 += 1\nif r0 < 3000 goto L\nexit"
        ),
        (
            "r0 = 0\nL: r2 = 5\nM: if r2 > 4 goto N\nr2 += 1\nr3 = r2\nr3 = r2\ngoto M\n"
            "N: r0 += 1\nif r0 < 20000 goto L\nexit"
        ),
        "r0 = 0\nr6 = 0\nL: call f\nr6 += 1\nif r6 < 20000 goto L\nexit\nf: r0 = 1\nexit",
        (  # each call begins with an access that needs a closer look
            "r6 = r1\nr7 = 0\nL: r1 = r6\ncall f\nr7 += 1\nif r7 < 12000 goto L\nexit\n"
            "f: r0 = *(u64 *)(r1 +8)\nexit"
        ),
        "r0 = *(u64 *)(r1 +8)\nL: r0 += 1\nif r0 < 40000 goto L\nexit",
        "r0 = 0\nL: r0 += 1\nif r0 < 40000 goto L\ngotox r2\nexit",
    ],
)
def test_no_run_is_stopped_that_could_end(text: str) -> None:
    """With exactly the instructions that it needs, as the interpreter counts them."""
    memory = Memory()
    program = made(text, memory)
    strict = memory.map(Region(bytearray(16), CONTEXT, strict=True)).base
    coverage = Coverage()
    expected = Run(Interpreter(coverage=coverage), memory).start(
        program, strict, program.address(4)
    )
    needed = sum(coverage.of(program))
    assert needed > EXACT
    for patience in (0, 1, PATIENCE, needed):
        for _ in range(2):
            run = Run(Translator(patience=patience), memory, budget=needed)
            assert run.start(program, strict, program.address(4)) == expected
        program = made(text, memory)
    with pytest.raises(BudgetError):
        Run(Interpreter(), memory, budget=needed - 1).start(program, strict, program.address(4))


def test_errors_of_functions_that_functions_call() -> None:
    memory = Memory()
    text = "r6 = 1\ncall f\nexit\nf: r2 = 0\ncall g\nexit\ng: r0 = *(u8 *)(r2 +0)\nexit"
    program = made(text, memory)
    for _ in range(2):
        with pytest.raises(MemoryFault) as caught:
            Run(Translator(patience=0), memory).start(program)
        assert (caught.value.insn, caught.value.register) == (6, 2)
    with pytest.raises(RunError, match="calls helper 9"):
        Run(Translator(patience=0), memory).start(made("call 9\nexit", memory))
