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

from pylibbpf.engine.emulator.vm.arithmetic import ALU, TURNS, Arithmetic
from pylibbpf.engine.emulator.vm.known import FULL, HALF, Known
from pylibbpf.engine.emulator.vm.memory import ADDRESSES
from pylibbpf.engine.emulator.vm.registers import is_tail_call
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import OPCODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn
    from pylibbpf.isa.opcodes import Opcode

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
        self.end = end
        fatal = self.fatal
        for at, insn in enumerate(self.insns[start:end], start):
            self.at = at
            if fatal and at in fatal:
                self.put(f"fatal(PR,{at})")
            else:
                _WRITERS[insn.code](self, insn)

    def nothing(self, insn: Insn) -> None:
        """A jump, which the layout writes, or the second half of a constant."""

    # ---------------------------------------------------------------------------- memory

    def ldx(self, insn: Insn) -> None:
        code, dst, src = insn.code, insn.dst, insn.src
        size = isa.SIZES[code & isa.SIZE_MASK]
        signed = code & isa.MODE_MASK == isa.MEMSX
        if src in self.known.frame and (offset := self._in_frame(src, insn.off, size)) is not None:
            slot = self.slots.get(offset)
            if slot is not None:
                self._load_slot(dst, slot, size, signed)
                return
            data, start = "k", str(offset)
            self.stack = True
        elif self._is_slow(src):
            self._load_slowly(insn, size, signed)
            return
        else:
            data, start = self._find(src, insn.off, size, False)
        if signed:
            self.put(f"r{dst},=i{size}({data},{start})")
            self.set(dst, _SIGNED[size])
        else:
            if size == 1:
                self.put(f"r{dst}={data}[{start}]")
            else:
                order = "v" if self._turned(dst, size) else "u"
                self.put(f"r{dst},={order}{size}({data},{start})")
            self.set(dst, _UNSIGNED[size])

    def _turned(self, dst: int, size: int) -> bool:
        """Whether the next instruction turns the bytes around that this one reads."""
        at = self.at + 1
        if at == self.end:
            return False
        insn = self.insns[at]
        if insn.code in TURNS and insn.dst == dst and insn.imm == 8 * size:
            self.turned = at
            return True
        return False

    def _load_slot(self, dst: int, slot: str, size: int, signed: bool) -> None:
        self.assign(dst, slot)
        self.set(dst, _UNSIGNED[size])
        if signed:
            self.extend(dst, dst, 8 * size)

    def _load_slowly(self, insn: Insn, size: int, signed: bool) -> None:
        name = "probe" if self.at in self.probes else "load"
        self.names.add(name)
        text = f"{name}({self._address(insn.src, insn.off)},{size})"
        if signed:
            top = 1 << (8 * size - 1)
            text = f"({text}^{top})-{top}"
        self.put(f"r{insn.dst}={text}")
        self.set(insn.dst, _SIGNED[size] if signed else _UNSIGNED[size])

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
            more = off - self.absorbed.get(held, 0)
            where = f"r{base}-B{held}{more:+}" if more else f"r{base}-B{held}"
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
        self.put(f"{data}={regions}[{name}>>32]")
        self.calm(f"{start}={name}&L")
        self._near(base)
        known.found[root, write] = (data, start, delta)
        if both:
            known.found[root, True] = (data, start, delta)
        return data, f"{start}+{off}" if off else start

    def hold(
        self, known: Known, r: int, least: int, read: bool, write: bool, only: int | None
    ) -> None:
        """Before a loop: look the region of a register up, for accesses from an offset on.

        ``only``: the offset of all of them.
        """
        self.roots += 1
        held = known.held[r] = self.roots
        name = f"r{r}{least}" if least else f"r{r}"
        self.calm(f"B{held}={name}&H")
        if only:
            self.absorbed[held] = only
            self.calm(f"B{held}{'-' if only > 0 else '+'}={abs(only)}")
        if read:
            self.held[held, False] = least
            self.calm(f"D{held}=Pget({name}>>32,Z)")
        if write:
            self.held[held, True] = least
            self.calm(f"D{held}w=Wget({name}>>32,Z)")

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
        ranges = self.known.ranges
        low, high = ranges[base]
        if low < 0 or high > _NEAR:
            ranges[base] = (low if low > 0 else 0, high if high < _NEAR else _NEAR)

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
            slot = self.slots.get(offset)
            if slot is not None:
                self.calm(f"{slot}={value}")
                return
            data, start = "k", str(offset)
            self.stack = True
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
            self.header(f"if x is not None:r{result}=x")
            self.set(result, FULL)
        else:
            self.put(f"r{result}={name}({arguments})")
            self.set(result, _UNSIGNED[size])

    def ld(self, insn: Insn) -> None:
        if insn.code == isa.LD_IMM64:
            if insn.src == 0:
                value = isa.imm64(self.insns, self.at)
                self.assign(insn.dst, str(value))
                self.set(insn.dst, (value, value))
            else:
                name = f"c{self.at}"
                self.names.add(name)
                self.assign(insn.dst, name)
                self.set(insn.dst, FULL)
            return
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        offset = str(insn.imm)
        if insn.code & isa.MODE_MASK == isa.IND:
            offset = f"r{insn.src}{insn.imm:+}"
        self.names.add("packet")
        self.put(f"x=packet(run,{self.whole(6)},{offset},{size})")
        self.header("if x is None:return 0")
        self.assign(0, "x")
        self.known.called()
        self.set(0, _UNSIGNED[size])

    # ----------------------------------------------------------------------------- calls

    def call(self, insn: Insn) -> None:
        arguments = ",".join(self.whole(r) for r in range(1, 6))
        at = self.at
        if is_tail_call(insn):
            self.names |= {"tail", "PR"}
            self.put("x=tail(run,PR,r1,r2,r3)")
            self.header("if x is not None:return run.start(x,r1)")
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
        code, dst = insn.code, insn.dst
        op = code & isa.OP_MASK
        bits = 64 if code & isa.CLASS_MASK == isa.JMP else 32
        if op == isa.JSET:
            mine = self._low_bits(dst, bits)
            both = f"{mine}&{self._other(insn, bits)}"
            return both, f"not {both}"
        sign, no, is_signed = _SIGNS[op]
        if is_signed:
            left, right = self._compared(insn, bits)
            if not right:
                # The sign says it all.
                sign, no = (">", "<=") if sign in _NEGATIVE else ("<=", ">")
                right = str((1 << bits - 1) - 1)
        else:
            left = self._low_bits(dst, bits)
            right = self._other(insn, bits)
        if right == "0":
            if op == isa.JEQ:
                return f"not {left}", left
            if op == isa.JNE:
                return left, f"not {left}"
        return f"{left}{sign}{right}", f"{left}{no}{right}"

    def _low_bits(self, r: int, bits: int) -> str:
        """An expression for the low bits of a register as an unsigned number."""
        if bits == 64:
            return self.whole(r)
        low, high = self.known.ranges[r]
        return f"r{r}" if low >= 0 and high <= U32 else f"r{r}&{U32}"

    def _other(self, insn: Insn, bits: int) -> str:
        """The second operand, as an unsigned number."""
        if insn.code & isa.X:
            return self._low_bits(insn.src, bits)
        return str(insn.imm & (U64 if bits == 64 else U32))

    def _compared(self, insn: Insn, bits: int) -> tuple[str, str]:
        """Two expressions that compare as their operands do as signed numbers.

        The second is empty where the first is compared with 0: it is as an unsigned number then.
        """
        ranges = self.known.ranges
        top = 1 << (bits - 1)
        low, high = ranges[insn.dst]
        plain = -top <= low and high < top
        if not insn.code & isa.X:
            imm = insn.imm
            if plain:
                return f"r{insn.dst}", str(imm)
            mine = self._low_bits(insn.dst, bits)
            if imm == _SIGN_ONLY.get(insn.code & isa.OP_MASK):
                return mine, ""
            return f"{mine}^{top}", str(imm & 2 * top - 1 ^ top)
        low, high = ranges[insn.src]
        if plain and -top <= low and high < top:
            return f"r{insn.dst}", f"r{insn.src}"
        mine, other = self._low_bits(insn.dst, bits), self._low_bits(insn.src, bits)
        return f"{mine}^{top}", f"{other}^{top}"


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
# Signed comparisons that ask whether a number is negative, by what they compare it with.
_SIGN_ONLY = {isa.JSLT: 0, isa.JSGE: 0, isa.JSGT: -1, isa.JSLE: -1}
_NEGATIVE = ("<", "<=")


def _writer(row: Opcode) -> Callable[[Statements, Insn], None]:
    if row.code in ALU:
        return ALU[row.code]
    if row.code in (isa.CALL_CODE, isa.CALL_CODE | isa.X):
        return Statements.call
    return _CLASSES[row.code & isa.CLASS_MASK]


_CLASSES: dict[int, Callable[[Statements, Insn], None]] = {
    isa.LD: Statements.ld,
    isa.LDX: Statements.ldx,
    isa.ST: Statements.st,
    isa.STX: Statements.stx,
    isa.JMP: Statements.nothing,
    isa.JMP32: Statements.nothing,
}
_WRITERS = {0: Statements.nothing} | {row.code: _writer(row) for row in OPCODES}
