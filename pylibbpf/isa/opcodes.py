"""Every instruction there is: which fields it uses, and how it is written.

One table; decoder, checks, assembler and disassembler are made from it. A field is a fixed number,
or a name of what it holds. Syntax is a template: words and signs, with operands in braces.

====== ===================================================================
``d``  destination register, 64 bits; ``D`` its low half (``w1``)
``s``  source register; ``S`` its low half
``i``  imm, signed, decimal; in a template for reading, any number of 32 bits
``n``  the same, only decimal: where the kernel writes LD_IMM64 alike, in hexadecimal
``x``  imm, unsigned, hexadecimal
``q``  the 64-bit constant of LD_IMM64, hexadecimal
``m``  the imm of the second slot
``o``  off, with its sign; may be left out in a template for reading
``j``  off as a jump: ``pc+1``, or a label; ``J`` imm as a jump
``h``  a helper: ``bpf_map_lookup_elem#1``, or its number; ``k`` a kfunc: ``name#id``
====== ===================================================================

The first template is what the kernel's logs have (kernel/bpf/disasm.c, print_bpf_insn, 6.18), the
second what the files of bpf_conformance have, where they have it. More are read, and not written.
Where the kernel prints nothing of its own, we follow bpftool or the words of uapi.
"""

from __future__ import annotations

from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.isa.insn import Insn

__all__ = ["BY_CODE", "OPCODES", "Opcode", "find", "problem", "writes_r10"]

# Registers that may stand in a field.
_REGISTER = "r"  # any
_WRITABLE = "w"  # any, and it is written: running it with r10 is an error
# What may stand in off and imm.
_ANY = "*"


class Opcode:
    """One instruction: its fields, and its syntax. ``dst``, ``src``: "r" any register, "w" not r10.

    ``off`` and ``imm``: "*" anything. ``wide``: it takes two slots. ``kind`` groups what executors
    treat alike: "alu", "end", "ldx", "st", "stx", "atomic", "legacy", "const", "jump", "cond",
    "call", "exit", "may_goto", "cast", "gotox".
    """

    __slots__ = ("code", "dst", "imm", "kind", "off", "src", "syntax", "wide")

    def __init__(
        self,
        code: int,
        kind: str,
        dst: int | str,
        src: int | str,
        off: int | str,
        imm: int | str,
        *syntax: str,
        wide: bool = False,
    ) -> None:
        self.code = code
        self.kind = kind
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm
        self.syntax = syntax
        self.wide = wide

    def __repr__(self) -> str:
        return f"<Opcode {self.code:#04x} {self.syntax[0]!r}>"


# Operation, its sign in the kernel's syntax, its name in the other, and off.
_BINARY = (
    (isa.ADD, "+=", "add", 0),
    (isa.SUB, "-=", "sub", 0),
    (isa.MUL, "*=", "mul", 0),
    (isa.DIV, "/=", "div", 0),
    (isa.DIV, "s/=", "sdiv", 1),
    (isa.OR, "|=", "or", 0),
    (isa.AND, "&=", "and", 0),
    (isa.LSH, "<<=", "lsh", 0),
    (isa.RSH, ">>=", "rsh", 0),
    (isa.MOD, "%=", "mod", 0),
    (isa.MOD, "s%=", "smod", 1),
    (isa.XOR, "^=", "xor", 0),
    (isa.ARSH, "s>>=", "arsh", 0),
)
_CONDITIONS = (
    (isa.JEQ, "==", "jeq"),
    (isa.JGT, ">", "jgt"),
    (isa.JGE, ">=", "jge"),
    (isa.JSET, "&", "jset"),
    (isa.JNE, "!=", "jne"),
    (isa.JSGT, "s>", "jsgt"),
    (isa.JSGE, "s>=", "jsge"),
    (isa.JLT, "<", "jlt"),
    (isa.JLE, "<=", "jle"),
    (isa.JSLT, "s<", "jslt"),
    (isa.JSLE, "s<=", "jsle"),
)
_SIZES = ((isa.B, 8, "b"), (isa.H, 16, "h"), (isa.W, 32, "w"), (isa.DW, 64, "dw"))
_ATOMIC = (
    (isa.ATOMIC_ADD, "+=", "add"),
    (isa.ATOMIC_OR, "|=", "or"),
    (isa.ATOMIC_AND, "&=", "and"),
    (isa.ATOMIC_XOR, "^=", "xor"),
)
# LD_IMM64 by its source register. The kernel prints all as addresses; bpftool like this.
_CONSTANTS = (
    (0, "{q}"),
    (isa.PSEUDO_MAP_FD, "map[fd:{i}]+{m}"),
    (isa.PSEUDO_MAP_VALUE, "map[fd:{i}][0]+{m}"),
    (isa.PSEUDO_BTF_ID, "btf[id:{i}]+{m}"),
    (isa.PSEUDO_FUNC, "subprog[{J}]+{m}"),
    (isa.PSEUDO_MAP_IDX, "map[idx:{i}]+{m}"),
    (isa.PSEUDO_MAP_IDX_VALUE, "map[idx:{i}][0]+{m}"),
)


