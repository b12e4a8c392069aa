"""libbpf's opts structs, with the version that brought each field.

libbpf only says EINVAL to a non-zero field that it does not know. So a field that is set under
a libbpf that is too old raises here, and names itself.
"""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.library import load, version
from pylibbpf.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# (struct, field) -> the first libbpf that reads it (libbpf.h and libbpf.map of each release).
# Fields that are not here came with libbpf 1.0 or before.
SINCE: dict[tuple[str, str], tuple[int, int]] = {
    ("bpf_object_open_opts", "bpf_token_path"): (1, 4),
    ("bpf_perf_event_opts", "force_ioctl_attach"): (1, 2),
    ("bpf_perf_event_opts", "dont_enable"): (1, 6),
    ("bpf_kprobe_opts", "attach_mode"): (1, 2),
    ("bpf_kprobe_multi_opts", "session"): (1, 5),
    ("bpf_kprobe_multi_opts", "unique_match"): (1, 6),
    ("bpf_uprobe_opts", "attach_mode"): (1, 2),
    ("bpf_uprobe_multi_opts", "session"): (1, 6),
    ("bpf_xdp_query_opts", "feature_flags"): (1, 2),
    ("bpf_xdp_query_opts", "xdp_zc_max_segs"): (1, 3),
    ("bpf_tc_hook", "handle"): (1, 6),
    ("bpf_tc_hook", "qdisc"): (1, 6),
    ("bpf_map_create_opts", "value_type_btf_obj_fd"): (1, 4),
    ("bpf_map_create_opts", "token_fd"): (1, 4),
    ("bpf_map_create_opts", "excl_prog_hash"): (1, 7),
    ("bpf_map_create_opts", "excl_prog_hash_size"): (1, 7),
    ("bpf_prog_load_opts", "log_true_size"): (1, 2),
    ("bpf_prog_load_opts", "token_fd"): (1, 4),
    ("bpf_prog_load_opts", "fd_array_cnt"): (1, 6),
    ("bpf_obj_get_opts", "path_fd"): (1, 3),
    ("bpf_prog_attach_opts", "relative_fd"): (1, 3),
    ("bpf_prog_attach_opts", "relative_id"): (1, 3),
    ("bpf_prog_attach_opts", "expected_revision"): (1, 3),
    ("bpf_link_create_opts", "uprobe_multi"): (1, 3),
    ("bpf_link_create_opts", "netfilter"): (1, 3),
    ("bpf_link_create_opts", "tcx"): (1, 3),
    ("bpf_link_create_opts", "netkit"): (1, 3),
    ("bpf_link_create_opts", "cgroup"): (1, 6),
    ("bpf_link_update_opts", "old_map_fd"): (1, 2),
    ("bpf_prog_query_opts", "link_ids"): (1, 3),
    ("bpf_prog_query_opts", "link_attach_flags"): (1, 3),
    ("bpf_prog_query_opts", "revision"): (1, 3),
}


def opts(struct: str, **fields: Any) -> tuple[Any, list[Any]]:
    """A filled opts struct, and what must live as long as it is used.

    Fields that are ``None`` stay zero. Text becomes a C string.
    """
    ffi, _ = load()
    filled = ffi.new(f"struct {struct} *")
    filled.sz = ffi.sizeof(filled[0])
    keep: list[Any] = [filled]
    for field, value in fields.items():
        if value is None:
            continue
        since = SINCE.get((struct, field))
        if since is not None and version() < since:
            major, minor = version()
            raise NotSupportedError(
                f"{struct}.{field} needs libbpf {since[0]}.{since[1]}; this one is {major}.{minor}"
            )
        if isinstance(value, str):
            value = c_string(value, field)
            keep.append(value)
        setattr(filled, field, value)
    return filled, keep


def c_string(text: str, what: str) -> Any:
    """``text`` as a C string, which ends at its first NUL and so may hold none.

    Raises:
        TypeError: it is no str.
        ValueError: there is a NUL in it.
    """
    ffi, _ = load()
    if not isinstance(text, str):
        raise TypeError(f"the {what} is a str, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"there is a NUL in the {what} {text!r}")
    return ffi.new("char[]", os.fsencode(text))
