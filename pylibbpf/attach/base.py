"""What the families of ``attach_*`` methods stand on."""

from __future__ import annotations

from pylibbpf.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.hook import Hook
    from pylibbpf.link import Link
    from pylibbpf.object import Object


class Attachable(Handle):
    """A program that can be attached to a hook."""

    _owner: Object
    _handle: ProgramHandle
    name: str

    def _attach_to(self, hook: Hook | None) -> Link:
        """Attach to a hook, or to what the SEC() name says."""
        self._owner._need_loaded("attach", self.name)
        return self._owner._add_link(self._handle.attach(hook), self.name)
