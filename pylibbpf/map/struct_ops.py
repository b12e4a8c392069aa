"""struct_ops: a table of functions of the kernel's, some of them BPF programs."""

from __future__ import annotations

import errno

from pylibbpf.errors import BpfError
from pylibbpf.map.base import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.link import Link

__all__ = ["StructOpsMap"]


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
