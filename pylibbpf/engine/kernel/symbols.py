"""Why a function of the kernel cannot be probed, from what the kernel says of its functions.

Read only after something failed: /proc/kallsyms (what there is), kprobes/blacklist of debugfs
(what may never be probed), available_filter_functions of tracefs (what ftrace can hook, and
kprobes therefore may), and the kernel's BTF (what the source had).
"""

from __future__ import annotations

import os
import re

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Func, Kind, Typedef
from pylibbpf.engine.kernel.tracefs import folder as tracefs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["near_names", "why_no_btf_function", "why_no_function", "why_no_pattern"]

_KALLSYMS = "/proc/kallsyms"
_BLACKLIST = "/sys/kernel/debug/kprobes/blacklist"
_BTF = "/sys/kernel/btf/vmlinux"
_KPROBES = "/sys/bus/event_source/devices/kprobe"
_NEAR = 5
# What compilers append to the name of a function that they changed.
_SUFFIXES = r"\.(?:isra|constprop|part|cold|llvm)[.\w]*"

NO_KPROBES = (
    "this kernel was built without kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS): use tracepoints"
    " (tp, raw_tp, tp_btf), or fentry where the kernel has that"
)


class Kernel:
    """What is known of the kernel's functions; ``root`` stands in for / in tests."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._text: bytes | None = None

    def _read(self, path: str) -> bytes | None:
        try:
            with open(os.path.join(self._root, path.lstrip("/")), "rb") as file:
                return file.read()
        except OSError:
            return None

    @property
    def has_kprobes(self) -> bool:
        return os.path.exists(os.path.join(self._root, _KPROBES.lstrip("/")))

    @property
    def kallsyms(self) -> bytes:
        if self._text is None:
            self._text = self._read(_KALLSYMS) or b""
        return self._text

    def kinds(self, name: str) -> list[str]:
        """The letters of nm(1) for each symbol of that name: t and T are functions."""
        wanted = re.escape(name.encode())
        rows = re.finditer(rb"^[0-9a-f]+ (\w) " + wanted + rb"(?:\t.*)?$", self.kallsyms, re.M)
        return [row[1].decode() for row in rows]

    def size(self, name: str) -> int | None:
        """How long a function is: up to the next symbol; None where addresses are not shown."""
        wanted = re.escape(name.encode())
        row = re.search(rb"^([0-9a-f]+) [tTwW] " + wanted + rb"(?:\t.*)?$", self.kallsyms, re.M)
        start = int(row[1], 16) if row is not None else 0
        if not start:
            return None
        later = (int(each[1], 16) for each in re.finditer(rb"^([0-9a-f]+) ", self.kallsyms, re.M))
        end = min((address for address in later if address > start), default=None)
        return end - start if end is not None else None

    def variants(self, name: str) -> list[str]:
        """What the compiler made of a function: ``name.isra.0``."""
        wanted = re.escape(name.encode())
        pattern = rb"^[0-9a-f]+ [tTwW] (" + wanted + _SUFFIXES.encode() + rb")(?:\t.*)?$"
        return sorted({row[1].decode() for row in re.finditer(pattern, self.kallsyms, re.M)})

    def functions(self) -> set[str]:
        rows = re.finditer(rb"^[0-9a-f]+ [tTwW] (\S+)", self.kallsyms, re.M)
        return {row[1].decode("utf-8", "replace") for row in rows}

    def blacklisted(self, name: str) -> bool | None:
        """Whether kprobes refuse it; None where that cannot be read (debugfs, root)."""
        text = self._read(_BLACKLIST)
        if text is None:
            return None
        return re.search(rb"\t" + re.escape(name.encode()) + rb"$", text, re.M) is not None

    def traceable(self, name: str) -> bool | None:
        """Whether ftrace can hook it; None where that cannot be read (tracefs, root)."""
        place = tracefs(self._root)
        if place is None:
            return None
        text = self._read(os.path.relpath(place, self._root) + "/available_filter_functions")
        if not text:
            return None
        pattern = rb"^" + re.escape(name.encode()) + rb"(?: .*)?$"
        return re.search(pattern, text, re.M) is not None

    def in_btf(self, name: str) -> bool | None:
        """Whether the kernel's source has a function of that name; None without BTF."""
        data = self._read(_BTF)
        if data is None:
            return None
        return bool(Btf(data).find(name, Kind.FUNC))

    def btf_functions(self, prefix: str = "", kind: Kind = Kind.FUNC) -> set[str]:
        """Names of all functions (or types) in the kernel's BTF, less a prefix that they have."""
        data = self._read(_BTF)
        if data is None:
            return set()
        names = (each.name for _, each in Btf(data).types(kind) if isinstance(each, Func | Typedef))
        return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def why_no_function(name: str, kernel: Kernel | None = None) -> str | None:
    """Why a kprobe on a function fails; None where nothing is to be seen against it."""
    kernel = kernel or Kernel()
    if not kernel.has_kprobes:
        return NO_KPROBES
    if not kernel.kallsyms:
        return None
    kinds = kernel.kinds(name)
    if kinds:
        return _why_refused(name, kinds, kernel)
    variants = kernel.variants(name)
    if variants:
        return (
            f"the compiler left no function {name}, only what it made of it: {', '.join(variants)}"
            " (probe that; its arguments may differ)"
        )
    if kernel.in_btf(name):
        return (
            f"the kernel's source has the function {name} (it is in the BTF), but the compiler left"
            " none of that name: it is inlined where it is called. Probe a caller"
            f"{_spelled(near_names(name, kernel.functions()))}"
        )
    near = near_names(name, kernel.functions())
    return (
        f"this kernel has no function {name}{_spelled(near)} (a module that has it must be loaded)"
    )


