"""Running a program once, for a test: typed contexts in and out."""

from __future__ import annotations

import operator
import struct

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Array, Func, FuncProto, Int, Kind, Member, Ptr, Struct
from pylibbpf.errors import BtfError
from pylibbpf.uapi.contexts import CONTEXTS, FIELDS
from pylibbpf.uapi.enums import ProgType
from pylibbpf.uapi.flags import BPF_F_TEST_RUN_ON_CPU, BPF_F_TEST_XDP_LIVE_FRAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pylibbpf.btf.codec import Codec
    from pylibbpf.program import Program

__all__ = ["RunResult"]

# As many arguments as a raw tracepoint has at most: MAX_BPF_FUNC_ARGS of include/linux/bpf.h.
_MOST_ARGUMENTS = 12
_U64 = (1 << 64) - 1
_BYTES = bytes | bytearray | memoryview


class RunResult:
    """What a test run gave back."""

    __slots__ = ("ctx_out", "data_out", "duration_ns", "retval")

    def __init__(self, retval: int, data_out: bytes, ctx_out: Any, duration_ns: int) -> None:
        self.retval = retval
        """What the program returned, as the kernel tells it: unsigned, of 32 bits."""
        self.data_out = data_out
        """The packet as the program left it; empty where there was none."""
        self.ctx_out = ctx_out
        """The context as the program left it: a record if one was given by name, else bytes."""
        self.duration_ns = duration_ns
        """Nanoseconds that one run took on average; 0 where the kernel does not measure it."""

    def __repr__(self) -> str:
        return (
            f"RunResult(retval={self.retval}, data_out={self.data_out!r}, "
            f"ctx_out={self.ctx_out!r}, duration_ns={self.duration_ns})"
        )


def run(
    program: Program,
    data: bytes | None,
    ctx: bytes | Mapping[str, Any] | tuple[Any, ...] | None,
    *,
    args: Sequence[int] | None,
    ctx_type: str | None,
    repeat: int,
    cpu: int | None,
    flags: int,
    batch_size: int,
    live_frames: bool,
) -> RunResult:
    """Do what :meth:`Program.test_run` says."""
    numbers = {"repeat": repeat, "flags": flags, "batch_size": batch_size, "cpu": cpu or 0}
    for name, number in numbers.items():
        if not hasattr(number, "__index__"):
            raise TypeError(f"{name} is an int, not {type(number).__name__}")
        if not 0 <= operator.index(number) < 1 << (31 if name == "repeat" else 32):
            raise ValueError(f"{name} is not negative and of 32 bits, not {number}")
    if cpu is not None:
        flags |= BPF_F_TEST_RUN_ON_CPU
    if live_frames:
        if program.type != ProgType.XDP:
            raise TypeError(f"live frames are for XDP programs, and not for {program!r}")
        flags |= BPF_F_TEST_XDP_LIVE_FRAMES
    codec: Codec | None = None
    if not isinstance(data, _BYTES | None):
        raise TypeError(f"data is bytes, not {type(data).__name__}")
    if not isinstance(ctx_type, str | None):
        raise TypeError(f"ctx_type is the name of a C type, not {type(ctx_type).__name__}")
    packet = None if data is None else bytes(data)
    if args is not None:
        if ctx is not None:
            raise TypeError("args are the context of a raw tracepoint: give one of the two")
        context: bytes | None = _words(program, args)
    elif ctx is None or (isinstance(ctx, _BYTES) and ctx_type is None):
        context = None if ctx is None else bytes(ctx)
    else:
        codec = _codec(program, ctx_type)
        context = bytes(ctx) if isinstance(ctx, _BYTES) else None
        if context is None:
            context = _encoded(program, codec, ctx, packet)
    done = program._handle.test_run(
        packet, context, repeat=repeat, flags=flags, cpu=cpu or 0, batch_size=batch_size
    )
    after: Any = done.ctx_out if args is None else b""
    if codec is not None:
        # A kernel that knows fewer fields gives fewer bytes.
        after = codec.decode(after + bytes(max(0, codec.size - len(after))))
    return RunResult(done.retval, done.data_out, after, done.duration_ns)


