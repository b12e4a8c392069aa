"""What the translator makes of accesses to memory: in loops, at ends of regions, atomics."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from vm_pairs import both, made, source

from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.memory import CONTEXT, READ, Memory, Region
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.engine.emulator.vm.translator import Translator
from pylibbpf.errors import MemoryFault


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("step", [1, 2, 8, -1, -8])
def test_loops_that_run_out_of_a_region(size: int, step: int) -> None:
    letter = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}[size]
    for off in (0, 5, -3):
        for access in (f"r3 = *({letter} *)(r1 {off:+})", f"*({letter} *)(r1 {off:+}) = r2"):
            text = f"r2 = 0\nr0 = 0\nL: {access}\nr0 += 1\nr1 += {step}\nr2 += 1\n"
            text += "if r2 < 100 goto L\nexit"
            found = []
            for executor in (Interpreter(), Translator(patience=0), Translator(patience=0)):
                memory = Memory()
                memory.allocate(64)
                region = memory.allocate(64, name="mine")
                memory.allocate(64)
                program = made(text, memory)
                with pytest.raises(MemoryFault) as caught:
                    Run(executor, memory).start(program, region.base + 32)
                fault = caught.value
                assert region.data is not None
                found.append((fault.insn, fault.offset, fault.region, bytes(region.data)))
            assert found[0] == found[1] == found[2]


def test_memory_that_cannot_be_written() -> None:
    memory = Memory()
    region = memory.map(Region(bytearray(b"12345678"), "map value", permissions=READ))
    program = made("r0 = *(u8 *)(r1 +1)\n*(u8 *)(r1 +1) = r0\nexit", memory)
    for executor in (Interpreter(), Translator(patience=0)):
        for _ in range(2):
            with pytest.raises(MemoryFault, match="cannot be written") as caught:
                Run(executor, memory).start(program, region.base)
            assert (caught.value.insn, caught.value.register) == (1, 1)


def test_a_region_that_a_helper_frees_within_a_loop() -> None:
    memory = Memory()

    def free(run: Run, address: int, *rest: int) -> int:
        found = run.memory.find(address)
        if found is not None:
            run.memory.free(found)
        return 0

    text = """
        r6 = r1
        r7 = 0
    L:  r0 = *(u64 *)(r6 +0)
        r7 += 1
        if r7 < 3 goto next
        r1 = r6
        call 5
    next:
        if r7 < 10 goto L
        exit
    """
    for executor in (Interpreter(), Translator(patience=0)):
        region = memory.allocate(8)
        program = made(text, memory, helpers={5: free})
        with pytest.raises(MemoryFault, match="which was freed") as caught:
            Run(executor, memory).start(program, region.base)
        assert caught.value.insn == 2


def test_loads_that_give_0_where_they_fault() -> None:
    memory = Memory()
    region = memory.allocate(8)
    region.store(0, 8, 77)
    program = made("r0 = *(u64 *)(r1 +0)\nr0 += 1\nexit", memory, probes=frozenset({0}))
    assert both(program, region.base) == 78
    assert both(program, region.base + 1) == 1
    assert both(program, 0) == 1


@pytest.mark.parametrize("executor", [Interpreter, Translator])
@pytest.mark.parametrize("size", ["u32", "u64"])
def test_atomics_are_atomic(size: str, executor: Callable[[], Any]) -> None:
    """Of four threads none loses what another did: sums, bits, and a lock made of cmpxchg."""
    memory = Memory()
    region = memory.allocate(32)
    wide = "64" if size == "u64" else ""
    turns = 5000 if executor is Translator else 500
    text = f"""
        r2 = 0
        r3 = 1
        r6 = r1
    L:  lock *({size} *)(r6 +0) += r3
        r4 = 1
        r4 = atomic{wide}_fetch_xor(({size} *)(r6 +8), r4)
    take:
        r0 = 0
        r0 = atomic{wide}_cmpxchg(({size} *)(r6 +16), r0, r3)
        if r0 != 0 goto take
        r5 = *({size} *)(r6 +24)    ; held by this one: plain accesses do
        r5 += 1
        *({size} *)(r6 +24) = r5
        r5 = 0
        store_release(({size} *)(r6 +16), r5)
        r2 += 1
        if r2 < {turns} goto L
        r0 = 0
        exit
    """
    program = made(text, memory)
    runner = executor()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=lambda: Run(runner, memory).start(program, region.base))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert region.load(0, 8) == region.load(24, 8) == 4 * turns
    assert region.load(8, 8) == region.load(16, 8) == 0


def test_what_nobody_sees_of_the_stack_is_variables() -> None:
    memory = Memory()
    region = memory.allocate(8)
    text = """
        *(u64 *)(r10 -8) = r1
        *(u16 *)(r10 -16) = -2
        *(u32 *)(r10 -24) = 7
        *(u8 *)(r10 -24) = 9
        r2 = *(s16 *)(r10 -16)
        r3 = *(u64 *)(r10 -32)
        r4 = *(u32 *)(r10 -24)
        r0 = *(u64 *)(r1 +0)
        r1 = *(u64 *)(r10 -8)
        r5 = *(u16 *)(r10 -16)
        r0 += r1
        r0 += r2
        r0 += r3
        r0 += r4
        r0 += r5
        exit
    """
    program = made(text, memory)
    written = source(program)
    # Of those at -24, one is a part of the other.
    assert "s504=" in written
    assert "(k,488" in written
    # The second cannot be done by a statement: the interpreter gets a frame that holds it all.
    strict = memory.map(Region(bytearray(8), CONTEXT, strict=True))
    for base in (region.base, strict.base):
        assert both(program, base) == base - 2 + 0 + 9 + 0xFFFE


def test_what_is_put_together_is_there_where_an_access_fails() -> None:
    memory = Memory()
    strict = memory.map(Region(bytearray(8), CONTEXT, strict=True))
    text = """
        r2 = 5
        r2 <<= 3
        r2 += 2
        r3 = r2
        r3 *= r2
        r3 &= 255
        r0 = *(u64 *)(r1 +0)
        r0 += r2
        r0 += r3
        exit
    """
    assert both(made(text, memory), strict.base) == 42 + (42 * 42 & 255)


def test_big_endian_fields_are_read_as_such() -> None:
    memory = Memory()
    region = memory.map(Region(bytearray(range(1, 17)), "map value"))
    strict = memory.map(Region(bytearray(range(1, 17)), CONTEXT, strict=True))
    text = """
        r0 = *(u16 *)(r1 +2)
        r0 = be16 r0
        r2 = *(u32 *)(r1 +4)
        r2 = bswap32 r2
        r3 = *(u64 *)(r1 +8)
        r3 = be64 r3
        r4 = *(u32 *)(r1 +4)
        r4 = be16 r4
        r5 = *(u16 *)(r1 +2)
        r2 = be32 r2
        r0 += r2
        r0 += r3
        r0 ^= r4
        r0 ^= r5
        exit
    """
    program = made(text, memory)
    assert source(program).count("=v") == 3
    expected = 0x0304 + 0x08070605 + 0x090A0B0C0D0E0F10 ^ 0x0506 ^ 0x0403
    for base in (region.base, strict.base):
        assert both(program, base) == expected


def test_looks_before_a_loop_and_in_it() -> None:
    """Two pointers with one origin, of which the loop looks one up again, lower."""
    memory = Memory()
    region = memory.map(Region(bytearray(range(64)), "map value"))
    text = """
        r4 = r1
        r4 += 16
        r0 = *(u8 *)(r4 +0)
        r2 = 0
    L:  r3 = *(u8 *)(r4 +1)
        r0 += r3
        r5 = r1
        r5 += 8
        if r2 == 3 goto next
        r3 = *(u8 *)(r5 +0)
        r0 <<= 1
        r0 += r3
    next:
        r2 += 1
        if r2 < 5 goto L
        exit
    """
    both(made(text, memory), region.base)


def test_a_pointer_that_an_index_moves_back_out_of_its_region() -> None:
    """The loop has looked the region up; making a number of the pointer must not forget why."""
    memory = Memory()
    region = memory.map(Region(bytearray(range(64)), "map value"))
    text = """
        r5 = r2
        r3 = 0
        r0 = 0
    L:  r2 = r1
        r2 += r5
        r7 /= r2
        r4 = *(u64 *)(r2 +0)
        r0 += r4
        r1 += 8
        r3 += 1
        if r3 != 3 goto L
        exit
    """
    program = made(text, memory)
    assert both(program, region.base, 8)
    for executor in (Interpreter(), Translator(patience=0), Translator(patience=0)):
        with pytest.raises(MemoryFault, match="offset -8 of map value, before its start"):
            Run(executor, memory).start(program, region.base, (1 << 64) - 8)
