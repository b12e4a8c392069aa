"""BPF instructions as Python statements on local variables: one statement or two for each.

A register is a local variable, ``r0`` to ``r10``. What it may hold is known as a range, and that
saves most of the masks that keep numbers below 2**64: a variable may hold any number that equals
the register modulo 2**64, and is brought into ``0 <= x < 2**64`` where it is compared, shifted to
the right, divided, handed on, or where the block ends.

An access to memory is one look into a dictionary of regions and one access to bytes, which check
both (see :class:`~pylibbpf.engine.emulator.vm.memory.Memory`). Where one of the two refuses, the
rest of the function is interpreted: that knows what is right, or what to say. So no statement may
change a register before its access has succeeded.

Nothing of a program gets into the text but numbers.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.arithmetic import Arithmetic
from pylibbpf.engine.emulator.vm.known import FULL, HALF, Known
from pylibbpf.engine.emulator.vm.memory import ADDRESSES
from pylibbpf.engine.emulator.vm.registers import is_tail_call
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn

__all__ = ["Statements"]

U64, U32 = alu.U64, alu.U32
# A pointer through which an access succeeds is below; offsets have 16 bits.
_NEAR = ADDRESSES + (1 << 16)

_UNSIGNED = {1: (0, 0xFF), 2: (0, 0xFFFF), 4: HALF, 8: FULL}
_SIGNED = {1: (-0x80, 0x7F), 2: (-0x8000, 0x7FFF), 4: (-0x80000000, 0x7FFFFFFF)}


class Statements(Arithmetic):
    """Writes the statements of all instructions but jumps, and the conditions of these."""

    def block(self, start: int, end: int) -> None:
        """Write the instructions of a block, but for a jump at its end."""
        insns = self.insns
        at = start
        self.end = end
        self.copied = None
        while at < end:
            insn = insns[at]
            self.at = at
            if at in self.fatal:
                self.put(f"fatal(PR,{at})")
            else:
                _WRITERS[insn.code & isa.CLASS_MASK](self, insn)
            at += 2 if insn.code == isa.LD_IMM64 else 1

    # ---------------------------------------------------------------------------- memory

    def ldx(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        signed = insn.code & isa.MODE_MASK == isa.MEMSX
        dst = insn.dst
        offset = self._in_frame(insn.src, insn.off, size)
        if offset is not None:
            self._load(dst, "k", str(offset), size, signed)
        elif self._is_slow(insn.src):
            self._load_slowly(insn, size, signed)
        else:
            where = self._find(insn.src, insn.off, size, False)
            self._load(dst, *where, size, signed)
            return
        self.set(dst, _SIGNED[size] if signed else _UNSIGNED[size])

    def _load(self, dst: int, data: str, offset: str, size: int, signed: bool) -> None:
        if size == 1 and not signed:
            self.put(f"r{dst}={data}[{offset}]")
        else:
            self.put(f"r{dst},={'i' if signed else 'u'}{size}({data},{offset})")
        self.set(dst, _SIGNED[size] if signed else _UNSIGNED[size])

    def _load_slowly(self, insn: Insn, size: int, signed: bool) -> None:
        name = "probe" if self.at in self.probes else "load"
        self.names.add(name)
        text = f"{name}({self._address(insn.src, insn.off)},{size})"
        if signed:
            top = 1 << (8 * size - 1)
            text = f"({text}^{top})-{top}"
        self.put(f"r{insn.dst}={text}")

    def _address(self, base: int, off: int) -> str:
        low, high = self.known.ranges[base]
        name = f"r{base}{off:+}" if off else f"r{base}"
        return name if low + off >= 0 and high + off <= U64 else f"{name}&M"

    def _is_slow(self, base: int) -> bool:
        return self.at in self.slow or self.at in self.probes or base in self.known.frame

    def _in_frame(self, base: int, off: int, size: int) -> int | None:
        """The offset in the bytes of the stack frame, where that is known and allowed."""
        moved = self.known.frame.get(base)
        if moved is None or self.at in self.probes:
            return None
        offset = isa.STACK_SIZE + moved + off
        if offset < 0 or offset + size > isa.STACK_SIZE or offset & (size - 1):
            return None
        self.stack = True
        return offset

    def _find(self, base: int, off: int, size: int, write: bool) -> tuple[str, str]:
        """Look a region up, unless that was done; give names of its bytes and the offset."""
        known = self.known
        root, delta = self._root(base)
        found = known.found.get((root, write))
        if found is not None:
            data, start, then = found
            moved = delta + off - then
            if moved >= 0:
                low, high = known.ranges[base]
                if low >= 0 and high <= U64:
                    self._near(base)
                return data, f"{start}+{moved}" if moved else start
        held = known.held.get(base)
        if held is not None and off >= self.held.get((held, write), 1 << 16):
            self._near(base)
            where = f"r{base}-B{held}{off:+}" if off else f"r{base}-B{held}"
            return f"D{held}{'w' if write else ''}", where
        name = self.whole(base)
        # What can be written can be read: where both will be done, one look does.
        both = not write and self._written(base)
        regions = "W" if write or both else "P"
        if off < 0:
            self.put(f"a={name}{off}")
            self.put(f"d={regions}[a>>32]")
            self._near(base)
            return "d", "a&L"
        # Names of its own: those of a look before a loop keep their values in the loop.
        self.roots += 1
        data, start = f"d{self.roots}", f"o{self.roots}"
        self.put(f"{data}={regions}[{name}>>32];{start}={name}&L")
        self._near(base)
        known.found[root, write] = (data, start, delta)
        if both:
            known.found[root, True] = (data, start, delta)
        return data, f"{start}+{off}" if off else start

    def hold(self, known: Known, r: int, least: int, read: bool, write: bool) -> None:
        """Before a loop: look the region of a register up, for accesses from an offset on."""
        self.roots += 1
        held = known.held[r] = self.roots
        name = f"(r{r}{least})" if least else f"r{r}"
        self.put(f"B{held}={name}&H")
        if read:
            self.held[held, False] = least
            self.put(f"D{held}=Pget({name}>>32,Z)")
        if write:
            self.held[held, True] = least
            self.put(f"D{held}w=Wget({name}>>32,Z)")

    def _written(self, base: int) -> bool:
        """Whether the block goes on to write through a register, before anything else happens."""
        insns = self.insns
        for at in range(self.at + 1, self.end):
            insn = insns[at]
            kind = insn.code & isa.CLASS_MASK
            if kind in (isa.ST, isa.STX):
                if insn.dst == base and insn.code & isa.MODE_MASK == isa.MEM:
                    return insn.off >= 0 and at not in self.slow and at not in self.probes
            elif kind in (isa.JMP, isa.JMP32) or insn.dst == base:
                return False
        return False

    def _near(self, base: int) -> None:
        """Once its region is found, a pointer is known not to be far."""
        low, high = self.known.ranges[base]
        self.known.ranges[base] = (max(low, 0), min(high, _NEAR))

    def st(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        value = insn.imm & ((1 << 8 * size) - 1)
        self._store(insn, size, str(value), (value, value))

    def stx(self, insn: Insn) -> None:
        if insn.code & isa.MODE_MASK == isa.ATOMIC:
            self._atomic(insn)
            return
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        self._store(insn, size, f"r{insn.src}", self.known.ranges[insn.src])

    def _store(self, insn: Insn, size: int, value: str, range_: Range) -> None:
        mask = (1 << 8 * size) - 1
        if range_[0] < 0 or range_[1] > mask:
            value = f"{value}&{mask if size < 8 else 'M'}"
        offset = self._in_frame(insn.dst, insn.off, size)
        if offset is not None:
            data, start = "k", str(offset)
        elif self._is_slow(insn.dst):
            name = "probed" if self.at in self.probes else "store"
            self.names.add(name)
            self.put(f"{name}({self._address(insn.dst, insn.off)},{size},{value})")
            return
        else:
            data, start = self._find(insn.dst, insn.off, size, True)
        if size == 1:
            self.put(f"{data}[{start}]={value}")
        else:
            self.put(f"p{size}({data},{start},{value})")

    def _atomic(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        imm = insn.imm
        base = insn.src if imm == isa.LOAD_ACQ else insn.dst
        address = self._address(base, insn.off)
        probe = self.at in self.probes
        if imm == isa.STORE_REL:
            name, result = "release", None
            arguments = f"{address},{size},r{insn.src}"
        elif imm == isa.LOAD_ACQ:
            name, result = "acquire", insn.dst
            arguments = f"{address},{size}"
        else:
            name = "atomic"
            old = "r0" if imm == isa.ATOMIC_CMPXCHG else "0"
            arguments = f"{address},{size},{imm},r{insn.src},{old}"
            result = insn.src if imm & isa.FETCH else None
            if imm == isa.ATOMIC_CMPXCHG:
                result = 0
            if imm & ~isa.FETCH == isa.ATOMIC_ADD and not probe:
                name, arguments = f"add{size}", f"{address},r{insn.src}"
        if probe:
            name += "_probed"
        self.names.add(name)
        if result is None:
            self.put(f"{name}({arguments})")
        elif probe and imm != isa.LOAD_ACQ:
            self.whole(result)
            self.put(f"x={name}({arguments})")
            self.put(f"if x is not None:r{result}=x")
            self.set(result, FULL)
        else:
            self.put(f"r{result}={name}({arguments})")
            self.set(result, _UNSIGNED[size])

    def ld(self, insn: Insn) -> None:
        if insn.code == isa.LD_IMM64:
            if insn.src == 0:
                value = isa.imm64(self.insns, self.at)
                self.put(f"r{insn.dst}={value}")
                self.set(insn.dst, (value, value))
            else:
                name = f"c{self.at}"
                self.names.add(name)
                self.put(f"r{insn.dst}={name}")
                self.set(insn.dst, FULL)
            return
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        offset = str(insn.imm)
        if insn.code & isa.MODE_MASK == isa.IND:
            offset = f"r{insn.src}{insn.imm:+}"
        self.names.add("packet")
        self.put(f"x=packet(run,{self.whole(6)},{offset},{size})")
        self.put("if x is None:return 0")
        self.put("r0=x")
        self.known.called()
        self.set(0, _UNSIGNED[size])

    # ----------------------------------------------------------------------------- calls

    def call(self, insn: Insn) -> None:
        if insn.code & isa.CLASS_MASK == isa.JMP32 or insn.code & isa.OP_MASK != isa.CALL:
            return  # a jump, which the layout writes
        arguments = ",".join(self.whole(r) for r in range(1, 6))
        at = self.at
        if is_tail_call(insn):
            self.names |= {"tail", "PR"}
            self.put("x=tail(run,PR,r1,r2,r3)")
            self.put("if x is not None:return run.start(x,r1)")
        elif insn.code & isa.X:
            self.names.add("callx")
            self.put(f"r0=callx(run,{self.whole(insn.dst)},{arguments})")
            self.set(0, FULL)
        elif insn.src == isa.PSEUDO_CALL:
            name = f"F{at + 1 + insn.imm}"
            self.names.add(name)
            self.put(f"r0={name}(run,{arguments})")
            self.set(0, FULL)
        else:
            name = f"h{insn.imm & U32}"
            if insn.src == isa.PSEUDO_KFUNC_CALL:
                name = f"f{insn.imm & U32}_{insn.off & 0xFFFF}"
            self.names.add(name)
            self.put(f"r0={name}(run,{arguments})&M")
            self.set(0, FULL)
        self.known.called()

    # -------------------------------------------------------------------------- compares

    def condition(self, insn: Insn) -> tuple[str, str]:
        """Expressions that are true if a conditional jump is taken, and if it is not."""
        op = insn.code & isa.OP_MASK
        bits = 64 if insn.code & isa.CLASS_MASK == isa.JMP else 32
        if op == isa.JSET:
            if insn.code & isa.X:
                both = f"{self._whole_bits(insn.dst, bits)}&{self._whole_bits(insn.src, bits)}"
            else:
                imm = insn.imm & (U64 if bits == 64 else U32)
                both = f"{self._whole_bits(insn.dst, bits)}&{imm}"
            return both, f"not {both}"
        sign, no, is_signed = _SIGNS[op]
        if is_signed:
            left, right = self._compared(insn, bits)
        else:
            left = self._whole_bits(insn.dst, bits)
            if insn.code & isa.X:
                right = self._whole_bits(insn.src, bits)
            else:
                right = str(insn.imm & (U64 if bits == 64 else U32))
        return f"{left}{sign}{right}", f"{left}{no}{right}"

    def _compared(self, insn: Insn, bits: int) -> tuple[str, str]:
        """Two expressions that compare as their operands do as signed numbers."""
        ranges = self.known.ranges
        top = 1 << (bits - 1)
        low, high = ranges[insn.dst]
        plain = -top <= low and high < top
        if not insn.code & isa.X:
            if plain:
                return f"r{insn.dst}", str(insn.imm)
            mask = 2 * top - 1
            return f"({self._whole_bits(insn.dst, bits)}^{top})", str(insn.imm & mask ^ top)
        low, high = ranges[insn.src]
        if plain and -top <= low and high < top:
            return f"r{insn.dst}", f"r{insn.src}"
        mine, other = self._whole_bits(insn.dst, bits), self._whole_bits(insn.src, bits)
        return f"({mine}^{top})", f"({other}^{top})"


_SIGNS = {
    isa.JEQ: ("==", "!=", False),
    isa.JNE: ("!=", "==", False),
    isa.JGT: (">", "<=", False),
    isa.JGE: (">=", "<", False),
    isa.JLT: ("<", ">=", False),
    isa.JLE: ("<=", ">", False),
    isa.JSGT: (">", "<=", True),
    isa.JSGE: (">=", "<", True),
    isa.JSLT: ("<", ">=", True),
    isa.JSLE: ("<=", ">", True),
}
_WRITERS: dict[int, Callable[[Statements, Insn], None]] = {
    isa.LD: Statements.ld,
    isa.LDX: Statements.ldx,
    isa.ST: Statements.st,
    isa.STX: Statements.stx,
    isa.ALU: Statements.alu32,
    isa.ALU64: Statements.alu64,
    isa.JMP: Statements.call,
    isa.JMP32: Statements.call,
}
