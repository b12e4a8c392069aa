"""CO-RE relocations answered by libbpf and by us: random types, paths and instructions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import core_objects
import core_pairs
import pytest
from core_objects import Question
from differential import libbpf_load
from differential.libbpf_core import Libbpf
from effort import cases

from pylibbpf.btf.core import CoreKind, Resolver, Target
from pylibbpf.btf.core.access import local_spec
from pylibbpf.btf.core.stop import Stop
from pylibbpf.btf.core.value import value_of
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import CoreError
from pylibbpf.isa import insn as isa
from pylibbpf.loader import object as loader
from pylibbpf.loader.patch import patch
from pylibbpf.loader.relocate import relocate

QUESTIONS = 16


@pytest.fixture(scope="module")
def libbpf(bpf: None) -> Iterator[Libbpf]:
    """The libbpf of this host, which asks the kernel what it can before it relocates."""
    child = Libbpf()
    yield child
    child.close()


class Pair:
    """A random object and the types of a kernel, and what both loaders make of them."""

    def __init__(self, libbpf: Libbpf, folder: Path, pick: random.Random) -> None:
        self.libbpf = libbpf
        self.object, self.btf = folder / "object.o", folder / "kernel.btf"
        self.pick = pick
        world = core_pairs.World(pick)
        world.grow()
        self.types = world.types
        kernel = core_objects.btf(core_pairs.changed(pick, self.types))
        self.btf.write_bytes(kernel)
        self.local = Btf(core_objects.btf(self.types))
        self.target = Target(Btf(kernel))

    def question(self) -> Question:
        kind, type_id, access = core_pairs.asked(self.pick, self.types)
        original, size = type_id, 0
        if kind != "local_type_id":
            # Of what does not exist, any number is as good.
            with contextlib.suppress(Stop):
                spec = local_spec(self.local, CoreKind(kind), type_id, access)
                value = value_of(CoreKind(kind), spec)
                original, size = value.number, value.size
        code = core_pairs.instruction(self.pick, kind, original, size)
        return Question(kind, type_id, access, code)

    def ours(self, questions: list[Question]) -> bytes:
        """What our loader makes of the object with these questions.

        Raises: CoreError.
        """
        self.object.write_bytes(core_objects.elf(self.types, questions))
        spec = loader.read(self.object)
        assert spec.btf is not None
        (program,) = spec.programs
        insns = isa.decode(program.code)
        resolver = Resolver(spec.btf, self.target)
        for each in program.core:
            patch(insns, each.insn, resolver.resolve(each.kind, each.type_id, each.access))
        return isa.encode(insns)

    def check_refused(self, question: Question, error: CoreError) -> None:
        """Whether libbpf refuses the object that was last written."""
        answer = self.libbpf.ask(self.object, self.btf)
        said = (answer.refused, answer.errno)
        assert said == ("core", error.errno), (question, error, answer.messages)

    def check(self) -> None:
        good: list[Question] = []
        code = self.ours(good)
        refused = 0
        for _ in range(QUESTIONS):
            question = self.question()
            try:
                code = self.ours([*good, question])
            except CoreError as error:
                refused += 1
                if refused <= 2:
                    self.check_refused(question, error)
            else:
                good.append(question)
        self.ours(good)
        answer = self.libbpf.ask(self.object, self.btf)
        assert answer.refused is None, answer.messages
        assert len(answer.code) == len(code)
        for at in range(0, len(code), 8):
            theirs, ours = answer.code[at : at + 8].hex(), code[at : at + 8].hex()
            assert theirs == ours, (at // 8, good, answer.messages)


@pytest.mark.parametrize("part", range(4))
def test_random_types(libbpf: Libbpf, tmp_path: Path, part: int) -> None:
    for number in range(15):
        Pair(libbpf, tmp_path, random.Random(f"{part} {number}")).check()


def test_every_kind_as_a_compiler_writes_it(bpf: None, objects: Path) -> None:
    """Programs for the types of a made-up kernel, whose BTF is in another object."""
    path, kernel = objects / "core_kinds.bpf.o", objects / "core_kernel.bpf.o"
    theirs = libbpf_load.load(path, btf=kernel)
    assert theirs.refused is None, theirs.messages
    types = loader.read(kernel).btf
    assert types is not None
    ours = relocate(loader.read(path), target=Target(types))
    assert {each.name: each.code.hex() for each in theirs.programs} == {
        each.name: isa.encode(each.insns).hex() for each in ours.programs
    }


@pytest.mark.long
def test_many_random_types(libbpf: Libbpf, tmp_path: Path, chance: random.Random) -> None:
    for _ in range(cases()):
        seed = chance.getrandbits(64)
        try:
            Pair(libbpf, tmp_path, random.Random(seed)).check()
        except AssertionError as difference:
            raise AssertionError(f"with random.Random({seed})") from difference
