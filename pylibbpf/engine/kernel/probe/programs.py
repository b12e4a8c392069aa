"""Program types: of each, two instructions are loaded."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pylibbpf.ability import Ability, Probe
from pylibbpf.btf.types import Kind
from pylibbpf.engine.kernel.probe.calls import Answer
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.enums import AttachType, ProgType

__all__ = ["PROGRAMS", "Load", "loaded", "program_type"]

_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
_NO_SUCH_LOG = 1 << 8  # a log_level that no kernel knows


@dataclass(frozen=True, slots=True)
class Load:
    """What loads a program of one type: the smallest that the verifier accepts."""

    type: ProgType
    since: str
    attach_type: AttachType | None = None
    retval: int = 0
    flags: int = 0
    option: str = ""  # what the kernel must be built with
    targets: tuple[str, ...] = ()  # in the kernel's BTF: the first that it has
    kind: Kind = Kind.FUNC  # of that target
    member: str = ""  # of that struct: a function to implement

    @property
    def name(self) -> str:
        """``tracing``, or with the hook that it is loaded for: ``tracing, TRACE_FENTRY``."""
        about = f", {self.attach_type.name}" if self.attach_type is not None else ""
        return f"{self.type.name.lower()}{about}"


_EVENTS, _CGROUP, _JIT = "CONFIG_BPF_EVENTS", "CONFIG_CGROUP_BPF", "CONFIG_BPF_JIT"
_NET, _INET = "CONFIG_NET", "CONFIG_INET"

# include/linux/bpf_types.h of Linux 6.18 (which option brings which type); the versions are those
# of the commits that added the types. Where an attach type is needed it is the oldest.
PROGRAMS = (
    Load(ProgType.SOCKET_FILTER, "3.19", option=_NET),
    Load(ProgType.KPROBE, "4.1", option=_EVENTS),
    Load(ProgType.SCHED_CLS, "4.1", option=_NET),
    Load(ProgType.SCHED_ACT, "4.1", option=_NET),
    Load(ProgType.TRACEPOINT, "4.7", option=_EVENTS),
    Load(ProgType.XDP, "4.8", option=_NET),
    Load(ProgType.PERF_EVENT, "4.9", option=_EVENTS),
    Load(ProgType.CGROUP_SKB, "4.10", option=_CGROUP),
    Load(ProgType.CGROUP_SOCK, "4.10", AttachType.CGROUP_INET_SOCK_CREATE, option=_CGROUP),
    Load(ProgType.LWT_IN, "4.10", option=_NET),
    Load(ProgType.LWT_OUT, "4.10", option=_NET),
    Load(ProgType.LWT_XMIT, "4.10", option=_NET),
    Load(ProgType.SOCK_OPS, "4.13", AttachType.CGROUP_SOCK_OPS, option=_CGROUP),
    Load(ProgType.SK_SKB, "4.14", option=_NET),
    Load(ProgType.CGROUP_DEVICE, "4.15", AttachType.CGROUP_DEVICE, option=_CGROUP),
    Load(ProgType.SK_MSG, "4.17", AttachType.SK_MSG_VERDICT, option=_NET),
    Load(ProgType.RAW_TRACEPOINT, "4.17", option=_EVENTS),
    Load(ProgType.CGROUP_SOCK_ADDR, "4.17", AttachType.CGROUP_INET4_CONNECT, option=_CGROUP),
    Load(ProgType.LWT_SEG6LOCAL, "4.18", option=_NET),
    Load(ProgType.LIRC_MODE2, "4.18", AttachType.LIRC_MODE2, option="CONFIG_BPF_LIRC_MODE2"),
    Load(ProgType.SK_REUSEPORT, "4.19", AttachType.SK_REUSEPORT_SELECT, option=_INET),
    Load(ProgType.FLOW_DISSECTOR, "4.20", AttachType.FLOW_DISSECTOR, option=_NET),
    Load(ProgType.CGROUP_SYSCTL, "5.2", AttachType.CGROUP_SYSCTL, option=_CGROUP),
    Load(ProgType.RAW_TRACEPOINT_WRITABLE, "5.2", option=_EVENTS),
    Load(ProgType.CGROUP_SOCKOPT, "5.3", AttachType.CGROUP_GETSOCKOPT, 1, option=_CGROUP),
    Load(
        ProgType.TRACING,
        "5.5",
        AttachType.TRACE_RAW_TP,
        targets=("btf_trace_sched_switch",),
        kind=Kind.TYPEDEF,
        option=_EVENTS,
    ),
    Load(
        ProgType.STRUCT_OPS,
        "5.6",
        targets=("tcp_congestion_ops",),
        kind=Kind.STRUCT,
        member="init",
        option=_JIT,
    ),
    Load(ProgType.EXT, "5.6", option=_JIT),
    Load(
        ProgType.LSM,
        "5.7",
        AttachType.LSM_MAC,
        targets=("bpf_lsm_file_open",),
        option="CONFIG_BPF_LSM",
    ),
    Load(ProgType.SK_LOOKUP, "5.9", AttachType.SK_LOOKUP, 1, option=_INET),
    Load(ProgType.SYSCALL, "5.14", flags=_SLEEPABLE),
    Load(
        ProgType.NETFILTER,
        "6.4",
        AttachType.NETFILTER,
        1,
        option="CONFIG_NETFILTER_BPF_LINK",
    ),
)


def program_type(asker: Asker, load: Load) -> Ability:
    """Whether a program of this type can be loaded."""
    about = Ability("program", load.type.name.lower(), None, since=load.since)
    with loaded(asker, load, about) as (answer, verdict):
        return verdict if answer.errno else asker.yes(verdict)


@contextmanager
def loaded(asker: Asker, load: Load, about: Ability) -> Iterator[tuple[Answer, Ability]]:
    """Load a program for the block: its descriptor, and ``about`` with what was found.

    Where it could not be loaded the ability says so; where it was, the verdict is still open.
    """
    btf_id, retval = 0, load.retval
    if load.type is ProgType.EXT:
        with _extension(asker, load, about) as found:
            yield found
        return
    if load.targets:
        found_ids = (asker.btf_id(name, load.kind) for name in load.targets)
        btf_id = next(filter(None, found_ids), 0)
        if not btf_id:
            reason = asker.why_no_btf(load.targets[-1])
            yield Answer(errno.ENOENT), asker.unknown(about, reason)
            return
    attach_type = int(load.attach_type or 0)
    if load.member:
        attach_type = asker.member(load.targets[0], load.member)
    with asker.kernel.program(
        load.type, attach_type=attach_type, btf_id=btf_id, retval=retval, flags=load.flags
    ) as answer:
        yield answer, _verdict(asker, load, about, answer, attach_type, btf_id)


def _verdict(
    asker: Asker,
    load: Load,
    about: Ability,
    answer: Answer,
    attach_type: int,
    btf_id: int,
) -> Ability:
    probe = Probe(f"BPF_PROG_LOAD({load.name})", answer.errno)
    if not answer.errno:
        return replace(about, probes=(*about.probes, probe))
    return asker.no(
        about,
        probe,
        "load",
        option=load.option,
        program_type=load.type,
        attach_type=attach_type,
        before_verifier=answer.errno == errno.EPERM
        and _before_the_verifier(asker, load, attach_type, btf_id),
    )


def _before_the_verifier(asker: Asker, load: Load, attach_type: int, btf_id: int) -> bool:
    """Whether a load is refused before the verifier is called (bpf_check in verifier.c).

    A request for a log that does not exist is refused with EINVAL by the first thing that the
    verifier does (bpf_vlog_init); where it is EPERM all the same, it never came to that.
    """
    with asker.kernel.program(
        load.type,
        attach_type=attach_type,
        btf_id=btf_id,
        flags=load.flags,
        log_level=_NO_SUCH_LOG,
    ) as answer:
        return answer.errno == errno.EPERM


@contextmanager
def _extension(asker: Asker, load: Load, about: Ability) -> Iterator[tuple[Answer, Ability]]:
    """A program that replaces a function of another: that other is needed, with BTF."""
    kernel = asker.kernel
    functions = struct.pack("=II", 0, _FUNC)
    with kernel.btf(_function_btf()) as btf:
        if btf.errno:
            yield btf, asker.no(about, Probe("BPF_BTF_LOAD(function)", btf.errno), "load btf")
            return
        with kernel.program(ProgType.XDP, btf_fd=btf.value, functions=functions) as target:
            if target.errno:
                probe = Probe("BPF_PROG_LOAD(xdp), to be extended", target.errno)
                yield target, asker.no(about, probe, "load", program_type=ProgType.XDP)
                return
            with kernel.program(
                ProgType.EXT,
                btf_fd=btf.value,
                functions=functions,
                btf_id=_FUNC,
                target_fd=target.value,
            ) as answer:
                yield answer, _verdict(asker, load, about, answer, 0, _FUNC)


# Ids of the types in the BTF below.
_CONTEXT, _POINTER, _INT, _PROTO, _FUNC = 1, 2, 3, 4, 5


def _function_btf() -> bytes:
    """BTF of ``int probe(struct xdp_md *)`` (Documentation/bpf/btf.rst).

    The struct is empty, but no forward declaration: of one that has such an argument the verifier
    takes a function for static, which cannot be replaced (btf_prepare_func_args).
    """
    strings = b"\0xdp_md\0int\0probe\0ctx\0"
    name = {
        word: strings.index(b"\0" + word + b"\0") + 1
        for word in (b"xdp_md", b"int", b"probe", b"ctx")
    }
    global_ = 1
    types = b"".join(
        (
            struct.pack("<III", name[b"xdp_md"], Kind.STRUCT << 24, 0),
            struct.pack("<III", 0, Kind.PTR << 24, _CONTEXT),
            struct.pack("<IIII", name[b"int"], Kind.INT << 24, 4, 1 << 24 | 32),
            struct.pack("<IIIII", 0, Kind.FUNC_PROTO << 24 | 1, _INT, name[b"ctx"], _POINTER),
            struct.pack("<III", name[b"probe"], Kind.FUNC << 24 | global_, _PROTO),
        )
    )
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings
