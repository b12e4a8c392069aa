"""Rows for attaching, detaching, and for asking what is attached."""

from __future__ import annotations

import errno as _e

from pylibbpf.engine.kernel.hints.rows import (
    ENOTSUPP,
    TOO_OLD,
    UNSUPPORTED,
    Facts,
    Hint,
    all_of,
    hooked,
    is_one_of,
    knows,
    lacks,
    mounted,
    older,
    on,
    rows,
)

_TRACEPOINT = hooked("tp", "tracepoint")
_KPROBE = hooked("kprobe", "kretprobe", "ksyscall", "kretsyscall")
_UPROBE = hooked("uprobe", "uretprobe", "usdt")
_LISTED = hooked("tcx", "netkit")
_TRACEFS = ("sys/kernel/tracing/events", "sys/kernel/debug/tracing/events")
_KPROBES = ("sys/bus/event_source/devices/kprobe",)

_SOCKET_ROWS = (
    on(
        _e.EINVAL,
        "the socket shares its port with no other: SO_REUSEPORT must be set, before bind()",
        knows("reuseport"),
    ),
    on(
        UNSUPPORTED,
        "this kind of socket has no groups that share a port: TCP and UDP have",
        knows("reuseport"),
    ),
    on(_e.ENOTSOCK, "the descriptor is no socket", knows("socket")),
    on(
        _e.E2BIG,
        "the network namespace has a flow dissector already, and there is room for one",
        lambda facts: bool(facts.get("netns")) and facts.get("program_type") == "flow_dissector",
    ),
    on(
        _e.EEXIST,
        "a flow dissector is attached already: without a link in this network namespace, or in the"
        " machine's first one, which serves all, or in another while this is the first",
        lambda facts: bool(facts.get("netns")) and facts.get("program_type") == "flow_dissector",
    ),
    on(_e.E2BIG, "the network namespace has 64 such programs, as many as fit", knows("netns")),
    on(_e.EINVAL, "this kernel has no such hook of network namespaces", knows("netns")),
    on(
        _e.EBUSY,
        "the map {sockmap} has a program there already, by a link, or stream_verdict and verdict"
        " would meet",
        knows("sockmap"),
    ),
    on(
        _e.EINVAL,
        "this kernel has no links to maps of sockets (Linux 6.10 has), or not for {attach_type}",
        knows("sockmap"),
    ),
)
CGROUP = knows("cgroup")


def _ITER_CGROUP(facts: Facts) -> bool:  # noqa: N802  # a condition, as those around it
    return hooked("iter")(facts) and CGROUP(facts)


def _ITER_PIDFD(facts: Facts) -> bool:  # noqa: N802
    return hooked("iter")(facts) and facts.get("pidfd") is not None


def _ITER_ALL(facts: Facts) -> bool:  # noqa: N802
    return hooked("iter")(facts) and facts.get("target") == "cgroup"


CGROUP_ROWS = (
    on(
        _e.EBADF,
        "{cgroup} is no cgroup v2 folder: those of this machine are in {cgroup2}",
        CGROUP,
    ),
    on(
        _e.EBADF,
        "{cgroup} is no cgroup v2 folder, and no file system of that kind is mounted here: sudo"
        " mount -t cgroup2 cgroup2 FOLDER",
        CGROUP,
    ),
)


