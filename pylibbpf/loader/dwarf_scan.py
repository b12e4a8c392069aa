"""Walk over the entries of a DWARF unit without building them.

An object that includes a whole vmlinux.h has tens of thousands of entries, of which a dozen are
functions. pyelftools takes 100 microseconds for each entry; stepping over one by the sizes of its
attributes takes about one. The walk only goes forward, so it ends on any input; what it has passed
is safe to be walked by pyelftools, which follows references to siblings backward, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pylibbpf.errors import ElfError
from pylibbpf.loader.dwarf_lists import uleb128

__all__ = ["top_level"]

# Sizes of the forms (DWARF 5, section 7.5.6) that do not depend on their contents.
_FIXED = {
    "DW_FORM_addr": 8,
    "DW_FORM_data1": 1,
    "DW_FORM_data2": 2,
    "DW_FORM_data4": 4,
    "DW_FORM_data8": 8,
    "DW_FORM_data16": 16,
    "DW_FORM_flag": 1,
    "DW_FORM_flag_present": 0,
    "DW_FORM_implicit_const": 0,
    "DW_FORM_ref1": 1,
    "DW_FORM_ref2": 2,
    "DW_FORM_ref4": 4,
    "DW_FORM_ref8": 8,
    "DW_FORM_ref_sig8": 8,
    "DW_FORM_strx1": 1,
    "DW_FORM_strx2": 2,
    "DW_FORM_strx3": 3,
    "DW_FORM_strx4": 4,
    "DW_FORM_addrx1": 1,
    "DW_FORM_addrx2": 2,
    "DW_FORM_addrx3": 3,
    "DW_FORM_addrx4": 4,
}
# Those that are as wide as an offset of the unit, 4 bytes or 8.
_OFFSETS = frozenset(
    (
        "DW_FORM_strp",
        "DW_FORM_line_strp",
        "DW_FORM_sec_offset",
        "DW_FORM_ref_addr",
    )
)
_LEB128 = frozenset(
    (
        "DW_FORM_udata",
        "DW_FORM_sdata",
        "DW_FORM_ref_udata",
        "DW_FORM_strx",
        "DW_FORM_addrx",
        "DW_FORM_loclistx",
        "DW_FORM_rnglistx",
    )
)
_BLOCKS = {"DW_FORM_block1": 1, "DW_FORM_block2": 2, "DW_FORM_block4": 4}
_LEB128_BLOCKS = frozenset(("DW_FORM_block", "DW_FORM_exprloc"))

# One step of skipping an entry: a number of bytes, the name of a form, or a reference to check.
_SIBLING = "sibling"
_Steps = tuple[int | str, ...]


def top_level(unit: Any, data: bytes) -> Iterator[tuple[int, str]]:
    """List offset and tag of the entries right under the unit's own.

    Raises:
        ElfError: the entries run beyond the unit, or have a form that is not known.
    """
    table = unit.get_abbrev_table()
    at = unit.cu_die_offset
    end = min(unit.cu_offset + unit.size, len(data))
    wide = unit.dwarf_format() // 8
    known: dict[int, tuple[str, bool, _Steps]] = {}
    depth = 0
    try:
        while at < end:
            start = at
            code = data[at]
            at += 1
            if code >= 0x80:
                code, at = uleb128(data, start)
            if not code:
                depth -= 1
                if depth <= 0:
                    return
                continue
            if code not in known:
                abbreviation = table.get_abbrev(code)
                known[code] = (
                    str(abbreviation["tag"]),
                    bool(abbreviation.has_children()),
                    _steps(abbreviation.iter_attr_specs(), wide),
                )
            tag, parent, steps = known[code]
            if depth == 1:
                yield start, tag
            for step in steps:
                if isinstance(step, int):
                    at += step
                elif step == _SIBLING:
                    at += 4
                    if int.from_bytes(data[at - 4 : at], "little") <= start - unit.cu_offset:
                        raise ElfError("the DWARF entries of the object go round in a circle")
                else:
                    at = _skipped(data, at, step)
            if parent:
                depth += 1
            elif not depth:
                return
    except IndexError:
        raise ElfError("the DWARF entries of the object are cut off") from None


def _steps(attributes: Iterable[tuple[str, str]], wide: int) -> _Steps:
    steps: list[int | str] = [0]
    for name, form in attributes:
        if name == "DW_AT_sibling":
            # pyelftools follows them wherever they lead.
            if form != "DW_FORM_ref4":
                raise ElfError(f"DWARF entries with siblings by {form} are not read")
            steps.append(_SIBLING)
            continue
        size = wide if form in _OFFSETS else _FIXED.get(form)
        if size is None:
            steps.append(form)
        elif isinstance(steps[-1], int):
            steps[-1] += size
        else:
            steps.append(size)
    return tuple(steps)


def _skipped(data: bytes, at: int, form: str) -> int:
    if form in _LEB128:
        while data[at] >= 0x80:
            at += 1
        return at + 1
    if form == "DW_FORM_string":
        end = data.find(b"\0", at)
        if end < 0:
            raise IndexError
        return end + 1
    if form in _LEB128_BLOCKS:
        size, at = uleb128(data, at)
        return at + size
    if form in _BLOCKS:
        width = _BLOCKS[form]
        return at + width + int.from_bytes(data[at : at + width], "little")
    raise ElfError(f"the DWARF of the object has entries of the form {form}, which is not known")
