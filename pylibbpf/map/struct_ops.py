"""struct_ops: a table of functions of the kernel's, some of them BPF programs."""

from __future__ import annotations

import errno
from collections.abc import Iterator, MutableMapping

from pylibbpf.btf.types import Datasec, FuncProto, Kind, Ptr, Struct, Var
from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.map.base import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.btf.codec import Codec
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Member
    from pylibbpf.link import Link

__all__ = ["InitialOps", "StructOpsMap"]


class InitialOps(MutableMapping):  # type: ignore[type-arg]  # typed by BTF, not statically
    """The members of a struct_ops map before load, by name.

    A function is the name of the program that stands for it, or None: the kernel's own is used,
    if it has one. To set one, give a program, its name or None. Other members are typed values.

    Raises ``NotSupportedError`` with a libbpf before 1.4, ``KeyError`` for what is no member,
    ``BpfError`` (EBUSY) after load.
    """

    def __init__(self, owner: StructOpsMap) -> None:
        self._map = owner
        self._members: dict[str, tuple[Member, bool]] = {}
        self._btf = btf = owner._owner._btf
        if btf is None:
            return
        struct = _struct(btf, owner.name)
        for member in () if struct is None else struct.members:
            kind = btf.strip(member.type_id)
            function = isinstance(kind, Ptr) and isinstance(btf.strip(kind.type_id), FuncProto)
            self._members[member.name] = member, function

    def __getitem__(self, name: str) -> Any:
        member, function = self._members[name]
        handle, at = self._map._handle, member.bit_offset // 8
        if function:
            return handle.struct_ops_program(at)
        codec = self._codec(member)
        return codec.decode(handle.read_initial(at, codec.size))

    def __setitem__(self, name: str, value: Any) -> None:
        member, function = self._members[name]
        handle, at = self._map._handle, member.bit_offset // 8
        if not function:
            handle.write_initial(at, self._codec(member).encode(value))
            return
        from pylibbpf.program import Program

        program = value.name if isinstance(value, Program) else value
        if program is not None:
            if not isinstance(program, str):
                raise TypeError(f"{name} is a function: a program, its name or None, not {value!r}")
            self._map._owner.programs[program]  # KeyError with what is near
        handle.set_struct_ops_program(at, program)

    def _codec(self, member: Member) -> Codec:
        from pylibbpf.btf.codec import codec

        assert self._btf is not None
        if member.bitfield_size:
            raise NotSupportedError(f"{member.name} is a bit-field, which cannot be set alone")
        return codec(self._btf, member.type_id)

    def __delitem__(self, name: str) -> None:
        raise TypeError("members of a struct cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _struct(btf: Btf, name: str) -> Struct | None:
    """The struct of the variable that libbpf makes a struct_ops map of."""
    for _, section in btf.types(Kind.DATASEC):
        if not (
            isinstance(section, Datasec) and section.name.lstrip("?").startswith(".struct_ops")
        ):
            continue
        for place in section.vars:
            variable = btf.type(place.type_id)
            if isinstance(variable, Var) and variable.name == name:
                found = btf.strip(variable.type_id)
                return found if isinstance(found, Struct) else None
    return None


class StructOpsMap(Map):
    """A struct_ops map: a kernel struct of functions, such as a TCP congestion control.

    ``attach()`` puts it to use. Two sorts differ by a flag of the map, BPF_F_LINK, which
    ``SEC(".struct_ops.link")`` sets (libbpf 1.2; with an older one, set it in ``flags`` before
    load): with it there is a link, that can be pinned and updated with another map, and ends
    with its last descriptor (Linux 6.4). Without it the map is registered once, until its link
    is closed.
    """

    @property
    def state(self) -> str:
        """What the kernel says of it.

        ``"init"``: it was never in use. ``"ready"``: it has or had a link. ``"in use"`` and
        ``"to be freed"``, without a link: it is registered, or was and cannot be again.

        Raises:
            BpfError: it is not loaded.
        """
        return self._handle.struct_ops_state

    @property
    def initial(self) -> InitialOps:
        """What the struct holds, until load: functions and plain members; libbpf 1.4."""
        return InitialOps(self)

    def attach(self) -> Link:
        """Put it to use. Privileges: CAP_BPF and CAP_NET_ADMIN. Linux 5.6.

        Raises:
            BpfError: EBUSY, it is in use already; EEXIST, another of that name is.
        """
        return self._owner._add_link(self._handle.attach_struct_ops(), self.name)

    def unregister(self) -> None:
        """End a registration without a link, by whichever process it was made.

        It outlives a process that is killed; ``pylibbpf.open_map(id)`` gives its map.

        Raises:
            BpfError: ENOENT, it is not registered; EOPNOTSUPP, it is by a link: detach that.
        """
        if not self._handle.delete(bytes(4)):
            raise BpfError(
                errno.ENOENT, "unregister", self.name, "it is not registered without a link"
            )
