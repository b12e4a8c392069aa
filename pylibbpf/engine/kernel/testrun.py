"""BPF_PROG_TEST_RUN: a program run once, or many times, on what the caller gives it."""

from __future__ import annotations

import errno
import mmap

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.errors import BpfError
from pylibbpf.uapi.contexts import CONTEXTS, FIELDS, SK_BUFF_INPUT
from pylibbpf.uapi.enums import ProgType
from pylibbpf.uapi.flags import BPF_F_TEST_RUN_ON_CPU, BPF_F_TEST_XDP_LIVE_FRAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.engine.kernel.programs import KernelProgram

# Room for what a program leaves behind its data: bpf_xdp_adjust_tail, bpf_skb_change_tail.
_DATA_OUT_SLACK = 65536
# More than the largest context that comes back in a buffer of its own, struct __sk_buff.
_CTX_OUT_SIZE = 512
_ETH_HLEN = 14
_MOST_LIVE_FRAMES = 256  # net/bpf/test_run.c: TEST_XDP_MAX_BATCH
_RAW = (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE)
# Types whose context comes back in a buffer of its own: users of bpf_ctx_finish in
# net/bpf/test_run.c. The flow dissector gives its keys as data; bpf_sk_lookup comes back, too.
_CTX_OUT = frozenset(CONTEXTS) - {ProgType.FLOW_DISSECTOR}


class TestRun:
    """What BPF_PROG_TEST_RUN gave back."""

    __slots__ = ("ctx_out", "data_out", "duration_ns", "retval")

    def __init__(self, retval: int, data_out: bytes, ctx_out: bytes, duration_ns: int) -> None:
        self.retval = retval
        self.data_out = data_out
        self.ctx_out = ctx_out
        self.duration_ns = duration_ns


def test_run(
    program: KernelProgram,
    data: bytes | None,
    ctx: bytes | None,
    *,
    repeat: int,
    flags: int,
    cpu: int,
    batch_size: int,
) -> TestRun:
    """Run a loaded program."""
    ffi = program.ffi
    kind = program.type
    fields, keep = opts(
        "bpf_test_run_opts", repeat=repeat, flags=flags, cpu=cpu, batch_size=batch_size
    )
    live = flags & BPF_F_TEST_XDP_LIVE_FRAMES
    out = context = ctx_out = ffi.NULL
    if data is not None:
        keep.append(ffi.from_buffer(data))
        fields.data_in, fields.data_size_in = keep[-1], len(data)
        if not live:  # frames that have gone out do not come back
            out = ffi.new("char[]", len(data) + _DATA_OUT_SLACK)
            fields.data_out, fields.data_size_out = out, len(out)
    if ctx:
        # A copy: the kernel writes the context of a syscall program back in place.
        context = ffi.new("char[]", ctx)
        fields.ctx_in, fields.ctx_size_in = context, len(ctx)
    if ctx and kind in _CTX_OUT and not live:
        ctx_out = ffi.new("char[]", _CTX_OUT_SIZE)
        fields.ctx_out, fields.ctx_size_out = ctx_out, _CTX_OUT_SIZE
    with program.copy() as fd:  # the run may be long, and the object closed meanwhile
        rc = program.lib.bpf_prog_test_run_opts(fd, fields)
    if rc in (-errno.EINVAL, -errno.E2BIG):
        reasons = "; ".join(_refusals(kind, data, ctx, repeat, flags, batch_size))
        if not reasons and (kind in _RAW or kind == ProgType.SYSCALL):
            reasons = f"the context has {len(ctx or b'')} bytes, and the program reads more"
        if reasons:
            raise BpfError(-rc, "test run", program.name, reasons)
    check(rc, "test run", program.name, section=program.section, program_type=kind)
    if ctx_out != ffi.NULL:
        after = bytes(ffi.buffer(ctx_out, fields.ctx_size_out))
    else:
        after = bytes(ffi.buffer(context, len(ctx))) if ctx else b""
    return TestRun(
        int(fields.retval),
        b"" if out == ffi.NULL else bytes(ffi.buffer(out, fields.data_size_out)),
        after,
        int(fields.duration),
    )


def _refusals(
    kind: int, data: bytes | None, ctx: bytes | None, repeat: int, flags: int, batch_size: int
) -> Iterator[str]:
    """What of a test run the kernel does not take (net/bpf/test_run.c, Linux 6.12)."""
    known = kind in CONTEXTS or kind in _RAW or kind == ProgType.SYSCALL
    packets = kind in CONTEXTS and kind != ProgType.SK_LOOKUP
    live = flags & BPF_F_TEST_XDP_LIVE_FRAMES
    if not known:
        return
    if packets and data is None:
        yield "it needs a packet: data="
    elif packets and data is not None and len(data) < _ETH_HLEN:
        yield f"the data has {len(data)} bytes, and a packet at least {_ETH_HLEN} (Ethernet)"
    elif packets and kind != ProgType.XDP and data is not None and len(data) > mmap.PAGESIZE:
        yield f"the data has {len(data)} bytes, and a packet must fit into a page ({mmap.PAGESIZE})"
    if not packets and data is not None:
        yield "programs of this type take no packet (data)"
    if not packets and kind != ProgType.SK_LOOKUP and repeat:
        yield "programs of this type run once: repeat must be 0"
    if flags & BPF_F_TEST_RUN_ON_CPU and kind not in _RAW:
        yield "only raw tracepoint programs can be run on a CPU of choice (cpu)"
    if batch_size and not live:
        yield "batch_size is for live frames"
    elif batch_size > _MOST_LIVE_FRAMES:
        yield f"batch_size is {_MOST_LIVE_FRAMES} at most, not {batch_size}"
    if kind in _RAW and ctx is not None and len(ctx) > 96:
        yield f"a raw tracepoint has 12 arguments at most (96 bytes), and the context {len(ctx)}"
    if ctx is not None and kind in CONTEXTS:
        yield from _context_refusals(kind, ctx, len(data or b""))


def _context_refusals(kind: int, ctx: bytes, size: int) -> Iterator[str]:
    name = CONTEXTS[kind]
    fields = _parsed(name, ctx)
    if name == "__sk_buff":
        wrong = [field for field, value in fields.items() if value and field not in SK_BUFF_INPUT]
        if wrong:
            yield (
                f"these fields of the context must be 0: {', '.join(wrong)} (it may say "
                f"{', '.join(sorted(SK_BUFF_INPUT))})"
            )
    elif name == "xdp_md":
        if fields["data_meta"]:
            yield "data_meta must be 0: metadata is what stands before data"
        if fields["data_end"] != size:
            yield f"data_end must be the length of the data, {size}, not {fields['data_end']}"
        if fields["data"] % 4 or fields["data"] > 255:
            yield f"data is the length of the metadata: a small multiple of 4, not {fields['data']}"
        if fields["egress_ifindex"]:
            yield "egress_ifindex must be 0"
        if fields["rx_queue_index"] and not fields["ingress_ifindex"]:
            yield "a rx_queue_index needs an ingress_ifindex"
        elif fields["rx_queue_index"]:
            yield f"the interface may have no receive queue {fields['rx_queue_index']}"


def _parsed(name: str, ctx: bytes) -> dict[str, int]:
    """The numbers in a context; an array is one number, which is 0 if all its elements are."""
    found, at = {}, 0
    for field, size, count in FIELDS[name]:
        at = -(-at // size) * size
        end = at + size * (count or 1)
        found[field] = int.from_bytes(ctx[at:end], "little")
        at = end
    return found
