"""Holds our loader against libbpf, object by object: what is equal, and the first difference."""

from __future__ import annotations

import dataclasses
import enum
import functools
import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from differential import libbpf_load
from differential.libbpf_load import Loaded, OracleError

from pylibbpf.btf.core import Target
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import BtfError, CoreError, ElfError, NotSupportedError, RelocationError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.disasm import disassemble
from pylibbpf.loader.object import read
from pylibbpf.loader.releases import NEWEST
from pylibbpf.loader.relocate import RelocatedObject, RelocatedProgram, relocate
from pylibbpf.loader.this_kernel import this_kernel
from pylibbpf.spec import MapKind, ReferenceKind

# From 1.4 on maps are created after relocation (bpf_object_load): before, one that the kernel
# refuses leaves no instructions to compare. 1.2 and 1.3: not tried.
MAPS_AFTER_RELOCATION = (1, 4)


class Verdict(enum.Enum):
    """How the two compare."""

    EQUAL = "equal"
    DIFFERENT = "different"
    BOTH_REFUSE = "both refuse"
    OTHER_REASON = "both refuse, for different reasons"
    ONLY_LIBBPF = "only libbpf refuses"
    ONLY_WE = "only we refuse"
    KERNEL = "equal, but the kernel refuses a map or the types"
    LEGACY = "only we read: legacy maps"
    NOT_DONE = "not done yet"
    CRASH = "crash"

    @property
    def good(self) -> bool:
        return self in _GOOD


_GOOD = (Verdict.EQUAL, Verdict.BOTH_REFUSE, Verdict.KERNEL, Verdict.LEGACY)

# Where the kernel ends it, not libbpf: it refuses a map, or the object's types.
_RELOCATED = (None, "map", "btf")

# What of ours answers what of libbpf's (libbpf_load.STEPS).
_REASONS: dict[str, tuple[type[Exception], ...]] = {
    "open": (ElfError, BtfError),
    "endian": (ElfError, BtfError),
    "core": (CoreError, BtfError),
    "relocation": (ElfError, BtfError),
    "extern": (RelocationError, ElfError, BtfError),
    "struct_ops": (RelocationError, ElfError, BtfError),
    "kernel btf": (BtfError, RelocationError),
}


