"""The host's side: marked tests take the reports that guests made of them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pytest

from pylibbpf.guest.testing.fleet import Fleet, tell, tell_late
from pylibbpf.guest.testing.orders import Test
from pylibbpf.guest.testing.run import Event


class Source(Protocol):
    """Where results come from: guests of this process, or of pytest-xdist's controller."""

    def events(self, kernel: str, tests: Sequence[Test], number: int) -> Iterator[Event]:
        """What happens to one of a kernel's tests."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a marked test stands: its kernel, and the test."""

    kernel: str
    test: Test


place_key: pytest.StashKey[Place] = pytest.StashKey()


class Taker:
    """The plugin of a process that runs tests: for marked ones, takes what the guest said."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tests: dict[str, list[Test]] = {}
        self._numbers: dict[pytest.Item, int] = {}
        self._inner = False

    def _order(self, session: pytest.Session) -> None:
        """Number the tests of each kernel, as they are ordered now that all have had their say."""
        for item in session.items:
            place = item.stash.get(place_key, None)
            if place is not None:
                tests = self._tests.setdefault(place.kernel, [])
                self._numbers[item] = len(tests)
                tests.append(place.test)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        place = item.stash.get(place_key, None)
        if place is not None:
            self._take(item, place)
            return True
        if nextitem is None or place_key not in nextitem.stash or self._inner:
            return None
        # The next test needs no fixtures here: they end with this one, and so do their errors.
        self._inner = True
        try:
            return cast("bool", item.ihook.pytest_runtest_protocol(item=item, nextitem=None))
        finally:
            self._inner = False

    def _take(self, item: pytest.Item, place: Place) -> None:
        if not self._numbers:
            self._order(item.session)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        tests = self._tests[place.kernel]
        number = self._numbers[item]
        for event in self._source.events(place.kernel, tests, number):
            _EVENTS[event["event"]](item, event)
        if number == len(tests) - 1 and isinstance(self._source, Fleet):
            run = self._source.runs[place.kernel]
            if run.complete:
                run.wait()  # the next kernel's guest is to have the machine for itself
                tell_late(item.config, run)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    # pytest-timeout counts in the guest; here, booting would count
    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        return True if place_key in item.stash else None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        return True if place_key in item.stash else None


# --- what one event means here ---


def _report(item: pytest.Item, event: Event) -> None:
    data = event["data"]
    # JSON has no tuples, and these are compared with some
    for name in ("sections", "user_properties"):
        data[name] = [tuple(each) for each in data.get(name, ())]
    if isinstance(data.get("longrepr"), list):
        data["longrepr"] = tuple(data["longrepr"])
    report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
    report.nodeid = item.nodeid  # pytest-xdist adds groups to it
    report.location = item.location
    item.ihook.pytest_runtest_logreport(report=report)


def _made(item: pytest.Item, when: Any, outcome: Any, longrepr: Any, sections: Any = ()) -> None:
    """Log a report that no guest made."""
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        sections=[(name, text) for name, text in sections],
        user_properties=list(item.user_properties),
    )
    item.ihook.pytest_runtest_logreport(report=report)


def _skip(item: pytest.Item, event: Event) -> None:
    path, line, _ = item.reportinfo()
    # What is the same for many tests is shown once for their file.
    number = 1 if event["shared"] or line is None else line + 1
    _made(item, "setup", "skipped", (str(path), number, f"Skipped: {event['reason']}"))


def _fail(item: pytest.Item, event: Event) -> None:
    _made(item, event["when"], "failed", event["text"], event.get("sections", ()))


def _warning(item: pytest.Item, event: Event) -> None:
    module, name = event["category"]
    found = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type) and issubclass(found, Warning):
        category, text = found, event["text"]
    else:
        category, text = UserWarning, f"{name}: {event['text']}"
    location = event["location"]
    item.config.hook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": warnings.WarningMessage(
                text, category, event["file"], event["line"]
            ),
            "when": "runtest",
            "nodeid": item.nodeid,
            "location": tuple(location) if location else None,
        }
    )


def _output(item: pytest.Item, event: Event) -> None:
    """Show what pytest did not capture in the guest, where it captures nothing here either."""
    if item.config.getoption("capture") != "fd":
        sys.stdout.write(event["text"])
        sys.stdout.flush()


def _say(item: pytest.Item, event: Event) -> None:
    tell(item.config, event["text"])


def _stop(item: pytest.Item, event: Event) -> None:
    item.session.shouldstop = event["reason"]


def _interrupt(item: pytest.Item, event: Event) -> None:
    if event["exit"]:
        pytest.exit(event["reason"], returncode=event["status"])
    raise KeyboardInterrupt(event["reason"])


_EVENTS = {
    "report": _report,
    "skip": _skip,
    "fail": _fail,
    "warning": _warning,
    "output": _output,
    "say": _say,
    "stop": _stop,
    "interrupt": _interrupt,
}
