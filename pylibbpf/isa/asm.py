"""Turn text into instructions.

It reads what the kernel's logs have (``r0 = *(u32 *)(r1 +4)``), with or without the instruction's
number and opcode before it and a state behind it, and what the files of bpf_conformance have
(``ldxw %r0, [%r1+4]``), line by line, also mixed. Labels end with a colon. A comment starts with
``;``, ``//``, or ``#`` at the start of a word.
"""

from __future__ import annotations

import re

from pylibbpf.errors import InsnError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn
from pylibbpf.isa.opcodes import problem
from pylibbpf.isa.syntax import SLOTS, TRIE, Mismatch, Token, tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.isa.opcodes import Opcode
    from pylibbpf.isa.syntax import Trie, Value

__all__ = ["assemble"]

_COMMENT = re.compile(r";|//|(?:^|(?<=\s))#")
_PREFIX = re.compile(r"\s*(?:[0-9]+:\s*)?\((?P<code>[0-9a-f]{2})\)\s")
_NUMBER = re.compile(r"\s*[0-9]+:\s")
_LABEL = re.compile(r"\s*(?P<name>[A-Za-z_.$][\w.$]*)\s*:")
_RAW = ".8byte"
_NAMED = 6  # of what could stand at a place, in a message


class _Jump:
    """A jump to a label that may come later."""

    __slots__ = ("at", "bits", "column", "field", "label", "line")

    def __init__(self, label: str, at: int, field: str, bits: int, line: int, column: int) -> None:
        self.label = label
        self.at = at
        self.field = field
        self.bits = bits
        self.line = line
        self.column = column


def assemble(text: str) -> list[Insn]:
    """Turn lines of text into instructions.

    Raises:
        InsnError: with line and column, what is not understood.
    """
    made = _Assembler()
    for number, line in enumerate(text.split("\n"), 1):
        made.line(line, number)
    return made.finish()


class _Assembler:
    def __init__(self) -> None:
        self.insns: list[Insn] = []
        self.labels: dict[str, int] = {}
        self.jumps: list[_Jump] = []
        self.last_exit: int | None = None

    def line(self, line: str, number: int) -> None:
        comment = _COMMENT.search(line)
        if comment is not None:
            line = line[: comment.start()]
        start = 0
        code: int | None = None
        prefix = _PREFIX.match(line)
        if prefix is not None:
            start, code = prefix.end(), int(prefix["code"], 16)
        else:
            start = self._labels(line, number)
        found, end = tokens(line, start)
        if end < len(line):
            problem = f"{line[end]!r} means nothing here"
            raise InsnError(problem, line=number, column=end + 1)
        slot = next((token for token in found if token.kind == "slot"), None)
        if slot is not None:
            raise InsnError("'{' means nothing here", line=number, column=slot.column)
        if found:
            self._statement(found, number, code)
        elif code is not None:
            raise InsnError("an instruction is missing", line=number, column=len(line) + 1)

    def _labels(self, line: str, number: int) -> int:
        at = 0
        plain = _NUMBER.match(line)
        if plain is not None:
            return plain.end()
        while (label := _LABEL.match(line, at)) is not None:
            if label["name"] in self.labels:
                raise InsnError(
                    f"label {label['name']!r} is there twice",
                    line=number,
                    column=label.start("name") + 1,
                )
            self.labels[label["name"]] = len(self.insns)
            at = label.end()
        return at

    def _statement(self, found: list[Token], number: int, code: int | None) -> None:
        if found[0].text == _RAW:
            self._raw(found, number)
            return
        match = _Search(found).match(TRIE, 0)
        if match is None:
            # Once more, to see how far the best template came: costly, and rarely needed.
            search = _Search(found, noting=True)
            search.match(TRIE, 0)
            raise search.error(number)
        row, values = match
        if code is not None and code != row.code:
            problem = f"the opcode is said to be {code:#04x}, but of this it is {row.code:#04x}"
            raise InsnError(problem, line=number, column=found[0].column)
        self._emit(row, values, found, number)

    def _raw(self, found: list[Token], number: int) -> None:
        try:
            value, end = SLOTS["q"]("q", found, 1)
        except Mismatch as mismatch:
            raise _error(found, number, mismatch.at, mismatch.wanted, mismatch.exact) from None
        if end < len(found):
            raise _error(found, number, end, "the end of the line", False)
        assert isinstance(value, int)
        self.insns += isa.decode((value & (1 << 64) - 1).to_bytes(8, "little"))

    def _emit(
        self,
        row: Opcode,
        values: dict[str, tuple[Value, int]],
        found: list[Token],
        number: int,
    ) -> None:
        dst = row.dst if isinstance(row.dst, int) else 0
        src = row.src if isinstance(row.src, int) else 0
        off = row.off if isinstance(row.off, int) else 0
        imm = row.imm if isinstance(row.imm, int) else 0
        other = 0
        for slot, (value, place) in values.items():
            if isinstance(value, str):
                field, bits = ("off", 16) if slot == "j" else ("imm", 32)
                column = found[place].column
                self.jumps.append(_Jump(value, len(self.insns), field, bits, number, column))
            elif slot in "dD":
                dst = value
            elif slot in "sS":
                src = value
            elif slot in "oj":
                off = value
            elif slot == "m":
                other = _int32(value)
            elif slot == "q":
                imm, other = _int32(value), _int32(value >> 32)
            else:
                imm = _int32(value)
        insn = Insn(row.code, dst, src, off, imm)
        wrong = problem(insn)
        if wrong is not None:
            places = [place for slot, (_, place) in values.items() if slot in "dDsS"]
            raise InsnError(wrong, line=number, column=found[min(places, default=0)].column)
        if row.kind == "exit":
            self.last_exit = len(self.insns)
        self.insns.append(insn)
        if row.wide:
            self.insns.append(Insn(0, imm=other))

    def finish(self) -> list[Insn]:
        for jump in self.jumps:
            target = self.labels.get(jump.label)
            if target is None and jump.label == "exit":
                target = self.last_exit  # bpf_conformance: a label that nobody has to write
            if target is None:
                problem = f"there is no label {jump.label!r}"
                raise InsnError(problem, line=jump.line, column=jump.column)
            distance = target - jump.at - 1
            if not -(1 << (jump.bits - 1)) <= distance < 1 << (jump.bits - 1):
                problem = f"label {jump.label!r} is {distance} instructions away, which is too far"
                raise InsnError(problem, line=jump.line, column=jump.column)
            setattr(self.insns[jump.at], jump.field, distance)
        return self.insns


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


