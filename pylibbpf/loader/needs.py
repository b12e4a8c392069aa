"""What an object needs of a kernel besides the types that CO-RE looks up.

The rules are those of libbpf 1.7 (find_attach_btf_id, bpf_object__resolve_ksyms_btf_id,
bpf_map__init_kern_struct_ops) and of the kernel's bpf_prog_load and map_create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.btf.core.match import compatible
from pylibbpf.btf.core.stop import Budget, Stop
from pylibbpf.btf.names import essential
from pylibbpf.btf.types import Func, Kind, Struct, Var, Void
from pylibbpf.loader.problem import Problem, Verdict
from pylibbpf.spec import ExternKind, MapKind, ReferenceKind
from pylibbpf.uapi.enums import AttachType, MapType, ProgType
from pylibbpf.uapi.sections import section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.loader.kernel import Kernel
    from pylibbpf.spec import ExternSpec, FunctionSpec, MapSpec, ObjectSpec
    from pylibbpf.uapi.sections import Section

__all__ = ["missing_externs", "of_externs", "of_maps", "of_program"]

# What to attach to, in the kernel's BTF: the prefix of the name and the kind of the type.
_HOOKS = {
    AttachType.TRACE_RAW_TP: ("btf_trace_", Kind.TYPEDEF, "tracepoint"),
    AttachType.LSM_MAC: ("bpf_lsm_", Kind.FUNC, "LSM hook"),
    AttachType.LSM_CGROUP: ("bpf_lsm_", Kind.FUNC, "LSM hook"),
    AttachType.TRACE_ITER: ("bpf_iter_", Kind.FUNC, "iterator"),
}
_FUNCTION = ("", Kind.FUNC, "function")
# Names of SEC() whose target the kernel looks up when the program is attached, not when loaded.
_LATER = {
    "kprobe": _FUNCTION,
    "kretprobe": _FUNCTION,
    "raw_tp": ("btf_trace_", Kind.TYPEDEF, "tracepoint"),
    "raw_tracepoint": ("btf_trace_", Kind.TYPEDEF, "tracepoint"),
    "raw_tp.w": ("btf_trace_", Kind.TYPEDEF, "tracepoint"),
    "raw_tracepoint.w": ("btf_trace_", Kind.TYPEDEF, "tracepoint"),
}
# Whose attach type bpf_prog_load_check_attach holds against those it knows; of others the kernel
# hears when they are attached.
_CHECKED = frozenset(
    {
        ProgType.TRACING,
        ProgType.LSM,
        ProgType.CGROUP_SOCK,
        ProgType.CGROUP_SOCK_ADDR,
        ProgType.CGROUP_SOCKOPT,
        ProgType.SK_LOOKUP,
        ProgType.NETFILTER,
    }
)


def of_program(program: FunctionSpec, kernel: Kernel) -> Iterator[Problem]:
    """What a program needs to be loaded and attached, apart from what its code refers to."""
    row = section(program.section)
    if row is None or not kernel.whole:
        return
    fails = Verdict.OPTIONAL if program.optional else Verdict.FAILS
    by = (program.name,)
    if kernel.lacks("bpf_prog_type", row.type):
        name = row.type.name.lower()
        yield Problem(
            fails, "program type", name, f"this kernel has no programs of type {name}", by
        )
    elif row.attach_type and kernel.lacks("bpf_attach_type", row.attach_type):
        name = AttachType(row.attach_type).name.lower()
        yield Problem(
            fails if row.type in _CHECKED else Verdict.ATTACH,
            "attach type",
            name,
            f"this kernel does not know the attach type {name}",
            by,
        )
    else:
        yield from _target(program, row, kernel, fails)


def _target(
    program: FunctionSpec, row: Section, kernel: Kernel, fails: Verdict
) -> Iterator[Problem]:
    target = program.section.removeprefix("?").partition("/")[2]
    if row.attach_btf and row.type is not ProgType.EXT:
        hook = _HOOKS.get(AttachType(row.attach_type), _FUNCTION)
    elif row.name in _LATER:
        hook, fails = _LATER[row.name], Verdict.ATTACH
        target = target.partition("+")[0]
    else:
        return
    prefix, kind, what = hook
    module, colon, name = target.rpartition(":")
    if not target or not name or "*" in name:
        return  # told before load, or a pattern
    if kernel.has(prefix + name, kind, module if colon else None):
        return
    where = "this kernel" if kernel.modules else "this kernel (there is no BTF of modules)"
    if colon and module not in ("vmlinux", *kernel.modules):
        where = f"the module {module}, of which there is no BTF"
    said = f"no {what} {name} in {where}"
    if fails is Verdict.ATTACH and kind is Kind.FUNC:
        said += "; BTF has no functions that the compiler has inlined everywhere or renamed"
    yield Problem(fails, "target", name, said, (program.name,))


def of_maps(spec: ObjectSpec, kernel: Kernel) -> Iterator[Problem]:
    """Map types, and the kernel structs of struct_ops maps."""
    if not kernel.whole:
        return
    for each in spec.maps:
        inner = each.inner
        for some in (each,) if inner is None else (each, inner):
            if kernel.lacks("bpf_map_type", some.type):
                name = _map_type(some.type)
                said = f"map {each.name}: this kernel has no maps of type {name}"
                yield Problem(Verdict.FAILS, "map type", name, said)
        if each.kind is MapKind.STRUCT_OPS and not each.section.startswith("?"):
            yield from _struct_ops(spec, each, kernel)


def _map_type(number: int) -> str:
    try:
        return MapType(number).name.lower()
    except ValueError:
        return str(number)


def _struct_ops(spec: ObjectSpec, some: MapSpec, kernel: Kernel) -> Iterator[Problem]:
    if spec.btf is None or some.value_type_id is None:
        return
    local = spec.btf.strip(some.value_type_id)
    name = essential(local.name)
    if not isinstance(local, Struct) or not name:
        return
    found = [
        struct
        for btf, type_id in kernel.find(name, Kind.STRUCT)
        if isinstance(struct := btf.type(type_id), Struct)
    ]
    if not found or not kernel.has(f"bpf_struct_ops_{name}", Kind.STRUCT):
        said = f"map {some.name}: struct {name} is none that programs can implement in this kernel"
        yield Problem(Verdict.FAILS, "struct_ops", name, said)
        return
    members = {member.name for struct in found for member in struct.members}
    for position, program in some.values:
        member = local.members[position].name if position < len(local.members) else ""
        if essential(member) not in members:
            said = f"map {some.name}: struct {name} has no member {member} in this kernel"
            yield Problem(Verdict.FAILS, "struct_ops", f"{name}.{member}", said, (program,))


def missing_externs(spec: ObjectSpec, kernel: Kernel) -> dict[str, str]:
    """The typed kernel symbols that are not there or have another type, and why, by name.

    Those without a type are looked up in /proc/kallsyms, configuration values in the kernel's
    configuration: BTF tells nothing of them.
    """
    if not kernel.whole or spec.btf is None:
        return {}
    missing = {}
    for extern in spec.externs:
        if extern.kind is not ExternKind.CONFIG and extern.type_id is not None:
            said = _missing(spec, extern, kernel)
            if said is not None:
                missing[extern.name] = said
    return missing


def _missing(spec: ObjectSpec, extern: ExternSpec, kernel: Kernel) -> str | None:
    local = spec.btf
    assert local is not None
    assert extern.type_id is not None
    wanted = local.resolve(extern.type_id)
    function = extern.kind is ExternKind.FUNCTION
    if isinstance(local.type(wanted), Void):
        return None
    name = essential(extern.name)
    what = "function" if function else "variable"
    for btf, type_id in kernel.find(name, Kind.FUNC if function else Kind.VAR):
        some = btf.type(type_id)
        if not isinstance(some, (Func, Var)):
            continue
        budget = Budget()
        budget.start()
        try:
            if compatible(local, wanted, btf, btf.resolve(some.type_id), budget):
                return None
        except Stop as stop:
            return f"{what} {name}: {stop.problem}"
        theirs = btf.c_name(some.type_id)
        return f"{what} {name} is another one in this kernel: {theirs}, not {local.c_name(wanted)}"
    where = "" if kernel.modules else " (there is no BTF of modules)"
    if not function:
        where = ", or not as a per-CPU variable" + where
    return f"this kernel has no {what} {name}{where}"


def of_externs(spec: ObjectSpec, missing: dict[str, str]) -> Iterator[Problem]:
    """The missing symbols that the object insists on: weak ones are for its code to check.

    What another object is to define has to be there: libbpf opens no part of an object.
    """
    first: dict[str, tuple[FunctionSpec, int]] = {}
    for function in spec.functions if missing else ():
        for reference in function.references:
            if reference.kind is ReferenceKind.EXTERN:
                first.setdefault(reference.target, (function, reference.insn))
    for extern in spec.externs:
        if extern.kind is ExternKind.OBJECT:
            said = f"another object defines {extern.name}: link the two (pylibbpf gen object)"
            yield Problem(Verdict.FAILS, "extern", extern.name, said)
        if extern.name in missing and not extern.weak:
            what = "kernel function" if extern.kind is ExternKind.FUNCTION else "variable"
            user, insn = first.get(extern.name, (None, None))
            yield Problem(
                Verdict.FAILS,
                what,
                extern.name,
                f"{missing[extern.name]}; make it __weak to go on without it",
                function=user.name if user is not None else None,
                insn=insn,
                line=user.line(insn) if user is not None and insn is not None else None,
            )
