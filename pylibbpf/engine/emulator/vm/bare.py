"""The helpers that need no world: no maps, no tasks, no packet. For programs that run alone.

What they give is what Linux 6.18 gives (kernel/bpf/helpers.c, bpf_iter.c). Random numbers are
random: whoever wants to know them beforehand takes a world of their own.
"""

from __future__ import annotations

import errno
import random
import time

from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pylibbpf.engine.emulator.vm.program import Helper
    from pylibbpf.engine.emulator.vm.run import Run

__all__ = ["HELPERS"]


def _ktime_get_ns(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
    return time.monotonic_ns()


def _ktime_get_boot_ns(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _get_prandom_u32(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
    return random.getrandbits(32)


def _loop(run: Run, times: int, callback: int, context: int, flags: int, r5: int) -> int:
    """Call a function of the program until it gives no 0, or so often; give how often."""
    times &= alu.U32
    if flags:
        return -errno.EINVAL
    if times > isa.LOOPS:
        return -errno.E2BIG
    for number in range(times):
        if run.call(callback, number, context):
            return number + 1
    return times


def _strncmp(run: Run, first: int, size: int, second: int, r4: int, r5: int) -> int:
    """Compare a buffer with a string, byte by byte: lib/string.c, strncmp()."""
    memory = run.memory
    for at in range(size & alu.U32):
        mine = memory.load(first + at & alu.U64, 1)
        its = memory.load(second + at & alu.U64, 1)
        if mine != its:
            return -1 if mine < its else 1
        if not mine:
            break
    return 0


HELPERS: Mapping[int, Helper] = {
    5: _ktime_get_ns,
    7: _get_prandom_u32,
    125: _ktime_get_boot_ns,
    181: _loop,
    182: _strncmp,
}
"""By number."""
