"""Rows of maps, but for those that carry records: written from both sides, read, emptied."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from guest.rows.firing import calls, fires_until_closed, run
from guest.rows.ground import Ground, piece
from guest.rows.row import Rows
from guest.rows.speech import tcp, tcp_pair, udp

import pylibbpf

rows = Rows("maps")

PASS, REDIRECT = 2, 4  # of enum xdp_action


@contextlib.contextmanager
def one_map(
    ground: Ground, name: str, map: str, *programs: str, map_extra: int = 0, **settings: int
) -> Iterator[pylibbpf.Object]:
    """One of tests/objects with one of its maps and these programs alone; sets its globals."""
    with ground.opened(name, *programs, **settings) as obj:
        for each in obj.maps.values():
            each.autocreate = each.name == map or each.name.startswith(".")
        if map_extra:
            obj.maps[map].map_extra = map_extra
        obj.load()
        yield obj


# ---- entries


def counted(name: str, *, since: tuple[int, int] = (5, 10)) -> None:
    """Register the row of a map in which a program counts."""

    @rows.row(name, since=since)
    def exercise(ground: Ground) -> None:
        with one_map(ground, "map_kinds", name, f"use_{name}") as obj:
            map = obj.map(name)
            for _ in range(3):
                run(obj.programs[f"use_{name}"], 2)
            value = map[2]
            assert (value.sum() if isinstance(value, pylibbpf.PerCpu) else value) == 3
            if not isinstance(map, MutableMapping):
                return
            map.pop(2)
            assert 2 not in map
            assert len(map) == 0


for each in ("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash"):
    counted(each)
counted("rhash", since=(7, 2))


@rows.row("lpm_trie")
def lpm_trie(ground: Ground) -> None:
    with one_map(ground, "map_kinds", "lpm_trie", "use_lpm_trie") as obj:
        routes = obj.map("lpm_trie")
        routes["10.0.0.0/24"] = 7
        routes["10.0.0.128/25"] = 8
        assert [run(obj.programs["use_lpm_trie"], last) for last in (5, 200)] == [7, 8]
        routes.clear()
        assert run(obj.programs["use_lpm_trie"], 5) == 0


def turned(name: str, given: int, left: list[int]) -> None:
    """Register the row of a map from which a program takes, and into which it puts."""

    @rows.row(name)
    def exercise(ground: Ground) -> None:
        with one_map(ground, "map_kinds", name, f"use_{name}") as obj:
            map = obj.queue(name)
            for value in (10, 20):
                map.push(value)
            assert run(obj.programs[f"use_{name}"]) == given
            assert [map.pop(), map.pop()] == left
            assert run(obj.programs[f"use_{name}"]) == 0


turned("queue", 11, [20, 11])
turned("stack", 21, [21, 10])


@rows.row("bloom_filter", since=(5, 16))
def bloom_filter(ground: Ground) -> None:
    with one_map(ground, "bloom", "seen", "test", "add") as obj:
        seen = obj.map("seen")
        seen.add(7)
        assert run(obj.programs["test"], 7) == 1
        assert run(obj.programs["test"], 8) == 0
        run(obj.programs["add"], 8)
        assert 8 in seen


@rows.row("arena", since=(6, 9), config="BPF_JIT")
def arena(ground: Ground) -> None:
    """A list that a program makes there is read, and changed, and read by another program."""
    place = 1 << 44  # of libbpf before 1.4 this must be said
    with one_map(ground, "arena", "arena", "push", "sum", map_extra=place) as obj:
        memory = obj.maps["arena"]
        assert isinstance(memory, pylibbpf.Arena)
        assert obj.programs["push"].test_run(ctx=struct.pack("=Q", 5)).retval == 0
        node = memory.offset(obj.globals["head"])
        assert memory.read(node, 16) == struct.pack("=QQ", 0, 5)
        memory.write(node + 8, struct.pack("=Q", 40))
        assert obj.programs["sum"].test_run(ctx=bytes(8)).retval == 40


@rows.row("insn_array", since=(6, 19))
def insn_array(ground: Ground) -> None:
    """Places of instructions: the kernel says where one went when a program was loaded."""
    with pylibbpf.create_map("insn_array", value=16, max_entries=1, engine="kernel") as map:
        place = struct.pack("=IIII", 3, 0, 0, 0)  # struct bpf_insn_array_value
        map[0] = place
        assert map[0] == place


# ---- what refers to maps, programs, cgroups, stacks


@rows.row("array_of_maps")
def array_of_maps(ground: Ground) -> None:
    with ground.loaded("nested", "bump") as obj:
        windows = obj.map("windows")
        assert run(obj.programs["bump"], 1, 3) == -1
        windows[1] = first = obj.map("first")  # windows[1] would be opened by id (CAP_SYS_ADMIN)
        assert [run(obj.programs["bump"], 1, 3), first[3]] == [1, 1]
        del windows[1]
        assert run(obj.programs["bump"], 1, 3) == -1


@rows.row("hash_of_maps")
def hash_of_maps(ground: Ground) -> None:
    with ground.loaded("nested", "hit") as obj:
        tenants = obj.map("tenants")
        with tenants.create_inner() as made:
            tenants[77] = made
            assert [run(obj.programs["hit"], 77, 1), run(obj.programs["hit"], 77, 1)] == [0, 2]
            assert [value.hits for value in made.values()] == [2]
        del tenants[77]
        assert run(obj.programs["hit"], 77, 1) == -1


@rows.row("prog_array")
def prog_array(ground: Ground) -> None:
    with one_map(ground, "references", "jumps", "jump", "seven") as obj:
        jumps = obj.map("jumps")
        assert run(obj.programs["jump"], 2) == -1
        jumps[2] = obj.programs["seven"]
        assert run(obj.programs["jump"], 2) == 7
        del jumps[2]
        assert run(obj.programs["jump"], 2) == -1


@rows.row("cgroup_array", config="CGROUPS", ground="cgroup")
def cgroup_array(ground: Ground) -> None:
    with one_map(ground, "references", "groups", "below") as obj:
        groups = obj.map("groups")
        assert run(obj.programs["below"], 0) < 0
        groups[0] = ground["cgroup"]
        assert run(obj.programs["below"], 0) == 1
        del groups[0]
        assert run(obj.programs["below"], 0) < 0


@rows.row("stack_trace", config="PERF_EVENTS")
def stack_trace(ground: Ground) -> None:
    with one_map(ground, "references", "stacks", "stack") as obj:
        stacks = obj.map("stacks")
        number = run(obj.programs["stack"])
        assert number >= 0
        assert len(stacks[number]) > 3
        stacks.clear()
        assert number not in stacks


# ---- devices and processors


def redirect(name: str, map: str, program: str, key: int, value: Any) -> None:
    """Register the row of a map by which XDP redirects."""

    @rows.row(name, config="NET", ground="network")
    def exercise(ground: Ground) -> None:
        with one_map(ground, "redirect", map, program) as obj:
            test = obj.programs[program].test_run
            packet = bytes(64)
            assert test(packet).retval == PASS
            obj.map(map)[key] = value
            assert test(packet).retval == REDIRECT
            del obj.map(map)[key]
            assert test(packet).retval == PASS


redirect("devmap", "ports", "to_port", 1, "lo")
redirect("devmap_hash", "by_number", "to_number", 1000, "lo")
redirect("cpumap", "cpus", "to_cpu", 0, 192)


@piece("AF_XDP")
@contextlib.contextmanager
def af_xdp(ground: Ground) -> Iterator[socket.socket]:
    """A socket for frames by XDP, which takes CAP_NET_RAW."""
    AF_XDP, SOL_XDP, XDP_RX_RING = 44, 283, 2  # noqa: N806  # names of the kernel's
    with socket.socket(AF_XDP, socket.SOCK_RAW) as made:
        made.setsockopt(SOL_XDP, XDP_RX_RING, 64)  # without, it is refused from 5.19 on
        yield made


@rows.row("xskmap", config="XDP_SOCKETS", ground="network AF_XDP")
def xskmap(ground: Ground) -> None:
    with one_map(ground, "sockmaps", "queues", "to_socket") as obj:
        queues, test = obj.map("queues"), obj.programs["to_socket"].test_run
        packet = bytes(64)
        assert test(packet).retval == PASS
        queues[1] = ground["AF_XDP"]
        assert test(packet).retval == REDIRECT
        del queues[1]
        assert test(packet).retval == PASS


# ---- sockets


@rows.row("sockmap", config="NET BPF_STREAM_PARSER", ground="network")
def sockmap(ground: Ground) -> None:
    with one_map(ground, "sockmaps", "by_index") as obj, tcp_pair() as (one, other):
        map = obj.map("by_index")
        map[0], map[3] = one, other
        assert list(map) == [0, 3]
        del map[3]
        one.close()
        assert len(map) == 0  # a socket leaves with its close


@rows.row("sockhash", config="NET BPF_STREAM_PARSER", ground="network")
def sockhash(ground: Ground) -> None:
    """Also with a program that sees what its sockets send, as those of a sockmap do (sk_msg)."""
    with (
        one_map(ground, "sockmaps", "by_flow") as obj,
        ground.loaded("sockets", "send") as seer,
        seer.programs["send"].attach_sockmap(obj.maps["by_flow"]),
        tcp_pair() as (one, other),
    ):
        map = obj.map("by_flow")
        map[1, 2], map[3, 4] = one, other
        assert {(key.local, key.remote) for key in map} == {(1, 2), (3, 4)}
        one.send(b"x")
        assert other.recv(8) == b"x"
        assert seer.globals["calls"] == 1
        del map[3, 4]
        one.close()
        assert len(map) == 0


@rows.row("reuseport_sockarray", config="INET", ground="network")
def reuseport_sockarray(ground: Ground) -> None:
    """Which program chooses from it is the row sk_reuseport's."""
    with one_map(ground, "sockmaps", "group") as obj, udp(shared=True) as one:
        group = obj.map("group")
        group[1] = one
        assert list(group) == [1]
        del group[1]
        assert 1 not in group


