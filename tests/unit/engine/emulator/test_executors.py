"""Both executors: calls of every kind, limits, and what errors say."""

from __future__ import annotations

import dis
import os
import signal
import sys
import threading
import time
from functools import partial
from types import CodeType, FrameType
from typing import Any

import pytest

from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.memory import ARENA, CONTEXT, READ, Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run, Thrown
from pylibbpf.engine.emulator.vm.translator import Translator
from pylibbpf.errors import BudgetError, InsnError, MemoryFault, RunError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.asm import assemble


class Place(Memory):
    """A memory, and what runs the programs in it."""

    executor: Any


EXECUTORS: dict[str, Any] = {
    "interpreter": Interpreter,
    "translator": partial(Translator, patience=0),
    "patient": Translator,  # interprets first
}


@pytest.fixture(params=EXECUTORS)
def memory(request: pytest.FixtureRequest) -> Place:
    place = Place()
    place.executor = EXECUTORS[request.param]()
    return place


def start(memory: Place, text: str, *arguments: int, run: Run | None = None, **facts: Any) -> int:
    program = Program(assemble(text), memory, name="test", **facts)
    return (run or Run(memory.executor, memory)).start(program, *arguments)


def test_registers_at_the_start(memory: Place) -> None:
    text = "r0 = r1\nr0 += r2\nr0 += r3\nr0 += r4\nr0 += r5\nr0 += r6\nr0 += r9\nexit"
    assert start(memory, text, 1, 2, 4, 8, 16) == 31


def test_the_frame_is_gone_after_the_run(memory: Place) -> None:
    address = start(memory, "r0 = r10\nexit")
    with pytest.raises(MemoryFault, match="offset 504 of stack, which was freed"):
        memory.load(address - 8, 8)
    assert len(memory.slots) == 1  # the code


def test_functions_have_frames_of_their_own(memory: Place) -> None:
    text = """
        *(u64 *)(r10 -8) = 7
        r6 = 6
        r1 = r10
        r2 = 5
        call add
        r0 += r6
        r1 = *(u64 *)(r10 -8)
        r0 += r1
        exit
    add:
        *(u64 *)(r10 -8) = 1000
        r6 = 100
        r0 = *(u64 *)(r1 -8)
        r0 += r2
        exit
    """
    assert start(memory, text) == 7 + 5 + 6 + 7


def test_a_pointer_into_a_frame_that_was_left(memory: Place) -> None:
    text = """
        call f
        r0 = *(u64 *)(r0 -8)
        exit
    f:
        *(u64 *)(r10 -8) = 7
        r0 = r10
        exit
    """
    with pytest.raises(MemoryFault, match="of stack, which was freed") as caught:
        start(memory, text)
    assert (caught.value.insn, caught.value.register) == (1, 0)


def test_eight_frames(memory: Place) -> None:
    text = """
        r1 = {depth}
        call f
        exit
    f:
        r0 = 1
        if r1 == 0 goto out
        r1 -= 1
        call f
        r0 += 1
    out:
        exit
    """
    assert start(memory, text.format(depth=6)) == 7
    with pytest.raises(RunError, match="8 frames are open") as caught:
        start(memory, text.format(depth=7))
    assert caught.value.insn == 6


