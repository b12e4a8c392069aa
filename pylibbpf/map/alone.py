"""Maps that belong to no object, by a handle of the engine."""

from __future__ import annotations

from pylibbpf.map import map_class
from pylibbpf.standing import MapOwner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.btf.codec import Codec
    from pylibbpf.engine.abc import OpenMapHandle
    from pylibbpf.map.base import Map

__all__ = ["stand_alone"]


def stand_alone(
    handle: OpenMapHandle,
    codec: Callable[[int], Codec | None] | None = None,
    *,
    warn: bool = True,
) -> Map:
    """A map of its own, of the class that fits its type.

    ``codec`` gives the codec of the handle's type ids; without, they are of the BTF that the map
    was made with. ``warn``: whether it is a mistake not to close it.
    """
    owner = _Typed(handle, codec, warn)
    # Whatever of an object a map needs, its owner has.
    return map_class(handle.type)(owner, handle)  # type: ignore[arg-type]


class _Typed(MapOwner):
    """Of a map whose types are known."""

    def __init__(
        self, handle: OpenMapHandle, codec: Callable[[int], Codec | None] | None, warn: bool
    ) -> None:
        super().__init__(handle, f"map {handle.name!r}", raw=False)
        self._given = codec
        self._warn = warn

    def _codec(self, type_id: int) -> Codec | None:
        return super()._codec(type_id) if self._given is None else self._given(type_id)

    def __del__(self) -> None:
        if self._warn:
            super().__del__()
        else:
            self._handle.close()
