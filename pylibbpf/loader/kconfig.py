"""Kernel configuration for ``extern ... __kconfig``: where it is read, what becomes of its values.

The rules are those of libbpf 1.7 (libbpf.c: find_kcfg_type, set_kcfg_value_*,
bpf_object__process_kconfig_line, bpf_object__resolve_externs).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Array, Enum, Enum64, Int
from pylibbpf.errors import ElfError, RelocationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pylibbpf.btf.parse import Btf
    from pylibbpf.spec import ExternSpec

__all__ = ["Kconfig", "Layout", "Slot"]

# No configuration comes near this; a file that somebody else wrote might.
_LARGEST = 16 << 20

_TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate of bpf_helpers.h
_FULL_RANGE = 7, 0


class Kconfig:
    """What a kernel says about itself: its options, and what libbpf finds out without them.

    ``values`` are options as the configuration spells them, without the name: ``y``, ``100``,
    ``"text"`` with its quotes. ``version`` is the kernel's as a tuple. ``bpf_cookie`` and
    ``syscall_wrapper`` are ``LINUX_HAS_BPF_COOKIE`` and ``LINUX_HAS_SYSCALL_WRAPPER``.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        *,
        version: tuple[int, int, int],
        bpf_cookie: bool | None = None,
        syscall_wrapper: bool | None = None,
    ) -> None:
        self._values: Mapping[str, str] | None = values
        self.version = version
        self._bpf_cookie = bpf_cookie
        self._syscall_wrapper = syscall_wrapper

    @classmethod
    def running(cls) -> Kconfig:
        """The kernel that runs this; its options are read when one is asked for."""
        # Since 4.17, x86-64 has the wrappers, arm64 since 4.19: what is asked is whether a probe
        # can be placed at one.
        can_probe = os.path.exists("/sys/bus/event_source/devices/kprobe/type")
        found = cls({}, version=_running_version(), syscall_wrapper=can_probe)
        found._values = None
        return found

    @classmethod
    def parse(cls, text: str, *, below: Kconfig) -> Kconfig:
        """Take options from a text in the form of ``.config``, the rest from ``below``.

        That is what libbpf makes of its option ``kconfig``.

        Raises:
            RelocationError: a line sets nothing.
        """
        own = dict(_options(text.splitlines()))
        return _Above(own, below)

    @property
    def bpf_cookie(self) -> bool:
        """Whether bpf_get_attach_cookie() is there (kernel 5.15)."""
        return self.version >= (5, 15, 0) if self._bpf_cookie is None else self._bpf_cookie

    @property
    def syscall_wrapper(self) -> bool:
        """Whether a probe can be placed at ``__x64_sys_...``; libbpf tries one."""
        if self._syscall_wrapper is None:
            self._syscall_wrapper = all(
                self.get(f"CONFIG_{option}") == "y"
                for option in ("KPROBES", "ARCH_HAS_SYSCALL_WRAPPER")
            )
        return self._syscall_wrapper

    @property
    def full_range_offsets(self) -> bool:
        """Whether an instruction may name an address beyond 512 MB of a map (kernel 7.0)."""
        return self.version[:2] >= _FULL_RANGE

    def get(self, name: str) -> str | None:
        """The value of an option, None where it is not set.

        Raises:
            RelocationError: the running kernel shows no configuration.
        """
        if self._values is None:
            self._values = dict(_options(_running_options()))
        return self._values.get(name)


class _Above(Kconfig):
    """Options of one's own above those of a kernel, which is asked only for others."""

    def __init__(self, own: dict[str, str], below: Kconfig) -> None:
        super().__init__(own, version=below.version)
        self._own, self._below = own, below

    @property
    def bpf_cookie(self) -> bool:
        return self._below.bpf_cookie

    @property
    def syscall_wrapper(self) -> bool:
        return self._below.syscall_wrapper

    def get(self, name: str) -> str | None:
        found = self._own.get(name)
        return found if found is not None else self._below.get(name)


