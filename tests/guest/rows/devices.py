"""Rows of network devices: XDP, tc, tcx, netkit, and netfilter beside them."""

from __future__ import annotations

from collections.abc import Callable

from guest.rows.firing import fires_until_closed
from guest.rows.ground import Ground
from guest.rows.network import Pair
from guest.rows.row import Rows
from guest.rows.speech import udp_to_oneself

import pylibbpf

rows = Rows("network devices")

Attach = Callable[[pylibbpf.Program, Pair], pylibbpf.Link]


def xdp(ground: Ground, attach: Attach, mode: str) -> None:
    pair = ground["veth"]
    with ground.loaded("devices", "xdp_pass") as obj:
        link = attach(obj.programs["xdp_pass"], pair)
        assert isinstance(link, pylibbpf.XdpLink)
        assert link.mode == mode
        fires_until_closed(link, lambda: obj.globals["passed"], pair.arrive)


@rows.row("xdp.generic", ground="network veth")
def xdp_generic(ground: Ground) -> None:
    xdp(ground, lambda p, pair: p.attach_xdp(pair.near.name, mode="generic", link=False), "generic")


@rows.row("xdp.native", ground="network veth")
def xdp_native(ground: Ground) -> None:
    xdp(ground, lambda p, pair: p.attach_xdp(pair.near.name, mode="native", link=False), "native")


@rows.row("xdp.link", ground="network veth")
def xdp_link(ground: Ground) -> None:
    xdp(ground, lambda p, pair: p.attach_xdp(pair.near.name), "native")


def classifier(ground: Ground, attach: Attach, direction: str) -> None:
    pair = ground["veth"]
    with ground.loaded("devices", "tc_first") as obj:
        link = attach(obj.programs["tc_first"], pair)
        trigger = pair.arrive if direction == "ingress" else pair.leave
        fires_until_closed(link, lambda: obj.globals["first"], trigger)


CLS_BPF = "NET_CLS_BPF NET_SCH_INGRESS"


@rows.row("tc.ingress", config=CLS_BPF, ground="network veth")
def tc_ingress(ground: Ground) -> None:
    classifier(ground, lambda p, pair: p.attach_tc(pair.near.name, "ingress"), "ingress")


@rows.row("tc.egress", config=CLS_BPF, ground="network veth")
def tc_egress(ground: Ground) -> None:
    classifier(ground, lambda p, pair: p.attach_tc(pair.near.name, "egress"), "egress")


@rows.row("tcx.ingress", since=(6, 6), config="NET_XGRESS", ground="network veth")
def tcx_ingress(ground: Ground) -> None:
    classifier(ground, lambda p, pair: p.attach_tcx(pair.near.name, "ingress"), "ingress")


@rows.row("tcx.egress", since=(6, 6), config="NET_XGRESS", ground="network veth")
def tcx_egress(ground: Ground) -> None:
    classifier(ground, lambda p, pair: p.attach_tcx(pair.near.name, "egress"), "egress")


def netkit(ground: Ground, *, peer: bool) -> None:
    pair = ground["netkit"]
    name = pair.near.name if pair else "lo"  # which is none, on a kernel that has none
    with ground.loaded("devices", "tc_first") as obj:
        link = obj.programs["tc_first"].attach_netkit(name, peer=peer)
        trigger = pair.arrive if peer else pair.leave
        fires_until_closed(link, lambda: obj.globals["first"], trigger)


@rows.row("netkit.primary", since=(6, 7), config="NETKIT", ground="network netkit")
def netkit_primary(ground: Ground) -> None:
    netkit(ground, peer=False)


@rows.row("netkit.peer", since=(6, 7), config="NETKIT", ground="network netkit")
def netkit_peer(ground: Ground) -> None:
    netkit(ground, peer=True)


@rows.row("netfilter", since=(6, 4), libbpf=(1, 3), config="NETFILTER_BPF_LINK", ground="network")
def netfilter(ground: Ground) -> None:
    with ground.loaded("netfilter", "filter") as obj:
        link = obj.programs["filter"].attach_netfilter("ipv4", "output", 10)
        fires_until_closed(link, lambda: obj.globals["seen"], udp_to_oneself)
