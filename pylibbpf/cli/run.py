"""Load an object, attach it, and print what it finds.

Records of ring and perf buffers go to standard output, one a line; everything else that is said
goes to standard error. With --json a line is {"map": ..., "type": ..., "data": {...}}, for lost
records {"map": ..., "lost": n}, and with --maps, at the end, {"map": ..., "key": ..., "value":
...} for each entry. Without a known type, "type" is null and "data" the record's bytes in hex.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import sys
from time import monotonic, sleep
from types import FrameType
from typing import Any, NoReturn

import pylibbpf
from pylibbpf.btf.codec import to_json
from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.mounts import private_mounts, tracefs_mounted
from pylibbpf.cli.values import parse_value, show
from pylibbpf.errors import BpfError, BpfPermissionError, Error, NotSupportedError, VerifierError
from pylibbpf.map import ArrayMap, HashMap
from pylibbpf.stream import RecordStream
from pylibbpf.uapi.enums import MapType

# Sections whose attachment reads tracefs.
_TRACEFS_SECTIONS = ("tracepoint", "tp", "kprobe", "kretprobe", "ksyscall", "kretsyscall", "uprobe")

# Records printed before the output is flushed and the clock looked at.
_BATCH = 4096
# Seconds until a look at a ring whose first record is reserved but not yet submitted.
_UNSUBMITTED = 0.001


class _Misuse(Exception):
    """The command line asks for what is not there."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add = parser.add_argument
    add("object", metavar="OBJ", help="the object file, compiled with clang -target bpf -g")
    add("--engine", metavar="E", help="where to run it (kernel; default: $PYLIBBPF_ENGINE)")
    add("--seconds", type=float, metavar="N", help="stop after N seconds (default: at Ctrl-C)")
    add("--json", action="store_true", help="print one JSON object a line")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="set a global variable")
    add("--type", action="append", default=[], metavar="MAP=STRUCT", help="the type of records")
    add("--only", action="append", default=[], metavar="PROG", help="load this program only")
    add("--no-attach", action="append", default=[], metavar="PROG", help="load, do not attach")
    add("--strict", action="store_true", help="end if a program cannot be loaded or attached")
    add("--maps", action="store_true", help="print what the maps hold at the end")


def main(args: argparse.Namespace) -> int:
    """Run the verb; returns the exit status."""
    try:
        return _run(args)
    except _Misuse as error:
        complain(error)
        return MISUSED


def _run(args: argparse.Namespace) -> int:
    types = dict(_pair(text, "--type") for text in args.type)
    obj, failures = _load(args)
    with obj:
        for name in types:
            if name not in obj.maps:
                raise _Misuse(f"--type: the object has no map {name!r}")
        streams = _streams(obj, types)
        if obj.engine == "kernel":
            _tracefs(obj)
        attached = obj.attach(strict=args.strict, skip=args.no_attach)
        for name, error in attached.failures.items():
            complain(f"not attached: {error}")
            failures[name] = error
        if not attached.links and not args.no_attach:
            if not failures:
                complain(f"{args.object}: no program in it attaches itself")
                return FAILED
            refused = all(isinstance(each, BpfPermissionError) for each in failures.values())
            return MISUSED if refused else FAILED
        return _follow(obj, attached.links, streams, args)


# ---- opening and loading


def _load(args: argparse.Namespace) -> tuple[pylibbpf.Object, dict[str, Error]]:
    """The loaded object, and the programs that had to be left out, with the reason of each."""
    left_out: dict[str, Error] = {}
    while True:
        obj = _open(args, left_out)
        try:
            obj.load()
            return obj, left_out
        except BpfError as error:
            name = error.object
            obj.close()
            if (
                args.strict
                or isinstance(error, VerifierError)
                or name is None
                or name not in obj.programs
                or name in left_out
                or not _others(obj, args, [*left_out, name])
            ):
                raise
            complain(f"left out: {error}")
            left_out[name] = error
        except BaseException:
            obj.close()
            raise


def _others(obj: pylibbpf.Object, args: argparse.Namespace, out: list[str]) -> bool:
    """Whether another program is left that would have been loaded and attaches itself."""
    names = args.only or [name for name, each in obj.programs.items() if each.attaches_itself]
    return any(name not in out for name in names)


def _open(args: argparse.Namespace, left_out: dict[str, Error]) -> pylibbpf.Object:
    try:
        obj = pylibbpf.open_object(args.object, engine=args.engine)
    except NotSupportedError as error:
        if args.engine and args.engine not in str(error):
            raise
        raise _Misuse(str(error)) if "engine" in str(error) else error from None
    except Error:
        raise
    except OSError as error:
        raise _Misuse(f"{args.object}: {error.strerror}") from None
    try:
        for name in (*args.only, *args.no_attach):
            if name not in obj.programs:
                known = ", ".join(obj.programs) or "none"
                raise _Misuse(f"the object has no program {name!r} (it has: {known})")
        for name, program in obj.programs.items():
            if args.only:
                program.autoload = name in args.only
            if name in left_out:
                program.autoload = False
        for text in args.set:
            name, value = _pair(text, "--set")
            _set(obj, name, value)
    except BaseException:
        obj.close()
        raise
    return obj