@pytest.mark.parametrize(("outer", "inner", "fits"), [(256, 256, True), (256, 264, False)])
def test_512_bytes_of_stack_in_all(memory: Place, outer: int, inner: int, fits: bool) -> None:
    text = f"""
        *(u64 *)(r10 -{outer}) = 1
        call f
        exit
    f:
        r1 = r10
        r1 += -{inner}
        *(u64 *)(r1 +0) = 7
        r0 = 7
        exit
    """
    if fits:
        assert start(memory, text) == 7
    else:
        with pytest.raises(RunError, match="2 functions need 528 bytes, and can have 512"):
            start(memory, text)


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ("r0 = *(u8 *)(r10 +0)", "reads 1 byte at offset 512 of stack, behind its end"),
        ("*(u64 *)(r10 -520) = 1", "writes 8 bytes at offset -8 of stack, before its start"),
        ("r0 = *(u32 *)(r10 -6)", "reads 4 bytes at offset 506 of stack, which is not aligned"),
        ("lock *(u64 *)(r1 +0) += r2", "writes 8 bytes through a null pointer"),
        ("r0 = load_acquire((u32 *)(r2 +0))", "reads 4 bytes through a null pointer"),
    ],
)
def test_faults_name_everything(memory: Place, access: str, said: str) -> None:
    with pytest.raises(MemoryFault) as caught:
        start(memory, f"r0 = 0\n{access}\nexit", source=lambda insn: f"some.bpf.c:{insn + 10}: *p")
    fault = caught.value
    assert said in str(fault)
    assert f"at program 'test', instruction 1: {access}" in str(fault)
    assert "in some.bpf.c:11: *p" in str(fault)
    assert (fault.program, fault.insn, fault.text) == ("test", 1, access)
    assert fault.register == int(access.partition("(r")[2].partition(" ")[0])


def test_helpers_and_callbacks(memory: Place) -> None:
    """What bpf_loop will be: a helper that calls a function of the program."""

    def loop(run: Run, count: int, function: int, context: int, flags: int, unused: int) -> int:
        for number in range(count):
            if run.call(function, number, context):
                return number + 1
        return count

    text = """
        *(u64 *)(r10 -8) = 0
        r1 = 100
        lddw r2, subprog[add]+0
        r3 = r10
        r4 = 0
        call bpf_loop#181
        r1 = *(u64 *)(r10 -8)
        r0 <<= 32
        r0 |= r1
        exit
    add:
        r3 = *(u64 *)(r2 -8)
        r3 += r1
        *(u64 *)(r2 -8) = r3
        r0 = 0
        if r1 < 9 goto out
        r0 = 1
    out:
        exit
    """.replace("lddw r2, subprog[add]+0", "r2 = subprog[add]+0")
    assert start(memory, text, helpers={181: loop}) == 10 << 32 | 45


def test_what_a_callback_does_wrong_is_said_of_it(memory: Place) -> None:
    text = "r1 = subprog[f]+0\ncall 181\nexit\nf: r0 = *(u8 *)(r9 +0)\nexit"
    helper = lambda run, function, *rest: run.call(function)  # noqa: E731
    with pytest.raises(MemoryFault) as caught:
        start(memory, text, helpers={181: helper})
    assert caught.value.insn == 4


@pytest.mark.parametrize("address", ["r1 = 8", "r1 = subprog[f]+0\nr1 += 4", "r1 = r10"])
def test_no_function_at_an_address(memory: Place, address: str) -> None:
    helper = lambda run, function, *rest: run.call(function)  # noqa: E731
    with pytest.raises(RunError, match=r"calls 0x[0-9a-f]+, where no function starts"):
        start(memory, f"{address}\ncall 181\nexit\nf: r0 = 1\nexit", helpers={181: helper})


def test_results_of_helpers_are_64_bits_wide(memory: Place) -> None:
    assert start(memory, "call 5\nexit", helpers={5: lambda *given: -22}) == (1 << 64) - 22


def test_kfuncs_are_known_by_number_and_module(memory: Place) -> None:
    kfuncs = {(9, 0): lambda run, *r: 1, (9, 2): lambda run, *r: 2}
    text = "call some_kfunc#9\nr6 = r0\ncall some_kfunc#9 module +2\nr0 <<= 4\nr0 |= r6\nexit"
    assert start(memory, text, kfuncs=kfuncs) == 0x21
    with pytest.raises(RunError, match="calls kernel function 10, which there is not here"):
        start(memory, "call some_kfunc#10\nexit", kfuncs=kfuncs)


