"""Why a tracepoint is not found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.engine.kernel.tracefs import why_no_tracepoint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("sched/sched_switch", "raw_syscalls/sys_enter"):
        (tmp_path / "sys/kernel/tracing/events" / name).mkdir(parents=True)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.12.9\n")
    (tmp_path / "boot").mkdir()
    return tmp_path


def test_names_that_are_near(root: Path) -> None:
    assert why_no_tracepoint("sched", "sched_switch", str(root)) is None
    assert "near: sched_switch" in (why_no_tracepoint("sched", "sched_swich", str(root)) or "")
    assert "near: sched" in (why_no_tracepoint("shed", "x", str(root)) or "")


def test_a_kernel_without_tracepoints_of_system_calls(root: Path) -> None:
    config = root / "boot/config-6.12.9"
    config.write_text("# CONFIG_FTRACE_SYSCALLS is not set\n")
    text = why_no_tracepoint("syscalls", "sys_enter_openat", str(root)) or ""
    assert "CONFIG_FTRACE_SYSCALLS" in text
    assert "sys_enter" in text
    config.write_text("CONFIG_FTRACE_SYSCALLS=y\n")
    text = why_no_tracepoint("syscalls", "sys_enter_openat", str(root)) or ""
    assert text.startswith("this kernel has no tracepoints syscalls:*")
