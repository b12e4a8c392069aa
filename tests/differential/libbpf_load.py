"""What libbpf makes of an object: its programs relocated, its maps as it would create them.

:func:`load` asks one libbpf in a child process with a time limit. There the object is opened, each
program is set to be loaded (those of ``?SEC`` too), and ``bpf_object__load`` is called. No program
gets into the kernel: each has a flag that no kernel knows, so BPF_PROG_LOAD refuses the first one
before it looks at the instructions. By then libbpf has relocated all of them, and it keeps them
(bpf_object_load calls bpf_object__relocate for all programs before bpf_object__load_progs, and
bpf_object_unload frees no instructions: libbpf 1.1.2, 1.4.6 and 1.7.0). Maps are created, as their
descriptors are what relocation is about, and closed again; none is pinned.

What differs from run to run is given by name: the descriptor of a map, the index of a module's BTF,
and the address of a kernel symbol are 0 in the instructions, and ``names`` has their meaning.

A map that the kernel refuses ends libbpf 1.1 before relocation, and later ones after it. Then the
descriptors of the maps that were not created stay as they are in the instructions.

Run as a program, it prints the answer for one object as JSON::

    libbpf_load.py OBJECT [--libbpf PATH] [--btf FILE] [--kconfig TEXT]

Needs the right to load programs and create maps, as libbpf tries out what the kernel can.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 120

# insn.src_reg: uapi linux/bpf.h, BPF_PSEUDO_*
MAP_FD, MAP_VALUE, BTF_ID, KFUNC_CALL = 1, 2, 3, 2
LD_IMM64, CALL = 0x18, 0x85

# A flag for BPF_PROG_LOAD that no kernel knows: kernel/bpf/syscall.c, bpf_prog_load.
UNKNOWN_FLAG = 1 << 31

# Which step of loading ends with which message; the first that is found tells the reason. The
# messages are those of libbpf 1.1.2 to 1.7.0, in libbpf.c.
STEPS = (
    ("core", re.compile(r"failed to perform CO-RE relocations")),
    ("relocation", re.compile(r"failed to relocate (calls|data references)")),
    ("relocation", re.compile(r"failed to perform \.BTF\.ext fix ups")),
    ("extern", re.compile(r"^extern |failed to (open|read|parse) .*(kconfig|config|kallsyms)")),
    ("struct_ops", re.compile(r"struct_ops (init_kern|kern|reloc)|struct_ops init")),
    (
        "map",
        re.compile(r"failed to (create|pin|set initial|freeze)|map '.*': .*(support|mismatch)"),
    ),
    ("kernel btf", re.compile(r"[Ee]rror loading vmlinux BTF|[Ff]ailed to .*vmlinux BTF")),
    ("btf", re.compile(r"Error loading \.BTF into kernel|Failed to load .*\.BTF")),
    ("endian", re.compile(r"non-native endianness")),
)


@dataclasses.dataclass(frozen=True)
class Program:
    """One program, relocated.

    ``names`` says what stands at instructions whose number means nothing elsewhere:
    ``("map", NAME)``, ``("module", NAME)`` or ``("symbol", NAMES)``. In the code is 0 for it.
    ``functions`` are instruction and BTF id, ``lines`` instruction, line and column, as libbpf
    would tell the kernel; None where it does not show them (before 1.6) or did not come so far.
    """

    name: str
    section: str
    type: int
    attach_type: int
    code: bytes
    names: dict[int, tuple[str, str]]
    functions: tuple[tuple[int, int], ...] | None
    lines: tuple[tuple[int, int, int], ...] | None


@dataclasses.dataclass(frozen=True)
class Map:
    """One map, as it was created, or as it was opened where it came to no creation.

    Sections of data have their name without the object's, and their contents.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    numa_node: int
    key_type_id: int
    value_type_id: int
    pin_path: str | None
    contents: bytes | None


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What libbpf did with an object.

    ``refused`` is None where all programs were relocated. Else it is what ended it before: "open",
    or one of STEPS; the programs are as they stand in the file then. ``opened`` are the maps before
    loading, ``maps`` after.
    """

    libbpf: str
    refused: str | None
    errno: int
    messages: tuple[str, ...]
    programs: tuple[Program, ...] = ()
    opened: tuple[Map, ...] = ()
    maps: tuple[Map, ...] = ()


class OracleError(Exception):
    """libbpf could not be asked: it crashed, took too long, or is not there."""


def load(
    path: str | os.PathLike[str],
    *,
    libbpf: str | os.PathLike[str] | None = None,
    btf: str | os.PathLike[str] | None = None,
    kconfig: str | None = None,
    seconds: float = SECONDS,
) -> Loaded:
    """Ask a libbpf, by default the one that pylibbpf would use.

    ``btf`` is the file with the kernel's types for CO-RE (default: the running kernel's);
    ``kconfig`` are lines of configuration that come before the kernel's own.

    Raises:
        OracleError: the child crashed or took longer than ``seconds``.
    """
    command = [*_started(libbpf), sys.executable, "-E", __file__, os.fspath(path)]
    for option, value in (("--libbpf", libbpf), ("--btf", btf), ("--kconfig", kconfig)):
        if value is not None:
            command += [option, os.fspath(value)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise OracleError(f"libbpf took more than {seconds} s for {path}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise OracleError(f"{path}: status {done.returncode}: {said[-1:] or 'it said nothing'}")
    return _from_json(json.loads(done.stdout))


def _started(libbpf: str | os.PathLike[str] | None) -> list[str]:
    """How Python has to be started for that libbpf.

    One of a later Debian needs a C library that is newer than the host's, and lies beside it
    (tools/headers.py). Python gets on with that, too, as a C library keeps what older ones had.
    """
    named = os.fspath(libbpf or os.environ.get("PYLIBBPF_LIBBPF", ""))
    folder = Path(named).parent
    if "/" not in named or folder.resolve().is_relative_to("/usr/lib"):
        return []  # the host's own
    loaders = sorted(folder.glob("ld-linux*.so.*"))
    if not loaders or not (folder / "libc.so.6").exists():
        return []
    return [str(loaders[0]), "--library-path", str(folder)]


def _from_json(data: dict[str, Any]) -> Loaded:
    return Loaded(
        libbpf=data["libbpf"],
        refused=data["refused"],
        errno=data["errno"],
        messages=tuple(data["messages"]),
        programs=tuple(
            Program(
                name=each["name"],
                section=each["section"],
                type=each["type"],
                attach_type=each["attach_type"],
                code=bytes.fromhex(each["code"]),
                names={int(at): (kind, name) for at, (kind, name) in each["names"].items()},
                functions=_rows(each["functions"]),
                lines=_rows(each["lines"]),
            )
            for each in data["programs"]
        ),
        opened=tuple(map(_map, data["opened"])),
        maps=tuple(map(_map, data["maps"])),
    )


def _rows(rows: list[list[int]] | None) -> Any:
    return None if rows is None else tuple(map(tuple, rows))


def _map(data: dict[str, Any]) -> Map:
    contents = data.pop("contents")
    return Map(**data, contents=None if contents is None else bytes.fromhex(contents))


# --- the child ---

_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_WARN, _INFO, _DEBUG = 0, 1, 2

_POINTER, _TEXT, _INT, _U32, _U64 = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.c_uint64,
)

# libbpf.h: what is called, what it returns, what it takes
_CALLS: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_version_string": (_TEXT, []),
    "bpf_object__open_file": (_POINTER, [_TEXT, _POINTER]),
    "bpf_object__load": (_INT, [_POINTER]),
    "bpf_object__next_program": (_POINTER, [_POINTER, _POINTER]),
    "bpf_object__next_map": (_POINTER, [_POINTER, _POINTER]),
    "bpf_program__set_autoload": (_INT, [_POINTER, ctypes.c_bool]),
    "bpf_program__set_flags": (_INT, [_POINTER, _U32]),
    "bpf_program__flags": (_U32, [_POINTER]),
    "bpf_program__name": (_TEXT, [_POINTER]),
    "bpf_program__section_name": (_TEXT, [_POINTER]),
    "bpf_program__type": (_INT, [_POINTER]),
    "bpf_program__expected_attach_type": (_INT, [_POINTER]),
    "bpf_program__insns": (_POINTER, [_POINTER]),
    "bpf_program__insn_cnt": (ctypes.c_size_t, [_POINTER]),
    "bpf_map__name": (_TEXT, [_POINTER]),
    "bpf_map__autocreate": (ctypes.c_bool, [_POINTER]),
    "bpf_map__type": (_INT, [_POINTER]),
    "bpf_map__key_size": (_U32, [_POINTER]),
    "bpf_map__value_size": (_U32, [_POINTER]),
    "bpf_map__max_entries": (_U32, [_POINTER]),
    "bpf_map__map_flags": (_U32, [_POINTER]),
    "bpf_map__map_extra": (_U64, [_POINTER]),
    "bpf_map__numa_node": (_U32, [_POINTER]),
    "bpf_map__btf_key_type_id": (_U32, [_POINTER]),
    "bpf_map__btf_value_type_id": (_U32, [_POINTER]),
    "bpf_map__is_internal": (ctypes.c_bool, [_POINTER]),
    "bpf_map__pin_path": (_TEXT, [_POINTER]),
    "bpf_map__set_pin_path": (_INT, [_POINTER, _TEXT]),
    "bpf_map__initial_value": (_POINTER, [_POINTER, ctypes.POINTER(ctypes.c_size_t)]),
    "bpf_obj_get_info_by_fd": (_INT, [_INT, _POINTER, ctypes.POINTER(_U32)]),
}

# The same, of later libbpfs: since 1.6
_LATER: dict[str, tuple[Any, list[Any]]] = {
    "bpf_program__func_info": (_POINTER, [_POINTER]),
    "bpf_program__func_info_cnt": (_U32, [_POINTER]),
    "bpf_program__line_info": (_POINTER, [_POINTER]),
    "bpf_program__line_info_cnt": (_U32, [_POINTER]),
}

# libbpf names maps of data after the object. One letter leaves the section's name whole.
_OBJECT = b"o"


class _OpenOpts(ctypes.Structure):
    """libbpf.h: struct bpf_object_open_opts, as of libbpf 1.1."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", _TEXT),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", _TEXT),
        ("attach_prog_fd", _U32),
        ("kconfig", _TEXT),
        ("btf_custom_path", _TEXT),
        ("kernel_log_buf", _POINTER),
        ("kernel_log_size", ctypes.c_size_t),
        ("kernel_log_level", _U32),
    )


