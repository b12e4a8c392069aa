"""Lines of Python, and expressions that are put together for registers; see ``statements.py``.

Python's parser takes most of the time that a translation takes: the text is as it likes it best.
It reads a statement behind a semicolon in half the time of one on a line of its own, another
operation in an expression in a quarter of it, and parentheses are as dear as a statement.
"""

from __future__ import annotations

from pylibbpf.isa import insn as isa

__all__ = ["AND", "ATOM", "NAMES", "OR", "SHIFT", "SUM", "TERM", "UNARY", "XOR", "Lines"]

# How tightly operators bind, of which Python applies the leftmost first among equals.
OR, XOR, AND, SHIFT, SUM, TERM, UNARY, ATOM = range(8)
# So many characters of an expression at most: Python's compiler nests as deep as they do.
_LONG_EXPRESSION = 200
NAMES = tuple(f"r{r}" for r in range(isa.REGISTERS))


class Lines:
    """Writes lines.

    ``lines`` is the text, ``places`` the instruction of each line. Where several statements stand
    in a line, those that can fail are of the same instruction. A register whose value is still
    being put together, as an expression, is ``chained``; it gets it before anything else happens.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.places: list[int] = []
        self.indent = ""
        self.at = 0
        """The instruction that is being written."""
        self.line: list[str] = []
        """The statements of the line that is not yet in ``lines``."""
        self.risk = -1
        """The instruction in this line that can fail; -1: there is none."""
        self.chained = -1
        """The register that is being put together; -1: none."""
        self.expression = ""
        self.inplace = ""
        """The statement that assigns this to the register, where there is a shorter one."""
        self.binds = 0
        self.turned = -1
        """The instruction that turns bytes around, where what was before it has done that."""

    def put(self, text: str) -> None:
        """Write a statement that can fail."""
        if self.chained >= 0:
            self.flush()
        at = self.at
        if self.risk != at:
            if self.risk >= 0:
                self.end_line()
            self.risk = at
        self.line.append(text)

    def calm(self, text: str) -> None:
        """Write a statement that cannot fail."""
        if self.chained >= 0:
            self.flush()
        self.line.append(text)

    def flush(self) -> None:
        """Write the expression that there is, into its register."""
        self.line.append(self.inplace or f"r{self.chained}={self.expression}")
        self.chained = -1

    def end_line(self) -> None:
        """End a line."""
        if self.chained >= 0:
            self.flush()
        line = self.line
        if line:
            self.lines.append(self.indent + ";".join(line))
            self.places.append(self.at if self.risk < 0 else self.risk)
            self.line = []
            self.risk = -1

    def drop(self, mark: int) -> None:
        """Forget all lines from one on."""
        del self.lines[mark:], self.places[mark:]
        self.line = []
        self.risk = self.chained = self.turned = -1

    def header(self, text: str) -> None:
        """Write a line of its own."""
        self.end_line()
        self.lines.append(self.indent + text if text else "")
        self.places.append(self.at)

    def op(self, dst: int, sign: str, binds: int, operand: str) -> None:
        """Apply an operator to a register; what the operand says does not depend on this one."""
        if self.chained == dst:
            expression = self.expression
            if self.binds >= binds and len(expression) < _LONG_EXPRESSION:
                self.expression = f"{expression}{sign}{operand}"
                self.inplace = ""
                self.binds = binds
                return
            self.flush()
        elif self.chained >= 0:
            self.flush()
        self.chained = dst
        self.expression = f"r{dst}{sign}{operand}"
        self.inplace = f"r{dst}{sign}={operand}"
        self.binds = binds

    def op_x(self, dst: int, sign: str, binds: int, src: int) -> None:
        """Apply an operator to two registers."""
        if src == dst and self.chained >= 0:
            self.flush()
        self.op(dst, sign, binds, NAMES[src])

    def assign(self, dst: int, expression: str, binds: int = ATOM) -> None:
        """Begin a new value of a register, which does not depend on the old one."""
        if self.chained >= 0 and self.chained != dst:
            self.flush()
        self.chained = dst
        self.expression = expression
        self.inplace = ""
        self.binds = binds