def test_calls_through_a_register(memory: Place) -> None:
    text = "r1 = subprog[f]+0\ncallx r1\nexit\nf: r0 = 42\nexit"
    assert start(memory, text) == 42
    assert start(memory, "r3 = 5\ncallx r3\nexit", helpers={5: lambda *given: 7}) == 7
    with pytest.raises(RunError, match="calls 0x6, where no function starts"):
        start(memory, "r3 = 6\ncallx r3\nexit", helpers={5: lambda *given: 7})


def test_tail_calls(memory: Place) -> None:
    target = Program(assemble("r0 = *(u8 *)(r1 +0)\nr0 += 1\nexit"), memory)
    context = memory.allocate(1)
    context.store(0, 1, 41)
    asked = []

    def tail(run: Run, ctx: int, map: int, index: int) -> Program | None:
        asked.append((map, index))
        return target if index == 3 else None

    text = "r2 = 5\nr3 = {}\ncall bpf_tail_call#12\nr0 = 7\nexit"
    assert start(memory, text.format(3), context.base, tail_call=tail) == 42
    assert start(memory, text.format(4), context.base, tail_call=tail) == 7
    assert asked == [(5, 3), (5, 4)]
    with pytest.raises(RunError, match="calls helper 12"):
        start(memory, text.format(3))


def test_a_tail_call_in_a_function_returns_to_its_caller(memory: Place) -> None:
    target = Program(assemble("r0 = 5\nexit"), memory)
    text = "call f\nr0 += 1\nexit\nf: call 12\nr0 = 100\nexit"
    assert start(memory, text, tail_call=lambda *given: target) == 6


def test_33_tail_calls(memory: Place) -> None:
    programs: list[Program] = []
    count = []

    def tail(run: Run, *given: int) -> Program:
        count.append(run.tail_calls)
        return programs[0]

    programs.append(Program(assemble("call 12\nr0 = 9\nexit"), memory, tail_call=tail))
    assert Run(memory.executor, memory).start(programs[0]) == 9
    assert len(count) == 33


def test_256_bytes_before_a_function_with_tail_calls(memory: Place) -> None:
    text = "*(u64 *)(r10 -256) = 0\ncall f\nexit\nf: call 12\nr0 = 1\nexit"
    with pytest.raises(RunError, match="before a function that does tail calls have 256 bytes"):
        start(memory, text, tail_call=lambda *given: None)
    assert start(memory, text.replace("256", "240"), tail_call=lambda *given: None) == 1


def test_exceptions_leave_all_frames(memory: Place) -> None:
    def throw(run: Run, cookie: int, *rest: int) -> int:
        raise Thrown(cookie)

    text = """
        call f
        r0 = 100
        exit
    f:
        r1 = 7
        call bpf_throw#9
        r0 = 200
        exit
    cb:
        r0 = r1
        r0 += 1
        exit
    """
    kfuncs = {(9, 0): throw}
    assert start(memory, text, kfuncs=kfuncs) == 7
    run = Run(memory.executor, memory)
    assert start(memory, text, kfuncs=kfuncs, exception_callback=7, run=run) == 8
    assert (run.frames, run.stack) == (0, 0)


def test_legacy_loads(memory: Place) -> None:
    packet = bytes(range(64))

    def read(address: int, offset: int, size: int) -> bytes | None:
        assert address == 1
        found = packet[offset : offset + size] if offset >= 0 else b""
        return found if len(found) == size else None

    def run() -> Run:
        return Run(memory.executor, memory, packet=read)

    assert start(memory, "r6 = r1\nr0 = *(u16 *)skb[12]\nexit", 1, run=run()) == 0x0C0D
    text = "r6 = r1\nr7 = 10\nr0 = *(u32 *)skb[r7 + -2]\nexit"
    assert start(memory, text, 1, run=run()) == 0x08090A0B
    # Where there is none the function ends with 0: here that of the call.
    text = "r6 = r1\ncall f\nr0 += 1\nexit\nf: r6 = r1\nr0 = *(u8 *)skb[64]\nr0 = 9\nexit"
    assert start(memory, text, 1, run=run()) == 1
    with pytest.raises(RunError, match="reads the packet, and there is none"):
        start(memory, "r0 = *(u8 *)skb[0]\nexit")