# ---- storage


@rows.row("sk_storage", config="CGROUP_BPF", ground="network cgroup")
def sk_storage(ground: Ground) -> None:
    with one_map(ground, "local_storage", "sockets", "sock_create") as obj:
        sockets = obj.map("sockets")
        with obj.programs["sock_create"].attach_cgroup(ground["cgroup"]), tcp() as one:
            assert sockets[one] == 1
            del sockets[one]
            assert one not in sockets
        with tcp() as other:
            assert other not in sockets


@piece("file")
@contextlib.contextmanager
def file(ground: Ground) -> Iterator[Path]:
    """A file that everybody may read."""
    path = Path("/tmp/pylibbpf-rows-file")
    path.touch(mode=0o644)
    yield path
    path.unlink()


@rows.row("inode_storage", config="BPF_LSM BPF_JIT", ground="file")
def inode_storage(ground: Ground) -> None:
    path = ground["file"]
    with one_map(ground, "local_storage", "inodes", "file_open", target_pid=os.getpid()) as obj:
        inodes = obj.map("inodes")
        link = obj.programs["file_open"].attach_lsm()
        fires_until_closed(link, lambda: inodes.get(path, 0), path.read_bytes)
        del inodes[path]
        assert path not in inodes


@rows.row("cgrp_storage", since=(6, 2), config="CGROUPS", ground="cgroup")
def cgrp_storage(ground: Ground) -> None:
    folder = ground["cgroup"]
    with one_map(ground, "local_storage", "cgroups", "sys_enter", target_pid=os.getpid()) as obj:
        cgroups = obj.map("cgroups")
        link = obj.programs["sys_enter"].attach()
        calls()
        assert cgroups[folder] > 0
        link.close()
        before = cgroups[folder]
        calls()
        assert cgroups[folder] == before
        del cgroups[folder]
        assert folder not in cgroups


def old_storage(name: str, map: str) -> None:
    """Register the row of one kind of storage for programs at cgroups."""

    @rows.row(name, config="CGROUP_BPF", ground="network cgroup")
    def exercise(ground: Ground) -> None:
        with ground.loaded("old_cgroup_storage", "made") as obj:
            sent = obj.map(map)
            link = obj.programs["made"].attach_cgroup(ground["cgroup"])
            tcp().close()
            ((key, value),) = sent.items()
            assert (value.sum() if isinstance(value, pylibbpf.PerCpu) else value) == 1
            assert key.cgroup_inode_id == ground["cgroup"].stat().st_ino
            link.close()
            tcp().close()
            assert len(sent) == 0 or sent[key] == value


old_storage("cgroup_storage", "sent")
old_storage("percpu_cgroup_storage", "sent_by_cpu")
