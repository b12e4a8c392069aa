"""One BPF instruction, and the numbers it is made of (RFC 9669, sections 3 to 5)."""

from __future__ import annotations

from struct import Struct, error

from pylibbpf.errors import InsnError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["INSN_SIZE", "Insn", "decode", "encode", "imm64", "is_ld_imm64", "jump_target"]

INSN_SIZE = 8

# Instruction classes: the low three bits of the opcode.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
CLASS_MASK = 0x07

# Arithmetic and jumps: one bit says where the second operand comes from, four bits say what.
K = 0x00  # the second operand is imm
X = 0x08  # the second operand is the source register
OP_MASK = 0xF0

ADD, SUB, MUL, DIV, OR, AND, LSH, RSH = range(0x00, 0x80, 0x10)
NEG, MOD, XOR, MOV, ARSH, END = range(0x80, 0xE0, 0x10)

JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE = range(0x00, 0x80, 0x10)
CALL, EXIT, JLT, JLE, JSLT, JSLE, JCOND = range(0x80, 0xF0, 0x10)

# Loads and stores: two bits of size, three bits of mode.
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
SIZE_MASK = 0x18
SIZES = {W: 4, H: 2, B: 1, DW: 8}
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
MODE_MASK = 0xE0

# What imm of an atomic instruction says. The first four may have FETCH; the exchanges always do.
FETCH = 0x01
ATOMIC_ADD, ATOMIC_OR, ATOMIC_AND, ATOMIC_XOR = 0x00, 0x40, 0x50, 0xA0
ATOMIC_XCHG, ATOMIC_CMPXCHG = 0xE0 | FETCH, 0xF0 | FETCH
LOAD_ACQ, STORE_REL = 0x100, 0x110  # kernel 6.15

LD_IMM64 = LD | IMM | DW
CALL_CODE = JMP | CALL
EXIT_CODE = JMP | EXIT
GOTOX = JMP | JA | X  # to where a register points, in a table of instructions (kernel 6.19)

# What the source register of LD_IMM64 says about its value (uapi linux/bpf.h, 6.18).
PSEUDO_MAP_FD = 1
PSEUDO_MAP_VALUE = 2
PSEUDO_BTF_ID = 3
PSEUDO_FUNC = 4
PSEUDO_MAP_IDX = 5
PSEUDO_MAP_IDX_VALUE = 6

# What the source register of CALL says about its target.
HELPER = 0
PSEUDO_CALL = 1
PSEUDO_KFUNC_CALL = 2

TAIL_CALL = 12  # the helper that goes to another program (BPF_FUNC_tail_call)
ADDR_SPACE_CAST = 1  # off of MOV | X: an address of an arena (kernel 6.9); imm says to where
TO_KERNEL, TO_USER = 1, 1 << 16

R10 = 10  # the frame pointer, read only
REGISTERS = 11

# What the kernel sets for all programs (include/linux/bpf.h, filter.h, bpf_verifier.h; 6.18).
STACK_SIZE = 512  # MAX_BPF_STACK: of all frames of a call chain together
FRAMES = 8  # MAX_CALL_FRAMES
TAIL_CALLS = 33  # MAX_TAIL_CALL_CNT
LOOPS = 8 * 1024 * 1024  # BPF_MAX_LOOPS: what may_goto lets pass in one frame

_LAYOUT = Struct("<BBhi")


class Insn:
    """One slot of eight bytes; ``LD_IMM64`` takes two, the second with opcode 0.

    ``off`` and ``imm`` are signed, as the kernel's ``struct bpf_insn`` has them.
    """

    __slots__ = ("code", "dst", "imm", "off", "src")

    def __init__(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.code = code
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Insn):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Insn(0x{self.code:02x}, {self.dst}, {self.src}, {self.off}, {self.imm})"

    def _key(self) -> tuple[int, int, int, int, int]:
        return (self.code, self.dst, self.src, self.off, self.imm)


def decode(data: bytes | bytearray | memoryview) -> list[Insn]:
    """Read little-endian instructions; the index in the list is the kernel's instruction number.

    Both slots of ``LD_IMM64`` are kept for that reason.

    Raises:
        InsnError: the length is not a multiple of eight.
    """
    if len(data) % INSN_SIZE:
        raise InsnError(f"{len(data)} bytes are not a whole number of 8-byte BPF instructions")
    return [
        Insn(code, registers & 0x0F, registers >> 4, off, imm)
        for code, registers, off, imm in _LAYOUT.iter_unpack(data)
    ]


def encode(insns: Iterable[Insn]) -> bytes:
    """Turn instructions back into the bytes that :func:`decode` reads.

    Raises:
        InsnError: a field does not fit: registers have 4 bits, off 16 and imm 32, with a sign.
    """
    done: list[bytes] = []
    add, pack = done.append, _LAYOUT.pack
    insn = None
    try:
        for insn in insns:
            dst = insn.dst
            add(pack(insn.code, insn.src << 4 | dst if dst >> 4 == 0 else -1, insn.off, insn.imm))
    except error:
        raise InsnError(f"a field of {insn!r} does not fit", insn=len(done)) from None
    return b"".join(done)


def is_ld_imm64(insn: Insn) -> bool:
    """Tell whether this slot is the first of the two that load a 64-bit constant."""
    return insn.code == LD_IMM64


def imm64(insns: Sequence[Insn], index: int) -> int:
    """Give the unsigned 64-bit constant of the ``LD_IMM64`` at ``index``.

    A program that is cut off after the first slot has zeros above.
    """
    low = insns[index].imm & 0xFFFFFFFF
    high = insns[index + 1].imm & 0xFFFFFFFF if index + 1 < len(insns) else 0
    return high << 32 | low


def jump_target(insn: Insn, at: int) -> int | None:
    """Tell where a jump goes if it is taken.

    None for what is no jump, as calls are none, and for those to where a register says.
    """
    kind = insn.code & CLASS_MASK
    op = insn.code & OP_MASK
    if kind not in (JMP, JMP32) or op in (CALL, EXIT) or insn.code == GOTOX:
        return None
    # gotol: the offset is in imm (RFC 9669, section 4.3)
    return at + 1 + (insn.imm if insn.code == JMP32 | JA else insn.off)
