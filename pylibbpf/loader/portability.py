"""Tell on which kernels an object loads, from their BTF alone: nothing is loaded or run.

The kernel's BTF says more than where fields lie: which functions and tracepoints there are to
attach to, which kernel functions to call, and (in the enumerations of its own interface) which
helpers, map types and program types it knows. What is asked for and not there is a
:class:`~pylibbpf.loader.problem.Problem`, with the program and the C line that ask. A relocation
that finds nothing is no failure where the program looks before it leaps
(``bpf_core_field_exists``): libbpf poisons the instruction, and the verifier never comes to it.

What BTF does not tell is not judged: whether the verifier accepts the program otherwise, what
a program type may call, the kernel's configuration, symbols without a type, privileges.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from pylibbpf.btf.core import Resolver
from pylibbpf.btf.kept import FOLDER, VMLINUX
from pylibbpf.errors import BtfError, CoreError, ElfError, Error
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn, decode, encode
from pylibbpf.isa.reach import reachable
from pylibbpf.loader import needs
from pylibbpf.loader.btf_files import BtfFile, find_btf, read_btf
from pylibbpf.loader.kernel import Kernel
from pylibbpf.loader.link import Linker
from pylibbpf.loader.object import read
from pylibbpf.loader.patch import POISON, patch
from pylibbpf.loader.problem import Problem, Verdict
from pylibbpf.loader.refused import check_object
from pylibbpf.spec import ExternKind, FunctionSpec, MapKind, ObjectSpec, ReferenceKind
from pylibbpf.uapi.helpers import HELPERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pylibbpf.loader.link import Linked
    from pylibbpf.spec import CoreRelocation

    Path = str | os.PathLike[str]
    Place = tuple[str, int]

__all__ = ["Portability", "check", "portability"]

# Programs that share functions are looked at with each of them: of a file made for it, that could
# be the square of its size. The largest real object seen has a fifth of this.
_MOST_INSNS = 400_000
# So many are not even linked; relocate() refuses twice as many.
_MOST_IN_ALL = 4_000_000
_GET_ATTACH_COOKIE = HELPERS.index("get_attach_cookie")
# libbpf calls the older bpf_probe_read where the kernel has none of these
# (bpf_object__sanitize_prog).
_REPLACED = frozenset(
    HELPERS.index(name)
    for name in (
        "probe_read_user",
        "probe_read_kernel",
        "probe_read_user_str",
        "probe_read_kernel_str",
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class Portability:
    """What becomes of one object on one kernel.

    ``kernel`` is the kernel's name and ``path`` where its BTF is. ``error`` says why nothing could
    be found out, and then the rest is empty. ``relocations`` counts the CO-RE relocations, each
    once, ``resolved`` those that have an answer.
    """

    object: str
    kernel: str
    path: str
    error: str | None = None
    relocations: int = 0
    resolved: int = 0
    problems: tuple[Problem, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether nothing is missing that loading needs."""
        return self.error is None and not any(p.verdict is Verdict.FAILS for p in self.problems)


def check(spec: ObjectSpec, kernel: Kernel) -> tuple[int, int, tuple[Problem, ...]]:
    """Hold an object against a kernel: count its relocations, those resolved, and what is missing.

    Raises:
        BtfError: the types of either are damaged.
        ElfError: the object's programs are too large together.
    """
    return _Check(spec, kernel).run()


