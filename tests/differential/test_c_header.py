"""``vmlinux.h`` as written here, and what compilers make of it: the sizes and offsets in BTF.

Read back as BTF, all of them are compared in tests/long, and with bpftool's header.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import c_headers
import c_types
import pytest

from pylibbpf.btf.kept import VMLINUX
from pylibbpf.btf.parse import Btf
from pylibbpf.cli.btf_source import read_types
from pylibbpf.guest import cache, kernels
from pylibbpf.guest.outcome import GuestError

KERNELS = ("this", "6.1", "6.12", "7.2")


def unavailable(reason: str) -> NoReturn:
    """Skip for want of something; where everything must be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Kernel:
    """Types, the header of them, and the structs and unions by their names in it."""

    btf: Btf
    header: Path
    tags: dict[str, int]


def types_of(name: str) -> Btf:
    """The types of the kernel that runs this, or of one that guests have."""
    if name == "this":
        if not Path(VMLINUX).exists():
            pytest.skip("needs a kernel with CONFIG_DEBUG_INFO_BTF")
        return read_types(VMLINUX)
    try:
        folder = cache.place()
        found = kernels.cached(kernels.pinned(name, folder), folder)
    except GuestError as error:
        unavailable(str(error))
    if found is None:
        unavailable(f"needs the kernel: pylibbpf vm fetch {name}")
    return read_types(str(found.image))


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    btf = types_of(request.param)
    header = tmp_path_factory.mktemp("header") / "vmlinux.h"
    tags = c_headers.written(btf, header)
    assert len(tags) > 5000
    return Kernel(btf, header, tags)


@pytest.fixture(scope="module")
def clangs() -> list[tuple[str, ...]]:
    found = c_headers.clangs()
    if not found:
        unavailable("needs clang")
    return found


def test_each_place(kernel: Kernel, clangs: list[tuple[str, ...]]) -> None:
    """Static assertions of all sizes and offsets; of bit-fields the compiler's BTF tells."""
    with_fields = {
        tag: type_id
        for tag, type_id in kernel.tags.items()
        if any(is_field for *_, is_field in c_headers.members(kernel.btf, type_id))
    }
    assert len(with_fields) > 300
    source = kernel.header.with_name("places.c")
    source.write_text(
        c_headers.variables(kernel.header, with_fields)
        + c_headers.assertions(kernel.btf, kernel.tags)
    )
    options = (*c_headers.WARNINGS, *c_headers.char(kernel.btf))
    again = c_headers.btf_of(c_headers.compile_c(clangs[0], source, *options))
    assert list(c_headers.differences(kernel.btf, with_fields, again)) == []


def test_other_compilers(kernel: Kernel, clangs: list[tuple[str, ...]]) -> None:
    source = kernel.header.with_name("nothing.c")
    source.write_text(f'#include "{kernel.header}"\nint nothing;\n')
    for clang in clangs[1:]:
        c_headers.compile_c(clang, source, *c_headers.WARNINGS)


def test_random_types_survive(tmp_path: Path, clangs: list[tuple[str, ...]]) -> None:
    """As C, and then as BTF again, with members wherever there is room; more in tests/long."""
    types = c_types.random_types(random.Random(6), 60)
    assert c_headers.round_trip(types.btf(), tmp_path, clangs[0]) == []
