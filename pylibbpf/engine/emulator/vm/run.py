"""One run of a program: what is left of its budget, how deep it is, how it calls others.

Both executors, and the helpers that a program calls, share this.
"""

from __future__ import annotations

import time

from pylibbpf.engine.emulator.vm.memory import CODE, Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.errors import BudgetError, RunError
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Executor(Protocol):
        """Runs functions of programs; how is its own affair, what comes out is not."""

        def call(
            self,
            run: Run,
            program: Program,
            start: int,
            r1: int,
            r2: int,
            r3: int,
            r4: int,
            r5: int,
        ) -> int:
            """Run the function that starts at an instruction, in a new frame, and give r0.

            r1 to r5 are unsigned numbers below 2**64, as is the result. It takes the frame from
            :meth:`Run.enter`, leaves it by :meth:`Run.leave` whatever happens, and counts
            ``run.left`` down. Registers r1 to r5 have the same value after a call as before it
            (no program that the kernel accepts can tell); r0 and r6 to r9 of a new frame are 0.
            An instruction in ``program.fatal`` is a RunError with that text.

            Raises:
                RunError: with the place (:meth:`Program.locate`).
                Thrown: by bpf_throw.
            """


__all__ = ["BEFORE_TAIL_CALL", "BUDGET", "Run", "Thrown"]

# As many as the kernel's verifier would have to look at, many times over: nobody waits longer.
BUDGET = 1 << 30

BEFORE_TAIL_CALL = 256  # kernel 6.18, check_max_stack_depth_subprog()


class Thrown(Exception):  # no error: the way out of all frames that bpf_throw takes
    """A program threw an exception (bpf_throw): all its frames are left."""

    def __init__(self, cookie: int) -> None:
        super().__init__(cookie)
        self.cookie = cookie