@pytest.mark.parametrize(
    "text",
    [
        "r10 = 5",
        "w10 += w1",
        "r10 = *(u64 *)(r1 +0)",
        "r10 = atomic64_fetch_add((u64 *)(r1 +0), r10)",
        "r10 = load_acquire((u64 *)(r1 +0))",
        "r10 = be16 r10",
        "r10 = 0x5",
    ],
)
def test_r10_is_read_only_where_a_run_comes(memory: Place, text: str) -> None:
    """As in the kernel, whose verifier does not look at what no path reaches."""
    place = memory.allocate(8).base
    assert start(memory, f"r0 = 0\nif r0 == 0 goto out\n{text}\nout: exit", place) == 0
    with pytest.raises(RunError, match="writes r10, which can only be read") as caught:
        start(memory, f"r0 = 0\n{text}\nexit", place)
    assert caught.value.insn == 1
    assert memory.load(place, 8) == 0


def test_may_goto_lets_so_many_pass_in_each_frame(
    memory: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isa, "LOOPS", 10)
    text = "call f\nr6 = r0\ncall f\nr0 += r6\nexit\nf: r0 = 0\n"
    text += "L: may_goto out\nr0 += 1\ngoto L\nout: exit"
    assert start(memory, text) == 20


def test_arena_pointers(memory: Place) -> None:
    arena = memory.map(Region(bytearray(64), ARENA))
    text = """
        r1 = addr_space_cast(r1, 0, 1)
        *(u64 *)(r1 +0) = 5
        r2 = addr_space_cast(r1, 1, 0)
        r0 = r2
        exit
    """
    user = 0x7F00_0000_0000
    assert start(memory, text, user + 8, arena=arena, arena_user=user) == user + 8
    assert arena.data is not None
    assert arena.data[8] == 5
    null = "r0 = 5\nr1 = addr_space_cast(r1, 0, 1)\nr0 = r1\nexit"
    assert start(memory, null, user & ~0xFFFFFFFF, arena=arena) == 0
    with pytest.raises(RunError, match="has no arena"):
        start(memory, text, 8)


def test_probed_accesses_may_fault(memory: Place) -> None:
    text = "r0 = 5\nr0 = *(u64 *)(r1 +0)\n*(u64 *)(r1 +8) = 5\nr0 += 1\nexit"
    assert start(memory, text, probes=frozenset((1, 2))) == 1
    with pytest.raises(MemoryFault):
        start(memory, text, probes=frozenset((1,)))


def test_constants_that_refer_to_something(memory: Place) -> None:
    text = "r0 = 0x100000002\nr1 = map[fd:3]+0\nr0 += r1\nexit"
    assert start(memory, text, constants={2: 1 << 40}) == (1 << 40) + 0x100000002
    with pytest.raises(RunError, match="nothing says what this constant refers to") as caught:
        start(memory, text)
    assert caught.value.insn == 2


def test_budget(memory: Place) -> None:
    text = "r0 = 1\nr0 = 2\nr0 = 3\nexit"
    assert start(memory, text, run=Run(memory.executor, memory, budget=4)) == 3
    with pytest.raises(BudgetError, match="number of instructions") as caught:
        start(memory, text, run=Run(memory.executor, memory, budget=3))
    assert caught.value.insn == 3


def test_deadline(memory: Place) -> None:
    begun = time.monotonic()
    with pytest.raises(BudgetError, match="time that it was given"):
        start(memory, "L: goto L", run=Run(memory.executor, memory, timeout=0.02))
    assert time.monotonic() - begun >= 0.02


