"""The guest's side: one pytest session, whose events leave the guest as they happen."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Generator, Mapping
from typing import Any

import pytest

import pylibbpf
from pylibbpf.guest.image import RECORDS
from pylibbpf.guest.testing.output import Shipper

# What the host's options say about its own session alone. What writes files may stay: they are
# lost with the guest.
_OVERRIDES: dict[str, object] = {
    # which tests, and when to stop: the order says which, and the host stops
    "keyword": "",
    "markexpr": "",
    "deselect": None,
    "maxfail": 0,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "stepwise_skip": False,
    "stepwise_reset": False,
    "pyargs": False,
    "collectonly": False,
    "continue_on_collection_errors": True,
    # what is shown or written of a session
    "no_summary": True,
    "no_header": True,  # for which hypothesis would be imported, with -v
    "xmlpath": None,
    "pastebin": None,
    "usepdb": False,
    "trace": False,
    # pytest-xdist
    "numprocesses": None,
    "maxprocesses": None,
    "dist": "no",
    "distload": False,
    "tx": [],
    "looponfail": False,
}
_PIECE = 1 << 15  # a port takes no more at once
_EARLY = 2.0  # seconds before the host's patience ends: Python's stacks, for its message


class Records:
    """The port that takes what happened, as lines of JSON."""

    def __init__(self, device: str) -> None:
        self._device = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        self._lock = threading.RLock()  # a signal's handler may write, too
        self._process = os.getpid()

    def send(self, kind: str, **facts: object) -> None:
        """Let one record leave the guest; when this returns, no panic takes it back."""
        if os.getpid() != self._process:
            return  # a child that a test forked, and that goes on in its place
        line = json.dumps({"is": kind, **facts}, default=repr).encode() + b"\n"
        with self._lock:
            left = memoryview(line)
            while left:
                left = left[os.write(self._device, left[:_PIECE]) :]


def main(order: Mapping[str, Any]) -> int:
    """Run the tests of an order; the status is pytest's own."""
    records = Records(os.environ[RECORDS])
    said = os.dup(2)  # the guest's output, which outlives this process
    shipper = Shipper(lambda text, live: records.send("output", text=text, live=live))
    shipper.redirect()
    recorder = Recorder(order, records, shipper, said)
    # pytest sees its own arguments there, for usage errors and plugins
    sys.argv = ["pytest", *order["args"]]
    # pytest would rewrite asserts of this package, which is here before it, and warns that it
    # cannot; where warnings are errors (filterwarnings, -W), that would end it before any test.
    pylibbpf.__doc__ = f"{pylibbpf.__doc__}\n\nPYTEST_DONT_REWRITE"
    status = int(pytest.main(list(order["args"]), plugins=[recorder]))
    shipper.ship()
    records.send("end", status=status, stop=recorder.stop)
    return status


class Recorder:
    """The plugin of a guest's session: selects the ordered tests, and records what happens."""

    def __init__(
        self, order: Mapping[str, Any], records: Records, shipper: Shipper, said: int
    ) -> None:
        self._order = order
        self._send = records.send
        self._shipper = shipper
        self._said = said
        self._numbers: dict[pytest.Item, int] = {}
        self._running: int | None = None
        self._uncollected: dict[str, str] = {}
        self._timer = False
        self._config: pytest.Config | None = None
        self.stop = ""

    # --- the session ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        self._config = config
        options = vars(config.option)
        options.update({name: value for name, value in _OVERRIDES.items() if name in options})
        # Of its own: what lies there on the host is much, and may be another user's.
        config.option.basetemp = tempfile.mkdtemp(prefix="pytest-in-guest-")
        config.args[:] = self._order["files"]

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        # Shown is what the host makes of the reports; but pytest and plugins count on a terminal.
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            config.pluginmanager.unregister(terminal)
            silent = open(os.devnull, "w")  # noqa: SIM115
            config.pluginmanager.register(type(terminal)(config, silent), "terminalreporter")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if session.config.pluginmanager.hasplugin("faulthandler"):
            # What a crash writes must be where it outlives the process.
            faulthandler.enable(self._said)
            own = session.config.getini("faulthandler_timeout")
            self._timer = not float(own or 0)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around all others: after them
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        result = yield
        found: dict[str, deque[pytest.Item]] = {}
        for item in items:
            found.setdefault(item.nodeid, deque()).append(item)
        there = list(found)
        missing: list[tuple[int, str]] = []
        items.clear()
        for number, node in self._order["tests"]:
            if found.get(node):
                item = found[node].popleft()
                self._numbers[item] = number
                items.append(item)
            else:
                missing.append((number, self._why_missing(node, there)))
        if missing:
            self._send("missing", tests=missing)
        return result

    def _why_missing(self, node: str, there: list[str]) -> str:
        """What stood in the way of collecting a test."""
        for failed, text in self._uncollected.items():
            if node == failed or node.startswith((f"{failed}::", f"{failed}/")):
                return f"in the guest, {failed} could not be collected:\n{text}"
        file = node.partition("::")[0]
        others = [each for each in there if each.partition("::")[0] == file]
        shown = "\n".join(f"  {each}" for each in others[:20]) or "  none"
        return (
            f"the guest's pytest did not collect this test. Of {file}, it collected\n{shown}\n"
            "Do its parameters depend on the machine?"
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._uncollected[report.nodeid] = report.longreprtext or "it was skipped"
            if isinstance(report.longrepr, tuple):
                self._uncollected[report.nodeid] = report.longrepr[2]

    def pytest_internalerror(self, excrepr: object) -> None:
        self._send("internal error", text=str(excrepr))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if isinstance(excinfo.value, pytest.Session.Interrupted):
            return  # shouldstop: told at the end
        exit_ = isinstance(excinfo.value, pytest.exit.Exception)
        self._send(
            "interrupt",
            test=self._running,
            exit=exit_,
            reason=str(excinfo.value),
            status=getattr(excinfo.value, "returncode", None),
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.stop = str(session.shouldstop or session.shouldfail or "")

    # --- one test ---

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._running = self._numbers[item]
        self._shipper.ship()
        self._send("start", test=self._running)
        if self._timer:
            late = max(self._order["timeout"] - _EARLY, self._order["timeout"] * 0.8)
            faulthandler.dump_traceback_later(late, file=self._said)
        result = yield  # where that raises, the session ends, and this test with it
        if self._timer:
            faulthandler.cancel_dump_traceback_later()
        self._shipper.ship()
        self._send("finish", test=self._running)
        self._running = None
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._shipper.watch_writes()  # now that output is captured

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._shipper.phase_ended()
        assert self._config is not None
        # As a terminal does: pytest then fails a test of which subtests have failed. One more
        # time does no harm.
        self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("report", test=self._running, data=data)

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        if when != "runtest":
            return  # the host has read the same files, and been warned of the same
        category = warning_message.category
        self._send(
            "warning",
            test=self._running,
            text=str(warning_message.message),
            category=[category.__module__, category.__qualname__],
            file=warning_message.filename,
            line=warning_message.lineno,
            nodeid=nodeid,
            location=location,
        )
