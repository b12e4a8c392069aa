"""struct_ops maps: a struct of the object laid out as the kernel's, and whose programs it names.

The rules are those of libbpf 1.7 (libbpf.c: bpf_object__collect_st_ops_relos,
find_struct_ops_kern_types, bpf_map__init_kern_struct_ops, bpf_object_adjust_struct_ops_autoload).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pylibbpf.btf.names import essential
from pylibbpf.btf.types import FuncProto, Kind, Ptr, Struct
from pylibbpf.errors import BtfError, ElfError, RelocationError
from pylibbpf.loader.ksyms import find_type
from pylibbpf.loader.releases import Change
from pylibbpf.uapi.enums import ProgType

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.btf.core import Target
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Member
    from pylibbpf.loader.releases import Release
    from pylibbpf.loader.relocated import RelocatedMap
    from pylibbpf.spec import MapSpec, ObjectSpec

__all__ = ["Role", "StructOps"]

_WRAPPER = "bpf_struct_ops_"


@dataclasses.dataclass(frozen=True, slots=True)
class Role:
    """What a program is for: a member of a kernel's struct, by position."""

    type_id: int
    member: int
    module: str


class StructOps:
    """The struct_ops maps of an object against a kernel."""

    def __init__(self, spec: ObjectSpec, release: Release) -> None:
        self.spec = spec
        self.release = release
        self.adapts = release.has(Change.ADAPTED_STRUCT_OPS)
        self.roles: dict[str, Role] = {}
        self._used: dict[str, bool] = {}
        self._places: dict[str, tuple[int | None, int]] = {}

    def check(self, spec: MapSpec) -> None:
        """See that a map's functions are struct_ops programs; note whose they are.

        Raises:
            ElfError: libbpf would refuse the object.
        """
        struct = self._struct(spec)
        if not struct.name:
            raise ElfError(f"struct_ops map {spec.name!r} is of a struct without a name")
        for position, name in spec.values:
            member = struct.members[position]
            function = self.spec.function(name)
            row = self.release.section(function.section) if function is not None else None
            if not self._is_function(self._btf, member):
                raise ElfError(
                    f"struct_ops map {spec.name!r}: the member {member.name!r} is set to {name!r}, "
                    "and is no pointer to a function"
                )
            if row is None or row.type != ProgType.STRUCT_OPS:
                raise ElfError(
                    f"struct_ops map {spec.name!r}: {name!r}, for its member {member.name!r}, is "
                    'no program in SEC("struct_ops")'
                )
            place = spec.value_type_id, position
            # Later ones ask for the same place in the kernel's struct, as they lay the map out.
            if not self.adapts and self._places.setdefault(name, place) != place:
                raise ElfError(f"struct_ops map {spec.name!r}: {_elsewhere(name)}")

    def bind(self, spec: MapSpec, made: RelocatedMap, kernel: Callable[[], Target]) -> RelocatedMap:
        """Lay a map out for the kernel, if it is created; give its programs their roles.

        Raises:
            RelocationError: the kernel does not know the struct, or has it otherwise.
        """
        # Before, one that is not created was laid out all the same, and its programs loaded.
        bound = made.created or not self.release.has(Change.OPTIONAL_STRUCT_OPS)
        for _, name in spec.values:
            self._used[name] = self._used.get(name, False) or bound
        if not self.release.has(Change.STRUCT_OPS_TYPES):
            made = dataclasses.replace(made, value_type_id=0)
        if not bound:
            return made
        struct = self._struct(spec)
        name = essential(struct.name) if self.adapts else struct.name
        wrapper = find_type(kernel(), _WRAPPER + name, Kind.STRUCT)
        if wrapper is None or (wrapper[0] and not self.adapts):
            raise RelocationError(
                f"struct_ops map {spec.name!r}: this kernel has no struct {_WRAPPER}{name}; it "
                f"does not take programs for struct {name}"
            )
        module, btf, wrapper_id = wrapper
        ids = btf.find(name, Kind.STRUCT)
        kernel_id = ids[0] if ids else 0
        whole, inner = btf.type(wrapper_id), btf.type(kernel_id)
        assert isinstance(whole, Struct)
        place = next((m for m in whole.members if ids and m.type_id == kernel_id), None)
        if place is None or not isinstance(inner, Struct):
            raise RelocationError(
                f"struct_ops map {spec.name!r}: this kernel's struct {_WRAPPER}{name} holds no "
                f"struct {name}"
            )
        layout = _Layout(self, spec, struct, btf, inner)
        layout.fill(Role(kernel_id, 0, module))
        data = bytearray(whole.size)
        start = place.bit_offset // 8
        data[start : start + inner.size] = layout.data
        return dataclasses.replace(
            made,
            value_size=whole.size,
            contents=bytes(data),
            values=tuple((start + offset, program) for offset, program in layout.functions),
            kernel_type_id=wrapper_id,
            module=module,
        )

    def unused(self, name: str) -> bool:
        """Whether libbpf would not load a program: only maps that are not created name it."""
        return self._used.get(name) is False

    @property
    def _btf(self) -> Btf:
        assert self.spec.btf is not None
        return self.spec.btf

    def _struct(self, spec: MapSpec) -> Struct:
        struct = self._btf.strip(spec.value_type_id or 0)
        if not isinstance(struct, Struct):
            raise ElfError(f"struct_ops map {spec.name!r} is no struct")
        return struct

    @staticmethod
    def _is_function(btf: Btf, member: Member) -> bool:
        pointer = btf.strip(member.type_id)
        return isinstance(pointer, Ptr) and isinstance(btf.strip(pointer.type_id), FuncProto)