class Slot:
    """One ``extern ... __kconfig`` and its place in the map ``.kconfig``."""

    __slots__ = ("align", "extern", "kind", "offset", "signed", "size")

    def __init__(self, btf: Btf, extern: ExternSpec) -> None:
        assert extern.type_id is not None
        self.extern = extern
        self.size = btf.sizeof(extern.type_id)
        self.align = btf.alignof(extern.type_id)
        self.kind, self.signed = _kind(btf, extern.type_id)
        self.offset = 0
        if not self.kind or not self.size:
            raise ElfError(
                f"extern {extern.name!r} is of type {btf.c_name(extern.type_id)!r}, which no "
                "kernel configuration value has (bool, char, char[], an integer, or enum "
                "libbpf_tristate)"
            )

    def encode(self, config: Kconfig) -> bytes | None:
        """The value's bytes; None where this kernel does not set it.

        Raises:
            RelocationError: the kernel's value does not fit the type.
        """
        name = self.extern.name
        if name.startswith("CONFIG_"):
            text = config.get(name)
            return self._option(text) if text is not None else None
        major, minor, patch = config.version
        virtual = {
            "LINUX_KERNEL_VERSION": lambda: major << 16 | minor << 8 | min(patch, 255),
            "LINUX_HAS_BPF_COOKIE": lambda: int(config.bpf_cookie),
            "LINUX_HAS_SYSCALL_WRAPPER": lambda: int(config.syscall_wrapper),
        }.get(name)
        if virtual is not None:
            return self._number(virtual())
        if name.startswith("LINUX_") and self.extern.weak:
            return self._number(0)
        raise ElfError(
            f"extern {name!r} is no kernel configuration value: those begin with CONFIG_ "
            "(and LINUX_ for what libbpf finds out itself)"
        )

    def _option(self, text: str) -> bytes:
        if not text:
            raise self._misfit("empty", "one")
        if text[0] in _TRISTATE:
            return self._letter(text[0])
        if text[0] == '"':
            return self._text(text)
        if self.kind not in ("int", "char"):
            raise self._misfit(text, "an integer")
        return self._number(_integer(self.extern.name, text))

    def _letter(self, letter: str) -> bytes:
        if self.kind == "bool" and letter != "m":
            return bytes([letter == "y"])
        if self.kind == "tristate":
            return _TRISTATE[letter].to_bytes(4, "little").ljust(self.size, b"\0")
        if self.kind == "char":
            return letter.encode()
        raise self._misfit(letter, "a char or enum libbpf_tristate, or a bool where it is no m")

    def _text(self, text: str) -> bytes:
        if self.kind != "char[]" or len(text) < 2 or text[-1] != '"':
            raise self._misfit(text, "an array of char")
        # Longer ones are cut, and end with NUL.
        data = text[1:-1].encode("utf-8", "surrogateescape")[: self.size - 1]
        return data.ljust(self.size, b"\0")

    def _number(self, value: int) -> bytes:
        if self.kind not in ("int", "char", "bool") or (self.kind == "bool" and value > 1):
            raise self._misfit(str(value), "an integer")
        bits = 8 * self.size
        fits = bits == 64 or (
            (value + (1 << bits - 1)) % (1 << 64) < 1 << bits if self.signed else not value >> bits
        )
        if not fits:
            raise self._misfit(str(value), f"more than {self.size} bytes")
        return (value & (1 << bits) - 1).to_bytes(self.size, "little")

    def _misfit(self, value: str, wanted: str) -> RelocationError:
        return RelocationError(
            f"extern {self.extern.name!r}: this kernel's value is {value}, which needs {wanted}"
        )


