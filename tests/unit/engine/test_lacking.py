"""What this kernel lacks, by its version or by what it was built with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.lacking import (
    why_lacking,
    why_no_hook,
    why_no_map,
    why_no_struct_ops,
)
from pylibbpf.uapi.enums import MapType


def machine(root: Path, release: str, config: str | None = None) -> Host:
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
    if config is not None:
        (root / "boot").mkdir()
        (root / f"boot/config-{release}").write_text(config)
    return Host(str(root))


def test_an_older_kernel(tmp_path: Path) -> None:
    host = machine(tmp_path, "6.1.0-50-amd64", "CONFIG_FPROBE=y\n")
    assert why_lacking("kprobe.session", (6, 10), "CONFIG_FPROBE", host) == (
        "kprobe.session needs Linux 6.10; this is 6.1.0-50-amd64"
    )
    assert why_lacking("kprobe.multi", (5, 18), "CONFIG_FPROBE", host) is None


def test_an_option_that_is_not_set(tmp_path: Path) -> None:
    host = machine(tmp_path, "6.12.9", "# CONFIG_FPROBE is not set\nCONFIG_BPF=y\n")
    assert why_lacking("kprobe.multi", (5, 18), "CONFIG_FPROBE", host) == (
        "kprobe.multi needs CONFIG_FPROBE, without which this kernel was built"
        " (/boot/config-6.12.9)"
    )
    assert why_lacking("anything", (5, 18), "", host) is None


def test_a_kernel_of_which_nothing_is_known(tmp_path: Path) -> None:
    assert why_lacking("kprobe.multi", (5, 18), "CONFIG_FPROBE", Host(str(tmp_path))) is None
    assert why_lacking("kprobe.multi", (5, 18), "X", machine(tmp_path / "a", "6.12.9")) is None


@pytest.mark.parametrize("name", ["sched_ext_ops", "bpf_struct_ops_sched_ext_ops"])
def test_struct_ops(tmp_path: Path, name: str) -> None:
    log = f"libbpf: struct_ops init_kern: struct {name} is not found in kernel BTF\n"
    old = machine(tmp_path / "old", "6.1.0")
    assert "needs Linux 6.12; this is 6.1.0" in (why_no_struct_ops(log, old) or "")
    without = machine(tmp_path / "without", "6.12.9", "CONFIG_BPF=y\n")
    assert "CONFIG_SCHED_CLASS_EXT" in (why_no_struct_ops(log, without) or "")
    with_it = machine(tmp_path / "with", "6.12.9", "CONFIG_SCHED_CLASS_EXT=y\n")
    assert why_no_struct_ops(log, with_it) is None


def test_struct_ops_that_nobody_knows(tmp_path: Path) -> None:
    log = "struct_ops init_kern: struct made_up_ops is not found in kernel BTF"
    assert "no struct made_up_ops" in (why_no_struct_ops(log, machine(tmp_path, "6.12.9")) or "")
    assert why_no_struct_ops("something else", Host(str(tmp_path))) is None


def test_types_of_maps(tmp_path: Path) -> None:
    host = machine(tmp_path, "6.1.0", "CONFIG_NET=y\n# CONFIG_XDP_SOCKETS is not set\n")
    said = "map type arena needs Linux 6.9; this is 6.1.0"
    assert why_no_map([MapType.HASH, MapType.ARENA], host) == said
    assert why_no_map(["arena"], host) == said
    assert "type xskmap needs CONFIG_XDP_SOCKETS," in (why_no_map([MapType.XSKMAP], host) or "")
    assert why_no_map([MapType.HASH, MapType.DEVMAP, 99, "no such type"], host) is None
    assert why_no_map([], host) is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("?netkit/peer", "netkit needs Linux 6.7; this is 6.6.1"),
        ("netfilter", "netfilter needs CONFIG_NETFILTER_BPF_LINK, without which"),
        ("cgroup/connect4", "cgroup/connect4 needs CONFIG_CGROUP_BPF, without which"),
        ("lsm.s/file_open", "lsm needs CONFIG_BPF_LSM, without which"),
        ("tcx/egress", None),
        ("xdp", None),
        ("no such section", None),
    ],
)
def test_hooks(tmp_path: Path, section: str, said: str | None) -> None:
    host = machine(tmp_path, "6.6.1", "CONFIG_NET=y\nCONFIG_NET_XGRESS=y\n")
    found = why_no_hook(section, host)
    assert found is None if said is None else (found or "").startswith(said)