class _Layout:
    """One struct of the object, member by member, as the kernel has it."""

    def __init__(
        self, ops: StructOps, spec: MapSpec, struct: Struct, btf: Btf, inner: Struct
    ) -> None:
        self.ops = ops
        self.spec = spec
        self.ours = ops.spec.btf
        self.struct = struct
        self.btf = btf
        self.members: dict[str, int] = {}
        for position, member in enumerate(inner.members):
            self.members.setdefault(member.name, position)
        self.inner = inner
        self.data = bytearray(inner.size)
        self.functions: list[tuple[int, str]] = []

    def fill(self, role: Role) -> None:
        programs = dict(self.spec.values)
        for position, member in enumerate(self.struct.members):
            self._fill(member, programs.get(position), role)

    def _fill(self, member: Member, program: str | None, role: Role) -> None:
        ours, btf = self.ours, self.btf
        assert ours is not None
        start, size = member.bit_offset // 8, ours.sizeof(member.type_id)
        value = self.spec.initial[start : start + size]
        position = self.members.get(member.name)
        if position is None:
            if program is not None or any(value) or not self.ops.adapts:
                raise self._misfit(member, "this kernel has no such member")
            return
        theirs = self.inner.members[position]
        if member.bitfield_size or theirs.bitfield_size:
            raise self._misfit(member, "bit-fields cannot be set")
        here, there = ours.strip(member.type_id), btf.strip(theirs.type_id)
        if here.kind is not there.kind:
            raise self._misfit(
                member,
                f"it is {ours.c_name(member.type_id)!r} here and {btf.c_name(theirs.type_id)!r} "
                "in this kernel",
            )
        at = theirs.bit_offset // 8
        if isinstance(here, Ptr):
            if program is not None:
                if not self.ops._is_function(btf, theirs):
                    raise self._misfit(member, "this kernel has no pointer to a function there")
                self._assign(program, Role(role.type_id, position, role.module))
                self.functions.append((at, program))
            return
        if size != btf.sizeof(theirs.type_id):
            raise self._misfit(
                member,
                f"it has {size} bytes here and {btf.sizeof(theirs.type_id)} in this kernel",
            )
        if at + size > len(self.data):
            raise BtfError(f"the kernel's struct {self.inner.name} ends before its members do")
        self.data[at : at + size] = value

    def _assign(self, program: str, role: Role) -> None:
        known = self.ops.roles.setdefault(program, role)
        if (known.type_id, known.member) != (role.type_id, role.member):
            raise RelocationError(f"struct_ops map {self.spec.name!r}: {_elsewhere(program)}")

    def _misfit(self, member: Member, why: str) -> RelocationError:
        return RelocationError(
            f"struct_ops map {self.spec.name!r}: the member {member.name!r} of struct "
            f"{self.struct.name} cannot be set: {why}"
        )


def _elsewhere(program: str) -> str:
    return (
        f"the program {program!r} is already for another member, or another struct; a program can "
        "have one place only"
    )
