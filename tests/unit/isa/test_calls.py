from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.isa import insn as isa
from pylibbpf.isa.calls import OUTPUT_HELPERS, OutputCall, output_calls
from pylibbpf.isa.insn import Insn, decode

EXIT = Insn(isa.EXIT_CODE)
OUTPUT, RESERVE, PERF = 130, 131, 25


def mov(dst: int, imm: int) -> Insn:
    return Insn(isa.ALU64 | isa.MOV | isa.K, dst, 0, 0, imm)


def copy(dst: int, src: int) -> Insn:
    return Insn(isa.ALU64 | isa.MOV | isa.X, dst, src)


def add(dst: int, imm: int) -> Insn:
    return Insn(isa.ALU64 | isa.ADD | isa.K, dst, 0, 0, imm)


def load_map(dst: int) -> list[Insn]:
    return [Insn(isa.LD_IMM64, dst, isa.PSEUDO_MAP_FD, 0, 5), Insn(0)]


def call(helper: int) -> Insn:
    return Insn(isa.CALL_CODE, 0, isa.HELPER, 0, helper)


def store(off: int, src: int) -> Insn:
    return Insn(isa.STX | isa.MEM | isa.DW, 10, src, off)


def load(dst: int, off: int) -> Insn:
    return Insn(isa.LDX | isa.MEM | isa.DW, dst, 10, off)


def jump_if(register: int, off: int) -> Insn:
    return Insn(isa.JMP | isa.JEQ | isa.K, register, 0, off, 0)


def jump(off: int) -> Insn:
    return Insn(isa.JMP | isa.JA, 0, 0, off)


def only(insns: list[Insn], maps: dict[int, str]) -> OutputCall:
    (found,) = output_calls(insns, maps)
    return found


def test_reserve_with_a_constant() -> None:
    found = only([*load_map(1), mov(2, 40), mov(3, 0), call(RESERVE), EXIT], {0: "events"})
    assert (found.map, found.helper, found.size, found.insn_index) == ("events", RESERVE, 40, 4)
    assert found.data == ("record", 4)


def test_arguments_of_the_perf_helper_and_data_on_the_stack() -> None:
    insns = [copy(4, 10), add(4, -64), mov(5, 48), *load_map(2), call(PERF), EXIT]
    found = only(insns, {3: "events"})
    assert (found.map, found.size, found.data) == ("events", 48, ("stack", -64))


def test_what_is_spilled_is_found_again() -> None:
    insns = [
        *load_map(1),
        store(-8, 1),
        mov(2, 24),
        store(-16, 2),
        mov(1, 0),
        mov(2, 0),
        call(14),
        load(1, -8),
        load(2, -16),
        call(RESERVE),
        EXIT,
    ]
    found = only(insns, {0: "ring"})
    assert (found.map, found.size) == ("ring", 24)


def test_a_slot_that_a_helper_may_write_is_forgotten() -> None:
    insns = [
        mov(2, 24),
        store(-16, 2),
        copy(1, 10),
        add(1, -16),
        mov(2, 8),
        call(4),  # probe_read(dst, size, ...)
        load(2, -16),
        *load_map(1),
        call(RESERVE),
        EXIT,
    ]
    assert only(insns, {7: "ring"}).size is None


def test_a_call_clobbers_the_first_registers() -> None:
    insns = [*load_map(1), mov(2, 8), call(5), call(RESERVE), EXIT]
    found = only(insns, {0: "ring"})
    assert (found.map, found.size) == (None, None)


def test_branches_that_agree_and_that_do_not() -> None:
    def branch(a: int, b: int) -> OutputCall:
        insns = [jump_if(1, 2), mov(2, a), jump(1), mov(2, b), *load_map(1), call(RESERVE), EXIT]
        return only(insns, {4: "ring"})

    assert branch(16, 16).size == 16
    assert branch(16, 24).size is None


def test_one_of_two_maps() -> None:
    insns = [jump_if(1, 3), *load_map(1), jump(2), *load_map(1), mov(2, 8), call(RESERVE), EXIT]
    found = output_calls(insns, {1: "a", 4: "b"})
    assert [(each.map, each.size) for each in found] == [("a", 8), ("b", 8)]


def test_folding_in_32_bits() -> None:
    insns = [
        Insn(isa.ALU | isa.MOV | isa.K, 2, 0, 0, -8),
        Insn(isa.ALU | isa.ADD | isa.K, 2, 0, 0, 40),
        *load_map(1),
        call(RESERVE),
        EXIT,
    ]
    assert only(insns, {2: "ring"}).size == 32


def test_a_value_of_a_map_is_followed() -> None:
    insns = [*load_map(1), call(1), copy(6, 0), *load_map(1), copy(2, 6), call(OUTPUT), EXIT]
    assert only(insns, {0: "heap", 4: "ring"}).data == ("value", "heap", 0)


def test_arguments_go_into_functions_and_frames_do_not() -> None:
    insns = [
        *load_map(1),
        mov(2, 72),
        copy(3, 10),
        Insn(isa.CALL_CODE, 0, isa.PSEUDO_CALL, 0, 1),
        EXIT,
        copy(4, 3),
        mov(3, 0),
        call(RESERVE),
        EXIT,
    ]
    found = only(insns, {0: "ring"})
    assert (found.map, found.size) == ("ring", 72)


def test_two_callers_with_two_sizes() -> None:
    insns = [
        *load_map(1),
        mov(2, 72),
        Insn(isa.CALL_CODE, 0, isa.PSEUDO_CALL, 0, 5),
        *load_map(1),
        mov(2, 80),
        Insn(isa.CALL_CODE, 0, isa.PSEUDO_CALL, 0, 1),
        EXIT,
        call(RESERVE),
        EXIT,
    ]
    found = only(insns, {0: "ring", 4: "ring"})
    assert (found.map, found.size) == ("ring", None)


def test_code_that_no_path_reaches_counts_with_nothing_known() -> None:
    insns = [*load_map(1), EXIT, mov(2, 8), call(RESERVE), EXIT]
    found = only(insns, {0: "ring"})
    assert (found.map, found.size) == (None, 8)


def test_a_loop_settles() -> None:
    insns = [mov(6, 8), *load_map(1), copy(2, 6), call(RESERVE), add(6, 8), jump_if(0, -6), EXIT]
    found = only(insns, {1: "ring"})
    assert found.size is None


def test_long_jumps_take_the_immediate() -> None:
    insns = [
        mov(2, 8),
        Insn(isa.JMP32 | isa.JA, 0, 0, 1, 2),
        mov(2, 16),
        EXIT,
        *load_map(1),
        call(RESERVE),
        EXIT,
    ]
    assert only(insns, {4: "ring"}).size == 8


def test_no_sending_call_no_work() -> None:
    assert output_calls([mov(0, 0), EXIT], {}) == []


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 8 * 8]))
def test_ends_on_anything(data: bytes) -> None:
    insns = [*decode(data), *load_map(1), call(RESERVE)]
    for found in output_calls(insns, {len(insns) - 3: "ring"}):
        assert found.helper in OUTPUT_HELPERS


def test_ends_soon_on_much_code_made_of_jumps() -> None:
    numbers = random.Random(1)
    insns = [
        numbers.choice(
            (
                jump_if(numbers.randrange(10), numbers.randrange(-3000, 3000)),
                mov(numbers.randrange(10), numbers.randrange(4)),
                store(-8 * numbers.randrange(1, 60), numbers.randrange(10)),
                call(RESERVE),
            )
        )
        for _ in range(20_000)
    ]
    start = time.monotonic()
    output_calls(insns, {})
    assert time.monotonic() - start < 20
