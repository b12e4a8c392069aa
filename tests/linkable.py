"""BPF objects written by hand, to be linked: sections, symbols, relocations and types.

From the ELF specification, ``include/uapi/linux/btf.h`` and the kernel's documentation of BTF, and
not from the code under test.
"""

from __future__ import annotations

from struct import pack

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
ALLOC, WRITE, CODE = 2, 1, 4
NOTYPE, OBJECT, FUNC, SECTION = range(4)
LOCAL, GLOBAL, WEAK = range(3)
HIDDEN = 2
UNDEF = ""
RETURN = bytes.fromhex("b700000000000000 9500000000000000")  # r0 = 0; exit
CALL = bytes.fromhex("85100000ffffffff 9500000000000000")  # call -1; exit


class Linkable:
    """An object in the making. Names of sections stand for their numbers; "" is none."""

    def __init__(self) -> None:
        self.sections: dict[str, list[int | bytes]] = {}
        self._symbols: list[tuple[str, str, int, int, int, int, int]] = []
        self._relocations: dict[str, list[tuple[int, int, int]]] = {}
        self._strings = b"\0"
        self._types = b""
        self._count = 0
        self._placed: dict[str, list[tuple[int, int, int]]] = {}
        self.kind_of_relocations = REL

    # ---- ELF

    def section(
        self, name: str, content: bytes | int, flags: int = ALLOC | WRITE, align: int = 8,
        kind: int = PROGBITS,
    ) -> None:  # fmt: skip
        self.sections[name] = [NOBITS if isinstance(content, int) else kind, flags, content, align]

    def symbol(
        self, name: str, section: str = UNDEF, value: int = 0, size: int = 0, kind: int = NOTYPE,
        bind: int = GLOBAL, visibility: int = 0,
    ) -> int:  # fmt: skip
        self._symbols.append((name, section, value, size, kind, bind, visibility))
        return len(self._symbols)

    def relocation(self, section: str, offset: int, kind: int, symbol: int) -> None:
        self._relocations.setdefault(section, []).append((offset, kind, symbol))

    # ---- BTF

    def type(
        self, kind: int, name: str = "", size: int = 0, *rest: int, vlen: int = 0, flag: int = 0
    ) -> int:
        info = flag << 31 | kind << 24 | vlen
        words = (self.string(name), info, size, *rest)
        self._types += pack(f"<{len(words)}I", *words)
        self._count += 1
        return self._count

    def string(self, text: str) -> int:
        if not text:
            return 0
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text) - 1

    def int(self, name: str = "int", size: int = 4) -> int:
        return self.type(1, name, size, 1 << 24 | 8 * size)

    def ptr(self, to: int) -> int:
        return self.type(2, "", to)

    def array(self, of: int, count: int) -> int:
        return self.type(3, "", 0, of, of, count)

    def struct(self, name: str, size: int, *members: tuple[str, int, int]) -> int:
        rest = [word for text, of, bit in members for word in (self.string(text), of, bit)]
        return self.type(4, name, size, *rest, vlen=len(members))

    def proto(self, returns: int, *params: int) -> int:
        rest = [word for of in params for word in (0, of)]
        return self.type(13, "", returns, *rest, vlen=len(params))

    def func(self, name: str, proto: int, linkage: int = 1) -> int:
        return self.type(12, name, proto, vlen=linkage)

    def var(self, name: str, of: int, section: str, size: int, linkage: int = 1) -> int:
        made = self.type(14, name, of, linkage)
        if section:
            self._placed.setdefault(section, []).append((made, 0, size))
        return made

    def place(self, section: str, made: int, offset: int = 0, size: int = 0) -> None:
        self._placed.setdefault(section, []).append((made, offset, size))

    # ---- what tests need often

    def variable(self, name: str, of: int = 0, section: str = ".data", bind: int = GLOBAL) -> int:
        """A variable of 4 bytes, the only one in its section, or an extern."""
        of = of or self.int()
        if section:
            self.section(section, pack("<I", 1), align=4)
            self.var(name, of, section, 4)
            return self.symbol(name, section, 0, 4, OBJECT, bind)
        self.var(name, of, "", 4, linkage=2)
        return self.symbol(name, bind=bind)

    def function(self, name: str, proto: int = 0, bind: int = GLOBAL, visibility: int = 0) -> int:
        """A function that returns 0, the only one in .text."""
        self.section(".text", RETURN, ALLOC | CODE)
        self.func(name, proto or self.proto(self.int()))
        return self.symbol(name, ".text", 0, len(RETURN), FUNC, bind, visibility)

    def license(self, text: str) -> None:
        self.section("license", text.encode() + b"\0", align=1)

    # ---- the file

    def btf(self) -> bytes:
        for section, variables in self._placed.items():
            rest = [word for variable in variables for word in variable]
            self.type(15, section, 0, *rest, vlen=len(variables))
        self._placed.clear()
        sizes = (0, len(self._types), len(self._types), len(self._strings))
        return pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + self._types + self._strings

    def build(self, *, types: bool = True) -> bytes:
        sections = dict(self.sections)
        if types:
            sections[".BTF"] = [PROGBITS, 0, self.btf(), 4]
        numbers = {name: number for number, name in enumerate(sections, 1)}
        numbers[UNDEF] = 0
        strings, table = b"\0", bytes(24)
        for name, section, value, size, kind, bind, visibility in self._symbols:
            at = 0 if kind == SECTION else len(strings)
            table += pack("<IBBHQQ", at, bind << 4 | kind, visibility, numbers.get(section, 0xFFF2),
                          value, size)  # fmt: skip
            strings += name.encode() + b"\0"
        count = len(sections)
        rows = [(name, *row, 0, 0) for name, row in sections.items()]
        rows.append((".symtab", SYMTAB, 0, table, 8, count + 2, 0))
        rows.append((".strtab", STRTAB, 0, strings, 1, 0, 0))
        kind = self.kind_of_relocations
        for section, entries in self._relocations.items():
            content = b"".join(
                pack("<QQ", offset, symbol << 32 | what) + bytes(8 * (kind == RELA))
                for offset, what, symbol in entries
            )
            rows.append((f".rel{section}", kind, 0, content, 8, count + 1, numbers[section]))
        rows.append((".shstrtab", STRTAB, 0, b"", 1, 0, 0))
        names = b"\0" + b"".join(str(row[0]).encode() + b"\0" for row in rows)
        body, headers, at = b"", [bytes(64)], 1
        for name, number, flags, content, align, link, info in rows:
            content = names if name == ".shstrtab" else content
            size = content if isinstance(content, int) else len(content)
            headers.append(pack("<IIQQQQIIQQ", at, number, flags, 0, 64 + len(body), size, link,
                                info, align, 0))  # fmt: skip
            body += b"" if isinstance(content, int) else content
            at += len(str(name)) + 1
        total = len(headers)
        header = pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1" + bytes(9), 1, 247, 1, 0, 0,
                      64 + len(body), 0, 64, 0, 0, 64, total, total - 1)  # fmt: skip
        return header + body + b"".join(headers)
