"""What an errno means for the operation that gave it.

"E2BIG (Argument list too long)" for a map that is full helps nobody. Each row of the table says
for which operation and errno it speaks, and what must be known of the case; the first row that
fits wins, so particular rows stand before general ones. EPERM and EACCES are explained by
:mod:`pylibbpf.engine.kernel.privileges` instead.

Sources: kernel/bpf/ (syscall.c, hashtab.c, arraymap.c, ringbuf.c), kernel/events/core.c and
net/core/dev.c of Linux 6.12, libbpf.c of 1.1 to 1.7. Loaded only when something has failed.
"""

from __future__ import annotations

import errno as _e
import os

from pylibbpf.engine.kernel.hints.attaching import ATTACHING
from pylibbpf.engine.kernel.hints.maps import MAPS, STORAGE_OF
from pylibbpf.engine.kernel.hints.rows import (
    ENOTSUPP,
    TOO_OLD,
    UNSUPPORTED,
    Facts,
    Hint,
    no_power_of_two,
    on,
    rows,
)
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import type_name
from pylibbpf.uapi.attaching import attaches_itself
from pylibbpf.uapi.enums import LinkType, MapType, ProgType
from pylibbpf.uapi.sections import section as find_section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["errno_hint"]

# Those whose bpf_link_ops have an update_prog (kernel/bpf/syscall.c, link_update()).
_UPDATED_LINKS = ("cgroup", "netns", "xdp", "tcx", "netkit")


def errno_hint(operation: str, errno: int, **facts: Any) -> str | None:
    """Say in plain words what the errno means here, or None where nothing better is known.

    Useful facts: ``map_type``, ``max_entries``, ``key_size``, ``value_size``, ``flags``,
    ``program_type``, ``section``, ``pages``. ``root`` stands in for ``/`` in tests.
    """
    words = frozenset(operation.lower().replace("_", " ").split())
    known = _known(facts)
    for row in _TABLE:
        if row.fits(words, errno, known):
            try:
                return row.text.format_map(known)
            except KeyError:  # a fact is not known: a more general row may do
                continue
    return None


# How programs are attached whose SEC() names no target, by program type.
_METHODS = {
    "cgroup": "attach_cgroup(path)",
    "sock_ops": "attach_cgroup(path)",
    "sk_lookup": "attach_sk_lookup()",
    "flow_dissector": "attach_flow_dissector()",
    "socket_filter": "attach_socket(socket)",
    "sk_reuseport": "attach_reuseport(socket)",
    "sk_skb": "attach_sockmap(map)",
    "sk_msg": "attach_sockmap(map)",
    "xdp": "attach_xdp(interface)",
    "sched_cls": "attach_tc(interface, direction) or attach_tcx()",
    "netfilter": "attach_netfilter(family, hook, priority)",
    "perf_event": "attach_perf_event(event)",
    "tracepoint": "attach_tracepoint(category, name)",
    "raw_tracepoint": "attach_raw_tracepoint(name)",
    "raw_tracepoint_writable": "attach_raw_tracepoint(name)",
}
# Programs of one type, which go by their section.
_PROBES = {
    "kprobe": "attach_kprobe(function)",
    "kretprobe": "attach_kprobe(function, retprobe=True)",
    "kprobe.multi": "attach_kprobe_multi(pattern)",
    "kretprobe.multi": "attach_kprobe_multi(pattern, retprobe=True)",
    "kprobe.session": "attach_kprobe_multi(pattern, session=True)",
    "ksyscall": "attach_ksyscall(name)",
    "kretsyscall": "attach_ksyscall(name, retprobe=True)",
    "uprobe": "attach_uprobe(binary, function)",
    "uretprobe": "attach_uprobe(binary, function, retprobe=True)",
    "uprobe.multi": "attach_uprobe_multi(binary, pattern)",
    "uretprobe.multi": "attach_uprobe_multi(binary, pattern, retprobe=True)",
    "uprobe.session": "attach_uprobe_multi(binary, pattern, session=True)",
    "usdt": "attach_usdt(binary, provider, name)",
}


