"""What all objects that stand for something in the kernel have in common."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Generic, NoReturn, TypeAlias

    from typing_extensions import TypeVar

    # Of what is not generated, nothing is known before it runs: Any.
    T = TypeVar("T", default=Any)
    K = TypeVar("K", default=Any)
    V = TypeVar("V", default=Any)

    # A value to set: of its type, or a struct as a dict or by position.
    Given: TypeAlias = V | Mapping[str, Any] | Sequence[Any]

    class Of(Generic[T]):
        """Base of classes that are generic in one type: ``RingBuffer[Event]``."""

    class Between(Generic[K, V]):
        """Base of classes that are generic in two types: ``HashMap[int, Event]``."""

else:
    from types import GenericAlias

    class Of:
        """Generic for type checkers; at run time it can be subscripted, and that is all.

        Not :class:`typing.Generic`: importing typing takes memory that every load would pay.
        """

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    Between = Of


class Handle:
    """Stands for something in the kernel: there is one of it, so it cannot be copied."""

    __slots__ = ()

    def __copy__(self) -> NoReturn:
        raise TypeError(f"{self!r} stands for something in the kernel: it cannot be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stands for something in the kernel: it cannot be pickled")
