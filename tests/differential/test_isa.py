"""Random programs: the executor against the kernel, our text against the kernel's log.

Few of each; tests/long/test_isa.py does many. Messages name the seed of the program, which
``isa_programs.make`` takes.
"""

from __future__ import annotations

import os

import effort
import isa_checks
import pytest
import rawbpf
from hypothesis import given
from isa_programs import CALM, Case, programs

from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.memory import Memory
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.isa.asm import assemble
from pylibbpf.uapi.enums import ProgType


def test_the_kernel_gets_the_same(bpf: None) -> None:
    isa_checks.compare_many(effort.SEED, 2000)


@CALM
@given(programs(tame=True))
def test_hypothesis_finds_no_difference(bpf: None, case: Case) -> None:
    """Fewer, but what fails is made small."""
    isa_checks.compare_with_kernel(case)


def test_the_kernel_writes_the_same(bpf: None) -> None:
    if not isa_checks.kernel_has_everything():
        pytest.skip("needs Linux 6.15, which knows all of the instructions")
    lines = sum(isa_checks.compare_texts(f"{effort.SEED} {number}") for number in range(100))
    assert lines > 100 * 20


PACKET = bytes(range(0xF0, 0x100)) * 4


@pytest.mark.parametrize(
    "load",
    [
        "r0 = *(u32 *)skb[0]",
        "r0 = *(u32 *)skb[4]\nr0 >>= 32",
        "r0 = *(u16 *)skb[62]",
        "r0 = *(u16 *)skb[63]\nr0 = 5",
        "r0 = *(u8 *)skb[64]\nr0 = 5",
        "r7 = 3\nr0 = *(u32 *)skb[r7 + 1]",
        "r7 = -1\nr0 = *(u8 *)skb[r7 + 0]\nr0 = 5",
        "r7 = 10\nr0 = *(u8 *)skb[r7 + -10]",
        "r7 = 0x100000000\nr0 = *(u8 *)skb[r7 + 1]",
    ],
)
def test_legacy_loads(bpf: None, load: str) -> None:
    """Big-endian, with zeros above; the offset is an int; past the end the program ends with 0."""
    insns = assemble(f"r6 = r1\nr0 = 1\n{load}\nexit")
    fd = rawbpf.load(insns, ProgType.SCHED_CLS)
    try:
        theirs, _ = rawbpf.run(fd, data=PACKET)
    finally:
        os.close(fd)

    def packet(address: int, offset: int, size: int) -> bytes | None:
        return PACKET[offset : offset + size] if 0 <= offset <= len(PACKET) - size else None

    memory = Memory()
    run = Run(Interpreter(), memory, packet=packet)
    assert run.start(Program(insns, memory)) & 0xFFFFFFFF == theirs
