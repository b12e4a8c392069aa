"""Show what a loader would give the kernel: ``pylibbpf inspect --relocated``.

With ``--json``, one JSON object per file and line. Keys are stable and always there; what there
is not is null or an empty list.

``file``, ``btf``
    The object's path, and that of the kernel's BTF (null: this kernel).
``ok``, ``error``
    Whether it could be relocated; if not, ``error`` says why and no other key is there.
``license``, ``version``
    As the kernel is given them.
``programs``
    ``name``, ``section``, ``type``, ``attach_type`` (the kernel's names in lower case, or null;
    of a struct_ops program ``attach_type`` is the member's number), ``flags`` (of BPF_PROG_LOAD),
    ``insns`` (each instruction: 8 bytes in hex), ``references``, ``functions`` (``insn``,
    ``name``: where each function of the program starts), ``lines`` (``insn``, ``file``, ``line``,
    ``text``: from there on), ``core`` (CO-RE relocations: ``insn``, ``kind``, ``type``, ``access``,
    ``path``, ``poison``: nothing was found, ``why``: what was looked for and not found, or "").
``maps``
    In the order of creation: ``name``, ``kind``, ``section``, ``type``, ``key_size``,
    ``value_size``, ``max_entries``, ``flags``, ``map_extra``, ``numa_node``, ``pinning``,
    ``key_type_id``, ``value_type_id``, ``inner``, ``values``, ``contents`` (in hex, or null),
    ``contents_offset``, ``frozen``, ``created``.
``skipped``
    Programs that are not loaded, and why.

Instructions are in a normal form, which does not depend on where and when they are loaded: what is
a number of the moment is 0, and ``references`` has its meaning: ``insn``, ``kind``, ``name``,
``offset``, ``module``. By kind:

``map``
    A map: ``imm``, its descriptor, is 0.
``data``
    An address in the value of the map ``name``, ``offset`` bytes from its start: ``imm`` is 0; the
    second slot's ``imm`` is the offset. Maps of data are called by their section (libbpf puts the
    first letters of the object's name before it).
``jump table``
    The same, in a map that a computed goto reads.
``symbol``
    The address of the kernel symbol ``name``: both ``imm`` are 0.
``variable``
    A kernel variable with a type (or the address of a kernel function): ``imm`` is its BTF id; the
    second slot's ``imm``, a descriptor of its module's BTF, is 0.
``function``
    A kernel function that is called: ``imm`` is its BTF id; ``off``, an index of its module's BTF,
    is 0.

All other numbers are as the kernel gets them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pylibbpf.cli.disasm import listing
from pylibbpf.errors import ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn, encode
from pylibbpf.loader.btf_files import one_kernel
from pylibbpf.loader.header import read_file
from pylibbpf.loader.kernel import Kernel
from pylibbpf.loader.object import read
from pylibbpf.loader.patch import POISON
from pylibbpf.loader.releases import NEWEST, Release
from pylibbpf.loader.relocate import relocate
from pylibbpf.spec import ReferenceKind
from pylibbpf.uapi.enums import AttachType, MapType, ProgType
from pylibbpf.uapi.flags import BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.loader.relocated import RelocatedMap, RelocatedProgram
    from pylibbpf.spec import Reference

_FLAGS = {BPF_F_SLEEPABLE: "sleepable", BPF_F_XDP_HAS_FRAGS: "xdp_has_frags"}


def flags(value: int) -> list[str]:
    """Flags of BPF_PROG_LOAD by name."""
    return [name for bit, name in _FLAGS.items() if value & bit]


def attach_type(value: int) -> str | None:
    """The kernel's name of an attach type, in lower case; None for 0, which also says none."""
    return AttachType(value).name.lower() if value else None