def attach_method(section: str, program_type: str | None) -> str | None:
    """The method that says where to attach a program whose SEC() does not."""
    if section.startswith("lsm_cgroup") or (program_type or "").startswith("cgroup_"):
        return _METHODS["cgroup"]
    name = section.partition("/")[0].removesuffix(".s")
    return _PROBES.get(name) or _METHODS.get(program_type or "")


class _Known(dict[str, "Any"]):
    """What is known of a case; what costs some time is found out where a text wants it."""

    def __missing__(self, name: str) -> str:
        if name == "instead" and self["root"] == "/":  # the probes ask the machine itself
            from pylibbpf.engine.kernel.probe import alternatives

            found = alternatives(self.get("section"))
            if found:
                return found
        lacking = None
        if name == "map_lacking" and "map_type" in self:
            from pylibbpf.engine.kernel.lacking import why_no_map

            lacking = why_no_map([str(self["map_type"])], Host(str(self["root"])))
        if name == "hook_lacking" and "section" in self:
            from pylibbpf.engine.kernel.lacking import why_no_hook

            lacking = why_no_hook(str(self["section"]), Host(str(self["root"])))
        if lacking:
            return lacking
        raise KeyError(name)


def _known(facts: Facts) -> dict[str, Any]:
    known = _Known({name: value for name, value in facts.items() if value is not None})
    for name, names in (
        ("map_type", MapType),
        ("program_type", ProgType),
        ("link_type", LinkType),
    ):
        if name in known:
            known[name] = type_name(known[name], names) or str(known[name])
    section = str(known.get("section", "")).removeprefix("?")
    if section:
        known["hook"], _, known["target"] = section.partition("/")
    row, kernel = find_section(section), Host(str(known.get("root", "/"))).kernel()
    if row is not None and kernel is not None and kernel < row.kernel:
        known["needed"] = f"{row.kernel[0]}.{row.kernel[1]}"
    if section and not attaches_itself(section):
        known["method"] = attach_method(section, known.get("program_type"))
    if "cgroup" in known:
        if isinstance(known["cgroup"], int):
            known["cgroup"] = f"descriptor {known['cgroup']}"
        mounted = Host(str(known.get("root", "/"))).mounted("cgroup2")
        if mounted:
            known["cgroup2"] = mounted
    known.setdefault("page_size", os.sysconf("SC_PAGE_SIZE"))
    known.setdefault("root", "/")
    known.setdefault("kernel", os.uname().release)
    if known.get("map_type") in STORAGE_OF:
        known["storage_of"] = STORAGE_OF[known["map_type"]]
    if "max_entries" in known:
        known["last_index"] = known["max_entries"] - 1
    return known


