"""Attachments that outlived their process."""

from __future__ import annotations

from pylibbpf.engine.select import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import Engine, StaleHandle

__all__ = ["StaleAttachment", "stale"]


def stale(*, engine: str | Engine | None = None) -> list[StaleAttachment]:
    """Find what processes left attached: those that were killed, or ended without ``close()``.

    A link of the kernel's vanishes with its process. What is attached without one (XDP and tc by
    netlink, cgroup programs with ``link=False``, programs of sockmaps, struct_ops maps without
    BPF_F_LINK) stays, and is known by an
    entry that this user's process wrote: in /run/pylibbpf for root, else in
    $XDG_RUNTIME_DIR/pylibbpf or /tmp/pylibbpf-UID, or where PYLIBBPF_RUNTIME_DIR says. What
    belongs to a living process is not among it.

    Privileges: to see it those that attaching took, to enter other network namespaces
    CAP_SYS_ADMIN.

    Raises:
        BpfError: the folder of the entries cannot be read, or is somebody else's.
    """
    return [StaleAttachment(handle) for handle in select(engine).stale()]


class StaleAttachment:
    """What a process that is dead attached, and did not detach."""

    __slots__ = ("_handle",)

    def __init__(self, handle: StaleHandle) -> None:
        self._handle = handle

    @property
    def state(self) -> str:
        """``"attached"``, ``"gone"`` (only its entry is left) or ``"unknown"``."""
        return self._handle.state

    @property
    def reason(self) -> str | None:
        """Why it is gone, or why nobody knows."""
        return self._handle.reason

    @property
    def entry(self) -> str:
        """The name of its entry, a file."""
        return self._handle.entry

    @property
    def kind(self) -> str:
        """What it is attached to, in short: ``"devices.xdp"``."""
        return self._handle.kind

    @property
    def place(self) -> str:
        """Where it is attached, in words."""
        return self._handle.place

    @property
    def program_id(self) -> int:
        return self._handle.program_id

    @property
    def program_name(self) -> str:
        """The first 15 bytes of the program's name."""
        return self._handle.program_name

    @property
    def pid(self) -> int:
        """The process that attached it."""
        return self._handle.pid

    @property
    def command(self) -> str:
        """That process's command line, up to 200 characters."""
        return self._handle.command

    @property
    def time(self) -> float:
        """When it was attached: seconds since the epoch."""
        return self._handle.time

    def detach(self) -> None:
        """Detach it, if it is still that program that is there, and forget it.

        Raises:
            BpfError: the kernel refused.
            NotSupportedError: its state is unknown; the text says why.
        """
        self._handle.detach()

    def __repr__(self) -> str:
        return f"<StaleAttachment {self.program_name!r}, {self.place}, {self.state}>"