def release(text: str) -> tuple[int, int]:
    """Read the number of a release of libbpf, like "1.4".

    Raises:
        ArgumentTypeError: it is none, or of one that is not known.
    """
    major, point, minor = text.partition(".")
    if not (point and major.isdecimal() and minor.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no release of libbpf, like 1.4")
    try:
        return Release((int(major), int(minor))).version
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def kernel(path: str) -> Kernel:
    """Read the BTF of one kernel.

    Raises:
        BtfError: there is none, or that of several.
        OSError: it cannot be read.
    """
    found = one_kernel(path)
    return Kernel.parse(found.data, found.modules)


def relocated(
    path: str,
    target: Kernel | None,
    btf: str | None,
    program: str | None = None,
    *,
    libbpf: tuple[int, int] = NEWEST,
) -> dict[str, Any]:
    """Gather all that is said of one object, as the module's docstring lists it.

    ``relocated`` are the programs themselves, for :func:`describe`.

    Raises:
        Error: the object cannot be read or relocated, or has no such program.
        OSError: a file cannot be read.
    """
    spec = read(read_file(path))
    names = [each.name for each in Release(libbpf).seen(spec).programs]
    if program is not None and program not in names:
        raise ElfError(f"no program {program!r}; there are: {', '.join(names) or 'none'}")
    made = relocate(
        spec,
        target=target.target if target is not None else None,
        programs=None if program is None else (program,),
        libbpf=libbpf,
    )
    return {
        "file": path,
        "btf": btf,
        "ok": True,
        "error": None,
        "license": made.license,
        "version": made.version,
        "programs": [_program(each) for each in made.programs],
        "maps": [_map(each) for each in made.maps],
        "skipped": {} if program is not None else made.skipped,
        "relocated": made.programs,
    }


def _program(program: RelocatedProgram) -> dict[str, Any]:
    insns = normal(program)
    struct_ops = program.type == ProgType.STRUCT_OPS
    return {
        "name": program.name,
        "section": program.section,
        "type": ProgType(program.type).name.lower() if program.type else None,
        "attach_type": program.attach_type if struct_ops else attach_type(program.attach_type),
        "flags": flags(program.flags),
        "insns": [encode([insn]).hex() for insn in insns],
        "references": [
            {
                "insn": at,
                "kind": _kind(program, at, reference),
                "name": reference.target,
                "offset": reference.offset,
                "module": reference.module or None,
            }
            for at, reference in sorted(program.references.items())
        ],
        "functions": [{"insn": start, "name": function.name} for start, function in program.parts],
        "lines": [
            {"insn": each.insn, "file": each.file, "line": each.number, "text": each.text.strip()}
            for each in program.lines
        ],
        "core": [
            {
                "insn": start + each.insn,
                "kind": each.kind.value,
                "type": each.type_name,
                "access": each.access,
                "path": each.path,
                "poison": _poisoned(program.insns[start + each.insn]),
                "why": program.core[start + each.insn].why,
            }
            for start, function in program.parts
            for each in function.core
        ],
    }


def _poisoned(insn: Insn) -> bool:
    return insn.code == isa.CALL_CODE and insn.src == isa.HELPER and insn.imm == POISON


def normal(program: RelocatedProgram) -> list[Insn]:
    """The instructions in the normal form that the module's docstring tells."""
    insns = list(program.insns)
    for at, reference in program.references.items():
        if reference.kind is not ReferenceKind.EXTERN:
            continue  # relocate() leaves descriptors 0
        old = insns[at]
        if old.code == isa.CALL_CODE:
            insns[at] = Insn(old.code, old.dst, old.src, 0, old.imm)
        elif old.src != isa.PSEUDO_BTF_ID:
            high = insns[at + 1]
            insns[at] = Insn(old.code, old.dst, old.src, old.off, 0)
            insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, 0)
    return insns


def _kind(program: RelocatedProgram, at: int, reference: Reference) -> str:
    if reference.kind is not ReferenceKind.EXTERN:
        return str(reference.kind.value)
    insn = program.insns[at]
    if insn.code == isa.CALL_CODE:
        return "function"
    return "variable" if insn.src == isa.PSEUDO_BTF_ID else "symbol"


def _map(some: RelocatedMap) -> dict[str, Any]:
    try:
        kind: str | int = MapType(some.type).name.lower()
    except ValueError:
        kind = some.type
    return {
        "name": some.name,
        "kind": some.kind.value,
        "section": some.section,
        "type": kind,
        "key_size": some.key_size,
        "value_size": some.value_size,
        "max_entries": some.max_entries,
        "flags": some.flags,
        "map_extra": some.map_extra,
        "numa_node": some.numa_node,
        "pinning": some.pinning,
        "key_type_id": some.key_type_id,
        "value_type_id": some.value_type_id,
        "inner": _map(some.inner) if some.inner is not None else None,
        "values": [[index, name] for index, name in some.values],
        "contents": some.contents.hex() if some.contents is not None else None,
        "contents_offset": some.contents_offset,
        "frozen": some.frozen,
        "created": some.created,
    }


def describe(facts: dict[str, Any]) -> Iterator[str]:
    """List the programs, each instruction with its C line and what it refers to."""
    yield facts["file"]
    programs: tuple[RelocatedProgram, ...] = facts["relocated"]
    if not programs:
        yield "  no programs"
    for program in programs:
        yield ""
        yield from listing(program)
    if facts["skipped"]:
        yield ""
    for name, why in facts["skipped"].items():
        yield f"{name} is not loaded: {why}"