class _Check:
    def __init__(self, spec: ObjectSpec, kernel: Kernel) -> None:
        self.spec = spec
        self.kernel = kernel
        self.count = self.resolved = 0
        self.problems: list[Problem] = []
        self.weak: set[str] = set()  # symbols that are not there, and may be missing
        # By where a function starts: what libbpf would refuse in it, and what it would poison.
        self.refused: dict[Place, list[Problem]] = {}
        self.poisoned: dict[Place, dict[int, Problem]] = {}

    def run(self) -> tuple[int, int, tuple[Problem, ...]]:
        spec, kernel = self.spec, self.kernel
        missing = needs.missing_externs(spec, kernel)
        self.weak = {each.name for each in spec.externs if each.weak and each.name in missing}
        self.problems += needs.of_externs(spec, missing)
        self.problems += needs.of_maps(spec, kernel)
        for program in spec.programs:
            self.problems += needs.of_program(program, kernel)
        try:
            check_object(spec)
        except ElfError as error:
            self.problems.append(Problem(Verdict.FAILS, "object", "", str(error)))
        patched = self._relocate()
        self._follow(dataclasses.replace(spec, functions=patched), missing)
        return self.count, self.resolved, tuple(self.problems)

    def _relocate(self) -> tuple[FunctionSpec, ...]:
        """Answer all relocations; give the functions with the answers in them."""
        btf = self.spec.btf
        if btf is None:
            return self.spec.functions
        resolver = Resolver(btf, self.kernel.target)
        # Several functions at one place are names of one.
        functions = {(each.section, each.offset): each for each in self.spec.functions}
        codes = {place: decode(each.code) for place, each in functions.items() if each.core}
        asked = [(each.order, place, each) for place in codes for each in functions[place].core]
        asked.sort(key=lambda entry: entry[0])
        for _, place, relocation in asked:
            self._relocation(resolver, functions[place], codes[place], relocation)
        return tuple(
            dataclasses.replace(each, code=encode(codes[each.section, each.offset]))
            if each.core
            else each
            for each in self.spec.functions
        )

    def _relocation(
        self,
        resolver: Resolver,
        function: FunctionSpec,
        insns: list[Insn],
        relocation: CoreRelocation,
    ) -> None:
        self.count += 1
        place = function.section, function.offset
        at = relocation.insn
        try:
            resolution = resolver.resolve(relocation.kind, relocation.type_id, relocation.access)
            patch(insns, at, resolution)
        except CoreError as error:
            problem = _problem(function, relocation, error.problem, error.details)
            self.refused.setdefault(place, []).append(problem)
            return
        if not resolution.poison and not _is_poison(insns[at]):
            self.resolved += 1
            return
        candidates = tuple(dict.fromkeys(each.name for each in resolution.candidates))
        problem = _problem(function, relocation, resolution.why, candidates)
        self.poisoned.setdefault(place, {})[at] = problem

    def _follow(self, spec: ObjectSpec, missing: dict[str, str]) -> None:
        """Find out which programs come to what was poisoned, or is not there."""
        linker = Linker(spec)
        unused = _unused(spec)
        work = 0
        # By place and instruction: the problem, who comes to it, and who does not.
        met: dict[tuple[Place, int], tuple[Problem, list[FunctionSpec], list[FunctionSpec]]] = {}
        for program in spec.programs:
            used = linker.used(program)
            work += sum(each.insn_count for each in used)
            if work > _MOST_IN_ALL:
                raise ElfError(
                    f"the programs have more than {_MOST_IN_ALL} instructions, with the functions "
                    "that each uses"
                )
            linked = linker.link(program)
            marks = (
                _reach(spec, linked, missing, self.kernel)
                if work <= _MOST_INSNS
                else b"\1" * len(linked.insns)
            )
            for start, function in linked.parts:
                place = function.section, function.offset
                for problem in self.refused.get(place, ()):
                    met.setdefault((place, problem.insn or 0), (problem, [], []))[1].append(program)
                found = dict(self.poisoned.get(place, {}))
                found.update(self._called(function, linked, start, missing))
                for at, problem in found.items():
                    _, stopped, spared = met.setdefault((place, at), (problem, [], []))
                    (stopped if marks[start + at] else spared).append(program)
        for problem, stopped, spared in met.values():
            verdict = Verdict.GUARDED
            if stopped:
                optional = all(each.optional or each.name in unused for each in stopped)
                verdict = Verdict.OPTIONAL if optional else Verdict.FAILS
            names = tuple(each.name for each in stopped or spared)
            self.problems.append(dataclasses.replace(problem, verdict=verdict, programs=names))

    def _called(
        self, function: FunctionSpec, linked: Linked, start: int, missing: dict[str, str]
    ) -> Iterator[tuple[int, Problem]]:
        """What a function calls that is not there: helpers, and weak kernel functions."""
        for at in range(function.insn_count):
            insn = linked.insns[start + at]
            if insn.code != isa.CALL_CODE or at in self.poisoned.get(
                (function.section, function.offset), ()
            ):
                continue
            reference = linked.references.get(start + at)
            if reference is not None and reference.target in self.weak:
                said = missing[reference.target]
                yield at, _in_code("kernel function", reference.target, said, function, at)
            elif (
                insn.src == isa.HELPER
                and reference is None
                and insn.imm not in _REPLACED
                and self.kernel.lacks("bpf_func_id", insn.imm)
            ):
                known = 0 < insn.imm < len(HELPERS)
                name = f"bpf_{HELPERS[insn.imm]}" if known else f"#{insn.imm}"
                said = f"this kernel has no helper {name}"
                yield at, _in_code("helper", name, said, function, at)


