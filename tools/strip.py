"""Takes the debugging sections out of a relocatable BPF object, and keeps .BTF and .BTF.ext.

What ``llvm-strip -g`` does, for hosts that have no LLVM: our objects are built by a compiler
that comes without it. Sections, the symbols that stood for them, and every index that pointed
past them are rewritten; equal input gives equal bytes.
"""

import struct

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_REL = struct.Struct("<QQ")

_SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS, _SHT_REL = 2, 3, 8, 9
_STT_SECTION = 3
_SHN_LORESERVE = 0xFF00
# .eh_frame: BPF unwinds nothing, and libbpf warns of it. .llvm_addrsig: for linkers only.
_DROPPED = (".debug_", ".eh_frame", ".llvm_addrsig")


class _Section:
    def __init__(self, data: bytes, offset: int) -> None:
        fields = _SECTION.unpack_from(data, offset)
        self.name = ""
        self.name_offset = fields[0]
        self.kind, self.flags, self.address = fields[1:4]
        self.size, self.link, self.info, self.align, self.entry = fields[5:]
        self.body = b"" if self.kind == _SHT_NOBITS else data[fields[4] : fields[4] + self.size]

    def dropped(self) -> bool:
        name = self.name
        if self.kind == _SHT_REL and name.startswith(".rel"):
            name = name[4:]
        return name.startswith(_DROPPED)


def _text(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


class _Strings:
    """A string table under construction."""

    def __init__(self) -> None:
        self.body = bytearray(b"\0")
        self._places = {"": 0}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.body)
            self.body += text.encode() + b"\0"
        return self._places[text]


def strip(data: bytes) -> bytes:
    """Return the object without debugging sections.

    Raises: ValueError for anything but a little-endian 64-bit relocatable object.
    """
    if data[:6] != b"\x7fELF\x02\x01" or data[16:18] != b"\x01\x00":
        raise ValueError("not a little-endian 64-bit relocatable ELF object")
    header = list(_HEADER.unpack_from(data))
    sections = [_Section(data, header[6] + i * _SECTION.size) for i in range(header[12])]
    names = sections[header[13]].body
    for section in sections:
        section.name = _text(names, section.name_offset)

    kept = [i for i, section in enumerate(sections) if not section.dropped()]
    place = {old: new for new, old in enumerate(kept)}
    strings = _Strings()
    for i in kept:
        sections[i].name_offset = strings.place(sections[i].name)

    symbol_place = {}
    for i in kept:
        if sections[i].kind == _SHT_SYMTAB:
            symbol_place = _rewrite_symbols(sections[i], sections, place, strings)
    for i in kept:
        section = sections[i]
        if section.kind == _SHT_REL:
            section.body = b"".join(
                _REL.pack(offset, symbol_place[info >> 32] << 32 | info & 0xFFFFFFFF)
                for offset, info in _REL.iter_unpack(section.body)
            )
            section.info = place[section.info]
        section.link = place.get(section.link, 0)
    for i in kept:
        if sections[i].kind == _SHT_STRTAB:
            sections[i].body = bytes(strings.body)
    return _assemble(header, [sections[i] for i in kept], place[header[13]])


def _rewrite_symbols(
    table: _Section, sections: "list[_Section]", place: "dict[int, int]", strings: _Strings
) -> "dict[int, int]":
    """Drop the symbols of dropped sections; return old index -> new index."""
    text = sections[table.link].body
    rows: "list[bytes]" = []
    moved: "dict[int, int]" = {}
    first_global = 0
    for old, (name, info, other, home, value, size) in enumerate(_SYMBOL.iter_unpack(table.body)):
        if home < _SHN_LORESERVE and home not in place:
            if info & 15 != _STT_SECTION:
                raise ValueError(f"symbol {_text(text, name)} lies in a debugging section")
            continue
        if home < _SHN_LORESERVE:
            home = place[home]
        moved[old] = len(rows)
        if info >> 4 == 0:
            first_global = len(rows) + 1
        rows.append(_SYMBOL.pack(strings.place(_text(text, name)), info, other, home, value, size))
    table.body = b"".join(rows)
    table.info = first_global
    return moved


def _assemble(header: "list[int]", sections: "list[_Section]", names: int) -> bytes:
    out = bytearray(_HEADER.size)
    rows = []
    for section in sections:
        if section.kind:
            out += bytes(-len(out) % max(section.align, 1))
        size = section.size if section.kind == _SHT_NOBITS else len(section.body)
        rows.append(
            _SECTION.pack(
                section.name_offset,
                section.kind,
                section.flags,
                section.address,
                len(out) if section.kind else 0,
                size,
                section.link,
                section.info,
                section.align,
                section.entry,
            )
        )
        out += section.body
    out += bytes(-len(out) % 8)
    header[6], header[12], header[13] = len(out), len(rows), names
    out[: _HEADER.size] = _HEADER.pack(*header)
    return bytes(out + b"".join(rows))
