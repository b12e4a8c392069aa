"""What an errno means for the operation that gave it."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pytest

from pylibbpf.engine.kernel import hints
from pylibbpf.engine.kernel.hints import errno_hint
from pylibbpf.engine.kernel.hints.rows import ENOTSUPP
from pylibbpf.uapi.enums import MapType, ProgType


@pytest.mark.parametrize(
    ("operation", "number", "facts", "text"),
    [
        ("map update", errno.E2BIG, {"max_entries": 4}, "the map is full (max_entries=4)"),
        ("map update", errno.E2BIG, {}, "the map is full"),
        (
            "map update",
            errno.E2BIG,
            {"max_entries": 4, "map_type": MapType.ARRAY},
            "the index is past the end of the array (max_entries=4: 0 to 3)",
        ),
        (
            "map update",
            errno.E2BIG,
            {"max_entries": 4, "map_type": "queue"},
            "the queue is full (max_entries=4)",
        ),
        ("map update", errno.EEXIST, {"map_type": 1}, "the key exists already"),
        ("map update", errno.EEXIST, {"map_type": 2}, "always exist"),
        ("map update", errno.ENOENT, {}, "BPF_EXIST"),
        ("map update", errno.EBUSY, {"map_type": "struct_ops"}, "registered already"),
        ("map update", errno.EBUSY, {"map_type": "hash"}, "try again"),
        ("map update", errno.EINVAL, {"map_type": "prog_array"}, "program's type"),
        ("map update", errno.EINVAL, {"map_type": "hash_of_maps"}, "inner map differs"),
        ("map update", errno.EINVAL, {"map_type": "devmap"}, "no network interface"),
        ("map update", errno.EINVAL, {"map_type": "cpumap"}, "xdp/cpumap"),
        ("map update", errno.EOVERFLOW, {"map_type": "cpumap"}, "16384"),
        ("map update", errno.ENODEV, {"map_type": "cpumap"}, "no such CPU"),
        ("map update", errno.EINVAL, {"map_type": "reuseport_sockarray"}, "SO_REUSEPORT"),
        ("map update", errno.EINVAL, {"map_type": "hash", "update_flags": 4}, "no spin lock"),
        ("map update", errno.EBADF, {"map_type": "cgroup_array"}, "not of a cgroup (v2)"),
        ("map update", errno.EBADF, {"map_type": "task_storage"}, "not of a process (a pidfd)"),
        ("map update", errno.ENOTSOCK, {"map_type": "sk_storage"}, "not of a socket"),
        ("map update", errno.EOPNOTSUPP, {"map_type": "xskmap"}, "AF_XDP"),
        ("map update", errno.ENOENT, {"map_type": "sockmap"}, "nothing in that place"),
        ("map lookup", errno.EINVAL, {"map_type": 1, "lookup_flags": 4}, "no spin lock"),
        ("map lookup", errno.EBADF, {"map_type": "inode_storage"}, "not of a file"),
        ("map lookup", errno.ENOSPC, {"map_type": "reuseport_sockarray"}, "must be 8"),
        ("map read", errno.EFAULT, {"offset": 8192}, "the page at 8192"),
        ("map write", errno.EFAULT, {"offset": 8192}, "the page at 8192"),
        ("map arena", errno.EEXIST, {}, "map_extra"),
        ("map create", errno.EINVAL, {"map_type": "hash_of_maps", "inner": False}, "set_inner"),
        (
            "map create",
            errno.EINVAL,
            {"map_type": "struct_ops", "flags": 1 << 13, "kernel": "6.1.0-50-amd64"},
            "needs Linux 6.4; this is 6.1.0-50-amd64",
        ),
        (
            "map create",
            errno.EINVAL,
            {"map_type": "struct_ops", "flags": 1 << 13, "kernel": "6.4.0"},
            "does not know maps of type struct_ops",
        ),
        ("map create", errno.EINVAL, {"map_type": "hash", "numa_node": 9}, "no NUMA node 9"),
        ("map create", errno.EINVAL, {"map_type": "hash", "ifindex": 3}, "ifindex 3"),
        ("map create", errno.EINVAL, {"map_type": "arena"}, "BPF_F_MMAPABLE"),
        ("map create", errno.EINVAL, {"map_type": "cgrp_storage"}, "BPF_F_NO_PREALLOC"),
        ("map delete", errno.EINVAL, {"map_type": "percpu_array"}, "cannot be deleted"),
        ("map delete", ENOTSUPP, {"map_type": "ringbuf"}, "maps of type ringbuf"),
        ("map iteration", ENOTSUPP, {"map_type": MapType.QUEUE}, "queue have no keys"),
        ("map lookup batch", errno.ENOSPC, {}, "bucket"),
        ("map freeze", errno.EBUSY, {}, "frozen already"),
        (
            "create map",
            errno.EINVAL,
            {"map_type": MapType.RINGBUF, "max_entries": 5000, "page_size": 4096},
            "a multiple of the page size (4096), not 5000",
        ),
        ("map create", errno.EINVAL, {"map_type": "ringbuf"}, "power of two"),
        (
            "map create",
            errno.EINVAL,
            {"map_type": "ringbuf", "max_entries": 8192, "page_size": 4096},
            "neither key nor value",
        ),
        ("map iteration", errno.EINVAL, {"map_type": "queue"}, "have no keys to go through"),
        ("map delete", errno.EINVAL, {"map_type": "queue"}, "pop them"),
        ("map lookup", errno.EINVAL, {"map_type": "ringbuf"}, "have no keys"),
        ("map update", errno.EINVAL, {"map_type": "ringbuf"}, "carry records"),
        ("map create", errno.EINVAL, {"map_type": "array", "key_size": 8}, "not 8"),
        ("map create", errno.EINVAL, {"map_type": "lpm_trie"}, "BPF_F_NO_PREALLOC"),
        ("map create", errno.EINVAL, {"map_type": 99}, "does not know maps of type 99"),
        ("map create", errno.EINVAL, {}, "does not know this map type"),
        ("map create", errno.ENOMEM, {"max_entries": 9}, "for a map of 9 entries"),
        ("load", errno.E2BIG, {}, "4096 without CAP_BPF"),
        ("load", errno.EINVAL, {"program_type": ProgType.NETFILTER}, "of type netfilter"),
        ("load", errno.ESRCH, {"section": "fentry/nope"}, 'SEC("fentry/nope")'),
        ("attach", errno.ENODEV, {"section": "xdp"}, "no such network interface"),
        ("attach", errno.EBUSY, {"section": "xdp"}, "another XDP program"),
        ("attach", errno.EOPNOTSUPP, {"section": "xdp.frags"}, "generic (skb) mode"),
        ("attach", errno.EOPNOTSUPP, {"section": "tc"}, "does not say where to attach"),
        ("attach", errno.ENOENT, {"section": "raw_tp/nope"}, "no tracepoint nope"),
        ("attach", errno.EINVAL, {"section": "kprobe/x"}, "may not be probed"),
        ("attach", errno.EINVAL, {"section": "tcx/ingress"}, 'hook of SEC("tcx/ingress")'),
        ("attach", errno.ENOENT, {"section": "uprobe//bin/sh:main"}, "/bin/sh:main"),
        ("attach", ENOTSUPP, {}, "does not offer this hook"),
        ("test run", ENOTSUPP, {"program_type": "tracepoint"}, "of type tracepoint"),
        ("test run", ENOTSUPP, {}, "of this type"),
        ("test run", errno.EINVAL, {}, "14 bytes"),
        ("perf buffer", errno.EINVAL, {"pages": 3}, "power of two, not 3"),
        ("perf buffer", errno.EINVAL, {"pages": 8}, "perf event array"),
        ("ring buffer", errno.EINVAL, {}, "no ring buffer"),
        ("pin", errno.EEXIST, {}, "pinned at that path already"),
        ("set max_entries of", errno.EBUSY, {}, "once the object is loaded"),
        ("anything", errno.EMFILE, {}, "ulimit -n"),
        ("anything", ENOTSUPP, {}, "does not offer this"),
    ],
)
def test_hints(operation: str, number: int, facts: dict[str, Any], text: str) -> None:
    assert text in (errno_hint(operation, number, **facts) or "")


@pytest.mark.parametrize(
    ("operation", "number"),
    [("anything", errno.EDOM), ("map update", errno.EDOM), ("", 0), ("load", 99999)],
)
def test_where_nothing_better_is_known_there_is_no_hint(operation: str, number: int) -> None:
    assert errno_hint(operation, number) is None


def test_a_missing_tracefs_is_told_from_a_missing_tracepoint(tmp_path: Path) -> None:
    def hint() -> str | None:
        return errno_hint(
            "attach", errno.ENOENT, section="?tp/syscalls/sys_enter_nope", root=str(tmp_path)
        )

    assert "mount -t tracefs" in (hint() or "")
    mounts = tmp_path / "proc/self/mounts"
    mounts.parent.mkdir(parents=True)
    mounts.write_text("tracefs /sys/kernel/tracing tracefs rw 0 0\n")
    assert "no events in it" in (hint() or "")
    assert "raw_tp and tp_btf" in (hint() or "")
    (tmp_path / "sys/kernel/tracing/events").mkdir(parents=True)
    assert "no tracepoint syscalls/sys_enter_nope" in (hint() or "")


def test_missing_kprobes_are_told_from_a_missing_function(tmp_path: Path) -> None:
    def hint() -> str | None:
        return errno_hint("attach", errno.ENOENT, section="kprobe/nope", root=str(tmp_path))

    assert "CONFIG_KPROBES" in (hint() or "")
    (tmp_path / "sys/bus/event_source/devices/kprobe").mkdir(parents=True)
    assert "no function nope" in (hint() or "")


def test_unknown_facts_do_no_harm() -> None:
    assert errno_hint("map update", errno.E2BIG, map_type=None, colour="blue", max_entries=None)
    hint = errno_hint("create map", errno.EINVAL, map_type=-1, max_entries=0)
    assert hint is not None
    assert hint.startswith("max_entries is 0: ")


def test_each_operation_has_a_row_that_needs_no_facts_or_none_is_promised() -> None:
    """A hint is a sentence without holes, whatever facts are missing."""
    for row in hints._TABLE:
        for number in row.errnos:
            text = errno_hint(" ".join(row.operation), number)
            assert text is None or not re.search(r"\{\w+\}", text)


def test_no_row_is_hidden_by_one_before_it() -> None:
    for index, row in enumerate(hints._TABLE):
        for earlier in hints._TABLE[:index]:
            hidden = (
                earlier.when is None
                and earlier.operation <= row.operation
                and set(row.errnos) <= set(earlier.errnos)
                and not re.search(r"\{\w+\}", earlier.text)
            )
            assert not hidden, f"{row.text!r} is never reached: {earlier.text!r} comes first"


def test_a_kernel_that_is_older_than_the_section(tmp_path):
    release = tmp_path / "proc/sys/kernel/osrelease"
    release.parent.mkdir(parents=True)
    release.write_text("6.1.0-9-amd64\n")
    facts = {"section": "kprobe.session/do_exit", "root": str(tmp_path), "kernel": "6.1.0"}
    for operation in ("load", "attach"):
        said = errno_hint(operation, errno.EINVAL, **facts)
        assert said == 'SEC("kprobe.session/do_exit") needs Linux 6.10; this is 6.1.0'
    release.write_text("6.12.3\n")
    said = errno_hint("load", errno.EINVAL, **facts)
    assert said is not None
    assert "needs Linux" not in said


def test_a_kernel_without_a_type_of_map(tmp_path):
    release = tmp_path / "proc/sys/kernel/osrelease"
    release.parent.mkdir(parents=True)
    release.write_text("6.1.0-9-amd64\n")
    for kind in (MapType.ARENA, "arena"):
        said = errno_hint("create map", errno.EINVAL, map_type=kind, root=str(tmp_path))
        assert said == "map type arena needs Linux 6.9; this is 6.1.0-9-amd64"
    for kind in (MapType.DEVMAP, 99):
        said = errno_hint("create map", errno.EINVAL, map_type=kind, root=str(tmp_path))
        assert said is not None
        assert "needs Linux" not in said


def test_a_kernel_without_a_hook(tmp_path):
    for name, text in (
        ("proc/sys/kernel/osrelease", "6.12.9\n"),
        ("boot/config-6.12.9", "# CONFIG_NETKIT is not set\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    facts = {"root": str(tmp_path), "kernel": "6.12.9", "interface": "eth0"}
    for operation, section in (
        ("attach", "netkit"),
        ("attach", "tcx"),
        ("load", "netfilter"),
    ):
        said = errno_hint(operation, errno.EINVAL, section=section, **facts)
        assert said is not None
        assert re.match(rf"{section} needs CONFIG_\w+, without which", said)
    (tmp_path / "boot/config-6.12.9").write_text("CONFIG_NETKIT=y\n")
    said = errno_hint("attach", errno.EINVAL, section="netkit", **facts)
    assert said is not None
    assert said.endswith("eth0 is no netkit device")