ATTACHING: tuple[Hint, ...] = (
    *rows(
        "query cgroup",
        *CGROUP_ROWS,
        on(_e.EINVAL, "this kernel knows no programs of attach type {attach_type} at cgroups"),
    ),
    *rows(
        "attach",
        on(_e.EINVAL, TOO_OLD),
        on(
            _e.EINVAL,
            "maps of type {iterated} are not what iter/{target} goes through",
            knows("iterated"),
        ),
        on(_e.EBADF, "descriptor {pidfd} is no pidfd", _ITER_PIDFD),
        on(_e.EBADF, "iter/{target} goes through a map: attach_iter(map=...)", hooked("iter")),
        on(
            _e.ENOENT,
            "there is no cgroup {cgroup}",
            _ITER_CGROUP,
        ),
        on(
            _e.EINVAL,
            "this kernel has no iterator over cgroups (6.1), or does not know the order",
            _ITER_CGROUP,
        ),
        on(_e.EINVAL, "iter/{target} begins at a cgroup: attach_iter(cgroup=...)", _ITER_ALL),
        *_SOCKET_ROWS,
        *CGROUP_ROWS,
        on(
            _e.EINVAL,
            "this kernel has no order of programs at a cgroup (before, after and"
            " expected_revision need Linux 6.17; preorder too, or 6.15 without a link), or the"
            " program named there is of another type, or differs in preorder",
            knows("cgroup", "ordered"),
        ),
        on(
            _e.ENOENT,
            "the program that was named (before, after or replace) is not attached to this cgroup",
            CGROUP,
        ),
        on(
            _e.ESTALE,
            "programs were attached to the cgroup or detached since: its revision is another",
            CGROUP,
        ),
        on(
            _e.EINVAL,
            "this kernel knows no programs of attach type {attach_type} at cgroups, or the"
            " program is attached there already",
            knows("cgroup", "mode"),
        ),
        on(
            _e.EINVAL,
            "this kernel knows no programs of attach type {attach_type} at cgroups, or no links"
            " there (before Linux 5.7: link=False)",
            CGROUP,
        ),
        on(
            _e.ENOENT,
            "tracefs is mounted, but there are no events in it (a kernel that was booted with"
            " lockdown=confidentiality has none): raw_tp and tp_btf programs attach to the same"
            " tracepoints, without tracefs",
            all_of(lacks(_TRACEPOINT, *_TRACEFS), mounted("tracefs")),
        ),
        on(
            _e.ENOENT,
            "tracefs is not mounted: sudo mount -t tracefs tracefs /sys/kernel/tracing",
            lacks(_TRACEPOINT, *_TRACEFS),
        ),
        on(
            _e.ENOENT,
            "this kernel has no tracepoint {target} (they are in /sys/kernel/tracing/events)",
            _TRACEPOINT,
        ),
        on(_e.ENOENT, "this kernel has no tracepoint {target}", hooked("raw_t")),
        on(
            _e.ENOENT,
            "this kernel was built without kprobes (CONFIG_KPROBES). Instead, works here:"
            " {instead}",
            lacks(_KPROBE, *_KPROBES),
        ),
        on(
            _e.ENOENT,
            "this kernel was built without kprobes (CONFIG_KPROBES): use tracepoints, or fentry "
            "where it has that",
            lacks(_KPROBE, *_KPROBES),
        ),
        on(
            (_e.ENOENT, _e.ESRCH),
            "the kernel has no function {target} to probe (see /proc/kallsyms; the compiler may"
            " have inlined it or given it a suffix such as .isra.0)",
            _KPROBE,
        ),
        on(_e.EINVAL, "the function {target} may not be probed (blacklisted or notrace)", _KPROBE),
        on(
            (_e.ENOENT, _e.ESRCH),
            "the file, or the function or probe in it, was not found: {target}",
            _UPROBE,
        ),
        on(
            _e.EINVAL,
            "the probe's offset is outside the file's code, or the kernel is too old for this hook",
            _UPROBE,
        ),
        on(_e.ESRCH, "there is no such process or kernel function"),
        on(
            _e.EINVAL,
            "a program must be loaded for the device that it is to be offloaded to",
            lambda facts: hooked("xdp")(facts) and facts.get("mode") == "offload",
        ),
        on(
            _e.EINVAL,
            "tcx needs Linux 6.6, and this is {kernel}: use attach_tc()",
            older("tcx", 6, 6),
        ),
        on(_e.EINVAL, "netkit needs Linux 6.7, and this is {kernel}", older("netkit", 6, 7)),
        on(_e.EINVAL, "netfilter needs Linux 6.4, and this is {kernel}", older("netfilter", 6, 4)),
        on((_e.EINVAL, *UNSUPPORTED), "{hook_lacking}"),
        on(
            _e.EINVAL,
            "the kernel was built without netkit (CONFIG_NETKIT), or {interface} is no netkit"
            " device",
            hooked("netkit"),
        ),
        on(_e.ENXIO, "{interface} is no netkit device", hooked("netkit")),
        on(_e.EEXIST, "the program is in this list already", _LISTED),
        on(_e.ENOENT, "the program or link to attach next to is not in this list", _LISTED),
        on(
            _e.ESTALE,
            "the list has changed since it had that revision: ask for it again",
            _LISTED,
        ),
        on(_e.ERANGE, "the list is full (64 programs)", _LISTED),
        on(
            _e.ERANGE,
            "with defrag the priority must be above -400, where fragments are put together",
            lambda facts: hooked("netfilter")(facts) and bool(facts.get("defrag")),
        ),
        on(
            _e.EBUSY,
            "another BPF program has this priority at that hook of netfilter: take another",
            hooked("netfilter"),
        ),
        on(
            UNSUPPORTED,
            "the network driver has no native XDP for this program: use generic (skb) mode",
            hooked("xdp"),
        ),
        on(
            (_e.EBUSY, _e.EEXIST),
            "another XDP program is attached to the interface: detach it first, or replace it",
            hooked("xdp"),
        ),
        on(_e.ERANGE, "the interface's MTU or frame size is too large for XDP", hooked("xdp")),
        on(_e.EEXIST, "a program is attached there with the same handle and priority already"),
        on(_e.ENODEV, "there is no such network interface, or no such CPU"),
        on(_e.ENXIO, "there is no such network interface, or the CPU is offline"),
        on(
            _e.E2BIG,
            "too many programs are attached to this function or cgroup (the limit is 38 for a"
            " function, 64 for a cgroup)",
        ),
        on(_e.EBUSY, "something is attached there already, or the program itself is"),
        on(ENOTSUPP, "this kernel does not offer this hook"),
        on(
            _e.EOPNOTSUPP,
            "programs of type syscall are attached to nothing: test_run() runs them",
            is_one_of("program_type", "syscall"),
        ),
        on(
            _e.EOPNOTSUPP,
            'SEC("{section}") does not say where to attach: that is said by {method}',
            knows("method"),
        ),
        on(
            _e.EOPNOTSUPP,
            'SEC("{section}") does not say where to attach, or this kernel does not offer the'
            " hook (too old, or not built in)",
        ),
        on(_e.EOPNOTSUPP, "this kernel or device does not offer the hook"),
        on(
            _e.EINVAL,
            'this kernel does not offer the hook of SEC("{section}") (too old?), or the program'
            " does not fit it",
        ),
        on(
            _e.EINVAL, "this kernel does not offer the hook (too old?), or the program does not fit"
        ),
        on(_e.ENOSPC, "all hardware counters of the CPU are in use", hooked("perf_event")),
        on(_e.ENOENT, 'what SEC("{section}") names does not exist in this kernel'),
        on(_e.EILSEQ, "the probe's offset is in the middle of an instruction"),
    ),
    *rows(
        "detach",
        on(_e.ENOENT, "nothing (or something else) is attached there by now"),
        on(_e.ENODEV, "the network interface is gone"),
    ),
)
