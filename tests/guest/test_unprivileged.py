"""A user with no capability, where kernel.unprivileged_bpf_disabled is 0, and where it is 2.

The sysctl decides about socket filters, cgroup_skb programs and some maps, and about nothing else:
an error names it there alone. (1 is as 2, but stays until the next boot.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guest.rows.ground import Ground
from guest.rows.row import Row
from guest.rows.speech import udp
from guest.rows.trial import EVERY, Trial, trial_of
from situations import PLACES, attempt, reachable, user

import pylibbpf

pytestmark = pytest.mark.bpf_guest

Note = Callable[[str, object], None]

SYSCTL = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
NAMED = "kernel.unprivileged_bpf_disabled is 2"
OPEN_LOADS = ("socket_filter", "cgroup_skb.ingress", "cgroup_skb.egress")
# Maps that the sysctl decides about, and what others need whatever it says.
OPEN_MAPS = ("hash", "array", "percpu_hash", "ringbuf", "prog_array")
OTHER_MAPS = {"lru_hash": "CAP_BPF", "lpm_trie": "CAP_BPF", "queue": "CAP_BPF"}
HOOKS = ("kprobe", "fentry", "tp_btf", "raw_tp", "tracepoint", "uprobe", "iter", "lsm")


@pytest.fixture(scope="module")
def nobody(bpf: None) -> Callable[[], None]:
    """Becomes a user without capabilities."""
    steps = reachable(*PLACES), user()

    def become() -> None:
        for each in steps:
            each()

    return become


@pytest.fixture(scope="module")
def trial(ground: Ground, nobody: Callable[[], None]) -> Iterator[Trial]:
    """Tries rows as that user."""
    with trial_of(ground, nobody) as made:
        yield made


def sysctl(value: str) -> Iterator[None]:
    before = SYSCTL.read_text().strip()
    assert before != "1", "the sysctl was set to 1, which stays until the next boot"
    SYSCTL.write_text(value)
    yield
    SYSCTL.write_text(before)


@pytest.fixture
def open_to_all(guest: None, bpf: None) -> Iterator[None]:
    """kernel.unprivileged_bpf_disabled=0."""
    yield from sysctl("0")


@pytest.fixture
def kept(guest: None, bpf: None) -> Iterator[None]:
    """kernel.unprivileged_bpf_disabled=2."""
    yield from sysctl("2")


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY])
def test_rows_where_it_is_0(
    row: Row, trial: Trial, open_to_all: None, record_property: Note
) -> None:
    needs = ("CAP_BPF", "CAP_NET_ADMIN")
    found = trial(row, record_property, "unprivileged, 0", needs)
    assert "unprivileged_bpf_disabled" not in str(found)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY])
def test_rows_where_it_is_2(row: Row, trial: Trial, kept: None, record_property: Note) -> None:
    found = trial(row, record_property, "unprivileged", ("CAP_BPF",))
    assert (NAMED in str(found)) is (row.name in OPEN_LOADS)


def create(kind: str) -> Callable[[], str]:
    def body() -> str:
        size = {"ringbuf": 4096}.get(kind, 4)
        keyless = kind in ("ringbuf", "queue")
        value = None if kind == "ringbuf" else "u32"
        flags = 1 if kind == "lpm_trie" else 0  # BPF_F_NO_PREALLOC
        key = None if keyless else 8 if kind == "lpm_trie" else "u32"
        pylibbpf.create_map(kind, key, value, size, flags=flags).close()
        return "made"

    return body


@pytest.mark.parametrize("kind", [*OPEN_MAPS, *OTHER_MAPS])
def test_maps_where_it_is_0(kind: str, nobody: Callable[[], None], open_to_all: None) -> None:
    found = attempt(create(kind), nobody)
    if kind in OPEN_MAPS:
        assert found == "made"
    else:
        refused_for_want_of(found, OTHER_MAPS[kind], by_sysctl=False)


@pytest.mark.parametrize("kind", [*OPEN_MAPS, *OTHER_MAPS])
def test_maps_where_it_is_2(kind: str, nobody: Callable[[], None], kept: None) -> None:
    refused_for_want_of(attempt(create(kind), nobody), "CAP_BPF", by_sysctl=kind in OPEN_MAPS)


def using(objects: Path, program: str, use: Callable[[pylibbpf.Object], str]) -> Callable[[], str]:
    """Load a program of unprivileged.bpf.c, and do something with it."""

    def body() -> str:
        with pylibbpf.open_object(objects / "unprivileged.bpf.o") as obj:
            obj.programs[program].autoload = True
            obj.load()
            return use(obj)

    return body


def filter_packets(obj: pylibbpf.Object) -> str:
    with udp() as one:
        link = obj.programs["filter"].attach_socket(one)
        one.sendto(b"x", one.getsockname())
        assert obj.map("packets")[0] == 1
        link.close()
        one.sendto(b"x", one.getsockname())
        assert obj.map("packets")[0] == 1
    return "filtered"


def attach_to_cgroup(obj: pylibbpf.Object) -> str:
    obj.programs["egress"].attach_cgroup("/sys/fs/cgroup").close()
    return "attached"


def test_a_socket_filter_where_it_is_0(
    objects: Path, ground: Ground, nobody: Callable[[], None], open_to_all: None
) -> None:
    """It filters a socket of the user's own: no capability is needed at all."""
    assert attempt(using(objects, "filter", filter_packets), nobody) == "filtered"


def test_a_cgroup_skb_program_where_it_is_0(
    objects: Path, nobody: Callable[[], None], open_to_all: None
) -> None:
    """It loads; to attach it is another matter."""
    assert attempt(using(objects, "egress", lambda obj: "loaded"), nobody) == "loaded"
    found = attempt(using(objects, "egress", attach_to_cgroup), nobody)
    refused_for_want_of(found, "CAP_NET_ADMIN", by_sysctl=False)
    assert found.operation == "attach"


@pytest.mark.parametrize("program", ["filter", "egress"])
def test_either_where_it_is_2(
    program: str, objects: Path, nobody: Callable[[], None], kept: None
) -> None:
    found = attempt(using(objects, program, lambda obj: "loaded"), nobody)
    refused_for_want_of(found, "CAP_BPF", by_sysctl=True)


@pytest.mark.parametrize("value", ["open_to_all", "kept"])
def test_the_doctor_tells_the_same(
    value: str, nobody: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(value)
    report = attempt(pylibbpf.doctor, nobody)
    for kind, name in (("program", "socket_filter"), ("program", "cgroup_skb"), ("map", "hash")):
        found = report.ability(kind, name)
        assert found.works is (value == "open_to_all"), found
        assert (NAMED in found.reason) is (value == "kept")
    for kind, name in (*(("hook", each) for each in HOOKS), ("map", "lru_hash")):
        found = report.ability(kind, name)
        assert found.works is False, found
        assert "CAP_BPF" in found.reason
        assert "unprivileged_bpf_disabled" not in found.reason


def refused_for_want_of(found: object, capability: str, *, by_sysctl: bool) -> None:
    assert isinstance(found, pylibbpf.BpfPermissionError), found
    assert f"the process lacks {capability}" in str(found)
    assert (NAMED in str(found)) is by_sysctl