def _unused(spec: ObjectSpec) -> set[str]:
    """Programs that only struct_ops maps in ``?.struct_ops`` name: libbpf loads neither."""
    named: dict[str, bool] = {}
    for each in spec.maps:
        if each.kind is MapKind.STRUCT_OPS:
            for _, program in each.values:
                named[program] = named.get(program, False) or not each.section.startswith("?")
    return {program for program, used in named.items() if not used}


def _is_poison(insn: Insn) -> bool:
    return insn.code == isa.CALL_CODE and insn.src == isa.HELPER and insn.imm == POISON


def _reach(spec: ObjectSpec, linked: Linked, missing: dict[str, str], kernel: Kernel) -> bytearray:
    """Which instructions of a program the verifier would come to."""
    insns = list(linked.insns)
    places = {}
    options = {each.name for each in spec.externs if each.kind is ExternKind.CONFIG}
    for at, reference in linked.references.items():
        if reference.kind is ReferenceKind.DATA:
            places[at] = reference.target, reference.offset
        elif reference.target in options:
            places[at] = reference.target, 0  # by itself, not by its place in the map .kconfig
        elif reference.kind is ReferenceKind.EXTERN and isa.is_ld_imm64(insns[at]):
            # Of the address of a weak symbol only this counts: whether it is one.
            insns[at] = Insn(isa.LD_IMM64, insns[at].dst, 0, 0, reference.target not in missing)
    contents = {each.name: each.data for each in spec.sections if each.read_only}
    known = _configuration(kernel)
    for extern in spec.externs:
        if extern.kind is ExternKind.CONFIG and extern.name in known:
            contents[extern.name] = known[extern.name].to_bytes(8, "little")
    # libbpf makes hidden functions static, which are verified with what they are given.
    apart = [start for start, each in linked.parts if each.linkage == "global" and not each.hidden]
    return reachable(insns, places, contents, apart)


def _configuration(kernel: Kernel) -> dict[str, int]:
    """What is known of a kernel of the values that libbpf finds out itself (``__kconfig``)."""
    known = {}
    if kernel.version is not None:
        major, minor, patch_level = kernel.version
        known["LINUX_KERNEL_VERSION"] = major << 16 | minor << 8 | min(patch_level, 255)
    if kernel.numbers("bpf_func_id") is not None:
        # The helper came with what libbpf tries out (kernel 5.15).
        known["LINUX_HAS_BPF_COOKIE"] = int(not kernel.lacks("bpf_func_id", _GET_ATTACH_COOKIE))
    return known


def _in_code(what: str, name: str, message: str, function: FunctionSpec, insn: int) -> Problem:
    line = function.line(insn)
    return Problem(Verdict.FAILS, what, name, message, (), function.name, insn, line)


