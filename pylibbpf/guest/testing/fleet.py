"""The guests of a session, and the plugin of the process that owns them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.guest.testing.orders import Test
    from pylibbpf.guest.testing.run import Event, Run, Terms


class Fleet:
    """The guests of a session, by kernel; each is started when its first test is asked for."""

    def __init__(self, terms: Callable[[], Terms], *, keep: bool) -> None:
        self._terms = terms
        self._keep = keep
        self.runs: dict[str, Run] = {}

    def run(self, kernel: str, tests: Sequence[Test]) -> Run:
        """The run of a kernel; what is given with the first call are all of its tests."""
        if kernel not in self.runs:
            from pylibbpf.guest.testing.run import Run  # only now: most sessions have no guest

            self.runs[kernel] = Run(kernel, tests, self._terms(), keep=self._keep)
        return self.runs[kernel]

    def events(self, kernel: str, tests: Sequence[Test], number: int) -> Iterator[Event]:
        """What happens to one of a kernel's tests."""
        return self.run(kernel, tests).events(number)

    def stop(self) -> None:
        """End every guest."""
        for run in list(self.runs.values()):  # a worker may still ask for one
            run.stop()


class Owner:
    """The plugin of the process that owns the guests: ends them, and sums up."""

    def __init__(self, fleet: Fleet, mode: str) -> None:
        self.fleet = fleet
        self._mode = mode
        self._counts: dict[str, dict[str, int]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        for run in list(self.fleet.runs.values()):
            if run.complete:
                run.wait()  # what happens at its end may be a test's fault
                tell_late(session.config, run)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self.fleet.stop()

    def pytest_unconfigure(self) -> None:
        self.fleet.stop()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for kernel, run in list(self.fleet.runs.items()):
            if report.nodeid in run.known:
                status = self._config.hook.pytest_report_teststatus(
                    report=report, config=self._config
                )
                if status[0]:
                    counts = self._counts.setdefault(kernel, {})
                    counts[status[0]] = counts.get(status[0], 0) + 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        runs = self.fleet.runs
        if not runs or self._config.get_verbosity() < 0:
            return
        terminalreporter.section("bpf guests")
        for kernel, run in runs.items():
            terminalreporter.write_line(self._line(kernel, run))
            for note in dict.fromkeys(run.facts.notes):
                terminalreporter.write_line(f"  its kernel says: {note}")

    def _line(self, kernel: str, run: Run) -> str:
        facts = run.facts
        booted = f"{facts.boots} guest{'s' if facts.boots != 1 else ''}"
        how = f", {facts.accelerator}" if facts.accelerator else ""
        counts = self._counts.get(kernel, {})
        order = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        names = [name for name in order if name in counts]
        names += [name for name in counts if name not in order]
        results = ", ".join(f"{counts[name]} {name}" for name in names) or "no results"
        release = f" ({facts.release}{how})" if facts.release else ""
        return f"{kernel}{release}: {results}; {booted}, {facts.seconds:.1f} s"


def tell(config: pytest.Config, text: str) -> None:
    """A line for people, on the terminal."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(f"bpf guests: {text}")


def tell_late(config: pytest.Config, run: Run) -> None:
    """Report failures that came when their test had ended: as errors of its teardown."""
    while run.late:
        test, text = run.late.popleft()
        report = pytest.TestReport(
            nodeid=test.reported,
            location=(test.reported.partition("::")[0], None, test.reported.partition("::")[2]),
            keywords={},
            outcome="failed",
            longrepr=text,
            when="teardown",
        )
        config.hook.pytest_runtest_logreport(report=report)
