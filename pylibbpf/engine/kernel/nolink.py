"""Attachments that are no link of the kernel's: what a link can do, and they cannot."""

from __future__ import annotations

from pylibbpf.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pylibbpf.engine.abc import MapHandle, ProgramHandle
    from pylibbpf.info import LinkInfo

__all__ = ["NoLink"]


class NoLink:
    """Base of attachments without a link; each raises NotSupportedError and says so."""

    name: str
    pin_path: str | None = None

    def _refuse(self, what: str) -> NoReturn:
        raise NotSupportedError(
            f"the attachment of {self.name!r} {what}: no link of the kernel's holds it"
        )

    @property
    def id(self) -> int:
        self._refuse("has no id")

    @property
    def type(self) -> int:
        self._refuse("has no link type")

    def info(self) -> LinkInfo:
        self._refuse("cannot be asked about")

    def update(self, program: ProgramHandle, old: ProgramHandle | None, flags: int) -> None:
        self._refuse("cannot be updated")

    def update_map(self, new: MapHandle, old: MapHandle | None) -> None:
        self._refuse("cannot be updated")

    def detach(self) -> None:
        self._refuse("cannot be detached and kept, only closed")

    def disconnect(self) -> None:
        self._refuse("cannot be let go of")

    def pin(self, path: str) -> None:
        self._refuse("cannot be pinned")

    def unpin(self) -> None:
        self._refuse("cannot be pinned")

    def iterate(self) -> NoReturn:
        self._refuse("cannot be read")