# Maps of before libbpf 1.0: struct bpf_map_def, and initialized integers in .maps (2019).
_LEGACY = ("legacy map definitions", "expected PTR, got int")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One object: what came out, why, and how much was compared."""

    path: str
    verdict: Verdict
    detail: str = ""
    programs: int = 0
    insns: int = 0
    maps: int = 0


def compare_all(
    paths: Iterable[Path],
    *,
    libbpf: str | None = None,
    btf: str | None = None,
    workers: int | None = None,
) -> Iterator[Comparison]:
    """Compare objects, several at a time, in their order."""
    job = functools.partial(compare, libbpf=libbpf, btf=btf)
    # No fork: the process may have threads, and newer Pythons warn of it.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        yield from pool.map(job, paths)


def compare(path: Path, *, libbpf: str | None = None, btf: str | None = None) -> Comparison:
    """Ask libbpf and ourselves about one object."""
    try:
        theirs = libbpf_load.load(path, libbpf=libbpf, btf=btf)
    except OracleError as error:
        return Comparison(str(path), Verdict.CRASH, str(error))
    try:
        ours = relocated(path, btf, libbpf=release(theirs))
    except NotSupportedError as error:
        return Comparison(str(path), Verdict.NOT_DONE, str(error))
    except (ElfError, BtfError, CoreError, RelocationError) as error:
        return Comparison(str(path), *_refused(theirs, error))
    except Exception:  # of any kind: it is what is looked for
        return Comparison(str(path), Verdict.CRASH, traceback.format_exc(limit=-3))
    if theirs.refused not in _RELOCATED:
        legacy = any(word in line for line in theirs.messages for word in _LEGACY)
        verdict = Verdict.LEGACY if legacy else Verdict.ONLY_LIBBPF
        return Comparison(str(path), verdict, _said(theirs))
    different = list(differences(theirs, ours))
    verdict = Verdict.DIFFERENT if different else Verdict.EQUAL
    detail = "\n".join(different)
    if theirs.refused is not None and not different:
        verdict, detail = Verdict.KERNEL, _said(theirs)
    return Comparison(
        str(path),
        verdict,
        detail,
        len(ours.programs),
        sum(len(program.insns) for program in ours.programs),
        len(ours.maps),
    )


def release(loaded: Loaded) -> tuple[int, int]:
    """Which libbpf loaded it, for relocate() to do as that one."""
    major, minor = loaded.libbpf.removeprefix("v").split(".")[:2]
    return min((int(major), int(minor)), NEWEST)


def relocated(
    path: Path, btf: str | None = None, libbpf: tuple[int, int] = NEWEST
) -> RelocatedObject:
    """Relocate an object for this kernel; ``btf`` is a file to answer CO-RE from instead."""
    kernel = _running()
    target = _target(btf) if btf else kernel
    return relocate(read(path), target=target, kernel=kernel, libbpf=libbpf)


_running = functools.cache(this_kernel)


@functools.cache
def _target(path: str) -> Target:
    return Target(Btf(Path(path).read_bytes()))


def _said(theirs: Loaded) -> str:
    lines = [line.partition("\n")[0] for line in theirs.messages[:4]]  # of a log the first
    return f"libbpf ({theirs.refused}, errno {theirs.errno}): {' | '.join(lines)}"


def _refused(theirs: Loaded, error: Exception) -> tuple[Verdict, str]:
    detail = f"we: {type(error).__name__}: {error}"
    if theirs.refused in _RELOCATED:
        return Verdict.ONLY_WE, detail
    same = isinstance(error, _REASONS.get(theirs.refused or "", ()))
    return (Verdict.BOTH_REFUSE if same else Verdict.OTHER_REASON), f"{_said(theirs)}\n{detail}"


# --- the differences ---


def differences(theirs: Loaded, ours: RelocatedObject) -> Iterator[str]:
    """Tell what differs: of each program and map the first thing."""
    relocated = theirs.refused is None or release(theirs) >= MAPS_AFTER_RELOCATION
    here = {program.name: program for program in ours.programs}
    names = [program.name for program in theirs.programs if program.name not in ours.skipped]
    if names != list(here):
        yield f"programs: libbpf has {names}, we {list(here)}"
    for program in theirs.programs:
        if program.name in here and relocated:
            yield from _program(theirs, program, here[program.name])
    yield from _maps(theirs, ours)


def _program(loaded: Loaded, theirs: libbpf_load.Program, ours: RelocatedProgram) -> Iterator[str]:
    name = theirs.name
    if theirs.section.removeprefix("?") != ours.section:
        yield f"{name}: section: libbpf {theirs.section}, we {ours.section}"
    mine, other = (ours.type, ours.attach_type), (theirs.type, theirs.attach_type)
    if ours.section.partition("/")[0] in _SET_AT_LOAD:
        other = theirs.type, ours.attach_type
    if mine != other:
        yield f"{name}: types: libbpf {other}, we {mine}"
    code, names = normal(ours)
    open_fds = _open_descriptors(loaded, theirs, names)
    for at in range(max(len(theirs.code), len(code)) // 8):
        a, b = theirs.code[8 * at : 8 * at + 8], code[8 * at : 8 * at + 8]
        meant, mine = theirs.names.get(at), names.get(at)
        if at in open_fds:
            a, meant = a[:4] + bytes(4), mine
        if a != b or not _alike(meant, mine):
            yield (
                f"{name}: instruction {at} of {len(theirs.code) // 8}\n"
                f"    libbpf: {_at(theirs.code, at)} {meant or ''}\n"
                f"    we:     {_at(code, at)} {mine or ''}"
            )
            return
    if theirs.functions is not None and theirs.functions != tuple(ours.functions):
        yield f"{name}: functions: libbpf {theirs.functions}, we {ours.functions}"
    lines = tuple((line.insn, line.number, line.column) for line in ours.lines)
    if theirs.lines is not None and theirs.lines != lines:
        yield f"{name}: lines: {_first(theirs.lines, lines)}"


# Which attach type these have, libbpf decides as it loads each: here only the first is tried.
_SET_AT_LOAD = ("usdt", "usdt.s")


def _open_descriptors(
    loaded: Loaded, theirs: libbpf_load.Program, names: dict[int, tuple[str, str]]
) -> set[int]:
    """Where a map's descriptor stands that has no name, as the kernel refused one before it."""
    # Nor has that of a jump table, which is a map that libbpf shows nobody.
    tables = {at for at, (kind, _) in names.items() if kind == "table"}
    if loaded.refused is None:
        return tables
    return tables | {
        at
        for at, (kind, _) in names.items()
        if kind == "map"
        and at not in theirs.names
        and theirs.code[8 * at] == isa.LD_IMM64
        and theirs.code[8 * at + 1] >> 4 in (isa.PSEUDO_MAP_FD, isa.PSEUDO_MAP_VALUE)
    }