class _Search:
    """Finds the template that a line fits, and else how far the best one came."""

    def __init__(self, found: list[Token], *, noting: bool = False) -> None:
        self.found = found
        self.noting = noting
        self.furthest = -1
        self.wanted: list[str] = []
        self.exact: str | None = None

    def match(self, node: Trie, at: int) -> tuple[Opcode, dict[str, tuple[Value, int]]] | None:
        found = self.found
        if at == len(found) and node.row is not None:
            return node.row, {}
        if at < len(found):
            text = found[at].text
            text = text.lstrip("%") if found[at].kind == "register" else text
            following = node.words.get(text)
            if following is not None and (result := self.match(following, at + 1)) is not None:
                return result
        if self.noting:
            for word in node.words:
                self._note(Mismatch(at, repr(word)))
            if node.row is not None:
                self._note(Mismatch(at, "the end of the line"))
        for slot, following in node.slots.items():
            try:
                value, after = SLOTS[slot](slot, found, at)
            except Mismatch as mismatch:
                if self.noting:
                    self._note(mismatch)
                continue
            result = self.match(following, after)
            if result is None:
                continue
            values = result[1]
            if slot in values and values[slot][0] != value:
                problem = f"this has to be {found[at].text}, as before"
                self._note(Mismatch(values[slot][1], problem, exact=True))
                continue
            values.setdefault(slot, (value, at))
            return result
        return None

    def _note(self, mismatch: Mismatch) -> None:
        if mismatch.at > self.furthest:
            self.furthest, self.wanted, self.exact = mismatch.at, [], None
        if mismatch.at == self.furthest:
            if mismatch.exact:
                self.exact = mismatch.wanted
            elif mismatch.wanted not in self.wanted:
                self.wanted.append(mismatch.wanted)

    def error(self, number: int) -> InsnError:
        if self.exact is not None:
            return _error(self.found, number, self.furthest, self.exact, True)
        if self.furthest <= 0:
            problem = f"{self.found[0].text[:40]!r} starts no instruction"
            return InsnError(problem, line=number, column=self.found[0].column)
        wanted = ", ".join(self.wanted[:_NAMED]) + (", ..." if len(self.wanted) > _NAMED else "")
        return _error(self.found, number, self.furthest, wanted, False)


def _error(found: list[Token], number: int, at: int, wanted: str, exact: bool) -> InsnError:
    if at < len(found):
        column = found[at].column
        has = f", not {found[at].text[:40]!r}"
    else:
        column = found[-1].column + len(found[-1].text)
        has = ", and the line ends"
    problem = wanted if exact else f"expected {wanted}{has}"
    return InsnError(problem, line=number, column=column)
