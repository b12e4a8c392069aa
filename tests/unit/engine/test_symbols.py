"""Why a function of the kernel cannot be probed, from a tree that stands for the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pylibbpf.engine.kernel.symbols import (
    NO_KPROBES,
    Kernel,
    why_no_btf_function,
    why_no_function,
    why_no_pattern,
)
from pylibbpf.engine.kernel.tracefs import why_no_raw_tracepoint, why_no_tracepoint

KALLSYMS = """\
ffffffff81000000 T _text
ffffffff81000100 t do_sys_openat2
ffffffff81000180 T __x64_sys_openat
ffffffff81000200 t vfs_write_end.isra.0
ffffffff81000240 t kprobe_handler
ffffffff81000280 t too_early
ffffffff81000300 t twin
ffffffff81000340 t twin
ffffffff82000000 D jiffies
ffffffffc0000000 t in_module\t[some]
"""


@pytest.fixture
def root(tmp_path: Path, objects: Path) -> Path:
    """A kernel with kprobes, whose BTF has the functions of one of our objects."""

    def write(path: str, data: bytes | str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data.encode() if isinstance(data, str) else data)

    with (objects / "probes.bpf.o").open("rb") as file:
        btf = ELFFile(file).get_section_by_name(".BTF").data()
    write("proc/kallsyms", KALLSYMS)
    write("sys/bus/event_source/devices/kprobe/type", "8\n")
    write(
        "sys/kernel/debug/kprobes/blacklist",
        "0xffffffff81000240-0xffffffff81000280\tkprobe_handler\n",
    )
    write(
        "sys/kernel/tracing/available_filter_functions",
        "do_sys_openat2\n__x64_sys_openat\nkprobe_handler\ntwin\nin_module [some]\n",
    )
    write("sys/kernel/tracing/events/sched/sched_switch/id", "1\n")
    write("sys/kernel/btf/vmlinux", btf)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("do_sys_openat3", "no function do_sys_openat3; near: do_sys_openat2"),
        ("vfs_write_end", "left no function vfs_write_end, only .*: vfs_write_end.isra.0"),
        ("kprobe_session", r"in the BTF\), but the compiler left none of that name: it is inlined"),
        ("kprobe_handler", "kernel's own list"),
        ("too_early", "not in available_filter_functions"),
        ("twin", "2 functions named twin"),
        ("jiffies", "variable of the kernel, no function"),
    ],
)
def test_causes(root, name, text):
    import re

    said = why_no_function(name, Kernel(str(root)))
    assert said is not None
    assert re.search(text, said), said


def test_nothing_against_a_function(root):
    kernel = Kernel(str(root))
    assert why_no_function("do_sys_openat2", kernel) is None
    assert why_no_function("in_module", kernel) is None
    assert kernel.size("do_sys_openat2") == 0x80
    assert kernel.size("nothing") is None


def test_lists_that_may_not_be_read_accuse_nobody(root):
    (root / "sys/kernel/debug/kprobes/blacklist").unlink()
    (root / "sys/kernel/tracing/available_filter_functions").unlink()
    for name in ("kprobe_handler", "too_early"):
        assert why_no_function(name, Kernel(str(root))) is None


def test_a_kernel_without_kprobes(root):
    (root / "sys/bus/event_source/devices/kprobe/type").unlink()
    (root / "sys/bus/event_source/devices/kprobe").rmdir()
    assert why_no_function("do_sys_openat2", Kernel(str(root))) == NO_KPROBES


def test_patterns(root):
    kernel = Kernel(str(root))
    assert why_no_pattern("do_sys_*", kernel) is None
    assert "'do_cis_*'" in str(why_no_pattern("do_cis_*", kernel))


def test_functions_by_btf(root):
    kernel = Kernel(str(root))
    assert why_no_btf_function("kprobe_session", kernel) is None
    assert "near: kprobe_session" in str(why_no_btf_function("kprobe_sesion", kernel))
    assert "though it has one" in str(why_no_btf_function("do_sys_openat2", kernel))
    assert "no such hook" in str(why_no_btf_function("x", kernel, prefix="kprobe_"))


def test_tracepoints(root):
    assert why_no_tracepoint("sched", "sched_switch", str(root)) is None
    assert "near: sched_switch" in str(why_no_tracepoint("sched", "sched_swich", str(root)))
    assert "is sched:sched_switch meant" in str(why_no_tracepoint("s", "sched_switch", str(root)))
    # Without typedefs of tracepoints in BTF nothing can be told.
    assert why_no_raw_tracepoint("sched_switch", str(root)) is None


def test_a_tracefs_that_is_not_there(tmp_path):
    assert "mount -t tracefs" in str(why_no_tracepoint("a", "b", str(tmp_path)))
