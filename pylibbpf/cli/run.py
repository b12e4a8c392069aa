"""Load an object, attach it, and print what it finds.

Records of ring and perf buffers go to standard output, one a line; everything else that is said
goes to standard error. With --json a line is {"map": ..., "type": ..., "data": {...}}, for lost
records {"map": ..., "lost": n}, and with --maps, at the end, {"map": ..., "key": ..., "value":
...} for each entry, and for each variable of global data. Without a known type, "type" is null
and "data" the record's bytes in hex.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from time import monotonic, sleep
from types import FrameType
from typing import Any

import pylibbpf
from pylibbpf.btf.codec import to_json
from pylibbpf.cli import DONE, FAILED, MISUSED, complain, say
from pylibbpf.cli.mounts import private_mounts, tracefs_mounted
from pylibbpf.cli.values import parse_value, show
from pylibbpf.engine.select import ENGINES
from pylibbpf.errors import BpfError, BpfPermissionError, Error, VerifierError
from pylibbpf.map import ArrayMap, ArrayOfMaps, HashMap, HashOfMaps
from pylibbpf.object import by_reason
from pylibbpf.stream import UNSUBMITTED, RecordStream, seconds
from pylibbpf.uapi.enums import MapType

# Sections whose attachment reads tracefs.
_TRACEFS_SECTIONS = ("tracepoint", "tp", "kprobe", "kretprobe", "ksyscall", "kretsyscall", "uprobe")

# Records printed before the output is flushed and the clock looked at.
_BATCH = 4096
# Milliseconds that one poll(2) waits at the most.
_LONGEST = 86400_000
_RECORDS = (MapType.RINGBUF, MapType.PERF_EVENT_ARRAY)


class _Misuse(Exception):
    """The command line asks for what is not there."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add = parser.add_argument
    add("object", metavar="OBJ", help="the object file, compiled with clang -target bpf -g")
    add("--engine", metavar="E", help="where to run it (kernel; default: $PYLIBBPF_ENGINE)")
    add("--seconds", type=_time, metavar="N", help="stop after N seconds (default: at Ctrl-C)")
    add("--json", action="store_true", help="print one JSON object a line")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="set a global variable")
    add("--type", action="append", default=[], metavar="MAP=STRUCT", help="the type of records")
    add("--only", action="append", default=[], metavar="PROG", help="load this program only")
    add("--no-attach", action="append", default=[], metavar="PROG", help="load, do not attach")
    add("--strict", action="store_true", help="end if a program cannot be loaded or attached")
    add("--maps", action="store_true", help="print what the maps hold at the end")


