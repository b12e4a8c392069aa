"""Damages a file again and again, and opens what comes of it: python damage.py WAY FILE ...

Run by test_damage.py in a process of its own, since what goes wrong may end it. Before each try
the damaged file is written to the last argument, so that it is there when the process is not.

What is damaged is an object (ways "libbpf", "loader" and "linker"), an object's types ("btf"),
types that are taken for a kernel's ("kernel"), or an archive of types ("archive").
"""

from __future__ import annotations

import functools
import gzip
import lzma
import os
import random
import resource
import struct
import sys
import tarfile
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

import pylibbpf
from pylibbpf.btf.c_dump import c_header
from pylibbpf.btf.codec import codec
from pylibbpf.btf.diff import diff
from pylibbpf.btf.parse import Btf
from pylibbpf.cli import portability, relocated
from pylibbpf.events import record_type
from pylibbpf.loader.btf_files import BtfFile, read_btf
from pylibbpf.loader.kconfig import Kconfig
from pylibbpf.loader.kernel import Kernel
from pylibbpf.loader.link import sending_calls
from pylibbpf.loader.object import read
from pylibbpf.loader.portability import Portability, check
from pylibbpf.loader.relocate import relocate
from pylibbpf.loader.static_linker import link_objects
from pylibbpf.spec import ObjectSpec

MEMORY = 1 << 30  # bytes of address space
# Seconds of processor time for one file, which takes some milliseconds.
PATIENCE = int(os.environ.get("PYLIBBPF_DAMAGE_SECONDS", "60"))