class Layout:
    """The map ``.kconfig``: the externs in libbpf's order and their places (cmp_externs)."""

    def __init__(self, btf: Btf, externs: Iterable[ExternSpec]) -> None:
        self.slots = sorted(
            (Slot(btf, extern) for extern in externs),
            key=lambda slot: (-slot.align, slot.size, slot.extern.name.encode("utf-8", "replace")),
        )
        self.size = 0
        for slot in self.slots:
            slot.offset = -(-self.size // slot.align) * slot.align
            self.size = slot.offset + slot.size

    def contents(self, config: Kconfig) -> bytes:
        """The map's value for a kernel.

        Raises:
            RelocationError: a value that is not weak is not set, or one does not fit its type.
        """
        data = bytearray(self.size)
        for slot in self.slots:
            value = slot.encode(config)
            if value is not None:
                data[slot.offset : slot.offset + slot.size] = value
            elif not slot.extern.weak:
                raise RelocationError(
                    f"extern {slot.extern.name!r} is not set in the kernel's configuration "
                    "(make it __weak to go on without it)"
                )
        return bytes(data)


def _kind(btf: Btf, type_id: int) -> tuple[str, bool]:
    """What libbpf calls the type of a configuration value; "" for those it does not take."""
    some = btf.strip(type_id)
    if isinstance(some, Int):
        if some.bool:
            return ("bool" if some.size == 1 else ""), False
        if some.size == 1:
            return "char", some.signed
        return ("int" if some.size in (2, 4, 8) else ""), some.signed
    if isinstance(some, Enum | Enum64) and some.name == "libbpf_tristate":
        return ("tristate" if some.size == 4 or isinstance(some, Enum64) else ""), False
    if isinstance(some, Array) and some.nelems and _kind_of_element(btf, some.type_id):
        return "char[]", False
    return "", False


def _kind_of_element(btf: Btf, type_id: int) -> bool:
    some = btf.strip(type_id)
    return isinstance(some, Int) and some.size == 1 and not some.bool


def _integer(name: str, text: str) -> int:
    """Read an integer as strtoull does with base 0; what is negative wraps around."""
    digits = text.lstrip(" \t\v\f\r\n").lower()
    sign = -1 if digits[:1] == "-" else 1
    digits = digits[digits[:1] in ("+", "-") :]
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    known = "0123456789abcdef"[:base]
    rest = digits.removeprefix("0x") if base == 16 else digits
    plain = 0 < len(rest.lstrip("0") or "0") <= 64 and all(digit in known for digit in rest)
    if not rest or not plain or int(rest, base) >> 64:
        raise RelocationError(f"extern {name!r}: this kernel's value {text!r} is no integer")
    value = int(rest, base)
    return sign * value & (1 << 64) - 1


def _options(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pick the options that are set out of a configuration; where one is set twice, the first."""
    seen = set()
    for line in lines:
        if not line.startswith("CONFIG_"):
            continue
        name, _, value = line.rstrip("\n").partition("=")
        if not value:
            raise RelocationError(f"the kernel configuration has a line without a value: {line!r}")
        if name not in seen:
            seen.add(name)
            yield name, value


def _running_options() -> list[str]:
    """The lines of this kernel's configuration (bpf_object__read_kconfig_file)."""
    import gzip
    import zlib

    for path in (f"/boot/config-{os.uname().release}", "/proc/config.gz"):
        try:
            with open(path, "rb") as file:
                data = file.read(_LARGEST)
        except OSError:
            continue
        if data[:2] == b"\x1f\x8b":
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise RelocationError(f"{path} cannot be unpacked: {error}") from None
        return data.decode("utf-8", "surrogateescape").split("\n")
    raise RelocationError(
        "this kernel shows no configuration: neither /boot/config-$(uname -r) nor /proc/config.gz "
        "can be read (give one with kconfig=)"
    )


def _running_version() -> tuple[int, int, int]:
    """This kernel's version as it calls itself in <linux/version.h> (get_kernel_version).

    Ubuntu and Debian put another number into the release.
    """
    name = os.uname()
    try:
        with open("/proc/version_signature") as file:  # Ubuntu: "Ubuntu 6.8.0-1-generic 6.8.1"
            words = file.read(4096).split()
    except OSError:
        words = []
    debian = name.version.partition("Debian ")[2].split()
    for text in (*words[2:3], *debian[:1], name.release):
        found = _three(text)
        if found is not None:
            return found
    raise RelocationError(f"the kernel's release {name.release!r} is no version")


def _three(text: str) -> tuple[int, int, int] | None:
    numbers = []
    for part in text.split(".", 2):
        digits = part[: next((i for i, c in enumerate(part) if not c.isdigit()), len(part))]
        if not digits:
            return None
        numbers.append(int(digits))
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
