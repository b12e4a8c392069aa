"""Assembler and disassembler: two syntaxes, one table, and errors that name the place."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pylibbpf.errors import InsnError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.asm import assemble
from pylibbpf.isa.disasm import disassemble
from pylibbpf.isa.insn import Insn, decode, encode
from pylibbpf.isa.opcodes import OPCODES, find, problem

# One line in both syntaxes, and its encoding by RFC 9669: code, dst, src, off, imm.
BOTH = [
    ("r1 += 5", "add %r1, 5", (0x07, 1, 0, 0, 5)),
    ("w1 -= w2", "sub32 %r1, %r2", (0x1C, 1, 2, 0, 0)),
    ("r3 s/= -2", "sdiv %r3, -2", (0x37, 3, 0, 1, -2)),
    ("w3 s%= w4", "smod32 %r3, %r4", (0x9C, 3, 4, 1, 0)),
    ("r0 s>>= 63", "arsh %r0, 63", (0xC7, 0, 0, 0, 63)),
    ("r7 = -1", "mov %r7, 0xffffffff", (0xB7, 7, 0, 0, -1)),
    ("w7 = w10", "mov32 %r7, %r10", (0xBC, 7, 10, 0, 0)),
    ("r1 = (s8)r2", "movsx864 %r1, %r2", (0xBF, 1, 2, 8, 0)),
    ("w1 = (s16)w2", "movsx1632 %r1, %r2", (0xBC, 1, 2, 16, 0)),
    ("r5 = -r5", "neg %r5", (0x87, 5, 0, 0, 0)),
    ("r0 = be16 r0", "be16 %r0", (0xDC, 0, 0, 0, 16)),
    ("r0 = le32 r0", "le32 %r0", (0xD4, 0, 0, 0, 32)),
    ("r0 = bswap64 r0", "swap64 %r0", (0xD7, 0, 0, 0, 64)),
    ("r0 = bswap64 r0", "bswap64 %r0", (0xD7, 0, 0, 0, 64)),
    ("r0 = *(u32 *)(r1 +4)", "ldxw %r0, [%r1+4]", (0x61, 0, 1, 4, 0)),
    ("r0 = *(s8 *)(r1 -1)", "ldxsb %r0, [%r1-1]", (0x91, 0, 1, -1, 0)),
    ("*(u8 *)(r10 -1) = 255", "stb [%r10-1], 0xff", (0x72, 10, 0, -1, 255)),
    ("*(u64 *)(r1 +0) = r2", "stxdw [%r1], %r2", (0x7B, 1, 2, 0, 0)),
    ("lock *(u64 *)(r1 +0) += r2", "lock add [%r1], %r2", (0xDB, 1, 2, 0, 0)),
    ("r2 = atomic_fetch_xor((u32 *)(r1 +4), r2)", "lock fetch xor32 [%r1+4], %r2",
     (0xC3, 1, 2, 4, 0xA1)),
    ("r2 = atomic64_xchg((u64 *)(r1 +8), r2)", "lock xchg [%r1+8], %r2", (0xDB, 1, 2, 8, 0xE1)),
    ("r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)", "lock cmpxchg32 [%r1], %r2",
     (0xC3, 1, 2, 0, 0xF1)),
    ("goto pc-2", "ja -2", (0x05, 0, 0, -2, 0)),
    ("gotol pc+70000", "ja32 +70000", (0x06, 0, 0, 0, 70000)),
    ("if r1 s< r2 goto pc+3", "jslt %r1, %r2, +3", (0xCD, 1, 2, 3, 0)),
    ("if w1 & 0x80000000 goto pc+3", "jset32 %r1, 0x80000000, +3", (0x46, 1, 0, 3, -1 << 31)),
    ("call bpf_ktime_get_ns#5", "call 5", (0x85, 0, 0, 0, 5)),
    ("call pc+7", "call local +7", (0x85, 0, 1, 0, 7)),
    ("callx r3", "call %r3", (0x8D, 3, 0, 0, 0)),
    ("exit", "exit", (0x95, 0, 0, 0, 0)),
]  # fmt: skip
KERNEL = [
    ("may_goto pc+2", (0xE5, 0, 0, 2, 0)),
    ("gotox r3", (0x0D, 3, 0, 0, 0)),
    ("r0 = *(u16 *)skb[12]", (0x28, 0, 0, 0, 12)),
    ("r0 = *(u8 *)skb[r7 + -14]", (0x50, 0, 7, 0, -14)),
    ("r1 = load_acquire((u64 *)(r2 +0))", (0xDB, 1, 2, 0, 0x100)),
    ("store_release((u8 *)(r2 -8), r1)", (0xD3, 2, 1, -8, 0x110)),
    ("r1 = addr_space_cast(r2, 0, 1)", (0xBF, 1, 2, 1, 1)),
    ("r1 = addr_space_cast(r2, 1, 0)", (0xBF, 1, 2, 1, 1 << 16)),
    ("call kernel-function#71", (0x85, 0, 2, 0, 71)),
    ("call kernel-function#71 module +2", (0x85, 0, 2, 2, 71)),
    ("call unknown#100000", (0x85, 0, 0, 0, 100000)),
]


@pytest.mark.parametrize(("kernel", "other", "fields"), BOTH)
def test_both_syntaxes(kernel: str, other: str, fields: tuple[int, ...]) -> None:
    insn = Insn(*fields)
    assert assemble(kernel) == assemble(other) == [insn]
    assert list(disassemble([insn])) == [(0, kernel)]


@pytest.mark.parametrize(("text", "fields"), KERNEL)
def test_what_only_the_kernel_writes(text: str, fields: tuple[int, ...]) -> None:
    assert assemble(text) == [Insn(*fields)]
    assert list(disassemble([Insn(*fields)])) == [(0, text)]


@pytest.mark.parametrize(
    ("llvm", "kernel"),
    [
        ("w0 = *(u32 *)(r1 - 4)", "r0 = *(u32 *)(r1 -4)"),
        ("w0 = *(u8 *)(r1 + 4)", "r0 = *(u8 *)(r1 +4)"),
        ("*(u16 *)(r1 + 0) = w2", "*(u16 *)(r1 +0) = r2"),
        ("r1 = 5 ll", "r1 = 0x5"),
        ("r1 = 0x123456789abc ll", "r1 = 0x123456789abc"),
        ("if w1 s> -1 goto +1", "if w1 s> 0xffffffff goto pc+1"),
        ("lock *(u32 *)(r1 + 8) |= w2", "lock *(u32 *)(r1 +8) |= r2"),
        ("w2 = atomic_fetch_add((u32 *)(r1 + 0), w2)", "r2 = atomic_fetch_add((u32 *)(r1 +0), r2)"),
        ("r2 = atomic_fetch_and((u64 *)(r1 + 0), r2)",
         "r2 = atomic64_fetch_and((u64 *)(r1 +0), r2)"),
        ("w2 = xchg32_32(r1 + 0, w2)", "r2 = atomic_xchg((u32 *)(r1 +0), r2)"),
        ("r2 = xchg_64(r1 - 8, r2)", "r2 = atomic64_xchg((u64 *)(r1 -8), r2)"),
        ("w0 = cmpxchg32_32(r1 + 0, w0, w2)", "r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)"),
        ("r0 = cmpxchg_64(r1 + 0, r0, r2)", "r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)"),
        ("w1 = load_acquire((u16 *)(r2 + 0))", "r1 = load_acquire((u16 *)(r2 +0))"),
        ("store_release((u32 *)(r2 + 4), w1)", "store_release((u32 *)(r2 +4), r1)"),
        ("r0 = *(u16 *)skb[r7]", "r0 = *(u16 *)skb[r7 + 0]"),
        ("r1 = addr_space_cast(r2, 0x1, 0x0)", "r1 = addr_space_cast(r2, 1, 0)"),
        ("call 0x7", "call bpf_get_prandom_u32#7"),
    ],
)  # fmt: skip
def test_what_llvm_writes_differently(llvm: str, kernel: str) -> None:
    """Checked against the encodings of clang 19."""
    assert assemble(llvm) == assemble(kernel)


@pytest.mark.parametrize(
    ("text", "src", "imm", "other"),
    [
        ("r1 = 0x1122334455667788", 0, 0x55667788, 0x11223344),
        ("r1 = 0xffffffffffffffff", 0, -1, -1),
        ("r1 = map[fd:3]+0", 1, 3, 0),
        ("r1 = map[fd:3][0]+16", 2, 3, 16),
        ("r1 = btf[id:77]+4", 3, 77, 4),
        ("r1 = subprog[pc+9]+0", 4, 9, 0),
        ("r1 = map[idx:2]+0", 5, 2, 0),
        ("r1 = map[idx:2][0]+8", 6, 2, 8),
    ],
)
def test_all_kinds_of_64_bit_constants(text: str, src: int, imm: int, other: int) -> None:
    insns = [Insn(isa.LD_IMM64, 1, src, 0, imm), Insn(0, imm=other)]
    assert assemble(text) == insns
    assert assemble(f"lddw %r1, {text.removeprefix('r1 = ')}") == insns
    assert list(disassemble(insns)) == [(0, text)]


def test_hexadecimal_is_a_64_bit_constant_where_the_kernel_writes_it_so() -> None:
    assert assemble("r1 = 16")[0].code == isa.ALU64 | isa.MOV
    assert assemble("r1 = 0x10")[0].code == isa.LD_IMM64
    assert assemble("w1 = 0x10")[0].code == isa.ALU | isa.MOV
    assert assemble("lddw %r1, 16")[0].code == isa.LD_IMM64


def test_a_log_of_the_kernel_is_read() -> None:
    log = """
        ; int x = ctx->data; @ some.bpf.c:12
        0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(r=0) R1=ctx()
        1: (85) call bpf_get_prandom_u32#7    ; R0_w=scalar()
        2: (18) r2 = 0xffff888100            ; R2_w=map_ptr(map=m)
        4: (15) if r0 == 0x0 goto pc+1
        5: (b7) r0 = 1
        6: (95) exit
    """
    codes = [insn.code for insn in assemble(log)]
    assert codes == [0x61, 0x85, 0x18, 0, 0x15, 0xB7, 0x95]


def test_labels() -> None:
    text = """
    start: r0 = 1
    // a comment
    if r0 == 1 goto out  # and one
    goto start
    call local function
    call function
    gotol out
    out: exit
    function:
        exit
    """
    jumps = [(i.code, i.off, i.imm) for i in assemble(text) if i.off or i.imm]
    assert jumps == [
        (0xB7, 0, 1), (0x15, 4, 1), (0x05, -3, 0), (0x85, 0, 3), (0x85, 0, 2), (0x06, 0, 0),
    ][: len(jumps)]  # fmt: skip
    assert len(assemble(text)) == 8


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("exit\nr0 = r11", 2, 6, "there is no register r11"),
        ("\n\n  r0 = $", 3, 8, "expected"),
        ("mov %r1", 1, 8, "expected ',', and the line ends"),
        ("frobnicate r1", 1, 1, "'frobnicate' starts no instruction"),
        ("if r1 == 5 goto", 1, 16, "expected a label, or a distance such as pc+1"),
        ("r1 += 99999999999", 1, 7, "99999999999 does not fit"),
        ("r1 = 99999999999999999999", 1, 6, "does not fit"),
        ("r0 = -r1", 1, 7, "this has to be r0, as before"),
        ("r0 = be16 r1", 1, 11, "this has to be r0, as before"),
        ("call bpf_map_lookup_elem#2", 1, 25, "bpf_map_lookup_elem is number 1, not 2"),
        ("goto nowhere", 1, 6, "there is no label 'nowhere'"),
        ("r1 = *(u32 *)(r2 +40000)", 1, 18, "40000 does not fit"),
        ("r1 = ?", 1, 6, "'?' means nothing here"),
        ("a: exit\na: exit", 2, 1, "label 'a' is there twice"),
        ("exit exit", 1, 6, "expected the end of the line, not 'exit'"),
        ("5: (b8) r1 = 2", 1, 9, "the opcode is said to be 0xb8, but of this it is 0xb7"),
        ("5: (b7)  ", 1, 10, "an instruction is missing"),
        ("{d} += {i}", 1, 1, "'{' means nothing here"),
        ("lock *(u8 *)(r1 +0) += r2", 1, 8, "expected 'u32', 'u64', not 'u8'"),
        (".8byte 5 6", 1, 10, "expected the end of the line"),
    ],
)
def test_errors_name_the_place(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(InsnError) as caught:
        assemble(text)
    assert said in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


def test_a_label_that_is_too_far() -> None:
    far = "exit\n" * 40000
    assert len(assemble(f"gotol out\n{far}out: exit")) == 40002
    with pytest.raises(InsnError, match=r"label 'out' is 40000 instructions away.*too far"):
        assemble(f"goto out\n{far}out: exit")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((0xFF,), "there is no opcode 0xff"),
        ((0x0F, 1, 11), "there is no register 11"),
        ((0x0F, 1, 2, 3), "off of opcode 0x0f is 3, not 0"),
        ((0x37, 1, 0, 2, 5), "off of opcode 0x37 is 2, not 0 or 1"),
        ((0x0F, 1, 2, 0, 9), "imm of opcode 0x0f is 9, not 0"),
        ((0xDC, 1, 0, 0, 24), "imm of opcode 0xdc is 24, not 16 or 32 or 64"),
        ((0xDB, 1, 2, 0, 0x33), "imm of opcode 0xdb is 51, not one of 0, 1, 64"),
        ((0x18, 1, 7), "src of opcode 0x18 is 7, not one of 0, 1, 2, 3, 4, 5, 6"),
        ((0x95, 0, 0, 0, 1), "imm of opcode 0x95 is 1, not 0"),
    ],
)
def test_what_is_wrong_with_an_instruction(fields: tuple[int, ...], said: str) -> None:
    insn = Insn(*fields)
    assert find(insn) is None
    assert said in str(problem(insn))


def test_every_row_is_found_by_its_own_instruction() -> None:
    """No row hides another, in the bytes or in the text."""

    def some(want: int | str, sample: int) -> int:
        return want if isinstance(want, int) else sample

    for row in OPCODES:
        insn = Insn(
            row.code, some(row.dst, 3), some(row.src, 4), some(row.off, -6), some(row.imm, 77)
        )
        assert find(insn) is row
        insns = [insn, Insn(0, imm=5)] if row.wide else [insn]
        if row.wide and insn.src in (1, 4, 5):
            insns[1].imm = 0
        texts = [text for _, text in disassemble(insns)]
        assert len(texts) == 1
        assert assemble(texts[0]) == insns, row


SLOT = st.binary(min_size=8, max_size=8)
# Half of what is drawn has an opcode that there is: whole random bytes rarely do.
LIKELY = st.builds(
    lambda row, dst, src, off, imm: encode(
        [
            Insn(
                row.code,
                row.dst if isinstance(row.dst, int) else dst,
                row.src if isinstance(row.src, int) else src,
                row.off if isinstance(row.off, int) else off,
                row.imm if isinstance(row.imm, int) else imm,
            )
        ]
    ),
    st.sampled_from(OPCODES),
    st.integers(0, 11),
    st.integers(0, 11),
    st.integers(-(1 << 15), (1 << 15) - 1),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
CODE = st.lists(SLOT | LIKELY | st.just(bytes(8)), max_size=12).map(b"".join)


@settings(deadline=None)
@given(CODE)
@example(bytes.fromhex("1801000005000000 0000000000000000"))
@example(bytes.fromhex("1801000005000000"))
@example(bytes.fromhex("1801000005000000 1801000005000000 0000000007000000"))
def test_what_is_written_is_read_back(code: bytes) -> None:
    """Any bytes: what is no instruction is written as its bytes."""
    insns = decode(code)
    assert encode(insns) == code
    text = "\n".join(text for _, text in disassemble(insns))
    assert encode(assemble(text)) == code


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("r012w+-=*&()[]su8 6:#,%<>gotpc", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    refused = None
    try:
        insns = assemble(text)
    except InsnError as error:
        refused = error
    if refused is None:
        assert encode(insns) == encode(assemble("\n".join(t for _, t in disassemble(insns))))
        return
    lines = text.split("\n")
    assert refused.line is not None
    assert 1 <= refused.line <= len(lines)
    assert refused.column is not None
    assert 1 <= refused.column <= len(lines[refused.line - 1]) + 1