def _rows() -> Iterator[Opcode]:
    yield from _arithmetic(isa.ALU64, "{d}", "{s}", "")
    yield from _arithmetic(isa.ALU, "{D}", "{S}", "32")
    yield from _bytes_and_casts()
    yield from _memory()
    yield from _jumps()


def _arithmetic(kind: int, d: str, s: str, bits: str) -> Iterator[Opcode]:
    for op, sign, name, off in _BINARY:
        name += bits
        yield Opcode(
            kind | op | isa.K, "alu", _WRITABLE, 0, off, _ANY, f"{d} {sign} {{i}}",
            f"{name} {{d}}, {{i}}",
        )  # fmt: skip
        yield Opcode(
            kind | op | isa.X, "alu", _WRITABLE, _REGISTER, off, 0, f"{d} {sign} {s}",
            f"{name} {{d}}, {{s}}",
        )  # fmt: skip
    # "r1 = 0x10" is LD_IMM64 in the kernel's logs: hexadecimal is not read as a MOV of 64 bits.
    imm = "{i}" if bits else "{n}"
    yield Opcode(
        kind | isa.MOV | isa.K, "alu", _WRITABLE, 0, 0, _ANY, f"{d} = {imm}",
        f"mov{bits} {{d}}, {{i}}",
    )  # fmt: skip
    yield Opcode(
        kind | isa.MOV | isa.X, "alu", _WRITABLE, _REGISTER, 0, 0, f"{d} = {s}",
        f"mov{bits} {{d}}, {{s}}",
    )  # fmt: skip
    for width in (8, 16) if bits else (8, 16, 32):
        yield Opcode(
            kind | isa.MOV | isa.X, "alu", _WRITABLE, _REGISTER, width, 0, f"{d} = (s{width}){s}",
            f"movsx{width}{bits or 64} {{d}}, {{s}}",
        )  # fmt: skip
    yield Opcode(
        kind | isa.NEG | isa.K, "alu", _WRITABLE, 0, 0, 0, f"{d} = -{d}", f"neg{bits} {{d}}"
    )


def _bytes_and_casts() -> Iterator[Opcode]:
    for code, name, more in (
        (isa.ALU | isa.END | isa.K, "le", ()),
        (isa.ALU | isa.END | isa.X, "be", ()),
        (isa.ALU64 | isa.END, "bswap", ("swap",)),
    ):
        for bits in (16, 32, 64):
            others = [f"{other}{bits} {{d}}" for other in (*more, name)]
            yield Opcode(code, "end", _WRITABLE, 0, 0, bits, f"{{d}} = {name}{bits} {{d}}", *others)
    # What the imm says is the space to, and the space from; 0 is the kernel's, 1 the arena's.
    for imm, spaces in ((isa.TO_KERNEL, "0, 1"), (isa.TO_USER, "1, 0")):
        yield Opcode(
            isa.ALU64 | isa.MOV | isa.X, "cast", _WRITABLE, _REGISTER, isa.ADDR_SPACE_CAST, imm,
            f"{{d}} = addr_space_cast({{s}}, {spaces})",
        )  # fmt: skip


