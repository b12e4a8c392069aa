"""The templates of :mod:`pylibbpf.isa.opcodes`, made into what writes and what reads.

Both directions come from the same templates: what is written is read back.
"""

from __future__ import annotations

import re

from pylibbpf.isa import insn as isa
from pylibbpf.isa.llvm import templates
from pylibbpf.isa.opcodes import OPCODES, Opcode
from pylibbpf.uapi.helpers import HELPER_IDS, HELPERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.isa.insn import Insn

    Slot = Callable[[str, "list[Token]", int], "tuple[Value, int]"]
    # A number, or the label that a jump goes to.
    Value = int | str

__all__ = ["SLOTS", "TRIE", "Mismatch", "Token", "Trie", "raw", "tokens", "write"]

_KFUNC = "kernel-function"  # what the kernel calls those whose name it does not know

_TOKEN = re.compile(
    r"""
    (?P<slot>\{\w\})
    | (?P<register>%?[rw][0-9]+\b)
    | (?P<number>0[xX][0-9a-fA-F]+\b | [0-9]+\b)
    | (?P<sign><<= | s?>>= | s?[<>]= | s[<>] | s?[/%]= | [-+*&|^=!]= | [-+*&=<>(),:\[\]#])
    | (?P<word>[A-Za-z_.$][\w.$]*)
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")


class Token:
    """A word, number, register or sign; ``column`` is where it starts, from 1."""

    __slots__ = ("column", "kind", "text")

    def __init__(self, kind: str, text: str, column: int) -> None:
        self.kind = kind
        self.text = text
        self.column = column

    def __repr__(self) -> str:
        return f"<{self.kind} {self.text!r} at {self.column}>"


class Mismatch(Exception):  # steers the search; what is reported is InsnError
    """A token is not what it would have to be; ``at`` is its index, or one behind the last."""

    def __init__(self, at: int, wanted: str, *, exact: bool = False) -> None:
        super().__init__(wanted)
        self.at = at
        self.wanted = wanted
        self.exact = exact
        """It says by itself what is wrong."""


def tokens(line: str, start: int = 0) -> tuple[list[Token], int]:
    """Cut a line into tokens; the number is where it stopped, which is its end if all went well."""
    found: list[Token] = []
    at = start
    while True:
        space = _SPACE.match(line, at)
        at = space.end() if space is not None else at
        match = _TOKEN.match(line, at)
        if match is None or match.lastgroup is None:
            return found, at
        found.append(Token(match.lastgroup, match[0], at + 1))
        at = match.end()


# Writing.


def _helper(insn: Insn, other: int) -> str:
    known = HELPERS[insn.imm] if 0 < insn.imm < len(HELPERS) else None
    return f"bpf_{known}#{insn.imm}" if known else f"unknown#{insn.imm}"


# What a slot holds, from the instruction and the imm of its second half.
_WRITERS: dict[str, Callable[[Insn, int], str]] = {
    "d": lambda insn, other: f"r{insn.dst}",
    "s": lambda insn, other: f"r{insn.src}",
    "D": lambda insn, other: f"w{insn.dst}",
    "S": lambda insn, other: f"w{insn.src}",
    "i": lambda insn, other: str(insn.imm),
    "n": lambda insn, other: str(insn.imm),
    "x": lambda insn, other: hex(insn.imm & 0xFFFFFFFF),
    "q": lambda insn, other: hex((other & 0xFFFFFFFF) << 32 | insn.imm & 0xFFFFFFFF),
    "m": lambda insn, other: str(other),
    "o": lambda insn, other: f"{insn.off:+d}",
    "j": lambda insn, other: f"pc{insn.off:+d}",
    "J": lambda insn, other: f"pc{insn.imm:+d}",
    "h": _helper,
    "k": lambda insn, other: f"{_KFUNC}#{insn.imm}",
}
_PIECES = re.compile(r"\{(\w)\}")


def write(row: Opcode, insn: Insn, other: int = 0) -> str:
    """Write an instruction as the kernel's logs do; ``other``: the imm of its second half."""
    return _PIECES.sub(lambda slot: _WRITERS[slot[1]](insn, other), row.syntax[0])


def raw(insn: Insn) -> str:
    """Write a slot that is no instruction, so that it can be read back."""
    return f".8byte 0x{int.from_bytes(isa.encode((insn,)), 'little'):016x}"


# Reading. Each takes the tokens and an index, and gives a value and the index behind it.


def _token(line: list[Token], at: int, kind: str, wanted: str) -> str:
    if at >= len(line) or line[at].kind != kind:
        raise Mismatch(at, wanted)
    return line[at].text


def _register(letter: str) -> Slot:
    def read(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
        text = _token(line, at, "register", f"a register {letter}0 to {letter}10").lstrip("%")
        if text[0] != letter:
            raise Mismatch(at, f"a register {letter}0 to {letter}10")
        number = int(text[1:]) if len(text) < 5 else isa.REGISTERS
        if number >= isa.REGISTERS:
            raise Mismatch(at, f"there is no register {text[:40]}", exact=True)
        return number, at + 1

    return read


def _number(line: list[Token], at: int, low: int, high: int) -> tuple[int, int]:
    """A number with or without a sign, from ``low`` to ``high``."""
    start = at
    negative = False
    if at < len(line) and line[at].text in ("+", "-"):
        negative = line[at].text == "-"
        at += 1
    text = _token(line, at, "number", "a number")
    # int() of very long decimals takes quadratic time, and refuses.
    value = int(text, 0 if text[:2] in ("0x", "0X") else 10) if len(text) <= 40 else high + 1
    value = -value if negative else value
    if not low <= value <= high:
        raise Mismatch(start, f"{text[:40]} does not fit: it can be {low} to {high}", exact=True)
    return value, at + 1


def _imm(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    return _number(line, at, -(1 << 31), (1 << 32) - 1)


def _decimal(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    value, after = _number(line, at, -(1 << 31), (1 << 32) - 1)
    if line[after - 1].text[:2] in ("0x", "0X"):
        raise Mismatch(at, "a decimal number")
    return value, after


def _wide(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    return _number(line, at, -(1 << 63), (1 << 64) - 1)


def _offset(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    if at < len(line) and line[at].text in ("+", "-"):
        return _number(line, at, -(1 << 15), (1 << 15) - 1)
    return 0, at


def _jump(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    bits = 16 if slot == "j" else 32
    if at < len(line) and line[at].kind == "word" and line[at].text != "pc":
        return line[at].text, at + 1
    here = at + (at < len(line) and line[at].text == "pc")
    if here >= len(line) or line[here].text not in ("+", "-"):
        raise Mismatch(here, "a label, or a distance such as pc+1")
    return _number(line, here, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _name(line: list[Token], at: int) -> tuple[str, int]:
    name = _token(line, at, "word", "the name of a function")
    at += 1
    while at + 1 < len(line) and line[at].text == "-" and line[at + 1].kind == "word":
        name += "-" + line[at + 1].text
        at += 2
    return name, at


def _numbered(line: list[Token], at: int) -> tuple[int, int]:
    if at >= len(line) or line[at].text != "#":
        raise Mismatch(at, "# and the function's number")
    return _number(line, at + 1, -(1 << 31), (1 << 31) - 1)


def _read_helper(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    name, after = _name(line, at)
    known = HELPER_IDS.get(name.removeprefix("bpf_")) if name.startswith("bpf_") else None
    if known is not None and (after >= len(line) or line[after].text != "#"):
        return known, after
    if known is None and name != "unknown":
        raise Mismatch(at, "the name of a helper")
    value, end = _numbered(line, after)
    if known is not None and value != known:
        raise Mismatch(after, f"{name} is number {known}, not {value}", exact=True)
    return value, end


def _read_kfunc(slot: str, line: list[Token], at: int) -> tuple[Value, int]:
    name, after = _name(line, at)
    if name == "unknown" or name.removeprefix("bpf_") in HELPER_IDS:
        raise Mismatch(at, "the name of a kfunc")
    return _numbered(line, after)


SLOTS: dict[str, Slot] = {
    "d": _register("r"),
    "s": _register("r"),
    "D": _register("w"),
    "S": _register("w"),
    "i": _imm,
    "n": _decimal,
    "x": _imm,
    "q": _wide,
    "m": _imm,
    "o": _offset,
    "j": _jump,
    "J": _jump,
    "h": _read_helper,
    "k": _read_kfunc,
}


class Trie:
    """All templates as a tree: words and signs lead on by text, slots by their letter."""

    __slots__ = ("row", "slots", "words")

    def __init__(self) -> None:
        self.words: dict[str, Trie] = {}
        self.slots: dict[str, Trie] = {}
        self.row: Opcode | None = None

    def add(self, row: Opcode, template: str) -> None:
        node = self
        for token in tokens(template)[0]:
            if token.kind == "slot":
                node = node.slots.setdefault(token.text[1], Trie())
            else:
                node = node.words.setdefault(token.text, Trie())
        assert node.row is None or node.row is row, template
        node.row = row


TRIE = Trie()
for _row in OPCODES:
    for _template in (*_row.syntax, *templates(_row)):
        TRIE.add(_row, _template)