def test_frames_are_left_whatever_happens(memory: Place) -> None:
    def interrupted(run: Run, *given: int) -> int:
        raise KeyboardInterrupt

    run = Run(memory.executor, memory)
    with pytest.raises(KeyboardInterrupt):
        start(memory, "call f\nexit\nf: call 5\nexit", helpers={5: interrupted}, run=run)
    assert (run.frames, run.stack) == (0, 0)
    assert len(memory.slots) == 1


def test_control_c_stops_a_program(memory: Place) -> None:
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    def begin(run: Run, *given: int) -> int:
        timer.start()  # not sooner: an interrupt outside of the run would end the tests
        return 0

    run = Run(memory.executor, memory)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as by nohup
    try:
        with pytest.raises(KeyboardInterrupt):
            start(memory, "call f\nexit\nf: call 5\nL: goto L", run=run, helpers={5: begin})
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (run.frames, run.stack) == (0, 0)
    assert len(memory.slots) == 1


INDIRECT = """
        r6 = r1
        r1 = r2
        call f
        exit
    f:  r0 = 0
    next:
        r0 += 1
        r1 += 8
        r2 = *(u64 *)(r1 -8)
        gotox r2
    one:
        r0 += 100
        goto next
    two:
        r0 <<= 4
        r3 = 0x500000005
        exit
"""


def test_jumps_to_where_a_register_points(memory: Place) -> None:
    """A table of instructions, as maps of type INSN_ARRAY are (kernel 6.19)."""
    program = Program(assemble(INDIRECT), memory)
    places = [9, 9, 5, 11]  # one, one, next, two
    table = memory.allocate(8 * len(places))
    for at, insn in enumerate(places):
        table.store(8 * at, 8, program.address(insn))
    assert Run(memory.executor, memory).start(program, 0, table.base) == 204 << 4


@pytest.mark.parametrize("wrong", [0, 3 * 8, 9 * 8 + 4, 13 * 8, 15 * 8, -8, 1 << 40])
def test_such_a_jump_stays_in_its_function(memory: Place, wrong: int) -> None:
    program = Program(assemble(INDIRECT), memory)
    table = memory.allocate(8)
    # To the caller, between instructions, into a constant, behind the end and before the start.
    table.store(0, 8, program.code.base + wrong)
    with pytest.raises(RunError, match="where no instruction of this function is") as caught:
        Run(memory.executor, memory).start(program, 0, table.base)
    assert caught.value.insn == 8
    assert caught.value.text == "gotox r2"


@pytest.mark.parametrize("by", ["start", "call"])
def test_an_interrupt_at_any_place_leaves_nothing_open(memory: Place, by: str) -> None:
    """Python looks for signals behind calls, at starts of functions and jumps back."""
    text = """
        r1 = subprog[twice]
        call 5
        *(u64 *)(r10 -8) = 0
        r1 = r10
        r1 += -8
        call add
        exit
    add:
        *(u64 *)(r10 -8) = 7
        r2 = r10
        r0 = *(u64 *)(r2 -8)
        r3 = 3
    L:  r3 -= 1
        *(u64 *)(r1 +0) = r3
        if r3 != 0 goto L
        exit
    twice:
        r2 = r10
        *(u64 *)(r2 -16) = 1
        r0 = 0
        exit
    """
    program = Program(
        assemble(text.replace("subprog[twice]", "subprog[pc+15]+0")),
        memory,
        helpers={5: lambda run, *given: run.call(given[0])},
    )
    Run(memory.executor, memory).start(program)  # whatever is made when it is first used
    traced = ("run.py", "memory.py", "interpreter.py", "<bpf program>")
    places: dict[CodeType, set[int]] = {}

    def looks(code: CodeType) -> set[int]:
        there = places.get(code)
        if there is None:
            there = places[code] = set()
            last = ""
            for insn in dis.get_instructions(code):
                if insn.opname in ("CACHE", "EXTENDED_ARG"):
                    continue
                if last.startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
                    there.add(insn.offset)
                last = insn.opname
        return there

    for number in range(10_000):
        left = number

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(traced):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_lasti in looks(frame.f_code):
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        run = Run(memory.executor, memory)
        before = len(memory.slots)
        previous = sys.gettrace()
        try:
            sys.settrace(trace)
            if by == "start":
                run.start(program)
            else:
                run.call(program.address(0))
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)
        assert (run.frames, run.stack) == (0, 0), number
        assert len(memory.slots) == before, number
    assert 20 < number < 9_999


