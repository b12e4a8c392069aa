"""Attaching to control groups."""

from __future__ import annotations

import os

from pylibbpf.arguments import integer, text
from pylibbpf.attach.anchor import anchor
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pylibbpf.attach.anchor import Neighbour
    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.link import Link
    from pylibbpf.program import Program

    class HasFileno(Protocol):
        def fileno(self) -> int: ...


_MODES = ("exclusive", "override", "multi")


class CgroupHooks(Attachable):
    """Control groups (cgroup v2)."""

    def attach_cgroup(
        self,
        cgroup: str | os.PathLike[str] | int | HasFileno,
        *,
        attach_type: int | None = None,
        link: bool = True,
        mode: str | None = None,
        replace: Program | int | None = None,
        before: Neighbour = None,
        after: Neighbour = None,
        preorder: bool = False,
        expected_revision: int | None = None,
    ) -> Link:
        """Attach to a cgroup: to what its processes, and those of the cgroups below, do.

        For every kind of program whose SEC() starts with ``cgroup`` or ``lsm_cgroup``, and for
        ``sockops``. ``cgroup`` is the path of a folder in a cgroup v2 file system, or an open
        descriptor of one. ``attach_type`` need be given only where SEC() leaves it open:
        ``SEC("cgroup/skb")`` does for the direction.

        Other programs may be attached there as well, and all of them are asked: those of the
        cgroup itself in the order in which they came, then those of the cgroups above. ``before``
        and ``after`` name the one next to which this one is to stand: a link where this is one,
        a program or the id of one without; or ``"all"`` of both kinds. ``preorder`` has it run
        before those of the cgroups below, where otherwise they come first. ``expected_revision``
        refuses if anything was attached or detached since :func:`pylibbpf.query_cgroup` gave
        that number.

        With ``link=False`` the attachment is the older one, which the end of the process does
        not undo: ``close()`` does, and what a killed process left is found by ``pylibbpf detach
        --stale``. ``mode`` is then ``"multi"`` (the default: as with a link), ``"override"`` (one
        program; one in a cgroup below takes its place there) or ``"exclusive"`` (one program,
        and none in the cgroups below). ``replace`` is the program, or the id of one, whose place
        this one takes at once; its own attachment then has nothing left to detach.

        Privileges: CAP_NET_ADMIN (Linux 5.8). Links need Linux 5.7; ``replace`` in mode "multi"
        5.6, ``preorder`` 6.15 (with a link 6.17); ``before``, ``after`` and
        ``expected_revision`` 6.17, and libbpf 1.6 (without a link 1.3).

        Raises:
            BpfError: EBADF, the folder is no cgroup v2; EINVAL, this kernel does not know the
                attach type, or the program is for another; EEXIST, in a mode with room for one
                program another is there; ESTALE, the revision is another.
            BpfPermissionError: a privilege is missing, or a program is there, or above, that
                allows no other beside it.
            NotSupportedError: libbpf is too old for what was asked; ``lsm_cgroup`` in another mode
                than "multi".
            TypeError: it is no program of a type that attaches to cgroups.
        """
        from pylibbpf.hook.cgroups import Cgroup
        from pylibbpf.uapi.enums import ProgType
        from pylibbpf.uapi.targets import CGROUP

        self._need_type("attach_cgroup", *(ProgType(each).name for each in CGROUP))
        if link:
            if mode is not None or replace is not None:
                raise ValueError(
                    "mode and replace are for link=False: links stand beside each other, and "
                    "Link.update() replaces the program of one"
                )
        elif mode is None:
            mode = "multi"
        if mode is not None and mode not in _MODES:
            raise ValueError(f"mode is one of {', '.join(map(repr, _MODES))}, not {mode!r}")
        place = anchor(before, after)
        if place is not None and place.of is not None and place.link != link:
            # The kernel only says EINVAL or ENOENT (get_prog_list() in kernel/bpf/cgroup.c).
            raise ValueError(
                "a link stands before or after another link, or 'all'"
                if link
                else "with link=False it stands before or after another program that is attached "
                "so, or 'all'"
            )
        if mode in ("exclusive", "override") and (place or preorder):
            raise ValueError(
                f"in mode {mode!r} there is one program, with no other before or after"
            )
        if replace is not None and place:
            raise ValueError("a program that replaces another takes its place: no before, no after")
        if expected_revision is not None:
            integer("expected_revision", expected_revision, 64, 1)
        hook = Cgroup(
            target(cgroup),
            None if attach_type is None else integer("attach_type", attach_type, 32),
            mode,
            _replaced(replace),
            place,
            bool(preorder),
            expected_revision,
        )
        return self._attach_to(hook)


def target(cgroup: str | os.PathLike[str] | int | HasFileno) -> str | int:
    """A cgroup as engines take it: its path or a descriptor of it."""
    if isinstance(cgroup, str | os.PathLike):
        return text("path of the cgroup", os.fsdecode(cgroup))
    if isinstance(cgroup, int) and not isinstance(cgroup, bool):
        return cgroup
    if hasattr(cgroup, "fileno"):
        return cgroup.fileno()
    raise TypeError(
        f"a cgroup is a path, a descriptor or an open file, not {type(cgroup).__name__}"
    )


def _replaced(program: Program | int | None) -> ProgramHandle | int | None:
    if program is None:
        return None
    if isinstance(program, int) and not isinstance(program, bool):
        return integer("replace, the id of a program,", program, 32, 1)
    if isinstance(program, Attachable):
        return program._handle
    raise TypeError(f"replace is a program, or the id of one, not {type(program).__name__}")
