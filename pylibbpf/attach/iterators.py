"""Attaching iterators."""

from __future__ import annotations

from pylibbpf.arguments import descriptor, integer
from pylibbpf.attach.base import Attachable
from pylibbpf.attach.cgroups import target as cgroup_target
from pylibbpf.uapi.attaching import ITERATES_CGROUPS, ITERATES_MAP, ITERATES_TASKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Protocol

    from pylibbpf.iterator import IterLink
    from pylibbpf.map import Map
    from pylibbpf.uapi.enums import CgroupIterOrder

    class HasFileno(Protocol):
        def fileno(self) -> int: ...


class IteratorHooks(Attachable):
    """Iterators: programs that go through the kernel's objects when they are read."""

    def attach_iter(
        self,
        map: Map | str | None = None,
        *,
        task: int | None = None,
        pid: int | None = None,
        pidfd: int | HasFileno | None = None,
        cgroup: str | os.PathLike[str] | int | HasFileno | None = None,
        cgroup_id: int | None = None,
        order: CgroupIterOrder | str | None = None,
    ) -> IterLink:
        """Attach a program of SEC("iter/..."), to all that it goes through or to a part.

        ``map`` is the map whose elements ``iter/bpf_map_elem``, ``iter/bpf_sk_storage_map`` or
        ``iter/sockmap`` goes through: one of any object, or the name of one of this object.
        ``iter/task``, ``iter/task_file`` and ``iter/task_vma`` are limited to one thread by
        ``task``, or to those of one process by ``pid`` or ``pidfd``. ``iter/cgroup`` begins at
        ``cgroup``, a path in a cgroup v2 file system or a descriptor, or the one that has
        ``cgroup_id``; ``order`` (``"descendants_pre"``) is a :class:`CgroupIterOrder`, or its
        name in small letters. Reading goes by the link: see :class:`IterLink`.

        Privileges: CAP_BPF and CAP_PERFMON. Linux 5.8; 6.1 for tasks and cgroups.

        Raises:
            TypeError: the program goes through something else, or needs to know its map.
            BpfError: ESRCH, there is no such task; ENOENT, no such cgroup; EINVAL, the map is of
                a type that the program does not go through.
            NotSupportedError: this kernel cannot limit it to a task.
        """
        from pylibbpf.hook.iterators import Iterator
        from pylibbpf.iterator import IterLink
        from pylibbpf.map import Map

        self._need_type("attach_iter", "TRACING")
        from pylibbpf.uapi.enums import AttachType

        if self._handle.expected_attach_type != AttachType.TRACE_ITER:
            raise TypeError(f"attach_iter() attaches iterators, and {self!r} is none")
        target = self.section.partition("/")[2]
        given = {
            "map": map,
            "task": task,
            "pid": pid,
            "pidfd": pidfd,
            "cgroup": cgroup,
            "cgroup_id": cgroup_id,
        }
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise TypeError(f"an iterator is limited by one thing, not by {' and '.join(named)}")
        fits = {"map": ITERATES_MAP, "cgroup": ITERATES_CGROUPS, "cgroup_id": ITERATES_CGROUPS}
        for name in named:
            if target and target not in fits.get(name, ITERATES_TASKS):
                raise TypeError(f"{self!r} goes through all of {target}: it takes no {name}")
        if target in ITERATES_MAP and map is None:
            raise TypeError(f"{self!r} goes through a map: say which (map=)")
        if order is not None and cgroup is None and cgroup_id is None:
            raise TypeError("an order is for cgroups: say where it begins (cgroup=)")
        for name, number in (("task", task), ("pid", pid), ("cgroup_id", cgroup_id)):
            if number is not None:
                integer(name, number, 64, 1)  # whether there is such a task the engine says
        if isinstance(map, str):
            map = self._owner.maps[map]
        elif map is not None and not isinstance(map, Map):
            raise TypeError(f"map is one of obj.maps, or its name, not {type(map).__name__}")
        return self._attach_as(
            IterLink,
            Iterator(
                None if map is None else map._handle,
                task,
                pid,
                _pidfd(pidfd),
                None if cgroup is None else cgroup_target(cgroup),
                cgroup_id,
                0 if cgroup is None and cgroup_id is None else _order(order),
            ),
        )


def _pidfd(source: int | HasFileno | None) -> int | None:
    if source is None:
        return None
    if isinstance(source, int):
        return descriptor("pidfd", source)
    if hasattr(source, "fileno"):
        return source.fileno()
    raise TypeError(f"pidfd is a descriptor, or has one, and is not {type(source).__name__}")


def _order(order: CgroupIterOrder | str | None) -> int:
    from pylibbpf.uapi.enums import CgroupIterOrder

    if order is None:
        return CgroupIterOrder.DESCENDANTS_PRE
    if isinstance(order, str):
        known = {each.name.lower(): each for each in CgroupIterOrder}
        if order not in known:
            raise ValueError(f"an order of cgroups is one of {', '.join(known)}, not {order!r}")
        return known[order]
    try:
        return CgroupIterOrder(order)
    except ValueError:
        raise ValueError(f"there is no order of cgroups {order!r}: see CgroupIterOrder") from None
