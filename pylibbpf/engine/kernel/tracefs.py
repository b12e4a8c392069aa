"""tracefs: where it is mounted, and why a tracepoint is not found there."""

from __future__ import annotations

import os

__all__ = ["folder", "why_no_raw_tracepoint", "why_no_tracepoint"]

# libbpf takes the second where debugfs is mounted, else the first.
_PLACES = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
_NEAR = 5


def folder(root: str = "/") -> str | None:
    """Where tracefs is mounted, or None."""
    for place in _PLACES:
        path = os.path.join(root, place)
        if os.path.isdir(os.path.join(path, "events")):
            return path
    return None


def why_no_tracepoint(category: str, name: str, root: str = "/") -> str | None:
    """Why a tracepoint is not found; None where it is there."""
    place = folder(root)
    if place is None:
        return _unseen(root)
    events = os.path.join(place, "events")
    try:
        categories = _folders(events)
    except OSError as error:
        return f"{events} cannot be read ({error.strerror}): no tracepoint can be looked up"
    if category not in categories:
        if category == "syscalls":  # others are there with the part of the kernel that has them
            from pylibbpf.engine.kernel.host import Host
            from pylibbpf.engine.kernel.lacking import why_lacking

            what = "tracepoints of each system call"
            lacking = why_lacking(what, (2, 6), "CONFIG_FTRACE_SYSCALLS", Host(root))
            if lacking is not None:
                return f"{lacking}: raw_tp and tp_btf have sys_enter and sys_exit for all"
        elsewhere = [each for each in categories if name in _readable(os.path.join(events, each))]
        if elsewhere:
            spelled = ", ".join(f"{each}:{name}" for each in elsewhere)
            return f"this kernel has no tracepoints {category}:*; is {spelled} meant?"
        return f"this kernel has no tracepoints {category}:*{_near(category, categories)}"
    names = _readable(os.path.join(events, category))
    if name in names:
        return None
    return f"this kernel has no tracepoint {category}:{name}{_near(name, names)}"


def why_no_raw_tracepoint(name: str, root: str = "/") -> str | None:
    """Why a raw tracepoint is not found; None where it is there, or nothing can be told."""
    from pylibbpf.btf.types import Kind
    from pylibbpf.engine.kernel.symbols import Kernel

    # The type of each tracepoint's arguments has this name in BTF (include/trace/bpf_probe.h).
    names = Kernel(root).btf_functions("btf_trace_", Kind.TYPEDEF)
    if not names or name in names:
        return None
    category, slash, rest = name.partition("/")
    if slash and rest in names:
        return f"raw tracepoints have no category: {rest}, not {category}/{rest}"
    return (
        f"this kernel has no tracepoint {name}{_near(name, names)} (those of modules that are not"
        " loaded have to be loaded first)"
    )


def _unseen(root: str) -> str:
    for place in _PLACES:
        path = os.path.join(root, place)
        try:
            os.listdir(path)
        except PermissionError:
            return f"{path} (tracefs) may not be read by this user"
        except OSError:
            continue
    return "tracefs is not mounted: sudo mount -t tracefs tracefs /sys/kernel/tracing"


def _folders(path: str) -> list[str]:
    return sorted(each.name for each in os.scandir(path) if each.is_dir())


def _readable(path: str) -> list[str]:
    try:
        return _folders(path)
    except OSError:
        return []


def _near(name: str, names: object) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(names), _NEAR)  # type: ignore[call-overload]
    return f"; near: {', '.join(close)}" if close else ""