def _memory() -> Iterator[Opcode]:
    for size, bits, letter in _SIZES:
        there = f"*(u{bits} *)({{d}} {{o}})"
        yield Opcode(
            isa.LDX | isa.MEM | size, "ldx", _WRITABLE, _REGISTER, _ANY, 0,
            f"{{d}} = *(u{bits} *)({{s}} {{o}})", f"ldx{letter} {{d}}, [{{s}}{{o}}]",
        )  # fmt: skip
        if bits < 64:
            yield Opcode(
                isa.LDX | isa.MEMSX | size, "ldx", _WRITABLE, _REGISTER, _ANY, 0,
                f"{{d}} = *(s{bits} *)({{s}} {{o}})", f"ldxs{letter} {{d}}, [{{s}}{{o}}]",
            )  # fmt: skip
        yield Opcode(
            isa.ST | isa.MEM | size, "st", _REGISTER, 0, _ANY, _ANY, f"{there} = {{i}}",
            f"st{letter} [{{d}}{{o}}], {{i}}",
        )  # fmt: skip
        yield Opcode(
            isa.STX | isa.MEM | size, "stx", _REGISTER, _REGISTER, _ANY, 0, f"{there} = {{s}}",
            f"stx{letter} [{{d}}{{o}}], {{s}}",
        )  # fmt: skip
        code = isa.STX | isa.ATOMIC | size
        yield Opcode(
            code, "atomic", _WRITABLE, _REGISTER, _ANY, isa.LOAD_ACQ,
            f"{{d}} = load_acquire((u{bits} *)({{s}} {{o}}))",
        )  # fmt: skip
        yield Opcode(
            code, "atomic", _REGISTER, _REGISTER, _ANY, isa.STORE_REL,
            f"store_release((u{bits} *)({{d}} {{o}}), {{s}})",
        )  # fmt: skip
        if bits >= 32:
            yield from _atomics(code, bits)
        if bits < 64:
            yield Opcode(
                isa.LD | isa.ABS | size, "legacy", 0, 0, 0, _ANY, f"r0 = *(u{bits} *)skb[{{i}}]"
            )
            yield Opcode(
                isa.LD | isa.IND | size, "legacy", 0, _REGISTER, 0, _ANY,
                f"r0 = *(u{bits} *)skb[{{s}} + {{i}}]",
            )  # fmt: skip
    for src, value in _CONSTANTS:
        yield Opcode(
            isa.LD_IMM64, "const", _WRITABLE, src, 0, _ANY, f"{{d}} = {value}",
            f"lddw {{d}}, {value}", wide=True,
        )  # fmt: skip


def _atomics(code: int, bits: int) -> Iterator[Opcode]:
    suffix, half = ("64", "") if bits == 64 else ("", "32")
    there = f"(u{bits} *)({{d}} {{o}})"
    for op, sign, name in _ATOMIC:
        yield Opcode(
            code, "atomic", _REGISTER, _REGISTER, _ANY, op, f"lock *{there} {sign} {{s}}",
            f"lock {name}{half} [{{d}}{{o}}], {{s}}",
        )  # fmt: skip
        yield Opcode(
            code, "atomic", _REGISTER, _WRITABLE, _ANY, op | isa.FETCH,
            f"{{s}} = atomic{suffix}_fetch_{name}({there}, {{s}})",
            f"lock fetch {name}{half} [{{d}}{{o}}], {{s}}",
        )  # fmt: skip
    yield Opcode(
        code, "atomic", _REGISTER, _WRITABLE, _ANY, isa.ATOMIC_XCHG,
        f"{{s}} = atomic{suffix}_xchg({there}, {{s}})", f"lock xchg{half} [{{d}}{{o}}], {{s}}",
    )  # fmt: skip
    yield Opcode(
        code, "atomic", _REGISTER, _REGISTER, _ANY, isa.ATOMIC_CMPXCHG,
        f"r0 = atomic{suffix}_cmpxchg({there}, r0, {{s}})",
        f"lock cmpxchg{half} [{{d}}{{o}}], {{s}}",
    )  # fmt: skip


