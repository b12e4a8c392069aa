"""Our table of contexts against the running kernel's BTF."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Kind, Struct, Union
from pylibbpf.testrun import _uapi
from pylibbpf.uapi.contexts import FIELDS

VMLINUX = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(scope="module")
def kernel() -> Btf:
    if not VMLINUX.exists():
        pytest.skip("needs the kernel's BTF (CONFIG_DEBUG_INFO_BTF)")
    return Btf(VMLINUX.read_bytes())


@pytest.mark.parametrize("name", FIELDS)
def test_fields_lie_where_the_kernel_has_them(kernel, name):
    (type_id,) = kernel.find(name, Kind.STRUCT)
    theirs = kernel.type(type_id)
    assert isinstance(theirs, Struct)
    places: dict[str, tuple[int, int]] = {}

    def walk(struct: Struct | Union, base: int) -> None:
        for member in struct.members:
            inner = kernel.strip(member.type_id)
            at = base + member.bit_offset // 8
            if not member.name and isinstance(inner, (Struct, Union)):
                walk(inner, at)
            elif member.name and not member.bitfield_size:
                places[member.name] = (at, kernel.sizeof(member.type_id))

    walk(theirs, 0)
    ours: dict[str, tuple[int, int]] = {}
    at = 0
    for field, size, count in FIELDS[name]:
        at = -(-at // size) * size
        ours[field] = (at, size * (count or 1))
        at = ours[field][0] + ours[field][1]
    known = {field: place for field, place in ours.items() if field in places}
    assert known == {field: places[field] for field in known}
    missing = [field for field in ours if field not in places]
    # An older kernel ends earlier.
    assert all(ours[field][0] >= theirs.size for field in missing), missing
    if not missing:
        assert _uapi(name).size == theirs.size
