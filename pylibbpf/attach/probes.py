"""Attaching to functions, in the kernel and in programs of users."""

from __future__ import annotations

import operator
import os

from pylibbpf.arguments import cookie as checked_cookie
from pylibbpf.arguments import integer, integers, text
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pylibbpf.link import Link

_MODES = ("default", "legacy", "perf", "link")


class ProbeHooks(Attachable):
    """Kprobes, uprobes, USDT probes. The programs are of type KPROBE, whatever their SEC()."""

    def attach_kprobe(
        self,
        function: str | int,
        *,
        offset: int = 0,
        retprobe: bool = False,
        cookie: int | None = None,
        mode: str = "default",
    ) -> Link:
        """Attach to a kernel function: where it is entered, or with ``retprobe`` where it returns.

        ``function`` is its name, or its address. ``offset`` in bytes is for a place within it.
        ``cookie`` is what ``bpf_get_attach_cookie()`` gives (Linux 5.15). ``mode`` says how:
        ``"link"`` (Linux 5.15), ``"perf"``, ``"legacy"`` (through tracefs, for kernels before
        4.17); all but ``"default"``, the best there is, need libbpf 1.2.

        Privileges: CAP_PERFMON; CAP_SYSLOG for an address. The kernel needs CONFIG_KPROBES.

        Raises:
            BpfError: the function cannot be probed. The message says whether it is missing,
                inlined, or forbidden, and names those that are near.
        """
        from pylibbpf.hook.probes import Kprobe

        self._need_type("attach_kprobe", "KPROBE")
        _check_mode(mode)
        integer("offset", offset, 64)
        cookie = checked_cookie(cookie)
        if isinstance(function, str):
            name, _, plus = text("function", function).partition("+")
            if plus:
                raise ValueError(f"give the offset apart: attach_kprobe({name!r}, offset={plus})")
            return self._attach_to(Kprobe(function, None, offset, bool(retprobe), cookie, mode))
        if isinstance(function, bool) or not hasattr(function, "__index__"):
            raise TypeError(f"function is a name or an address, not {type(function).__name__}")
        address = operator.index(function)
        if not 0 < address < 1 << 64:
            raise ValueError(f"an address in the kernel is a positive number, not {address}")
        if mode == "legacy":
            raise ValueError("mode 'legacy' takes the name of a function, not an address")
        return self._attach_to(Kprobe(None, address, offset, bool(retprobe), cookie, mode))

    def attach_kprobe_multi(
        self,
        pattern: str | None = None,
        *,
        functions: Sequence[str] = (),
        addresses: Sequence[int] = (),
        cookies: Sequence[int] = (),
        retprobe: bool = False,
        session: bool = False,
    ) -> Link:
        """Attach to many kernel functions by one link (``SEC("kprobe.multi")``).

        ``pattern`` has ``*`` and ``?`` (``"tcp_*"``); else give names or addresses, and if you
        like a cookie for each. ``session`` is for ``SEC("kprobe.session")``: the program runs on
        entry and on return, may hand on 8 bytes, and decides whether the return is looked at.

        Privileges: CAP_PERFMON. Linux 5.18 with CONFIG_FPROBE; sessions Linux 6.10, libbpf 1.5.

        Raises:
            ValueError: not exactly one of pattern, functions and addresses.
            BpfError: no function fits, or one of them cannot be probed.
            NotSupportedError: a session, and libbpf is too old.
        """
        from pylibbpf.hook.probes import KprobeMulti

        self._need_type("attach_kprobe_multi", "KPROBE")
        names, numbers, values = (
            _strings("functions", functions),
            integers("addresses", addresses),
            integers("cookies", cookies),
        )
        if pattern is not None:
            text("pattern", pattern)
        _one_of(pattern=pattern, functions=names, addresses=numbers)
        _as_many("cookies", values, names or numbers, pattern)
        hook = KprobeMulti(pattern, names, numbers, values, bool(retprobe), bool(session))
        return self._attach_to(hook)

    def attach_ksyscall(
        self, name: str, *, retprobe: bool = False, cookie: int | None = None
    ) -> Link:
        """Attach to the kernel function of a system call (``"openat"``), whatever its prefix.

        Privileges: CAP_PERFMON. The kernel needs CONFIG_KPROBES.

        Raises:
            BpfError: ENOENT, this kernel has no such system call.
        """
        from pylibbpf.hook.probes import Ksyscall

        self._need_type("attach_ksyscall", "KPROBE")
        cookie = checked_cookie(cookie)
        return self._attach_to(Ksyscall(text("name", name), bool(retprobe), cookie))

    def attach_uprobe(
        self,
        binary: str | os.PathLike[str] | int,
        function: str | None = None,
        *,
        offset: int = 0,
        retprobe: bool = False,
        ref_ctr_offset: int = 0,
        pid: int | None = None,
        cookie: int | None = None,
        mode: str = "default",
    ) -> Link:
        """Attach to a function of a program or library, in all processes that run it.

        ``binary`` is a path, the name of a library (``"libc.so.6"``, ``"libc"``) or program to be
        searched for, or a number: the program of that process, and in that process only. With
        ``pid`` (0: this process) it is only that process, and a library is the one that it uses.

        Without ``function``, ``offset`` is a place in the file; with it, in the function. The
        place must be the start of an instruction. ``ref_ctr_offset`` is where in the file a
        counter lies that is to be raised meanwhile (a USDT semaphore). ``retprobe``, ``cookie``
        and ``mode`` are as for :meth:`attach_kprobe`.

        Privileges: CAP_SYS_ADMIN (:meth:`attach_uprobe_multi` is content with CAP_PERFMON), and
        the right to read the file. Linux 4.17.

        Raises:
            BpfError: no such file, function or process, or the offset is outside the code.
        """
        from pylibbpf.hook.probes import Uprobe

        self._need_type("attach_uprobe", "KPROBE")
        _check_mode(mode)
        integer("offset", offset, 64)
        # PERF_UPROBE_REF_CTR_OFFSET_BITS: more the kernel has no room for.
        integer("ref_ctr_offset", ref_ctr_offset, 32)
        cookie = checked_cookie(cookie)
        if function is not None:
            text("function", function)
        if function is None and not offset:
            raise ValueError("give a function, or an offset in the file, or both")
        path, pid = _binary(binary, pid)
        return self._attach_to(
            Uprobe(path, function, offset, bool(retprobe), ref_ctr_offset, pid, cookie, mode)
        )

    def attach_uprobe_multi(
        self,
        binary: str | os.PathLike[str] | int,
        pattern: str | None = None,
        *,
        functions: Sequence[str] = (),
        offsets: Sequence[int] = (),
        ref_ctr_offsets: Sequence[int] = (),
        cookies: Sequence[int] = (),
        pid: int | None = None,
        retprobe: bool = False,
        session: bool = False,
    ) -> Link:
        """Attach to many functions of a program or library by one link (``SEC("uprobe.multi")``).

        ``pattern`` has ``*`` and ``?``; else give names, or offsets in the file, and if you like
        a reference counter and a cookie for each. ``binary`` and ``pid`` are as for
        :meth:`attach_uprobe`, ``session`` (``SEC("uprobe.session")``) as for
        :meth:`attach_kprobe_multi`.

        Privileges: CAP_PERFMON. Linux 6.6 and libbpf 1.3; sessions Linux 6.13 and libbpf 1.6.

        Raises:
            ValueError: not exactly one of pattern, functions and offsets.
            BpfError: no such file, function or process, or the offset is outside the code.
            NotSupportedError: libbpf is too old.
        """
        from pylibbpf.hook.probes import UprobeMulti

        self._need_type("attach_uprobe_multi", "KPROBE")
        names, places = _strings("functions", functions), integers("offsets", offsets)
        counters = integers("ref_ctr_offsets", ref_ctr_offsets)
        values = integers("cookies", cookies)
        if pattern is not None:
            text("pattern", pattern)
        _one_of(pattern=pattern, functions=names, offsets=places)
        _as_many("cookies", values, names or places, pattern)
        _as_many("ref_ctr_offsets", counters, names or places, pattern)
        path, pid = _binary(binary, pid)
        return self._attach_to(
            UprobeMulti(
                path,
                pattern,
                names,
                places,
                counters,
                values,
                pid,
                retprobe=bool(retprobe),
                session=bool(session),
            )
        )

    def attach_usdt(
        self,
        binary: str | os.PathLike[str] | int,
        provider: str,
        name: str,
        *,
        pid: int | None = None,
        cookie: int | None = None,
    ) -> Link:
        """Attach to a USDT probe, wherever the compiler has put it: several places are one probe.

        The object must have been compiled with libbpf's ``usdt.bpf.h``, which also has
        ``bpf_usdt_cookie()``. ``binary`` and ``pid`` are as for :meth:`attach_uprobe`. The
        probe's semaphore, if it has one, is raised meanwhile.

        Privileges: CAP_SYS_ADMIN; with Linux 6.6 and libbpf 1.3 it is one link in the kernel, for
        which CAP_PERFMON is enough.

        Raises:
            BpfError: no such file or probe; the message names those that there are.
        """
        from pylibbpf.hook.probes import Usdt

        self._need_type("attach_usdt", "KPROBE")
        text("provider", provider)
        text("name", name)
        path, pid = _binary(binary, pid)
        return self._attach_to(Usdt(path, provider, name, pid, checked_cookie(cookie)))