def _jumps() -> Iterator[Opcode]:
    yield Opcode(isa.JMP | isa.JA, "jump", 0, 0, _ANY, 0, "goto {j}", "ja {j}")
    yield Opcode(isa.JMP32 | isa.JA, "jump", 0, 0, 0, _ANY, "gotol {J}", "ja32 {J}")
    yield Opcode(isa.GOTOX, "gotox", _REGISTER, 0, 0, 0, "gotox {d}")
    yield Opcode(isa.JMP | isa.JCOND, "may_goto", 0, 0, _ANY, 0, "may_goto {j}")
    for kind, d, s, bits in ((isa.JMP, "{d}", "{s}", ""), (isa.JMP32, "{D}", "{S}", "32")):
        for op, sign, name in _CONDITIONS:
            yield Opcode(
                kind | op | isa.K, "cond", _REGISTER, 0, _ANY, _ANY,
                f"if {d} {sign} {{x}} goto {{j}}", f"{name}{bits} {{d}}, {{i}}, {{j}}",
            )  # fmt: skip
            yield Opcode(
                kind | op | isa.X, "cond", _REGISTER, _REGISTER, _ANY, 0,
                f"if {d} {sign} {s} goto {{j}}", f"{name}{bits} {{d}}, {{s}}, {{j}}",
            )  # fmt: skip
    yield Opcode(isa.CALL_CODE, "call", 0, isa.HELPER, 0, _ANY, "call {h}", "call {i}")
    yield Opcode(isa.CALL_CODE, "call", 0, isa.PSEUDO_CALL, 0, _ANY, "call {J}", "call local {J}")
    # off says which module's BTF the number is of; the kernel does not print it.
    yield Opcode(isa.CALL_CODE, "call", 0, isa.PSEUDO_KFUNC_CALL, 0, _ANY, "call {k}")
    yield Opcode(isa.CALL_CODE, "call", 0, isa.PSEUDO_KFUNC_CALL, _ANY, _ANY, "call {k} module {o}")
    yield Opcode(isa.CALL_CODE | isa.X, "call", _REGISTER, 0, 0, 0, "callx {d}", "call {d}")
    yield Opcode(isa.EXIT_CODE, "exit", 0, 0, 0, 0, "exit", "exit")


OPCODES = tuple(_rows())
BY_CODE: dict[int, list[Opcode]] = {}
for _row in OPCODES:
    BY_CODE.setdefault(_row.code, []).append(_row)


def find(insn: Insn) -> Opcode | None:
    """Give the row of an instruction; None where none fits: :func:`problem` says why."""
    for row in BY_CODE.get(insn.code, ()):
        if _differs(row, insn) is None:
            return row
    return None


def _differs(row: Opcode, insn: Insn) -> str | None:
    """Name the first field that does not fit."""
    for field, want, has in (
        ("src", row.src, insn.src),
        ("dst", row.dst, insn.dst),
        ("off", row.off, insn.off),
        ("imm", row.imm, insn.imm),
    ):
        if isinstance(want, int):
            if has != want:
                return field
        elif want == _ANY:
            continue
        elif has >= isa.REGISTERS:
            return field
    return None


def writes_r10(row: Opcode, insn: Insn) -> bool:
    """Tell whether an instruction of this row would change r10, which no program may."""
    return (row.dst == _WRITABLE and insn.dst == isa.R10) or (
        row.src == _WRITABLE and insn.src == isa.R10
    )


def problem(insn: Insn) -> str | None:
    """Say what is wrong with an instruction by itself; None: nothing."""
    rows = BY_CODE.get(insn.code)
    if rows is None:
        return f"there is no opcode {insn.code:#04x}"
    worst = None
    for row in rows:
        field = _differs(row, insn)
        if field is None:
            return None
        worst = field  # fields are compared in one order: the last row gets as far as any
    assert worst is not None
    has: int = getattr(insn, worst)
    if worst in ("dst", "src") and has >= isa.REGISTERS:
        return f"there is no register {has}"
    may = sorted({w for row in rows if isinstance(w := getattr(row, worst), int)})
    wanted = " or ".join(map(str, may)) if len(may) < 5 else f"one of {', '.join(map(str, may))}"
    return f"{worst} of opcode {insn.code:#04x} is {has}" + (f", not {wanted}" if may else "")
