"""Types by name, in a form that can be written to disk and used as it was read."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from zlib import crc32

from pylibbpf.btf.names import FLAVOUR, essential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["NameIndex"]

_FLAVOUR = FLAVOUR.encode()


class NameIndex:
    """The ids of types by their names: sorted numbers, a name's key above and an id below.

    The key is a checksum of the name without its flavour. Different names may have the same:
    whoever looks one up compares the names.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[int]) -> None:
        self.pairs = pairs

    @classmethod
    def of_names(cls, names: Iterable[tuple[int, str]]) -> NameIndex:
        """Make it from ids and names."""
        return cls(sorted(_key(name) << 32 | type_id for type_id, name in names if name))

    @classmethod
    def of_offsets(
        cls,
        offsets: Sequence[int],
        first_id: int,
        strings: bytes,
        first_offset: int,
        string: Callable[[int], str],
    ) -> NameIndex:
        """Make it from where in the strings the names of types are, those from ``first_id`` on.

        ``strings`` is the string section, which starts at ``first_offset``. ``string`` gives the
        others: a name that begins within another, or in the base of a split BTF.
        """
        keys = _keys(strings, first_offset)
        pairs = []
        for type_id, offset in enumerate(offsets, first_id):
            if offset:
                key = keys.get(offset)
                if key is None:
                    key = keys[offset] = _key(string(offset))
                pairs.append(key << 32 | type_id)
        pairs.sort()
        packed = memoryview(bytearray(8 * len(pairs))).cast("Q")  # 8 bytes for each, not 40
        for at, pair in enumerate(pairs):
            packed[at] = pair
        return cls(packed)

    def ids(self, name: str) -> list[int]:
        """List the types that may have a name that, without its flavour, is this one; in order."""
        pairs, key = self.pairs, _checksum(name)
        at = bisect_left(pairs, key << 32)
        found = []
        while at < len(pairs) and pairs[at] >> 32 == key:
            found.append(pairs[at] & 0xFFFFFFFF)
            at += 1
        return found


def _checksum(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogatepass"))


def _key(name: str) -> int:
    return _checksum(essential(name))


def _keys(strings: bytes, first: int) -> dict[int, int]:
    """The keys of whole strings by their offsets; of those whose name needs no care."""
    all_strings = strings.split(b"\0")
    starts = accumulate((len(each) + 1 for each in all_strings[:-1]), initial=first)
    keys = dict(zip(starts, map(crc32, all_strings), strict=True))
    if not strings.isascii():
        # What is no UTF-8 is shown in another way than it is stored.
        at = first
        for each in all_strings:
            if not each.isascii():
                del keys[at]
            at += len(each) + 1
    at = strings.find(_FLAVOUR)
    while at >= 0:
        keys.pop(first + strings.rfind(b"\0", 0, at) + 1, None)
        at = strings.find(_FLAVOUR, strings.find(b"\0", at))
    return keys
