"""Kernel configuration values: which fit which types, and where they are read."""

from __future__ import annotations

import gzip

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Array, Enum, Int, Struct, Var
from pylibbpf.errors import ElfError, RelocationError
from pylibbpf.loader import kconfig
from pylibbpf.loader.kconfig import Kconfig, Layout
from pylibbpf.spec import ExternKind, ExternSpec

TYPES = {
    "bool": Int("bool", 1, 8, bool=True),
    "char": Int("char", 1, 8, signed=True),
    "short": Int("short", 2, 16, signed=True),
    "u16": Int("u16", 2, 16),
    "int": Int("int", 4, 32, signed=True),
    "u64": Int("u64", 8, 64),
    "tristate": Enum("libbpf_tristate", 4, False, (("TRI_NO", 0), ("TRI_YES", 1), ("TRI_M", 2))),
    "other_enum": Enum("something", 4, False, ()),
    "text": Array(2, 5, 6),
    "struct": Struct("point", 8, ()),
    "int128": Int("int128", 16, 128),
    "wide_bool": Int("wide_bool", 4, 32, bool=True),
}
BTF = Btf.from_types([*TYPES.values(), Var("x", 1)])
IDS = {name: at for at, name in enumerate(TYPES, 1)}


def kernel(**options):
    return Kconfig({f"CONFIG_{k}": v for k, v in options.items()}, version=(6, 1, 300))


def extern(name, kind, weak=False):
    return ExternSpec(name, ExternKind.CONFIG, IDS[kind], weak)


def value(kind, text, **given):
    layout = Layout(BTF, [extern("CONFIG_X", kind, **given)])
    return layout.contents(kernel(X=text) if text is not None else kernel())


@pytest.mark.parametrize(
    ("kind", "text", "data"),
    [
        ("bool", "y", b"\1"),
        ("bool", "n", b"\0"),
        ("char", "y", b"y"),
        ("char", "m", b"m"),
        ("char", "-3", b"\xfd"),
        ("tristate", "y", b"\1\0\0\0"),
        ("tristate", "m", b"\2\0\0\0"),
        ("tristate", "n", b"\0\0\0\0"),
        ("short", "-32768", b"\0\x80"),
        ("u16", "65535", b"\xff\xff"),
        ("int", "0x10", b"\x10\0\0\0"),
        ("int", "010", b"\x08\0\0\0"),
        ("u64", "-1", b"\xff" * 8),
        ("text", '"abc"', b"abc\0\0\0"),
        ("text", '"abcdefgh"', b"abcde\0"),
        ("text", '""', bytes(6)),
    ],
)
def test_values_by_type(kind, text, data):
    assert value(kind, text) == data


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bool", "m"),
        ("bool", "1"),
        ("int", "y"),
        ("int", '"7"'),
        ("text", "y"),
        ("text", '"'),
        ("text", '"abc'),
        ("short", "32768"),
        ("short", "-32769"),
        ("u16", "65536"),
        ("u16", "-1"),
        ("int", ""),
        ("int", "08"),
        ("int", "1_000"),
        ("int", "12 "),
        ("int", "0o7"),
        ("int", "+-5"),
        ("int", "0x"),
        ("int", "0x1ffffffffffffffff"),
        ("tristate", "2"),
    ],
)
def test_values_that_do_not_fit(kind, text):
    with pytest.raises(RelocationError, match=r"'CONFIG_X'.*this kernel's value"):
        value(kind, text)


def test_what_is_not_set_is_zero_if_it_may_be():
    assert value("u64", None, weak=True) == bytes(8)
    with pytest.raises(RelocationError, match="make it __weak"):
        value("u64", None)


@pytest.mark.parametrize("kind", ["other_enum", "struct", "int128", "wide_bool"])
def test_types_that_no_value_has(kind):
    with pytest.raises(ElfError, match="no kernel configuration value has"):
        Layout(BTF, [extern("CONFIG_X", kind)])