class Run:
    """One run, for one thread. ``left`` instructions may still run, until ``deadline``.

    ``deadline`` is of time.monotonic(); None: no limit. ``packet`` reads for the legacy loads
    (ABS, IND): called with r6, offset and size, it gives the bytes, or None where there are
    none. ``state`` is whatever the engine wants its helpers to find again.
    """

    __slots__ = (
        "deadline",
        "executor",
        "frames",
        "grants",
        "left",
        "memory",
        "outermost",
        "packet",
        "stack",
        "state",
        "tail_calls",
    )

    def __init__(
        self,
        executor: Executor,
        memory: Memory,
        *,
        budget: int = BUDGET,
        timeout: float | None = None,
        packet: Callable[[int, int, int], bytes | None] | None = None,
        state: object = None,
    ) -> None:
        self.executor = executor
        self.memory = memory
        self.left = budget
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.packet = packet
        self.state = state
        self.frames = 0
        self.stack = 0
        self.tail_calls = 0
        self.outermost = True
        """Nothing of this run is running: what is called now is not called by something of it."""
        self.grants: Any = ()
        """Instructions that the translator gave to loops, and that ``left`` is still to pay for."""

    def start(
        self, program: Program, r1: int = 0, r2: int = 0, r3: int = 0, r4: int = 0, r5: int = 0
    ) -> int:
        """Run a program from its first instruction, and give r0.

        Raises:
            RunError: it did what no program may. MemoryFault, BudgetError: kinds of that.
        """
        if self.frames or not self.outermost:
            return self._start_within(program, r1, r2, r3, r4, r5)
        # The interpreter of Python looks for signals at calls, loops and starts of functions: so
        # none comes between a statement without any and the one behind it.
        self.outermost = False
        try:
            return self.executor.call(self, program, 0, r1, r2, r3, r4, r5)
        except Thrown as thrown:
            self.outermost = True
            return self._catch(program, thrown)
        except RunError:
            raise
        except BaseException:
            self.memory.close_frames(self)
            raise
        finally:
            self.outermost = True
            self.frames = self.stack = 0

    def _start_within(self, program: Program, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        # Each program of a chain of tail calls was checked by itself: it counts from nothing.
        frames, stack = self.frames, self.stack
        self.frames = self.stack = 0
        try:
            return self._execute(program, 0, r1, r2, r3, r4, r5)
        except Thrown as thrown:
            return self._catch(program, thrown)
        finally:
            self.frames, self.stack = frames, stack

    def _catch(self, program: Program, thrown: Thrown) -> int:
        start = program.exception_callback
        if start is None:
            return thrown.cookie  # what the kernel's own callback does
        self.frames = self.stack = 0
        return self._execute(program, start, thrown.cookie, 0, 0, 0, 0)

    def call(
        self, address: int, r1: int = 0, r2: int = 0, r3: int = 0, r4: int = 0, r5: int = 0
    ) -> int:
        """Call the function at an address: for helpers that take a callback.

        Raises:
            RunError: no function starts there, or what it does.
        """
        program, start = self.target(address)
        return self._execute(program, start, r1, r2, r3, r4, r5)

    def _execute(
        self, program: Program, start: int, r1: int, r2: int, r3: int, r4: int, r5: int
    ) -> int:
        if not self.outermost or self.frames:
            return self.executor.call(self, program, start, r1, r2, r3, r4, r5)
        self.outermost = False
        try:
            return self.executor.call(self, program, start, r1, r2, r3, r4, r5)
        except (RunError, Thrown):
            raise
        except BaseException:
            self.frames = self.stack = 0
            self.memory.close_frames(self)
            raise
        finally:
            self.outermost = True

    def target(self, address: int) -> tuple[Program, int]:
        """Tell which function is at an address: the program, and the first instruction.

        Raises:
            RunError: no function starts there.
        """
        region = self.memory.find(address)
        if region is not None and region.kind == CODE and isinstance(region.owner, Program):
            start, rest = divmod(address - region.base, isa.INSN_SIZE)
            if not rest and start in region.owner.depths:
                return region.owner, start
        raise RunError(f"calls {address:#x}, where no function starts")

    def tail(self, program: Program, r1: int, r2: int, r3: int) -> Program | None:
        """Find the program to go to, at a tail call; None: there is none, or were too many.

        The calling function then returns what ``run.start(target, r1)`` gives; where there is
        none it goes on, with r0 as it was.

        Raises:
            RunError: the program cannot do tail calls.
        """
        if program.tail_call is None:
            raise RunError(f"calls helper {isa.TAIL_CALL} (bpf_tail_call), which it cannot here")
        if self.tail_calls >= isa.TAIL_CALLS:
            return None
        target = program.tail_call(self, r1, r2, r3)
        if target is not None:
            self.tail_calls += 1
        return target

    def enter(self, program: Program, start: int) -> Region:
        """Open a frame; r10 is ``base + size`` of the region.

        Raises:
            RunError: the calls are too deep, or their frames too large together.
        """
        depth = program.depths[start]
        if self.frames >= isa.FRAMES:
            raise RunError(f"{isa.FRAMES} frames are open, which is the most that there can be")
        if start and self.stack >= BEFORE_TAIL_CALL and start in program.tail_callers:
            raise RunError(
                f"the stack frames before a function that does tail calls have {self.stack} bytes,"
                f" and must have less than {BEFORE_TAIL_CALL}"
            )
        if self.stack + depth > isa.STACK_SIZE:
            raise RunError(
                f"the stack frames of {self.frames + 1} functions need {self.stack + depth} bytes,"
                f" and can have {isa.STACK_SIZE} together"
            )
        self.frames += 1
        self.stack += depth
        return self.memory.open_frame(self)

    def leave(self, program: Program, start: int, frame: Region) -> None:
        """Close the frame that was opened last."""
        self.frames -= 1
        self.stack -= program.depths[start]
        self.memory.close_frame(frame)

    def check(self) -> None:
        """Stop a run that has used up its instructions or its time.

        Raises:
            BudgetError: it has.
        """
        if self.left < 0:
            raise BudgetError("runs longer than the number of instructions that it was given")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise BudgetError("runs longer than the time that it was given")
