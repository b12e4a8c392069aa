"""Anchors in the words of bpf(2): flags, and the descriptor or id that they speak of."""

from __future__ import annotations

from pylibbpf.uapi.flags import BPF_F_AFTER, BPF_F_BEFORE, BPF_F_ID, BPF_F_LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.hook.anchor import Anchor

__all__ = ["relative"]


def relative(anchor: Anchor | None) -> tuple[int, int | None, int | None]:
    """Flags, ``relative_fd`` and ``relative_id`` for the opts of an attaching call."""
    if anchor is None:
        return 0, None, None
    flags = BPF_F_BEFORE if anchor.before else BPF_F_AFTER
    if anchor.of is None:
        return flags, None, None
    if isinstance(anchor.of, int):
        # libbpf adds BPF_F_ID itself (bpf_link_create(), bpf_prog_attach_opts()); it does no harm.
        return flags | BPF_F_ID, None, anchor.of
    return flags | (BPF_F_LINK if anchor.link else 0), anchor.of.fd, None
