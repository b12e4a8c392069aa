"""The interpreter: what can be watched, and what single steps show."""

from __future__ import annotations

import pytest

from pylibbpf.engine.emulator.vm.interpreter import Coverage, Frame, Interpreter, Machine
from pylibbpf.engine.emulator.vm.memory import Memory
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.errors import MemoryFault
from pylibbpf.isa.asm import assemble


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_coverage(memory: Memory) -> None:
    text = "r1 = 3\nL: r2 = 0x5\nr1 -= 1\nif r1 != 0 goto L\nif r1 == 0 goto out\nr0 = 1\nout: exit"
    program = Program(assemble(text), memory)
    coverage = Coverage()
    Run(Interpreter(coverage=coverage), memory).start(program)
    assert coverage.of(program) == [1, 3, 0, 3, 3, 1, 0, 1]


def test_trace_and_breakpoints(memory: Memory) -> None:
    program = Program(assemble("r1 = 5\ncall f\nexit\nf: r0 = r1\nexit"), memory)
    seen: list[tuple[int, int]] = []

    def trace(frame: Frame) -> None:
        seen.append((frame.pc, frame.registers[1]))

    Run(Interpreter(trace=trace), memory).start(program)
    assert seen == [(0, 0), (1, 5), (3, 5), (4, 5), (2, 5)]

    def patch(frame: Frame) -> None:
        assert frame.caller is not None
        assert frame.caller.pc == 2
        frame.registers[1] = 9

    interpreter = Interpreter(trace=patch, breaks={(program, 3)})
    assert Run(interpreter, memory).start(program) == 9


def test_single_steps(memory: Memory) -> None:
    program = Program(assemble("r0 = 1\ncall f\nr0 += 1\nexit\nf: r0 = 4\nexit"), memory)
    machine = Machine(Interpreter(), Run(Interpreter(), memory), program)
    places = []
    while machine.frame is not None:
        places.append(machine.frame.pc)
        machine.step()
    assert places == [0, 1, 4, 5, 2, 3]
    assert machine.result == 5
    with pytest.raises(ValueError, match="has returned"):
        machine.step()


def test_a_machine_stays_where_it_failed(memory: Memory) -> None:
    program = Program(assemble("r3 = 77\nr0 = *(u8 *)(r3 +0)\nexit"), memory)
    machine = Machine(Interpreter(), Run(Interpreter(), memory), program)
    machine.step()
    with pytest.raises(MemoryFault):
        machine.step()
    assert machine.frame is not None
    assert (machine.frame.pc, machine.frame.registers[3]) == (1, 77)
    machine.close()
    assert machine.frame is None
