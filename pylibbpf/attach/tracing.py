"""Attaching to the kernel's own trace points and functions, and to other programs."""

from __future__ import annotations

from pylibbpf.arguments import cookie as checked_cookie
from pylibbpf.arguments import descriptor, text
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.link import Link
    from pylibbpf.program import Program


class TracingHooks(Attachable):
    """Tracepoints, functions by BTF, security hooks, functions of other programs."""

    def set_attach_target(self, function: str | None, program: Program | int | None = None) -> None:
        """Say which function the program is for, before load, instead of what SEC() names.

        For fentry, fexit, fmod_ret, fsession, tp_btf and lsm the ``function`` (tracepoint, hook)
        is one of the kernel. With ``program``, a loaded program or its descriptor, it is a
        function of that one: so a freplace program is loaded, and fentry on BPF programs. None
        for ``function`` is then what SEC() names.

        Raises:
            BpfError: ESRCH or ENOENT, there is no such function; EBUSY, it is too late.
        """
        self._owner._check()
        fd = _descriptor(program)
        if function is None and fd is None:
            raise ValueError("give a function, or a program, or both")
        if function is not None:
            text("function", function)
        self._handle.set_attach_target(function, fd)

    def attach_tracepoint(self, category: str, name: str, *, cookie: int | None = None) -> Link:
        """Attach to the tracepoint ``category``/``name`` of tracefs (``"sched", "sched_switch"``).

        ``cookie`` is what ``bpf_get_attach_cookie()`` gives the program (Linux 5.15). Privileges:
        CAP_PERFMON, and the right to read tracefs.

        Raises:
            BpfError: ENOENT, there is no such tracepoint; the message names those that are near.
        """
        from pylibbpf.hook.tracing import Tracepoint

        self._need_type("attach_tracepoint", "TRACEPOINT")
        cookie = checked_cookie(cookie)
        return self._attach_to(Tracepoint(text("category", category), text("name", name), cookie))

    def attach_raw_tracepoint(self, name: str, *, cookie: int | None = None) -> Link:
        """Attach to the tracepoint ``name``, with its raw arguments; tracefs is not needed.

        ``cookie`` needs Linux 6.10 and libbpf 1.4. Privileges: CAP_PERFMON. Linux 4.17.

        Raises:
            BpfError: ENOENT, there is no such tracepoint; the message names those that are near.
            NotSupportedError: a cookie, and libbpf is older than 1.4.
        """
        from pylibbpf.hook.tracing import RawTracepoint

        self._need_type("attach_raw_tracepoint", "RAW_TRACEPOINT", "RAW_TRACEPOINT_WRITABLE")
        return self._attach_to(RawTracepoint(text("name", name), checked_cookie(cookie)))

    def attach_trace(self, *, cookie: int | None = None) -> Link:
        """Attach a tp_btf, fentry, fexit, fmod_ret or fsession program to what it was loaded for.

        That is what SEC() or :meth:`set_attach_target` named: the verifier has checked the
        program against it. ``cookie`` is what ``bpf_get_attach_cookie()`` gives (Linux 5.19).

        Privileges: CAP_PERFMON and CAP_BPF. fentry, fexit and fmod_ret are for functions with
        BTF that ftrace can hook; fmod_ret only for those that may have errors injected, and for
        security hooks. fsession: Linux 7.0.

        Raises:
            BpfError: the kernel refused; EBUSY, it is attached already.
            NotSupportedError: a cookie, with a kind of program that this libbpf does not know.
        """
        from pylibbpf.hook.tracing import Trace

        self._need_type("attach_trace", "TRACING")
        return self._attach_to(Trace(checked_cookie(cookie)))

    def attach_lsm(self) -> Link:
        """Attach an lsm program to the security hook that it was loaded for.

        What it returns other than 0 refuses the operation, in all processes. Privileges:
        CAP_PERFMON and CAP_BPF; ``bpf`` must be among the kernel's security modules
        (``lsm=...,bpf`` on its command line). Linux 5.7. For ``SEC("lsm_cgroup/...")`` see
        :meth:`attach_cgroup`.

        Raises:
            BpfError: the kernel refused; EBUSY, it is attached already; EOPNOTSUPP, ``bpf`` is
                not among the security modules, and the program would never be called.
        """
        from pylibbpf.hook.tracing import Lsm

        self._need_type("attach_lsm", "LSM")
        return self._attach_to(Lsm())

    def attach_freplace(
        self, program: Program | int | None = None, function: str | None = None
    ) -> Link:
        """Put a freplace program in the place of a global function of another BPF program.

        Without arguments, of the one that it was loaded for (:meth:`set_attach_target`). With
        both, ``program`` (or its descriptor) may be another with the same function. Privileges:
        CAP_BPF, and those of the program's type. Linux 5.6; another target 5.10.

        Raises:
            BpfError: EINVAL, the functions do not have the same type; EBUSY, it is attached.
        """
        from pylibbpf.hook.tracing import Freplace

        self._need_type("attach_freplace", "EXT")
        if (program is None) != (function is None):
            raise ValueError("give the program and its function, or neither")
        if function is not None:
            text("function", function)
        return self._attach_to(Freplace(_descriptor(program), function))


def _descriptor(program: Program | int | None) -> int | None:
    if program is None:
        return None
    if isinstance(program, Attachable):
        return program._handle.fd
    if not isinstance(program, int):
        raise TypeError(f"program is one, or its descriptor, not {type(program).__name__}")
    return descriptor("program", program)