def _why_refused(name: str, kinds: list[str], kernel: Kernel) -> str | None:
    functions = [kind for kind in kinds if kind in "tTwW"]
    if not functions:
        return f"{name} is a variable of the kernel, no function"
    if kernel.blacklisted(name):
        return (
            f"the function {name} may not be probed: it is on the kernel's own list"
            f" ({_BLACKLIST}), because probing needs it itself or runs where it cannot"
        )
    if kernel.traceable(name) is False:
        # Linux 7.2 lists some of its variables like functions.
        what = "notrace in the source" if kernel.in_btf(name) else "a variable, assembly or notrace"
        return (
            f"{name} may not be traced: it is not in available_filter_functions ({what}, or without"
            " room for ftrace)"
        )
    if len(functions) > 1:
        return (
            f"the kernel has {len(functions)} functions named {name}, and which is meant is not"
            " clear: give the address of one (/proc/kallsyms)"
        )
    return None


def why_no_pattern(pattern: str, kernel: Kernel | None = None) -> str | None:
    """Why kprobe.multi finds nothing; None where functions fit the pattern."""
    from fnmatch import fnmatchcase

    kernel = kernel or Kernel()
    functions = kernel.functions()
    if not functions or any(fnmatchcase(name, pattern) for name in functions):
        return None
    return f"no function of this kernel fits the pattern {pattern!r}"


def why_no_btf_function(name: str, kernel: Kernel | None = None, *, prefix: str = "") -> str | None:
    """Why fentry and its like do not find a function in the kernel's BTF.

    ``prefix`` is what the functions of a kind of hook are called by there (``bpf_lsm_``).
    """
    kernel = kernel or Kernel()
    functions = kernel.btf_functions(prefix)
    if not functions or name in functions:
        return None
    near = _spelled(near_names(name, functions))
    if prefix:
        return f"this kernel has no such hook as {name}{near}"
    why = (
        ", though it has one of that name (in assembly, or left out because its types clash)"
        if kernel.kinds(name)
        else ""
    )
    return f"the kernel's BTF has no function {name}{why}{near}"


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Those most like a name: of a hundred thousand, only what begins or ends alike is compared."""
    import difflib

    bare = name.strip("_")
    some = [
        each
        for each in names
        if abs(len(each) - len(name)) <= 8
        and (each.strip("_")[:3] == bare[:3] or each[-6:] == name[-6:] or bare in each)
        and not re.search(_SUFFIXES + "$", each)
    ]
    return difflib.get_close_matches(name, some, _NEAR)


def _spelled(near: list[str]) -> str:
    return f"; near: {', '.join(near)}" if near else ""