def test_what_a_helper_freed(memory: Place) -> None:
    """A record that was submitted, an object that was released."""
    record = memory.allocate(16, name="record")

    def submit(run: Run, address: int, *rest: int) -> int:
        found = run.memory.find(address)
        assert found is record
        run.memory.free(found)
        return 0

    text = "r6 = r1\n*(u64 *)(r6 +0) = 1\ncall 132\n*(u64 *)(r6 +8) = 1\nexit"
    with pytest.raises(MemoryFault, match="offset 8 of object 'record', which was freed") as caught:
        start(memory, text, record.base, helpers={132: submit})
    assert (caught.value.insn, caught.value.register) == (3, 6)


def test_an_unloaded_program(memory: Place) -> None:
    program = Program(assemble("r0 = 1\nexit"), memory)
    address = program.address(0)
    assert Run(memory.executor, memory).call(address) == 1
    program.unload()
    with pytest.raises(RunError, match="where no function starts"):
        Run(memory.executor, memory).call(address)
    with pytest.raises(ValueError, match="not mapped"):
        program.unload()


def test_a_context_that_is_computed(memory: Place) -> None:
    packet = memory.allocate(14)

    class Fields(Region):
        __slots__ = ()

        def load(self, offset: int, size: int) -> int:
            return packet.base + (packet.size if offset else 0)

    context = memory.map(Fields(None, CONTEXT, size=8, permissions=READ, strict=True))
    text = "r0 = *(u32 *)(r1 +4)\nr1 = *(u32 *)(r1 +0)\nr0 -= r1\nexit"
    assert start(memory, text, context.base) == 14


def test_threads_share_a_program(memory: Place) -> None:
    counter = memory.allocate(8)
    program = Program(assemble("r2 = 1\nlock *(u64 *)(r1 +0) += r2\nr0 = 0\nexit"), memory)

    def work() -> None:
        for _ in range(300):
            Run(memory.executor, memory).start(program, counter.base)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.load(counter.base, 8) == 1200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r0 = 1", "instruction 0: runs on past the end of its function"),
        ("goto pc+1\nexit", "instruction 0: jumps to 2, out of its function"),
        ("goto pc-2\nexit", "instruction 0: jumps to -1, out of its function"),
        ("goto pc+1\nr1 = 0x5\nexit", "instruction 0: jumps to 2, into a 64-bit constant"),
        ("call pc+7\nexit", "a function is said to start at 8"),
        ("call pc+1\nr1 = 0x5\nexit", "a function is said to start at 2"),
        ("exit\n.8byte 0x18", "instruction 1: the second half of this 64-bit constant is missing"),
        (
            ".8byte 0x18\nexit",
            "instruction 0: the second half of this 64-bit constant is something",
        ),
        (".8byte 0xff\nexit", "instruction 0: there is no opcode 0xff"),
        ("r1 = map[fd:3]+9\nexit", "instruction 0: the second half of this reference is not 0"),
        ("goto f\nexit\nf: r0 = 0\nexit\ncall f", "instruction 0: jumps to 2, out of its function"),
        ("gotox r3\nr0 = 0", "instruction 1: runs on past the end of its function"),
        ("", "a program has one instruction at least"),
    ],
)
def test_what_cannot_run(memory: Place, text: str, said: str) -> None:
    with pytest.raises(InsnError) as caught:
        Program(assemble(text), memory)
    assert said in str(caught.value)