def _binary(binary: str | os.PathLike[str] | int, pid: int | None) -> tuple[str, int | None]:
    """The path (or name), and the process, that the arguments mean."""
    if pid is not None:
        if not hasattr(pid, "__index__"):
            raise TypeError(f"pid is an int, not {type(pid).__name__}")
        if operator.index(pid) < 0:
            raise ValueError(f"a pid is a positive number (0: this process), not {pid}")
    if isinstance(binary, bool) or not (
        isinstance(binary, str | int) or hasattr(binary, "__fspath__")
    ):
        raise TypeError(
            "binary is a path, a name or the number of a process, not " + type(binary).__name__
        )
    if isinstance(binary, int):
        if binary <= 0:
            raise ValueError(f"the number of a process is positive, not {binary}")
        if pid is not None and pid != binary:
            raise ValueError("the binary of one process, to be probed in another: give its path")
        return f"/proc/{binary}/exe", binary
    return text("name of the binary", os.fsdecode(binary)), pid


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")


def _strings(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"{what} is a sequence of names, not the str {names!r}")
    try:
        found = tuple(names)
    except TypeError:
        raise TypeError(f"{what} is a sequence of names, not {type(names).__name__}") from None
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{what} is a sequence of names, and {name!r} is none")
        text(f"name in {what}", name)
    return found


def _one_of(**choices: object) -> None:
    given = [name for name, value in choices.items() if value]
    if len(given) != 1:
        *names, last = choices
        got = f"not {' and '.join(given)}" if given else "none was given"
        raise ValueError(f"give one of {', '.join(names)} and {last}; {got}")


def _as_many(what: str, values: tuple[int, ...], places: tuple[object, ...], by: object) -> None:
    if values and by is not None:
        raise ValueError(f"{what} are for names or numbers, not for what a pattern finds")
    if values and len(values) != len(places):
        raise ValueError(f"there are {len(values)} {what} for {len(places)} places")
