"""What the kernel can do for this process: asked by harmless calls.

Each program type is loaded with two instructions of our own, each map type created with one
entry, and what attaches is asked with targets that do not exist, so that the kernel's errno tells
whether it got as far as looking for them. Nothing is attached or registered, nothing changes,
and every descriptor is closed at once. The calls are bpf(2) and perf_event_open(2) themselves,
not libbpf's: the answers hold for the kernel, and are to be had where there is no libbpf.
"""

from __future__ import annotations

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.probe.calls import Kernel
from pylibbpf.engine.kernel.probe.hooks import HOOKS, hook, instead, row_of
from pylibbpf.engine.kernel.probe.maps import MAPS, map_type
from pylibbpf.engine.kernel.probe.programs import PROGRAMS, program_type
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.engine.kernel.probe.rights import RIGHTS, right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.ability import Ability

__all__ = ["abilities", "alternatives"]


def abilities(host: Host | None = None, kernel: Kernel | None = None) -> tuple[Ability, ...]:
    """Program types, map types, hooks and rights: what works for this process, and why not."""
    asker = Asker(host or Host(), kernel or Kernel())
    return (
        *(program_type(asker, each) for each in PROGRAMS),
        *(map_type(asker, each) for each in MAPS),
        *(hook(asker, each) for each in HOOKS),
        *(right(asker, each) for each in RIGHTS),
    )


def alternatives(section: str | None) -> str:
    """The hooks that would do instead of a SEC(), of those that work here; "" if there are none.

    For errors: asks the kernel, which may take some tenths of a second.
    """
    row = row_of(section) if section else None
    return instead(Asker(Host(), Kernel()), row) if row is not None else ""