def _set(obj: pylibbpf.Object, name: str, text: str) -> None:
    try:
        obj.globals[name] = parse_value(text, obj.globals[name])
    except KeyError as error:
        raise _Misuse(f"--set: {error.args[0]}") from None
    except (ValueError, TypeError, OverflowError, BpfError) as error:
        raise _Misuse(f"--set {name}: {error}") from None


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise _Misuse(f"{option} takes NAME=VALUE, not {text!r}")
    return name, value


def _streams(obj: pylibbpf.Object, types: dict[str, str]) -> list[RecordStream]:
    streams: list[RecordStream] = []
    for name, each in obj.maps.items():
        if each.type == MapType.RINGBUF:
            open_stream: Any = obj.ringbuf
        elif each.type == MapType.PERF_EVENT_ARRAY:
            open_stream = obj.perfbuf
        else:
            continue
        try:
            stream = open_stream(name, types.get(name))
        except ValueError as error:
            if name not in types:
                raise
            raise _Misuse(f"--type: {error}") from None
        found = stream.record_type
        how = f" (by {found.rule.value})" if found.codec else f": {found.hint}"
        print(f"{name}: {found.name}{how}", file=sys.stderr, flush=True)
        streams.append(stream)
    return streams


def _tracefs(obj: pylibbpf.Object) -> None:
    needed = any(
        program.autoload and program.section.split("/")[0].split(".")[0] in _TRACEFS_SECTIONS
        for program in obj.programs.values()
    )
    if not needed or tracefs_mounted():
        return
    try:
        mounted = private_mounts(tracefs=True)
    except OSError:
        return  # the attachment says what is missing, and how to mend it
    for place in mounted:
        print(
            f"pylibbpf: tracefs is not mounted on {place}: mounted for this process alone",
            file=sys.stderr,
        )


# ---- printing


def _follow(
    obj: pylibbpf.Object,
    links: list[pylibbpf.Link],
    streams: list[RecordStream],
    args: argparse.Namespace,
) -> int:
    printer = _Printer(args.json)
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        _print_records(streams, printer, args.seconds)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
    # What is left is printed after nothing more can come: a tool that traces our own output
    # would otherwise never end.
    for link in links:
        link.close()
    for stream in streams:
        while printer.drain(stream):
            pass
    if args.maps:
        _print_maps(obj, printer)
    return DONE


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _print_records(streams: list[RecordStream], printer: _Printer, seconds: float | None) -> None:
    by_fd = {stream.fileno(): stream for stream in streams}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    # A reader that leaves is noticed even while there is nothing to print.
    output = sys.stdout.fileno()
    poll.register(output, 0)
    deadline = None if seconds is None else monotonic() + seconds
    while True:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return
        ready = poll.poll(None if left is None else max(1, round(left * 1000)))
        for fd, _ in ready:
            if fd == output:
                raise BrokenPipeError
            if not printer.drain(by_fd[fd]):
                sleep(_UNSUBMITTED)


class _Printer:
    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._lost: dict[str, int] = {}
        self._undecoded: set[str] = set()

    def drain(self, stream: RecordStream) -> int:
        """Print a batch of what the stream has now, and flush; returns how many records."""
        lines: list[str] = []
        while len(lines) < _BATCH and (data := stream.read_bytes(0)) is not None:
            lines.append(self._record(stream, data))
        count = len(lines)
        lost = (stream.lost or 0) - self._lost.get(stream.name, 0)
        if lost:
            self._lost[stream.name] = stream.lost or 0
            lines.append(
                json.dumps({"map": stream.name, "lost": lost})
                if self._json
                else f"{stream.name}: {lost} records lost"
            )
        self.lines(lines)
        return count

    def lines(self, lines: list[str]) -> None:
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

    def _record(self, stream: RecordStream, data: bytes) -> str:
        kind: str | None = stream.record_type.name
        value: Any = data
        if stream.record_type.codec is None:
            kind = None
        else:
            try:
                value = stream.decode(data)
            except ValueError as error:
                kind = None
                if stream.name not in self._undecoded:
                    self._undecoded.add(stream.name)
                    complain(f"{stream.name}: printed as bytes: {error}")
        if self._json:
            return json.dumps({"map": stream.name, "type": kind, "data": to_json(value)})
        fields = getattr(value, "_fields", None)
        if fields is None:
            return f"{stream.name}: {show(value)}"
        shown = (f"{name}={show(each)}" for name, each in zip(fields, value, strict=True))
        return f"{stream.name}: {' '.join(shown)}"

    def entry(self, name: str, key: Any, value: Any) -> str:
        if self._json:
            return json.dumps({"map": name, "key": to_json(key), "value": to_json(value)})
        return f"{name}[{show(key)}] = {show(value)}"

    def section(self, name: str, variables: dict[str, Any]) -> list[str]:
        if self._json:
            data = {key: to_json(value) for key, value in variables.items()}
            return [json.dumps({"map": name, "type": None, "data": data})]
        return [f"{name}: {key} = {show(value)}" for key, value in variables.items()]


def _print_maps(obj: pylibbpf.Object, printer: _Printer) -> None:
    for name, found in obj.maps.items():
        if name.startswith((".rodata", ".kconfig")) or not found.autocreate:
            continue
        if name.startswith("."):
            variables = obj.globals.section(name)
            if variables:
                printer.lines(printer.section(name, variables))
        elif isinstance(found, HashMap | ArrayMap):
            printer.lines([printer.entry(name, key, value) for key, value in found.items()])