def _words(program: Program, args: Sequence[int]) -> bytes:
    """The arguments of a raw tracepoint; those not given are zero."""
    if program.type not in (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE):
        raise TypeError(f"args are for raw tracepoints: {program!r} takes ctx or data")
    if isinstance(args, str | bytes) or not hasattr(args, "__len__"):
        raise TypeError(f"args is a sequence of numbers, not {type(args).__name__}")
    if len(args) > _MOST_ARGUMENTS:
        raise ValueError(f"a raw tracepoint has {_MOST_ARGUMENTS} arguments at most")
    words = [operator.index(number) for number in args]
    for number in words:
        if not -(1 << 63) <= number <= _U64:
            raise OverflowError(f"an argument is an integer of 64 bits, not {number}")
    words += [0] * (_MOST_ARGUMENTS - len(words))
    return struct.pack(f"={_MOST_ARGUMENTS}Q", *[number & _U64 for number in words])


def _codec(program: Program, ctx_type: str | None) -> Codec:
    """How the context of a program is laid out."""
    from pylibbpf.btf.codec import codec

    btf = program._owner._btf
    if ctx_type is not None:
        from pylibbpf.events import find_type

        found = find_type(btf, ctx_type) if btf is not None else None
        if found is None or btf is None:
            raise BtfError(f"no type {ctx_type!r} for the context in this object's BTF")
        return codec(btf, found)
    name = CONTEXTS.get(program.type)
    if name is not None:
        return _uapi(name)
    found = None if btf is None else _argument(btf, program.name)
    if program.type == ProgType.SYSCALL and found is not None and btf is not None:
        return codec(btf, found)
    raise TypeError(
        f"the type of the context of {program!r} is not known: give it as bytes"
        + (", or name a struct of the object with ctx_type=" if btf is not None else "")
    )


def _argument(btf: Btf, function: str) -> int | None:
    """The struct that the only argument of a function of the object points to."""
    for type_id in btf.find(function, Kind.FUNC):
        func = btf.type(type_id)
        proto = btf.type(func.type_id) if isinstance(func, Func) else None
        if not isinstance(proto, FuncProto) or len(proto.params) != 1:
            continue
        pointer = btf.strip(proto.params[0][1])
        if isinstance(pointer, Ptr) and isinstance(btf.strip(pointer.type_id), Struct):
            return pointer.type_id
    return None


_uapi_codecs: dict[str, Codec] = {}


def _uapi(name: str) -> Codec:
    """The codec of a context of the kernel's uapi."""
    from pylibbpf.btf.codec import codec

    made = _uapi_codecs.get(name)
    if made is None:
        types: list[Any] = [Int(f"__u{8 * size}", size, 8 * size) for size in (1, 2, 4, 8)]
        members, at, widest = [], 0, 1
        for field, size, count in FIELDS[name]:
            type_id = size.bit_length()
            if count:
                types.append(Array(type_id, 3, count))
                type_id = len(types)
            at = -(-at // size) * size
            members.append(Member(field, type_id, 8 * at))
            at += size * (count or 1)
            widest = max(widest, size)
        types.append(Struct(name, -(-at // widest) * widest, tuple(members)))
        made = _uapi_codecs[name] = codec(Btf.from_types(types), len(types))
    return made


def _encoded(program: Program, codec: Codec, ctx: Any, data: bytes | None) -> bytes:
    """The bytes of a context; fields that a mapping leaves out are zero."""
    if hasattr(ctx, "keys"):
        given = dict(ctx)
        if program.type == ProgType.XDP and data is not None:
            # The kernel wants to be told what it knows; data is where the metadata ends.
            given.setdefault("data_end", len(data))
        ctx = codec.decode(bytes(codec.size))._replace(**given)
    return codec.encode(ctx)
