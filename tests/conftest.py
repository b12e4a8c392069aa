"""What tests are given: objects, examples, and the capabilities that they need of the host.

A test that needs something of the host asks for it by fixture. Where that is missing the test is
skipped and says what is missing; on a host that should have it, the test fails instead.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import effort
import pytest
from hypothesis import HealthCheck, settings
from wire import Wire, cable

from pylibbpf.cli.mounts import private_mounts

ROOT = Path(__file__).parent.parent
LONG = ROOT / "tests" / "long"

# bits of CapEff (include/uapi/linux/capability.h)
_NET_ADMIN, _SYS_ADMIN, _PERFMON, _BPF = 12, 21, 38, 39


def _capabilities() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))


def _has(*bits: int) -> bool:
    held = _capabilities()
    return all(held >> bit & 1 for bit in bits)


@pytest.hookimpl(tryfirst=True)  # before hypothesis looks at its seed
def pytest_configure(config: pytest.Config) -> None:
    """Mount tracefs and bpffs where they are missing: for this process and its children alone."""
    if _has(_SYS_ADMIN) and Path("/proc/self/ns/mnt").exists():
        # Where that fails, so do the tests that need it, and say why.
        with contextlib.suppress(OSError):
            private_mounts(tracefs=True, bpffs=True)
    if os.environ.get("CI") and config.getoption("bpf_guests", "") is None:
        config.option.bpf_guests = "require"
    if _long(config):
        _prepare_long(config)


def _long(config: pytest.Config) -> bool:
    """Whether long tests are to be run: by ``-m long``, or by naming their folder."""
    wanted = config.option.markexpr
    if wanted:
        return "long" in wanted and "not long" not in wanted
    return any(Path(one.partition("::")[0]).absolute().is_relative_to(LONG) for one in config.args)


def _prepare_long(config: pytest.Config) -> None:
    """Settings of hypothesis for N and SEED, for those tests that have none of their own."""
    settings.register_profile(
        "long",
        max_examples=effort.N,
        database=None,  # what failed before would come first: not the same run
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("long")
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(effort.SEED)
    os.environ["PYLIBBPF_TEST_SEED"] = str(effort.SEED)


def pytest_report_header(config: pytest.Config) -> str:
    if _long(config):
        return f"long tests: {effort.again()}"
    return f"random tests: PYLIBBPF_TEST_SEED={effort.SEED}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _long(config) and terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"to run the same again: {effort.again()}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests, unless somebody asks for them."""
    if _long(config):
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of a long test's own, from the seed (tests/effort.py)."""
    return effort.chance(request.node.name)


@pytest.fixture(scope="session")
def objects() -> Path:
    """The folder with the objects of tests/objects; PYLIBBPF_TEST_OBJECTS names another build."""
    other = os.environ.get("PYLIBBPF_TEST_OBJECTS")
    return Path(other) / "tests" / "objects" if other else ROOT / "tests" / "objects"


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder with the objects of examples; PYLIBBPF_TEST_OBJECTS names another build."""
    other = os.environ.get("PYLIBBPF_TEST_OBJECTS")
    return Path(other) / "examples" if other else ROOT / "examples"


@pytest.fixture
def namespaces(bpf: None) -> None:
    """The right to make network namespaces."""
    if not _has(_SYS_ADMIN, _NET_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN and CAP_NET_ADMIN, to make network namespaces")


@pytest.fixture
def wire(namespaces: None) -> Iterator[Wire]:
    """Two network namespaces with a veth pair between them."""
    with cable() as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def _own_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the entries of this host's processes, and none leaves one."""
    folder = tmp_path_factory.mktemp("ledger") / "entries"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYLIBBPF_RUNTIME_DIR", str(folder))
        yield
    assert not folder.exists() or os.listdir(folder) == []


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for entries of attachments that outlive their process."""
    folder = tmp_path / "ledger"
    monkeypatch.setenv("PYLIBBPF_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def bpf() -> None:
    """The right to load programs into this kernel.

    With the capabilities for it nothing is skipped: a kernel, a libbpf or an extension that is
    missing then fails the tests that need it.
    """
    if not (_has(_SYS_ADMIN) or _has(_BPF, _PERFMON, _NET_ADMIN)):
        pytest.skip("needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or CAP_SYS_ADMIN")


@pytest.fixture(scope="session")
def uprobes(bpf: None) -> None:
    """The right to attach uprobes through perf events."""
    if not _has(_SYS_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN, for uprobes by perf events")


@pytest.fixture(scope="session")
def ids(bpf: None) -> None:
    """The right to open what the kernel has by its id."""
    if not _has(_SYS_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN, to open programs and BTF by id")


@pytest.fixture(scope="session")
def network_namespaces() -> None:
    """The right to make network namespaces, and interfaces in them."""
    if not _has(_SYS_ADMIN, _NET_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN and CAP_NET_ADMIN, for network namespaces")


@pytest.fixture(scope="session")
def by_id(bpf: None) -> None:
    """The right to open maps, programs, links and types by their ids."""
    if not _has(_SYS_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN (ids of maps, programs, links and types)")


@pytest.fixture
def sound_kernel(bpf: None) -> None:
    """A kernel that no oops or BUG has damaged: one that was may hang in struct_ops."""
    tainted = int(Path("/proc/sys/kernel/tainted").read_text())
    if tainted & 128:  # TAINT_DIE
        pytest.skip("the kernel is damaged by an oops or BUG since it was booted (tainted: 128)")
