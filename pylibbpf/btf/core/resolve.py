"""Answer the relocations of an object, as libbpf does it (1.7: bpf_core_calc_relo_insn)."""

from __future__ import annotations

import dataclasses
import errno

from pylibbpf.btf.core import explain
from pylibbpf.btf.core.access import Spec, local_spec
from pylibbpf.btf.core.kind import CoreKind
from pylibbpf.btf.core.match import Miss, compatible, match_enumerator, match_field, matches
from pylibbpf.btf.core.stop import Budget, Stop
from pylibbpf.btf.core.value import may_resize, value_of
from pylibbpf.errors import CoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.core.target import Target
    from pylibbpf.btf.parse import Btf

__all__ = ["Candidate", "Resolution", "Resolver", "resolve"]

# Questions that have an answer where nothing is found: no.
_ANSWERED = frozenset(
    {
        CoreKind.FIELD_EXISTS,
        CoreKind.TYPE_EXISTS,
        CoreKind.TYPE_ID_TARGET,
        CoreKind.TYPE_SIZE,
        CoreKind.TYPE_MATCHES,
        CoreKind.ENUMVAL_EXISTS,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A type of the target that was looked at, and what came of it.

    ``owner`` is "vmlinux" or a module's name. ``spec`` is where the path led in it and ``number``
    its answer, both None where it fits not; ``miss`` is where the path ended then, None where
    types were compared as a whole.
    """

    owner: str
    btf: Btf = dataclasses.field(repr=False)
    type_id: int
    spec: Spec | None = dataclasses.field(repr=False, default=None)
    number: int | None = None
    miss: Miss | None = dataclasses.field(repr=False, default=None)

    @property
    def name(self) -> str:
        """The type's name in C."""
        return self.btf.c_name(self.type_id)

    @property
    def matched(self) -> bool:
        return self.spec is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to one relocation, for :func:`pylibbpf.loader.patch.patch` and for people.

    ``original`` is what the compiler should have put into the instruction (to be checked where
    ``validate`` is set) and ``value`` what belongs there, both as 64-bit unsigned numbers.
    ``poison`` says that there is no answer: the instruction becomes one that the verifier refuses
    if it is ever reached. ``original_size`` and ``size`` are the bytes that a load or store is to
    access (0: not to be changed), which must not differ where ``bad_size`` is set.
    """

    kind: CoreKind
    original: int
    value: int
    poison: bool
    validate: bool
    bad_size: bool
    original_size: int
    size: int
    local: Spec = dataclasses.field(repr=False)
    candidates: tuple[Candidate, ...] = dataclasses.field(repr=False)

    @property
    def found(self) -> Candidate | None:
        """The type of the target that gave the answer; None where the answer is that none does."""
        return next((each for each in self.candidates if each.matched), None)

    @property
    def asked(self) -> str:
        """What was asked about, in C: ``struct task_struct.files.fd[0]``."""
        return asked(self.kind, self.local)

    @property
    def why(self) -> str:
        """Why the answer is no, or none at all, in a sentence; "" where it is neither."""
        return explain.why(self)

    @property
    def details(self) -> tuple[str, ...]:
        """A line for each type that was looked at, with its id and whose it is."""
        return explain.lines(self.kind, self.local, self.candidates)


def asked(kind: CoreKind, spec: Spec) -> str:
    name = spec.btf.c_name(spec.root)
    if kind.of_type:
        return name
    path = spec.path
    if kind.of_enum:
        return f"{name}::{path}"
    return name + (path if path.startswith("[") or not path else f".{path}")


def resolve(local: Btf, kind: CoreKind, type_id: int, access: str, target: Target) -> Resolution:
    """Answer one relocation by itself; for those of an object see :class:`Resolver`.

    Raises:
        CoreError: libbpf would refuse to load the object.
        BtfError: the types on either side are damaged.
    """
    return Resolver(local, target).resolve(kind, type_id, access)


class Resolver:
    """Answers the relocations of one object against one target.

    ``local`` are the object's types. Ask in the order of ``.BTF.ext``: where several types of the
    target have a name, those that a relocation did not match are not candidates for later ones of
    the same local type, as with libbpf.
    """

    def __init__(self, local: Btf, target: Target) -> None:
        self.local = local
        self.target = target
        self._candidates: dict[int, list[tuple[str, Btf, int]]] = {}
        self._known: dict[tuple[CoreKind, int, str, int], Resolution] = {}
        self._budget = Budget()

    def resolve(self, kind: CoreKind, type_id: int, access: str) -> Resolution:
        """Answer one relocation.

        Raises:
            CoreError: libbpf would refuse to load the object.
            BtfError: the types on either side are damaged.
        """
        self._budget.start()
        try:
            return self._resolve(kind, type_id, access)
        except Stop as stop:
            raise CoreError(
                stop.problem, errno=stop.errno, kind=kind.value, details=stop.details
            ) from None

    def _resolve(self, kind: CoreKind, type_id: int, access: str) -> Resolution:
        if kind is CoreKind.TYPE_ID_LOCAL:
            spec = self._local(kind, type_id, access)
            return Resolution(kind, type_id, type_id, False, False, False, 0, 0, spec, ())
        seen = self._candidates.get(type_id)
        if seen is None:
            found = self.local.type(type_id)
            if not found.name:
                raise Stop(f"{self.local.c_name(type_id)} has no name to be found by")
            seen = list(self.target.candidates(found.name, found.kind))
            self._candidates[type_id] = seen
        # Only ever fewer of them: their number tells which.
        key = kind, type_id, access, len(seen)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._answer(kind, type_id, access, seen)
        matched = [(c.owner, c.btf, c.type_id) for c in known.candidates if c.matched]
        if matched:
            self._candidates[type_id] = matched
        return known

    def _local(self, kind: CoreKind, type_id: int, access: str) -> Spec:
        try:
            return local_spec(self.local, kind, type_id, access)
        except Stop as stop:
            # libbpf knows one error for all that is wrong here.
            raise Stop(f"the object asks for what its own types lack: {stop.problem}") from None

    def _answer(
        self, kind: CoreKind, type_id: int, access: str, seen: list[tuple[str, Btf, int]]
    ) -> Resolution:
        local = self._local(kind, type_id, access)
        candidates: list[Candidate] = []
        ours = theirs = found = None
        for owner, btf, target_id in seen:
            self._budget.take()
            spec, miss = self._try(kind, local, owner, btf, target_id)
            if spec is None:
                candidates.append(Candidate(owner, btf, target_id, miss=miss))
                continue
            ours = ours or value_of(kind, local)
            value = value_of(kind, spec)
            candidates.append(Candidate(owner, btf, target_id, spec, value.number))
            if found is None:
                found, theirs = candidates[-1], value
            elif not _agree(found, candidates[-1]):
                raise Stop(
                    f"{asked(kind, local)} is ambiguous: types of this name differ, and so does "
                    "the answer",
                    errno.EINVAL,
                    explain.lines(kind, local, candidates),
                )
        if ours is None or theirs is None or found is None:
            return self._nothing(kind, local, candidates)
        bad_size = ours.size != theirs.size and not may_resize(
            self.local.type(ours.type_id), found.btf.type(theirs.type_id)
        )
        return Resolution(
            kind,
            ours.number,
            theirs.number,
            False,
            ours.validate,
            bad_size,
            ours.size,
            theirs.size,
            local,
            tuple(candidates),
        )

    def _try(
        self, kind: CoreKind, local: Spec, owner: str, btf: Btf, target_id: int
    ) -> tuple[Spec | None, Miss | None]:
        """Give where the path leads in a candidate, or where it ends."""
        spec = Spec(btf, target_id, btf.pointer_size)
        budget = self._budget
        miss = None
        try:
            if kind.of_field:
                miss = match_field(local, spec, budget)
                hit = miss is None
            elif kind.of_enum:
                hit = match_enumerator(local, spec, budget)
            elif kind is CoreKind.TYPE_MATCHES:
                hit = matches(local.btf, local.root, btf, target_id, budget)
            else:
                hit = compatible(local.btf, local.root, btf, target_id, budget)
        except Stop as stop:
            where = explain.place(owner, btf, target_id)
            raise Stop(f"{where} cannot be looked through: {stop.problem}", stop.errno) from None
        return (spec if hit else None), miss

    def _nothing(self, kind: CoreKind, local: Spec, candidates: list[Candidate]) -> Resolution:
        ours = value_of(kind, local)
        return Resolution(
            kind,
            ours.number,
            0,
            kind not in _ANSWERED,
            ours.validate,
            False,
            ours.size,
            0,
            local,
            tuple(candidates),
        )


def _agree(one: Candidate, other: Candidate) -> bool:
    """Whether two types that fit give the same answer."""
    assert one.spec is not None
    assert other.spec is not None
    return one.spec.bit_offset == other.spec.bit_offset and one.number == other.number