def test_the_map_is_laid_out_by_alignment_then_size_then_name():
    layout = Layout(
        BTF,
        [
            extern("CONFIG_T", "text"),
            extern("CONFIG_B", "bool"),
            extern("CONFIG_A", "bool"),
            extern("CONFIG_I", "int"),
            extern("CONFIG_S", "short"),
            extern("CONFIG_U", "u64"),
        ],
    )
    places = {slot.extern.name.removeprefix("CONFIG_"): slot.offset for slot in layout.slots}
    assert places == {"U": 0, "I": 8, "S": 12, "A": 14, "B": 15, "T": 16}
    assert layout.size == 22


def virtual(name, kind, config, **given):
    return Layout(BTF, [extern(name, kind, **given)]).contents(config)


def test_what_libbpf_finds_out_itself():
    old, new = Kconfig({}, version=(5, 10, 3)), Kconfig({}, version=(6, 1, 300), bpf_cookie=True)
    assert virtual("LINUX_KERNEL_VERSION", "int", old) == b"\3\x0a\5\0"
    assert virtual("LINUX_KERNEL_VERSION", "int", new) == b"\xff\1\6\0"
    assert virtual("LINUX_HAS_BPF_COOKIE", "bool", old) == b"\0"
    assert virtual("LINUX_HAS_BPF_COOKIE", "bool", new) == b"\1"
    for option, expected in ({"KPROBES": "y", "ARCH_HAS_SYSCALL_WRAPPER": "y"}, 1), ({}, 0):
        assert virtual("LINUX_HAS_SYSCALL_WRAPPER", "char", kernel(**option)) == bytes([expected])
    assert virtual("LINUX_OF_TOMORROW", "int", old, weak=True) == bytes(4)
    for name in ("LINUX_OF_TOMORROW", "WINDOWS_VERSION"):
        with pytest.raises(ElfError, match="is no kernel configuration value"):
            virtual(name, "int", old)


def test_options_of_one_s_own_go_before_the_kernel_s():
    text = "# CONFIG_Z is not set\nCONFIG_X=7\nCONFIG_X=8\n\nnothing\n"
    both = Kconfig.parse(text, below=kernel(X="5", Y="6"))
    assert [both.get(f"CONFIG_{name}") for name in "XYZ"] == ["7", "6", None]
    assert both.version == (6, 1, 300)
    with pytest.raises(RelocationError, match="a line without a value: 'CONFIG_X'"):
        Kconfig.parse("CONFIG_X\n", below=kernel())
    with pytest.raises(RelocationError, match="a line without a value"):
        Kconfig.parse("CONFIG_X=\n", below=kernel())


@pytest.fixture
def boot(monkeypatch, tmp_path):
    """What stands in for files of this machine."""
    files = {}
    opened = open

    def instead(path, *args, **kwargs):
        if str(path) not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.write_bytes(files[str(path)])
        return opened(place, *args, **kwargs)

    monkeypatch.setattr(kconfig, "open", instead, raising=False)
    return files


def test_the_running_kernel_s_options(boot):
    boot["/proc/config.gz"] = gzip.compress(b"CONFIG_HZ=250\n")
    assert Kconfig.running().get("CONFIG_HZ") == "250"
    boot["/proc/config.gz"] = boot["/proc/config.gz"][:-9]
    with pytest.raises(RelocationError, match=r"/proc/config.gz cannot be unpacked"):
        Kconfig.running().get("CONFIG_HZ")
    del boot["/proc/config.gz"]
    with pytest.raises(RelocationError, match="this kernel shows no configuration"):
        Kconfig.running().get("CONFIG_HZ")


@pytest.mark.parametrize(
    ("release", "version", "signature", "expected"),
    [
        ("6.18.5", "#1 SMP", None, (6, 18, 5)),
        ("6.1.0-9-amd64", "#1 SMP Debian 6.1.27-1 (2023)", None, (6, 1, 27)),
        ("6.8.0-31-generic", "#31-Ubuntu", b"Ubuntu 6.8.0-31.31-generic 6.8.1\n", (6, 8, 1)),
        ("5.10.9-rc2", "#1 SMP", b"nonsense", (5, 10, 9)),
    ],
)
def test_the_running_kernel_s_version(boot, monkeypatch, release, version, signature, expected):
    class Name:
        pass

    name = Name()
    name.release, name.version = release, version
    monkeypatch.setattr(kconfig.os, "uname", lambda: name)
    if signature is not None:
        boot["/proc/version_signature"] = signature
    assert Kconfig.running().version == expected