def _problem(
    function: FunctionSpec,
    relocation: CoreRelocation,
    message: str,
    candidates: tuple[str, ...],
) -> Problem:
    return Problem(
        Verdict.FAILS,
        "relocation",
        _asked(relocation),
        message,
        (),
        function.name,
        relocation.insn,
        function.line(relocation.insn),
        relocation,
        candidates,
    )


def _asked(relocation: CoreRelocation) -> str:
    if not relocation.path:
        return relocation.type_name
    join = "::" if relocation.kind.of_enum else "" if relocation.path[0] == "[" else "."
    return f"{relocation.type_name}{join}{relocation.path}"


def portability(
    objects: Path | Iterable[Path],
    btf: Path | Iterable[Path] | None = None,
    *,
    jobs: int = 1,
) -> Iterator[Portability]:
    """Tell for each kernel and each object what becomes of it, kernel by kernel.

    ``btf`` names files, folders (searched with all that is in them) and archives of BTF: bare or
    compressed, in tar archives, or in a ``vmlinux``; default: this kernel and its modules. With
    ``jobs`` over 1, so many processes share the files; whoever calls this from a script then
    guards it with ``if __name__ == "__main__"``, as :mod:`multiprocessing` wants it. The BTF of one
    kernel is held at a time (by each process), some 65 MB. No privileges are needed.

    What is wrong with one file of BTF is the ``error`` of its results.

    Raises:
        ElfError, BtfError: an object cannot be read, or a folder has no BTF.
        Error: one of several processes was ended.
        OSError: a file or folder cannot be read.
    """
    paths = [objects] if isinstance(objects, (str, os.PathLike)) else list(objects)
    specs = [(os.fspath(path), _read(path)) for path in paths]
    where = [FOLDER] if btf is None else [btf] if isinstance(btf, (str, os.PathLike)) else btf
    if btf is None and not os.path.exists(VMLINUX):
        raise BtfError(
            f"this kernel shows no types in {VMLINUX} (CONFIG_DEBUG_INFO_BTF is off): name the BTF "
            "of the kernels to look at"
        )
    files = list(find_btf(where))
    if jobs <= 1 or len(files) <= 1:
        for file in files:
            yield from _of_file(specs, file)
        return
    yield from _in_processes([path for path, _ in specs], files, min(jobs, len(files)))


def _read(path: Path) -> ObjectSpec:
    try:
        return read(path)
    except Error as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from None


def _of_file(specs: Sequence[tuple[str, ObjectSpec]], file: BtfFile) -> Iterator[Portability]:
    """The results of all objects, for each kernel in a file."""
    try:
        for each in read_btf(file):
            try:
                kernel = Kernel.parse(each.data, each.modules, each.kernel)
            except Error as error:
                for path, _ in specs:
                    yield Portability(path, each.kernel, each.path, str(error))
                continue
            for path, spec in specs:
                yield _of_kernel(path, spec, each.kernel, each.path, kernel)
    except (Error, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        said = said.removeprefix(f"{file.path}: ")
        for path, _ in specs:
            yield Portability(path, file.kernel, file.path, said)


def _of_kernel(path: str, spec: ObjectSpec, name: str, where: str, kernel: Kernel) -> Portability:
    try:
        count, resolved, problems = check(spec, kernel)
    except Error as error:
        return Portability(path, name, where, f"{path}: {error}")
    return Portability(path, name, where, None, count, resolved, problems)


# Of a process that shares the work.
_specs: list[tuple[str, ObjectSpec]] = []


def _start(paths: list[str]) -> None:
    _specs.extend((path, read(path)) for path in paths)


def _work(file: BtfFile) -> list[Portability]:
    return list(_of_file(_specs, file))


def _in_processes(paths: list[str], files: list[BtfFile], jobs: int) -> Iterator[Portability]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Not forked: whoever calls this may have threads.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (paths,)) as pool:
        try:
            for found in pool.map(_work, files):
                yield from found
        except BrokenProcessPool:
            raise Error(
                "one of the processes that share the work was ended (for want of memory?): "
                "try fewer jobs"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
