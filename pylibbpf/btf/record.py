"""The Python values that BTF types become: records, enumerations, and their form in JSON.

A record is a tuple whose class was made for one struct or union, an enumeration a subclass of
:class:`enum.IntEnum` made for one C enum. Both are plain data: immutable, hashable, and they
can be copied and pickled although their classes are in no module.
"""

from __future__ import annotations

import enum
import keyword
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, ClassVar, Self

    _Tuple = tuple[Any, ...]
else:
    _Tuple = tuple

try:
    # A descriptor in C: a field is read in 12 ns, and in 25 through property and itemgetter.
    from _collections import _tuplegetter  # type: ignore[import-not-found] # CPython's own
except ImportError:
    from operator import itemgetter

    def _tuplegetter(index: int, doc: str) -> property:
        return property(itemgetter(index), doc=doc)


__all__ = ["Enumeration", "Record", "make_enumeration", "make_record", "to_json"]

_new = tuple.__new__


class Record(_Tuple):
    """Base of all records: the members of a C struct (or views of a union) by name and position.

    Fields are named as in C; a keyword gets a trailing ``_``, and so does a name that starts
    with an underscore and means something to Python or to this class. A record equals the tuple
    of its values. Records are made by a codec, by position or by name::

        event(1, "init")
        event(pid=1, comm="init")

    A class that is declared, as ``pylibbpf gen`` writes them, is the class of the records of its
    C type from then on::

        class Event(Record, c_name="event"):
            __slots__ = ()
            pid: int
            comm: str
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()
    _in_module: ClassVar[bool] = False

    def __init_subclass__(cls, *, c_name: str | None = None) -> None:
        if c_name is not None:
            cls._in_module = True
            cls._fields = tuple(cls.__annotations__)
            cls.__match_args__ = cls._fields  # type: ignore[misc,attr-defined]  # of its own
            for index, field in enumerate(cls._fields):
                setattr(cls, field, _tuplegetter(index, f"Field {index} of {c_name}."))
            _declared[c_name, cls._fields] = cls

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        if kwargs:
            rest = cls._fields[len(args) :]
            missing = [name for name in rest if name not in kwargs]
            unknown = [name for name in kwargs if name not in rest]
            if missing or unknown:
                raise TypeError(
                    f"{cls.__name__}: "
                    + "; ".join(
                        f"{what} {', '.join(names)}"
                        for what, names in (("missing", missing), ("unexpected", unknown))
                        if names
                    )
                )
            args += tuple([kwargs[name] for name in rest])
        return cls._make(args)

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        """Make a record from its values in order."""
        made = _new(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, got {len(made)}")
        return made

    def _asdict(self) -> dict[str, Any]:
        """Return a dict of the fields; nested records stay records."""
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, /, **kwargs: Any) -> Self:
        """Return a record with some fields changed."""
        values = [kwargs.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
        if kwargs:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(kwargs)}")
        return self._make(values)

    def __repr__(self) -> str:
        inner = ", ".join([f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True)])
        return f"{type(self).__name__}({inner})"

    def __reduce__(self) -> tuple[Any, ...]:
        cls = type(self)
        if cls._in_module:
            return cls, tuple(self)  # the module has it under its own name
        return _rebuild_record, (cls.__name__, cls._fields, tuple(self))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_RESERVED = frozenset(name for name in dir(Record) if name.startswith("_")) | {
    "__annotations__",
    "__dict__",
    "__match_args__",
    "__orig_bases__",
    "__parameters__",
    "__weakref__",
}

# The classes in use, so that what is unpickled is of the class that codecs give.
_records: weakref.WeakValueDictionary[tuple[str, tuple[str, ...]], type[Record]] = (
    weakref.WeakValueDictionary()
)


# Those that were declared: they outlive the codecs that use them.
_declared: dict[tuple[str, tuple[str, ...]], type[Record]] = {}


def field_names(names: Sequence[str]) -> tuple[str, ...]:
    """Turn names of C members into field names of a record, all different if ``names`` are."""
    taken = set(names)
    fields = []
    for name in names:
        field = name
        if keyword.iskeyword(name) or name in _RESERVED:
            while field in taken or field in _RESERVED:
                field += "_"
            taken.add(field)
        fields.append(field)
    return tuple(fields)


def printable(name: str) -> str:
    """Return ``name`` as one that a class may have: surrogates, of broken UTF-8, are shown."""
    return name.encode("utf-8", "backslashreplace").decode()


def make_record(name: str, fields: tuple[str, ...], types: Sequence[Any] = ()) -> type[Record]:
    """Make a class of records, or give the declared one; ``types`` are those of the fields."""
    declared = _declared.get((name, fields))
    if declared is not None:
        return declared
    namespace: dict[str, Any] = {
        "__slots__": (),
        "__match_args__": fields,
        "__module__": __name__,
        "_fields": fields,
        "__annotations__": dict(zip(fields, types, strict=False)),
    }
    for index, field in enumerate(fields):
        namespace[field] = _tuplegetter(index, f"Field {index} of {name}.")
    cls = type(printable(name), (Record,), namespace)
    _records[name, fields] = cls
    return cls


def _rebuild_record(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Record:
    cls = _records.get((name, fields))
    if cls is None:
        cls = make_record(name, fields)
    return _new(cls, values)


class Enumeration(enum.IntEnum):
    """Base of all enumerations that come from a C enum. Unknown values are given as plain int.

    One that is declared (``class State(Enumeration, c_name="state")``) is the class of the
    values of its C type from then on.
    """

    def __init_subclass__(cls, *, c_name: str | None = None) -> None:
        if c_name is not None:
            members = tuple([(name, member.value) for name, member in cls.__members__.items()])
            _declared_enumerations[c_name, members] = cls

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        cls = type(self)
        values = tuple([(name, member.value) for name, member in cls.__members__.items()])
        return _rebuild_enumerator, (cls.__name__, values, self.value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_enumerations: weakref.WeakValueDictionary[
    tuple[str, tuple[tuple[str, int], ...]], type[Enumeration]
] = weakref.WeakValueDictionary()


_declared_enumerations: dict[tuple[str, tuple[tuple[str, int], ...]], type[Enumeration]] = {}


def make_enumeration(name: str, values: Iterable[tuple[str, int]]) -> type[Enumeration]:
    """Make the class of a C enum.

    Names are C's, but those that :mod:`enum` reserves (``mro``, ``_x_``, ``__x__``) get a
    trailing ``_``. Two names of one value are aliases, as in C.
    """
    members: dict[str, int] = {}
    for given, value in values:
        reserved = given == "mro" or (given[:1] == "_" == given[-1:])
        if given and not given.startswith(f"_{name}__"):
            members.setdefault(f"{given}_" if reserved else given, value)
    key = name, tuple(members.items())
    cls = _declared_enumerations.get(key) or _enumerations.get(key)
    if cls is None:
        make: Any = Enumeration  # mypy takes the functional form for a look-up by value
        cls = _enumerations[key] = make(printable(name), members, module=__name__)
    assert cls is not None
    return cls


def _rebuild_enumerator(
    name: str, values: tuple[tuple[str, int], ...], value: int
) -> Enumeration | int:
    return make_enumeration(name, values)(value)


def to_json(value: Any) -> Any:
    """Return a value of a codec as what :mod:`json` can write.

    Records become objects, arrays lists, bytes hex strings, enumerators their names (a value
    without a name stays a number), infinities and NaN strings. Integers stay whole: a reader
    that keeps numbers as doubles loses bits beyond 2**53.
    """
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None:
        return value
    if isinstance(value, Record):
        return {name: to_json(each) for name, each in zip(value._fields, value, strict=True)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value.hex()
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # math stays unimported
    if isinstance(value, dict):
        return {str(to_json(key)): to_json(each) for key, each in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [to_json(each) for each in value]
    return value