class _BtfInfo(ctypes.Structure):
    """uapi linux/bpf.h: struct bpf_btf_info, as of Linux 5.11."""

    _fields_ = (
        ("btf", _U64),
        ("btf_size", _U32),
        ("id", _U32),
        ("name", _U64),
        ("name_len", _U32),
        ("kernel_btf", _U32),
    )


class _Child:
    """One object, opened and loaded by libbpf itself."""

    def __init__(self, libbpf: str) -> None:
        self.lib = ctypes.CDLL(libbpf, use_errno=True)
        self.tells_lines = all(hasattr(self.lib, name) for name in _LATER)
        for name, (result, arguments) in {**_CALLS, **_LATER}.items():
            if name in _CALLS or self.tells_lines:
                call = getattr(self.lib, name)
                call.restype, call.argtypes = result, arguments
        libc = ctypes.CDLL(None)
        self.vsnprintf = libc.vsnprintf
        self.vsnprintf.argtypes = [_POINTER, ctypes.c_size_t, _TEXT, _POINTER]
        self.messages: list[str] = []
        self.object: int | None = None
        self.fds: dict[int, str] = {}
        self.modules: list[str] = []
        self.module_fds: dict[int, str] = {}
        self.symbols: dict[int, str] = {}
        self.refused_at_load = False
        self.functions: dict[int, list[tuple[int, ...]]] = {}
        self.lines: dict[int, list[tuple[int, ...]]] = {}
        self.printer = _PRINT(self.heard)  # ctypes keeps no reference of its own
        self.lib.libbpf_set_print.restype = _POINTER
        self.lib.libbpf_set_print.argtypes = [_PRINT]
        self.lib.libbpf_set_print(self.printer)

    # --- what libbpf says, and what can be seen only while it says it ---

    def heard(self, level: int, form: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(4096)
        self.vsnprintf(text, len(text), form, arguments)
        line = os.fsdecode(text.value).rstrip("\n")
        line = line.removeprefix("libbpf: ")
        if level != _DEBUG:
            self.messages.append(line)
        if found := re.match(r"map '.*': created successfully, fd=(\d+)$", line):
            self.note_descriptor(int(found[1]))
        elif found := re.match(r"extern \(ksym\) '(.*)': set to 0x([0-9a-f]+)$", line):
            # Several names may be of one address.
            names = {*self.symbols.get(int(found[2], 16), "").split(), found[1]}
            self.symbols[int(found[2], 16)] = " ".join(sorted(names))
        elif found := re.match(r"extern \(func ksym\) '.*': resolved to (\S+) \[\d+\]$", line):
            # bpf_object__resolve_ksym_func_btf_id counts modules from 1, as they are first used
            if found[1] not in ("kernel", "vmlinux", *self.modules):
                self.modules.append(found[1])
        elif line.startswith("extern (var ksym) '"):
            self.note_modules()
        elif line.startswith("prog '") and "BPF program load failed" in line:
            self.refused_at_load = True
            self.note_lines()
        return 0

    def note_descriptor(self, fd: int) -> None:
        """Maps are created in the order of the object (bpf_object__create_maps).

        They are closed again when loading fails, and ``bpf_map__fd`` tells nothing before it ends.
        """
        made = [
            m for m in self.all(self.lib.bpf_object__next_map) if self.lib.bpf_map__autocreate(m)
        ]
        self.fds[fd] = self.map_name(made[len(self.fds)])

    def note_lines(self) -> None:
        """bpf_program__unload frees them (libbpf 1.7.0)."""
        for each in self.all(self.lib.bpf_object__next_program) if self.tells_lines else ():
            self.functions[each] = self.rows(each, "func_info", "<II")
            self.lines[each] = [
                (insn, position >> 10, position & 1023)  # BPF_LINE_INFO_LINE_NUM, _LINE_COL
                for insn, _, _, position in self.rows(each, "line_info", "<IIII")
            ]

    def rows(self, program: int, which: str, row: str) -> list[tuple[int, ...]]:
        """Give the records of one kind; none where they are of another size than this libbpf's."""
        start = getattr(self.lib, f"bpf_program__{which}")(program)
        count = getattr(self.lib, f"bpf_program__{which}_cnt")(program)
        data = ctypes.string_at(start, count * struct.calcsize(row)) if start and count else b""
        return list(struct.iter_unpack(row, data))

    def note_modules(self) -> None:
        for entry in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{entry}") != "anon_inode:btf":
                    continue
            except FileNotFoundError:  # that of the listing itself
                continue
            name = ctypes.create_string_buffer(64)
            info = _BtfInfo(name=ctypes.addressof(name), name_len=len(name))
            size = _U32(ctypes.sizeof(info))
            if self.lib.bpf_obj_get_info_by_fd(int(entry), ctypes.byref(info), size) == 0:
                self.module_fds[int(entry)] = os.fsdecode(name.value)

    # --- the steps ---

    def run(self, path: str, btf: str | None, kconfig: str | None) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "libbpf": os.fsdecode(self.lib.libbpf_version_string()),
            "refused": None,
            "errno": 0,
            "programs": [],
            "opened": [],
            "maps": [],
            "messages": self.messages,
        }
        opts = _OpenOpts(sz=ctypes.sizeof(_OpenOpts), object_name=_OBJECT)
        opts.btf_custom_path = None if btf is None else os.fsencode(btf)
        opts.kconfig = None if kconfig is None else kconfig.encode()
        self.object = self.lib.bpf_object__open_file(os.fsencode(path), ctypes.byref(opts))
        if not self.object:
            return {**answer, "refused": "open", "errno": ctypes.get_errno()}
        answer["opened"] = self.maps()
        pins = {}
        for map in self.all(self.lib.bpf_object__next_map):
            pins[map] = self.lib.bpf_map__pin_path(map)
            self.lib.bpf_map__set_pin_path(map, None)
        programs = list(self.all(self.lib.bpf_object__next_program))
        for program in programs:
            flags = self.lib.bpf_program__flags(program) | UNKNOWN_FLAG
            if self.lib.bpf_program__set_autoload(program, True) or (
                self.lib.bpf_program__set_flags(program, flags)
            ):
                raise RuntimeError("libbpf lets no flag be set on a program")
        result = self.lib.bpf_object__load(self.object)
        answer["errno"] = -result
        if programs and result == 0:
            raise RuntimeError("this kernel loads programs with a flag that it does not know")
        if result and not self.at_programs():
            answer["refused"] = self.reason()
        answer["programs"] = [self.program(each) for each in programs]
        answer["maps"] = self.maps(pins)
        return answer

    def at_programs(self) -> bool:
        """Whether loading has come to the programs, all of which were relocated then."""
        return self.refused_at_load or any(
            re.match(r"prog '.*': (failed to load|missing BPF prog type|SEC\()", line)
            or re.match(r"prog '.*': failed to prepare load attributes", line)
            for line in self.messages
        )

    def reason(self) -> str:
        for name, pattern in STEPS:
            if any(pattern.search(line) for line in self.messages):
                return name
        return "unknown"

    def all(self, following: Any) -> Any:
        each = following(self.object, None)
        while each:
            yield each
            each = following(self.object, each)

    def program(self, program: int) -> dict[str, Any]:
        lib = self.lib
        count = lib.bpf_program__insn_cnt(program)
        insns = lib.bpf_program__insns(program)
        code = bytearray(ctypes.string_at(insns, 8 * count) if count else b"")
        names = self.name(code)
        section = os.fsdecode(lib.bpf_program__section_name(program))
        attach_type = lib.bpf_program__expected_attach_type(program)
        if section.removeprefix("?").startswith("usdt"):
            # libbpf_prepare_load_prog makes BPF_TRACE_UPROBE_MULTI of it, by what the kernel can
            # do, and only as it comes to that program: here to the first alone.
            attach_type = 0
        return {
            "name": os.fsdecode(lib.bpf_program__name(program)),
            "section": section,
            "type": lib.bpf_program__type(program),
            "attach_type": attach_type,
            "code": code.hex(),
            "names": names,
            "functions": self.functions.get(program),
            "lines": self.lines.get(program),
        }

    def name(self, code: bytearray) -> dict[int, tuple[str, str]]:
        """Put 0 for the numbers of this run, and give what they stand for."""
        names = {}
        at = 0
        while at < len(code):
            opcode, source = code[at], code[at + 1] >> 4
            wide = opcode == LD_IMM64 and at + 16 <= len(code)
            low = int.from_bytes(code[at + 4 : at + 8], "little")
            high = int.from_bytes(code[at + 12 : at + 16], "little") if wide else 0
            if wide and source in (MAP_FD, MAP_VALUE) and low in self.fds:
                names[at // 8] = ("map", self.fds[low])
                code[at + 4 : at + 8] = bytes(4)
            elif wide and source == BTF_ID and high in self.module_fds:
                names[at // 8] = ("module", self.module_fds[high])
                code[at + 12 : at + 16] = bytes(4)
            elif wide and source == 0 and low | high << 32 in self.symbols:
                names[at // 8] = ("symbol", self.symbols[low | high << 32])
                code[at + 4 : at + 8] = code[at + 12 : at + 16] = bytes(4)
            elif opcode == CALL and source == KFUNC_CALL:
                index = int.from_bytes(code[at + 2 : at + 4], "little")
                if 0 < index <= len(self.modules):
                    names[at // 8] = ("module", self.modules[index - 1])
                    code[at + 2 : at + 4] = bytes(2)
            at += 16 if wide else 8
        return names

    def map_name(self, map: int) -> str:
        name: bytes = self.lib.bpf_map__name(map)
        if self.lib.bpf_map__is_internal(map):
            name = name.removeprefix(_OBJECT)
        return os.fsdecode(name)

    def maps(self, pins: dict[int, bytes | None] | None = None) -> list[dict[str, Any]]:
        found = []
        for map in self.all(self.lib.bpf_object__next_map):
            pin = self.lib.bpf_map__pin_path(map) if pins is None else pins[map]
            found.append(
                {
                    "name": self.map_name(map),
                    "type": self.lib.bpf_map__type(map),
                    "key_size": self.lib.bpf_map__key_size(map),
                    "value_size": self.lib.bpf_map__value_size(map),
                    "max_entries": self.lib.bpf_map__max_entries(map),
                    "flags": self.lib.bpf_map__map_flags(map),
                    "map_extra": self.lib.bpf_map__map_extra(map),
                    "numa_node": self.lib.bpf_map__numa_node(map),
                    "key_type_id": self.lib.bpf_map__btf_key_type_id(map),
                    "value_type_id": self.lib.bpf_map__btf_value_type_id(map),
                    "pin_path": None if pin is None else os.fsdecode(pin),
                    "contents": self.contents(map),
                }
            )
        return found

    def contents(self, map: int) -> str | None:
        if not self.lib.bpf_map__is_internal(map):
            return None
        size = ctypes.c_size_t()
        data = self.lib.bpf_map__initial_value(map, ctypes.byref(size))
        return ctypes.string_at(data, size.value).hex() if data else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("object", type=Path)
    parser.add_argument("--libbpf", default=os.environ.get("PYLIBBPF_LIBBPF", "libbpf.so.1"))
    parser.add_argument("--btf")
    parser.add_argument("--kconfig")
    args = parser.parse_args()
    answer = _Child(args.libbpf).run(args.object, args.btf, args.kconfig)
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
