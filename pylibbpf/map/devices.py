"""Where XDP programs redirect to: network devices and CPUs."""

from __future__ import annotations

import struct
from collections import namedtuple

from pylibbpf.arguments import integer
from pylibbpf.errors import BpfError
from pylibbpf.map.descriptor import program_fd
from pylibbpf.map.entries import Entries, HashMap, SlotArray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.map.base import Coder

__all__ = ["CpuMap", "CpuQueue", "DevMap", "DevMapHash", "Device"]

# struct bpf_devmap_val and struct bpf_cpumap_val: a number, and a program's descriptor or id.
_PAIR = struct.Struct("=II")
_NUMBER = struct.Struct("=I")


class Device(namedtuple("Device", "ifindex program_id")):  # noqa: PYI024  # typing is heavy
    """A device to redirect to; ``program_id`` of the program that runs on what goes there, or 0."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The interface's name, in this process's network namespace."""
        import socket

        return socket.if_indextoname(self.ifindex)


class CpuQueue(namedtuple("CpuQueue", "size program_id")):  # noqa: PYI024  # typing is heavy
    """A CPU's queue of ``size`` packets; ``program_id`` of the program that runs there, or 0."""

    __slots__ = ()


class _Targets(Entries):
    _made_of: type[Device | CpuQueue]

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.scalars = None
        coder.encode_value = self._encode_target
        coder.decode_value = self._decode_target
        return coder

    def _decode_target(self, data: bytes) -> Any:
        number, program = _PAIR.unpack(data.ljust(_PAIR.size, b"\0"))
        return self._made_of(number, program)

    def _encode_target(self, value: Any) -> bytes:
        program = None
        if isinstance(value, tuple):
            if isinstance(value, self._made_of) and value[1]:
                raise TypeError(f"{value!r} names a program by id: give the program itself")
            value, program = value[0], None if isinstance(value, self._made_of) else value[1]
        number = self._number(value)
        if self._handle.value_size == _NUMBER.size:
            if program is not None:
                raise TypeError(f"the values of map {self.name!r} have no room for a program")
            return _NUMBER.pack(number)
        # 0 or less is no program (dev_map_alloc_netdev, kernel/bpf/devmap.c).
        return struct.pack("=Ii", number, 0 if program is None else program_fd(program))

    def _number(self, value: Any) -> int:
        raise NotImplementedError


class _Devices(_Targets):
    _made_of = Device

    def _number(self, value: Any) -> int:
        if isinstance(value, str):
            return _index(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(
                f"a device of map {self.name!r} is a name or an index, not {type(value).__name__}"
            )
        return integer("the index of a device", value, 31, 1)  # 0 would empty the place


class _Slots(_Targets, SlotArray):
    def __delitem__(self, key: Any) -> None:
        """Empty a place.

        Raises:
            KeyError: it is empty.
        """
        # The kernel's delete says nothing of what was there (dev_map_delete_elem).
        if key not in self:
            raise KeyError(key)
        super().__delitem__(key)


class DevMap(_Devices, _Slots):
    """Network devices by index, for ``bpf_redirect_map()``: ``ports[0] = "eth0"``.

    A value is a device by name or index, or a pair of it and an XDP program (attach type
    XDP_DEVMAP) that runs on each packet that goes there (Linux 5.8; values of 8 bytes). Reading
    gives a :class:`Device`. A device that is removed leaves the map.

    Raises, when it is set:
        BpfError: ENODEV, there is no interface of that name in this network namespace; EINVAL,
            none of that index.
    """


class DevMapHash(_Devices, HashMap):
    """Network devices by any number; the rest is as in :class:`DevMap`. Linux 5.4."""


class CpuMap(_Slots):
    """CPUs to redirect packets to: ``cpus[2] = 192``, the size of CPU 2's queue in packets.

    A value is that size, or a pair of it and an XDP program (attach type XDP_CPUMAP) that runs on
    that CPU (Linux 5.9; values of 8 bytes). Reading gives a :class:`CpuQueue`.
    """

    _made_of = CpuQueue

    def _number(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"a queue's size is an int, not {type(value).__name__}")
        if value < 1:
            raise ValueError("a queue has room for at least one packet")
        return integer("the size of a queue", value, 32)


def _index(name: str) -> int:
    """The index of an interface of this network namespace."""
    import errno
    import socket

    try:
        return socket.if_nametoindex(name)
    except OSError:  # Python's has no errno
        there = ", ".join(each for _, each in socket.if_nameindex())
        why = f"this network namespace has no interface {name!r}: it has {there}"
        raise BpfError(errno.ENODEV, "find interface", name, why) from None
