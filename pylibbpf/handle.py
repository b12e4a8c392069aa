"""What all objects that stand for something in the kernel have in common."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Handle:
    """Stands for something in the kernel: there is one of it, so it cannot be copied."""

    __slots__ = ()

    def __copy__(self) -> NoReturn:
        raise TypeError(f"{self!r} stands for something in the kernel: it cannot be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stands for something in the kernel: it cannot be pickled")