_TABLE: tuple[Hint, ...] = (
    *MAPS,
    *ATTACHING,
    *rows(
        "load",
        on(_e.EINVAL, TOO_OLD),
        on((_e.EINVAL, *UNSUPPORTED), "{hook_lacking}"),
        on(
            _e.E2BIG,
            "the program has more instructions than the kernel takes (4096 without CAP_BPF, one"
            " million with it)",
        ),
        on(_e.ENOSPC, "the verifier's log did not fit into its buffer"),
        on(_e.ESRCH, 'the kernel\'s BTF has no function or type of the name in SEC("{section}")'),
        on(_e.ESRCH, "a function or type that the object names is not in the kernel's BTF"),
        on(_e.ENOENT, "a kernel symbol, type, field or file that the object needs does not exist"),
        on(
            _e.EINVAL,
            "this kernel does not know programs of type {program_type}, or not with this"
            " attach type",
        ),
        on(
            _e.EINVAL,
            "this kernel does not know something in the object (program or attach type,"
            " BTF kind, instruction)",
        ),
        on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit)"),
        on(UNSUPPORTED, "this kernel, or its JIT, does not support what the program uses"),
        on(_e.EEXIST, "a map of the same pin path exists, but with another shape"),
    ),
    *rows(
        "test run",
        on(UNSUPPORTED, "the kernel cannot run programs of type {program_type} for a test"),
        on(UNSUPPORTED, "the kernel cannot run programs of this type for a test"),
        on(
            _e.EINVAL,
            "the data is too short (a network program needs at least an Ethernet header, 14 bytes),"
            " too long for one page, or the context has the wrong size for this program type",
        ),
        on(
            _e.E2BIG,
            "the context is longer than this kernel's, and not zero behind that, or longer than a"
            " page",
        ),
        on(_e.ENODEV, "there is no network interface of the number in ingress_ifindex"),
        on(_e.ENXIO, "there is no such CPU, or it is offline"),
        on(_e.ENOSPC, "the output does not fit into the buffer for it"),
        on(_e.EINTR, "a signal interrupted the run"),
    ),
    *rows(
        "read iterator",
        on(
            _e.E2BIG,
            "the program wrote more at once than the kernel has room for (8 pages, for one object)",
        ),
        on(_e.EINVAL, "the link is none of an iterator"),
    ),
    *rows(
        "ring buffer",
        on(_e.EINVAL, "the map is no ring buffer, or belongs to another kind of consumer"),
        on(_e.ENOMEM, "no memory to map the ring buffer"),
    ),
    *rows(
        "perf buffer",
        on(
            _e.EINVAL,
            "the number of pages per CPU must be a power of two, not {pages}",
            lambda facts: no_power_of_two(facts.get("pages")),
        ),
        on(_e.EINVAL, "the map is no perf event array"),
        on(_e.ENXIO, "there is no CPU {cpu}: the last one is {last_cpu}"),
        on(_e.E2BIG, "the map has no entry for CPU {cpu} (max_entries={max_entries})"),
        on(_e.ENOMEM, "no memory to map {pages} pages per CPU: use fewer"),
        on(_e.ENODEV, "a CPU went offline meanwhile"),
    ),
    *rows(
        "update link",
        on(
            _e.EINVAL,
            "the new program is not of the type and attach type of the one in place",
            lambda facts: facts.get("link_type") in _UPDATED_LINKS,
        ),
        on(_e.EINVAL, "links of type {link_type} cannot be updated"),
        on(_e.EOPNOTSUPP, "links of type {link_type} cannot be updated"),
        on(_e.ENOLINK, "it is detached: the cgroup, interface, namespace or other end is gone"),
        on(_e.ENOENT, "it is detached: the cgroup, interface, namespace or other end is gone"),
    ),
    *rows(
        "force detach link",
        on(
            UNSUPPORTED,
            "links of type {link_type} have no forced detach: they end when no descriptor and no"
            " pin of theirs is left",
        ),
    ),
    *rows(
        "pin",
        on(_e.EEXIST, "something is pinned at that path already: unpin it, or reuse it"),
        on(_e.ENOENT, "the folder does not exist (make it below /sys/fs/bpf)"),
        on(_e.EINVAL, "the path is not on a BPF file system: sudo mount -t bpf bpffs /sys/fs/bpf"),
    ),
    *rows(
        "set",
        on(_e.EBUSY, "it cannot be changed once the object is loaded"),
        on(_e.EINVAL, "the kernel or libbpf does not take this value"),
    ),
    *rows("open id", on(_e.ENOENT, "there is none of that id (any more)")),
    *rows(
        "open",
        on(_e.ENOENT, "there is no such file"),
        on(
            _e.EINVAL,
            "libbpf found something in the object that it does not know (a SEC() name or"
            " map attribute that is newer than this libbpf?)",
        ),
    ),
    *rows(
        "",
        on(
            _e.EMFILE,
            "too many open files: raise the limit (ulimit -n), every map, program and"
            " link holds a descriptor",
        ),
        on(_e.ENFILE, "the whole system has too many open files (sysctl fs.file-max)"),
        on(_e.ENOSYS, "this kernel was built without the system call bpf(2)"),
        on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit)"),
        on(_e.EBADF, "the descriptor is closed, or is of another kind"),
        on(_e.EINTR, "a signal interrupted the call"),
        on(_e.EAGAIN, "the kernel is busy: try again"),
        on(ENOTSUPP, "the kernel does not offer this here"),
    ),
)
