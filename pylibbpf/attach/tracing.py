"""Attaching to the kernel's own trace points."""

from __future__ import annotations

from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.link import Link


class TracingHooks(Attachable):
    """Tracepoints."""

    def attach_tracepoint(self, category: str, name: str, *, cookie: int | None = None) -> Link:
        """Attach to the tracepoint ``category``/``name`` of tracefs (``"sched", "sched_switch"``).

        ``cookie`` is what ``bpf_get_attach_cookie()`` gives the program (Linux 5.15). Privileges:
        CAP_PERFMON, and the right to read tracefs.

        Raises:
            BpfError: ENOENT, there is no such tracepoint.
        """
        from pylibbpf.hook.tracing import Tracepoint

        return self._attach_to(Tracepoint(category, name, cookie))

    def attach_raw_tracepoint(self, name: str, *, cookie: int | None = None) -> Link:
        """Attach to the tracepoint ``name``, with its raw arguments; tracefs is not needed.

        ``cookie`` needs Linux 6.10 and libbpf 1.4. Privileges: CAP_PERFMON. Linux 4.17.

        Raises:
            BpfError: ENOENT, there is no such tracepoint.
            NotSupportedError: a cookie, and libbpf is older than 1.4.
        """
        from pylibbpf.hook.tracing import RawTracepoint

        return self._attach_to(RawTracepoint(name, cookie))