Damage = Callable[[random.Random, bytearray, bytes], None]
DAMAGES: list[Damage] = []
THESE = [Path(name) for name in sys.argv[2:4]]  # the file that is damaged, and another one
WORDS = (0, 1, 2, 7, 0xFF, 0xFFF1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damage(function: Damage) -> Damage:
    DAMAGES.append(function)
    return function


@damage
def cut(chance: random.Random, data: bytearray, other: bytes) -> None:
    del data[chance.randrange(len(data)) :]


@damage
def flip(chance: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


@damage
def write_words(chance: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(max(1, len(data) // 4 - 1)) * 4
        data[at : at + 4] = struct.pack("<I", chance.choice((*WORDS, chance.randrange(5000))))


@damage
def splice(chance: random.Random, data: bytearray, other: bytes) -> None:
    """Bytes of this file or of another one in place of others, or between them."""
    source = chance.choice((bytes(data), other))
    start = chance.randrange(len(source))
    piece = source[start : start + chance.choice((4, 16, 64, 1000))]
    at = chance.randrange(len(data))
    data[at : at + chance.choice((0, len(piece)))] = piece


@damage
def edit_elf_header(chance: random.Random, data: bytearray, other: bytes) -> None:
    if len(data) >= 64:
        at, form = chance.choice(((40, "<Q"), (58, "<H"), (60, "<H"), (62, "<H"), (52, "<H")))
        width = struct.calcsize(form)
        value = chance.choice((*WORDS, len(data), len(data) - 1, chance.randrange(len(data) + 1)))
        struct.pack_into(form, data, at, value % (1 << 8 * width))


@damage
def edit_section_header(chance: random.Random, data: bytearray, other: bytes) -> None:
    """Name, type, flags, address, offset, size, link, info, alignment or size of entries."""
    try:
        start, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    except struct.error:
        return
    fields = (0, "<I"), (4, "<I"), (8, "<Q"), (16, "<Q"), (24, "<Q"), (32, "<Q"), (40, "<I")
    fields += (44, "<I"), (48, "<Q"), (56, "<Q")
    at, form = chance.choice(fields)
    at += start + 64 * chance.randrange(max(1, count))
    if at + 8 <= len(data):
        value = chance.choice((*WORDS, 1 << 63, len(data), chance.randrange(len(data) + 1)))
        struct.pack_into(form, data, at, value % (1 << 8 * struct.calcsize(form)))


@damage
def hit_a_section(chance: random.Random, data: bytearray, other: bytes) -> None:
    """A word in a section that is read in full: symbols, relocations, types, map definitions."""
    try:
        sections = [
            one
            for one in ELFFile(BytesIO(data)).iter_sections()
            if one["sh_size"] >= 4 and one.name and not one.name.startswith(".debug")
        ]
    except Exception:  # pyelftools has errors of all kinds for what earlier damage has left
        return
    if not sections:
        return
    section = chance.choice(sections)
    at = section["sh_offset"] + chance.randrange(section["sh_size"] // 4) * 4
    if at + 4 <= len(data):
        struct.pack_into("<I", data, at, chance.choice((*WORDS, chance.randrange(300))))


@damage
def retype(chance: random.Random, data: bytearray, other: bytes) -> None:
    """Let types refer to others: what comes of it is well-formed, and may go round in circles."""
    at = 0
    if data[:4] == b"\x7fELF":
        try:
            section = ELFFile(BytesIO(data)).get_section_by_name(".BTF")
            at = section["sh_offset"]
        except Exception:  # as above
            return
    if data[at : at + 2] != b"\x9f\xeb" or len(data) < at + 24:
        return
    header, start, size = struct.unpack_from("<4xIII", data, at)
    start += at + header
    end = min(len(data), start + size)
    records: list[tuple[int, int]] = []  # where each type is, and how many words it has
    while start + 12 <= end and len(records) < 5000:
        info = struct.unpack_from("<I", data, start + 4)[0]
        kind, count = info >> 24 & 31, info & 0xFFFF
        words = 3 + {1: 1, 3: 3, 14: 1, 17: 1}.get(kind, 0)
        words += count * {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}.get(kind, 0)
        records.append((start, words))
        start += 4 * words
    for _ in range(chance.choice((1, 2, 8, 64)) if records else 0):
        at, words = chance.choice(records)
        if at + 4 * words <= end:
            # The word behind info is a type of most kinds; so are some of what follows.
            place = at + 4 * (2 if words <= 4 else chance.randrange(3, words))
            if place + 4 <= end:
                struct.pack_into("<I", data, place, chance.randrange(len(records) + 1))


def open_in_the_kernel_engine(data: bytes) -> None:
    with pylibbpf.open_object(data, engine="kernel") as obj:
        for one in (*obj.programs.values(), *obj.maps.values()):
            repr(one)


def read_without_libbpf(data: bytes) -> None:
    spec = read(data)
    calls = [call for call, _, _ in sending_calls(spec)]
    for one in spec.maps:
        record_type(one.name, btf=spec.btf, calls=calls, elf=lambda: data)
    run_on(spec, a_kernel())


def run_on(spec: ObjectSpec, kernel: Kernel) -> None:
    """Do with an object and a kernel what can be done without loading."""
    found = Portability("", "", "", None, *check(spec, kernel))
    portability.facts(found)
    for _ in portability.describe("", [found], everything=True):
        pass
    config = Kconfig({}, version=(6, 18, 0))
    made = relocate(spec, target=kernel.target, kconfig=config, symbols={}, cpus=2)
    for program in made.programs:
        relocated.normal(program)
        for at in range(len(program.insns)):
            program.origin(at)
            program.line(at)


@functools.cache
def a_kernel() -> Kernel:
    """This kernel, or where it has no BTF, one that has what an object of ours asks for."""
    path = Path("/sys/kernel/btf/vmlinux")
    if path.exists():
        return Kernel.parse(path.read_bytes())
    return Kernel.parse(types_of(Path(__file__).parents[1] / "objects" / "core.bpf.o"))


def types_of(path: Path) -> bytes:
    return ELFFile(BytesIO(path.read_bytes())).get_section_by_name(".BTF").data()


def link_with_others(data: bytes) -> None:
    """Before and behind what it belongs to, and alone."""
    failed = None
    for files in ([data, *parts()], [*parts(), data], [data]):
        try:
            linked = link_objects(files)
            read(linked)
            link_objects([linked])
        except pylibbpf.Error as error:
            failed = error
    if failed is not None:
        raise failed


@functools.cache
def parts() -> list[bytes]:
    """The objects that are one with some of those that are damaged."""
    names = ("link_main.bpf.o", "link_store.bpf.o", "link_more.bpf.o")
    folder = Path(__file__).parents[1] / "objects"
    return [(folder / name).read_bytes() for name in names if name != THESE[0].name]


def take_for_a_kernel(data: bytes) -> None:
    run_on(undamaged(), Kernel.parse(data))


@functools.cache
def undamaged() -> ObjectSpec:
    return read(THESE[0])


def read_an_archive(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for each in read_btf(BtfFile("some", file.name)):
            Kernel.parse(each.data)


def read_types(data: bytes) -> None:
    btf = Btf(data)
    for type_id in range(len(btf)):
        try:
            made = codec(btf, type_id)
            if made.size < 1 << 16:
                made.encode(made.decode(bytes(made.size)))
        except pylibbpf.Error:
            continue
    try:
        c_header(btf)
    except pylibbpf.Error:
        pass
    for change in diff(btf, Btf(types_of(THESE[0]))):
        str(change)


OPENERS = {
    "libbpf": open_in_the_kernel_engine,
    "loader": read_without_libbpf,
    "linker": link_with_others,
    "btf": read_types,
    "kernel": take_for_a_kernel,
    "archive": read_an_archive,
}


def archive(path: Path) -> bytes:
    """A tar archive with the types of an object, packed in one way or another."""
    data, made = types_of(path), BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in ("a/first.btf", f"{'long' * 40}/second.btf", "README"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    pack = (bytes, gzip.compress, lzma.compress)[len(data) % 3]
    return pack(made.getvalue())


def main() -> None:
    way, _, _, seed, count, place = sys.argv[1:]
    contents = {"btf": types_of, "kernel": types_of, "archive": archive}.get(way, Path.read_bytes)
    whole, another = map(contents, THESE)
    try:
        OPENERS[way](whole)  # what is wanted is imported and found before memory is limited
    except pylibbpf.Error:
        pass  # some of the tests' objects are refused as they are
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    opened = 0
    for number in range(int(count)):
        chance = random.Random(f"{seed} {number}")
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            if data:
                chance.choice(DAMAGES)(chance, data, another)
        Path(place).write_bytes(data)
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime)
        resource.setrlimit(resource.RLIMIT_CPU, (spent + PATIENCE, resource.RLIM_INFINITY))
        try:
            OPENERS[way](bytes(data))
            opened += 1
        except pylibbpf.Error:
            pass
    sys.stdout.write(f"{opened}\n")


if __name__ == "__main__":
    main()