def _time(text: str) -> float | None:
    try:
        value = float(text)
        if value < 0:
            raise ValueError
        return seconds(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of seconds, not {text!r}") from None


def main(args: argparse.Namespace) -> int:
    """Run the verb; returns the exit status."""
    try:
        return _run(args)
    except _Misuse as error:
        complain(error)
        return MISUSED


def _run(args: argparse.Namespace) -> int:
    if args.engine is not None and args.engine not in ENGINES:
        raise _Misuse(f"--engine: there is no {args.engine!r} (engines: {', '.join(ENGINES)})")
    types = dict(_pair(text, "--type", "MAP=STRUCT") for text in args.type)
    obj, failures = _load(args, types)
    with obj:
        streams = _streams(obj, types)
        if obj.needs_tracefs:
            _tracefs(obj)
        attached = obj.attach(strict=args.strict, skip=args.no_attach)
        for name, error in attached.failures.items():
            failures[name] = error
        _complain_once("not attached", attached.failures)
        if not attached.links and not args.no_attach:
            if not failures:
                complain(f"{args.object}: no program in it attaches itself")
                return FAILED
            refused = [each for each in failures.values() if isinstance(each, BpfPermissionError)]
            missing = len(refused) == len(failures) and any(each.explained for each in refused)
            return MISUSED if missing else FAILED
        return _follow(obj, attached.links, streams, args)


# ---- opening and loading


def _complain_once(what: str, failures: dict[str, Error]) -> None:
    for line in by_reason(failures):
        complain(f"{what}: {line}")


def _load(
    args: argparse.Namespace, types: dict[str, str]
) -> tuple[pylibbpf.Object, dict[str, Error]]:
    """The loaded object, and the programs that had to be left out, with the reason of each."""
    left_out: dict[str, Error] = {}
    while True:
        obj = _open(args, left_out, types)
        try:
            obj.load()
            _complain_once("left out", left_out)
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
                _complain_once("left out", left_out)
                raise
            left_out[name] = error
        except BaseException:
            obj.close()
            raise


def _others(obj: pylibbpf.Object, args: argparse.Namespace, out: list[str]) -> bool:
    """Whether another program is left that would have been loaded and attaches itself."""
    names = args.only or [name for name, each in obj.programs.items() if each.attaches_itself]
    return any(name not in out for name in names)


def _open(
    args: argparse.Namespace, left_out: dict[str, Error], types: dict[str, str]
) -> pylibbpf.Object:
    try:
        obj = pylibbpf.open_object(args.object, engine=args.engine)
    except Error:
        raise
    except OSError as error:
        raise _Misuse(f"{args.object}: {error.strerror}") from None
    try:
        for name in (*args.only, *args.no_attach):
            if name not in obj.programs:
                known = ", ".join(obj.programs) or "none"
                raise _Misuse(f"the object has no program {name!r} (it has: {known})")
        for name in types:
            if name not in obj.maps:
                raise _Misuse(f"--type: the object has no map {name!r}")
            if obj.maps[name].type not in _RECORDS:
                raise _Misuse(f"--type: map {name!r} is neither a ring nor a perf buffer")
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


def _pair(text: str, option: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise _Misuse(f"{option} takes {form}, not {text!r}")
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
        say(f"{name}: {found.name}{how}")
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
        complain(f"tracefs is not mounted on {place}: mounted for this process alone")


# ---- printing


def _follow(
    obj: pylibbpf.Object,
    links: list[pylibbpf.Link],
    streams: list[RecordStream],
    args: argparse.Namespace,
) -> int:
    printer = _Printer(args.json)
    with _Ending() as ending:
        _print_records(streams, printer, args.seconds, ending)
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


class _Ending:
    """Ctrl-C and its like as something to poll for: the first ends the run in good order.

    A second one ends it at once, wherever it is: a reader of our output may have stopped reading.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> _Ending:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._asked = False
        for number in self._SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup
            signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        os.eventfd_write(self.fd, 1)

    def __exit__(self, *exception: object) -> None:
        # The handlers stay: what follows is the end, and the second signal cuts that short, too.
        pass


def _print_records(
    streams: list[RecordStream], printer: _Printer, wait: float | None, ending: _Ending
) -> None:
    by_fd = {stream.fileno(): stream for stream in streams}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    # A reader that leaves is noticed even while there is nothing to print.
    output = sys.stdout.fileno()
    poll.register(output, 0)
    poll.register(ending.fd, select.POLLIN)
    deadline = None if wait is None else monotonic() + wait
    more: set[int] = set()  # whose records were taken from the kernel, and not all printed yet
    while True:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return
        longest = _LONGEST if left is None else max(1, round(min(left * 1000, _LONGEST)))
        ready = {fd for fd, _ in poll.poll(0 if more else longest)}
        if ending.fd in ready:
            return
        if output in ready:
            raise BrokenPipeError
        for fd in ready | more:
            count = printer.drain(by_fd[fd])
            if not count:
                sleep(UNSUBMITTED)
            (more.add if count == _BATCH else more.discard)(fd)


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
        """A map's entry, or a variable of global data, whose key is its name."""
        if self._json:
            return json.dumps({"map": name, "key": to_json(key), "value": to_json(value)})
        return f"{name}[{show(key)}] = {show(value)}"


def _print_maps(obj: pylibbpf.Object, printer: _Printer) -> None:
    for name, found in obj.maps.items():
        if name.startswith((".rodata", ".kconfig")) or not found.autocreate:
            continue
        if name.startswith("."):
            variables = obj.globals.section(name)
            printer.lines([printer.entry(name, *each) for each in variables.items()])
        elif isinstance(found, ArrayOfMaps | HashOfMaps):
            printer.lines([printer.entry(name, *each) for each in found.map_ids().items()])
        elif isinstance(found, HashMap | ArrayMap) and found.type != MapType.SOCKHASH:
            printer.lines([printer.entry(name, key, value) for key, value in found.items()])
