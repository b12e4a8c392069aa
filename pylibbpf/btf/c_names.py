"""Names that C takes: identifiers, each given once, and the words for BTF's numbers."""

from __future__ import annotations

from pylibbpf.btf.types import Float, Int

__all__ = ["Names", "identifier", "number"]

# C17, and what GNU C adds. A name may be bool, true or false: C has them only from C23 on.
_WORDS = """
asm auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef typeof union
unsigned void volatile while _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn
_Static_assert _Thread_local __int128
"""
KEYWORDS = frozenset(_WORDS.split())

# What C calls integers, but for the sign; 0 stands for the size of a pointer.
_SIZES = {
    "char": 1, "short": 2, "int short": 2, "": 4, "int": 4, "long": 0, "int long": 0,
    "long long": 8, "int long long": 8, "__int128": 16,
}  # fmt: skip
_PLAIN = {1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128"}
_SIGNS = ("signed", "unsigned")
_FLOATS = {
    ("float", 4): "float",
    ("double", 8): "double",
    ("long double", 8): "long double",
    ("complex float", 8): "_Complex float",
    ("complex double", 16): "_Complex double",
}


def identifier(name: str) -> str:
    """Make an identifier of a name that may be none; keywords get a trailing ``_``."""
    if name.isidentifier() and name.isascii():
        return name + "_" if name in KEYWORDS else name
    made = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return "_" + made if made[:1].isdigit() else made


def number(found: Int | Float, pointer_size: int) -> tuple[str, str, int]:
    """Spell a number: (the type in C, the name that is to be declared for it or "", alignment)."""
    name, size = found.name, found.size
    # As libbpf's btf__align_of: nothing is aligned beyond a pointer, but 128-bit integers.
    align = min(size, 16 if size == 16 and isinstance(found, Int) else pointer_size)
    if isinstance(found, Float):
        if spelled := _FLOATS.get((name, size)):
            return spelled, "", min(4 if "float" in name else 8, pointer_size)
        # BPF knows no other. Let it be as large.
        return f"struct {{ unsigned char bytes[{size}]; }}", "", 1
    if name == "_Bool" and size == 1:
        return name, "", 1
    words = name.split()
    signs = [word for word in words if word in _SIGNS]
    rest = " ".join(sorted(word for word in words if word not in _SIGNS))
    known = _SIZES.get(rest) if len(signs) < 2 and words else None
    if known is not None and (known or pointer_size) == size:
        return " ".join(words), "", align
    alias = name if known is None and name.isidentifier() and name.isascii() else ""
    alias = "" if alias in KEYWORDS else alias
    if size not in _PLAIN:
        return f"struct {{ unsigned char bytes[{size}]; }}", alias, 1
    if found.bool and size == 1:
        return "_Bool", "" if name == "bool" else alias, 1
    sign = "unsigned " if not found.signed else "signed " if size == 1 else ""
    return sign + _PLAIN[size], alias, align


class Names:
    """Gives each name once: who comes later gets ``___2``, ``___3`` and so on.

    This is how libbpf's btf_dump numbers them, and CO-RE ignores what follows three underscores.
    """

    __slots__ = ("_given", "_seen")

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._given: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def give(self, name: str) -> str:
        """Return the name, or the next that nobody has."""
        name = identifier(name) or "_"
        made = name
        while True:
            count = self._seen[name] = self._seen.get(name, 0) + 1
            if count > 1:
                made = f"{name}___{count}"
            if made not in self._given:
                self._given.add(made)
                return made
