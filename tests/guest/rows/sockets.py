"""Rows of sockets, of maps of sockets, and of network namespaces."""

from __future__ import annotations

from guest.rows.firing import fires_until_closed
from guest.rows.ground import Ground
from guest.rows.network import PACKET
from guest.rows.row import Rows
from guest.rows.speech import HOST, in_vain, tcp_pair, udp

import pylibbpf

rows = Rows("sockets")


@rows.row("sk_lookup", config="INET", ground="network")
def sk_lookup(ground: Ground) -> None:
    with ground.loaded("sockets", "lookup") as obj:
        link = obj.programs["lookup"].attach_sk_lookup()
        fires_until_closed(link, lambda: obj.globals["calls"], in_vain)


@rows.row("flow_dissector", ground="network loopback")
def flow_dissector(ground: Ground) -> None:
    """The kernel takes apart what a packet socket sends, to find the transport header."""
    frames = ground["loopback"].frames
    with ground.loaded("sockets", "dissect") as obj:
        link = obj.programs["dissect"].attach_flow_dissector()
        fires_until_closed(link, lambda: obj.globals["calls"], lambda: frames.send(PACKET))


@rows.row("socket_filter", ground="network")
def socket_filter(ground: Ground) -> None:
    with ground.loaded("sockets", "filter") as obj, udp() as one:
        link = obj.programs["filter"].attach_socket(one)

        def trigger() -> None:
            one.sendto(b"x", one.getsockname())
            one.recv(8)

        fires_until_closed(link, lambda: obj.globals["calls"], trigger)


@rows.row("sk_reuseport", ground="network")
def sk_reuseport(ground: Ground) -> None:
    """The program chooses the second of two sockets that share a port."""
    with ground.loaded("sockets", "choose", chosen=1) as obj, udp(shared=True) as first:
        port = first.getsockname()[1]
        with udp(port, shared=True) as second, udp() as sender:
            obj.maps["group"][0], obj.maps["group"][1] = first, second

            def trigger() -> None:
                sender.sendto(b"x", (HOST, port))

            link = obj.programs["choose"].attach_reuseport(first)
            trigger()
            assert second.recv(8) == b"x"
            fires_until_closed(link, lambda: obj.globals["calls"], trigger)


def speak_over(map: pylibbpf.Map, *, sends: bool) -> None:
    """Say something over two sockets that are connected, the one that matters in the map."""
    with tcp_pair() as (one, other):
        map[0] = one if sends else other
        one.send(b"x")
        assert other.recv(8) == b"x"


@rows.row("sk_msg", config="NET_SOCK_MSG BPF_STREAM_PARSER", ground="network")
def sk_msg(ground: Ground) -> None:
    with ground.loaded("sockets", "send") as obj:
        map = obj.maps["sockets"]
        link = obj.programs["send"].attach_sockmap(map)
        calls = lambda: obj.globals["calls"]  # noqa: E731
        fires_until_closed(link, calls, lambda: speak_over(map, sends=True))


@rows.row("sk_skb.stream_parser", config="NET_SOCK_MSG BPF_STREAM_PARSER", ground="network")
def sk_skb_stream_parser(ground: Ground) -> None:
    with ground.loaded("sockets", "parse", "judge") as obj:
        map = obj.maps["sockets"]
        judge = obj.programs["judge"].attach_sockmap(map)
        link = obj.programs["parse"].attach_sockmap(map)
        calls = lambda: obj.globals["parser_calls"]  # noqa: E731
        fires_until_closed(link, calls, lambda: speak_over(map, sends=False))
        judge.close()


@rows.row("sk_skb.stream_verdict", config="NET_SOCK_MSG BPF_STREAM_PARSER", ground="network")
def sk_skb_stream_verdict(ground: Ground) -> None:
    with ground.loaded("sockets", "judge") as obj:
        map = obj.maps["sockets"]
        link = obj.programs["judge"].attach_sockmap(map)
        calls = lambda: obj.globals["calls"]  # noqa: E731
        fires_until_closed(link, calls, lambda: speak_over(map, sends=False))


@rows.row("sk_skb.verdict", since=(5, 13), config="NET_SOCK_MSG", ground="network")
def sk_skb_verdict(ground: Ground) -> None:
    """The section name of its own is libbpf 1.4's; the kind can be said when attaching."""
    with ground.loaded("sockets", "judge_any") as obj:
        map = obj.maps["sockets"]
        link = obj.programs["judge_any"].attach_sockmap(
            map, attach_type=pylibbpf.AttachType.SK_SKB_VERDICT
        )
        calls = lambda: obj.globals["calls"]  # noqa: E731
        fires_until_closed(link, calls, lambda: speak_over(map, sends=False))
