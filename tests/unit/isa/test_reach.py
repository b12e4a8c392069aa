from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.isa import insn as isa
from pylibbpf.isa.asm import assemble
from pylibbpf.isa.insn import Insn, decode
from pylibbpf.isa.reach import reachable


def marks(text: str) -> str:
    return "".join(map(str, reachable(assemble(text))))


def test_a_comparison_of_constants_goes_one_way() -> None:
    assert marks("r1 = 0\nif r1 == 0 goto +1\ncall 195896080\nr0 = 0\nexit") == "11011"
    assert marks("r1 = 1\nif r1 == 0 goto +1\ncall 195896080\nr0 = 0\nexit") == "11111"
    assert marks("r1 = 1\nif r1 != 0 goto +1\ncall 195896080\nr0 = 0\nexit") == "11011"
    assert marks("w1 = -1\nif w1 s> 0 goto +1\nexit\nr0 = 0\nexit") == "11100"


def test_what_is_not_known_goes_both_ways() -> None:
    assert marks("if r1 == 0 goto +1\ncall 195896080\nr0 = 0\nexit") == "1111"
    assert marks("r0 = *(u32 *)(r1 +0)\nif r0 == 0 goto +1\nexit\nr0 = 0\nexit") == "11111"


def test_paths_that_join_with_one_value_keep_it() -> None:
    text = """
        r6 = 0
        if r1 == 0 goto +1
        r6 = {}
        if r6 == 0 goto +1
        call 195896080
        r0 = 0
        exit"""
    assert marks(text.format(0)) == "1111011"
    assert marks(text.format(1)) == "1111111"


def test_constants_are_followed_through_arithmetic_and_the_stack() -> None:
    text = """
        r6 = 3
        r6 <<= 2
        *(u64 *)(r10 -8) = r6
        r7 = *(u64 *)(r10 -8)
        if r7 == 12 goto +1
        call 195896080
        r0 = 0
        exit"""
    assert marks(text) == "11111011"


def test_a_called_function_is_reached_and_may_write_to_the_frame() -> None:
    text = """
        r6 = 0
        *(u64 *)(r10 -8) = r6
        r1 = r10
        r1 += -8
        call pc+5
        r7 = *(u64 *)(r10 -8)
        if r7 == 0 goto +1
        call 195896080
        r0 = 0
        exit
        r0 = 0
        exit"""
    assert marks(text) == "1" * 12


def test_code_behind_the_end_is_not_reached() -> None:
    assert marks("r0 = 0\nexit\nr0 = 1\nexit") == "1100"


def test_data_that_nobody_writes_is_a_constant() -> None:
    insns = assemble("""
        r1 = 0x0
        r1 = *(u8 *)(r1 +1)
        if r1 == 0 goto +1
        call 195896080
        r0 = 0
        exit""")
    places = {0: (".rodata", 4)}
    assert reachable(insns, places, {".rodata": b"\1\1\1\1\1\0"})[4] == 0
    assert reachable(insns, places, {".rodata": b"\1\1\1\1\1\2"})[4] == 1
    assert reachable(insns, places, {".rodata": b"\1\1\1\1\1"})[4] == 1  # outside: unknown
    assert reachable(insns, places)[4] == 1


def test_a_load_of_an_address_that_acquires_is_unknown() -> None:
    load = Insn(isa.STX | isa.ATOMIC | isa.DW, 1, 2, 0, isa.LOAD_ACQ)
    insns = assemble("r1 = 0\nr1 = 0\nif r1 == 0 goto +1\nexit\nr0 = 0\nexit")
    insns[1] = load
    assert reachable(insns) == b"\1" * 6


@given(st.binary(max_size=400))
def test_any_bytes_end(data: bytes) -> None:
    insns = decode(data[: len(data) // 8 * 8])
    if insns:
        assert len(reachable(insns)) == len(insns)


def test_code_made_to_be_slow_is_all_reached() -> None:
    # Each jump back lowers one more register.
    insns = [Insn(isa.JMP | isa.JEQ | isa.K, 1, 0, -1 - at % 50, 1) for at in range(2000)]
    assert len(reachable(insns)) == 2000


def test_a_jump_to_where_a_register_points_may_go_anywhere() -> None:
    assert reachable(assemble("r0 = 0\ngotox r1\nr0 = 1\nexit\nr0 = 2\nexit")) == b"\1" * 6
