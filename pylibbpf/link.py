"""Attachments."""

from __future__ import annotations

from pylibbpf.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.object import Object

__all__ = ["Link"]


class Link(Handle):
    """A program that is attached (or a struct_ops map that is in use).

    It stays attached until :meth:`close`, the end of a ``with`` block, the object's close, or
    the end of the process, however that comes about: the kernel detaches when the last
    descriptor goes. A link keeps its object alive.
    """

    def __init__(self, owner: Object, handle: LinkHandle, name: str) -> None:
        self._owner = owner
        self._handle = handle
        self._closed = False
        self.name = name
        """Name of the program or struct_ops map."""

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, here or by way of the object."""
        return self._closed or self._owner.closed

    @property
    def fd(self) -> int:
        """The link's descriptor; close-on-exec, and owned by the link.

        Raises:
            ClosedError: the link is closed.
            NotSupportedError: it has none of its own (USDT, struct_ops without a link).
        """
        return self._handle.fd

    def close(self) -> None:
        """Detach. A second call does nothing.

        Raises:
            BpfError: the kernel refused to detach; the link is closed all the same.
        """
        self._closed = True
        try:
            self._handle.close()
        finally:
            self._owner._links.pop(id(self), None)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Link of {self.name!r}{', closed' if self.closed else ''}>"