def normal(program: RelocatedProgram) -> tuple[bytes, dict[int, tuple[str, str]]]:
    """Give a program as libbpf_load does: 0 for what differs from run to run, and its name."""
    insns = list(program.insns)
    names = {}
    for at, reference in program.references.items():
        insn = insns[at]
        if reference.kind in (ReferenceKind.MAP, ReferenceKind.DATA):
            names[at] = ("map", reference.target)
        elif reference.kind is ReferenceKind.JUMP_TABLE:
            names[at] = ("table", reference.target)
        elif reference.module and insn.code == isa.CALL_CODE:
            names[at] = ("module", reference.module)
            insns[at] = isa.Insn(insn.code, insn.dst, insn.src, 0, insn.imm)
        elif reference.module:
            names[at] = ("module", reference.module)
        elif insn.code == isa.LD_IMM64 and insn.src == 0 and (insn.imm or insns[at + 1].imm):
            names[at] = ("symbol", reference.target)
            insns[at] = isa.Insn(insn.code, insn.dst, insn.src, insn.off, 0)
            insns[at + 1] = isa.Insn(0)
    return isa.encode(insns), names


def _alike(theirs: tuple[str, str] | None, ours: tuple[str, str] | None) -> bool:
    if theirs is not None and ours is not None and theirs[0] == ours[0] == "symbol":
        return ours[1] in theirs[1].split()
    if theirs is not None and ours is not None and theirs[0] == ours[0] == "map":
        return _shown(theirs[1]) == _shown(ours[1])
    return theirs == ours


def _shown(name: str) -> str:
    """A map's name as libbpf shows it: of a section's not more than the kernel keeps.

    BPF_OBJ_NAME_LEN is 16; a letter is the object's (internal_map_name; bpf_map__name shows
    .data.* and .rodata.* whole, and .bss.* not).
    """
    return name[:14] if name.startswith(".bss.") else name


def _at(code: bytes, at: int) -> str:
    """The instruction there, as text and bytes."""
    raw = code[8 * at : 8 * at + 8]
    if not raw:
        return "none: the program ends before"
    texts = dict(disassemble(isa.decode(code)))
    return f"{texts.get(at, '(second half)')}   [{raw.hex(' ')}]"


def _first(theirs: tuple[object, ...], ours: tuple[object, ...]) -> str:
    for at, (a, b) in enumerate(zip(theirs, ours, strict=False)):
        if a != b:
            return f"number {at}: libbpf {a}, we {b}"
    return f"libbpf has {len(theirs)}, we {len(ours)}"


def _maps(theirs: Loaded, ours: RelocatedObject) -> Iterator[str]:
    mine = [each for each in ours.maps if each.kind is not MapKind.JUMP_TABLE]
    names = [each.name for each in theirs.maps]
    if list(map(_shown, names)) != [_shown(each.name) for each in mine]:
        yield f"maps: libbpf has {names}, we {[each.name for each in mine]}"
        return
    for a, b in zip(theirs.maps, mine, strict=True):
        # Type ids may be dropped as a map is created: by its type, or if the kernel wants none.
        words = _MAP if theirs.refused is None else _MAP[:-2]
        pin = f"/sys/fs/bpf/{b.name}" if b.pinning else None
        for word, left, right in (
            *((word, getattr(a, word), getattr(b, word)) for word in words),
            ("pin path", a.pin_path, pin),
            ("contents", a.contents, b.contents if a.contents is not None else None),
        ):
            if left != right:
                yield f"map {a.name}: {word}: libbpf {left!r}, we {right!r}"


_MAP = (
    "type",
    "key_size",
    "value_size",
    "max_entries",
    "flags",
    "map_extra",
    "numa_node",
    "key_type_id",
    "value_type_id",
)
