"""What is to be run: tests as the host has collected them, and the order that a guest gets."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pylibbpf.guest.mark import Needs, needs

ORDER = "/run/guest/files/tests"  # where a guest finds it (Job.files)

# The host's sys.path comes first: this package may be found by it alone.
_START = """\
import json, sys
order = json.load(open(sys.argv[1]))
sys.path[:] = order["path"]
from pylibbpf.guest.testing.inside import main
sys.exit(main(order))
"""


@dataclass(frozen=True, slots=True)
class Test:
    """One test of a kernel. ``id`` is the node id by which the guest finds it."""

    id: str
    file: str
    needs: Needs
    reported: str  # the node id that the host's reports have

    def plain(self) -> list[object]:
        """As JSON can hold it."""
        kernel = ",".join(map(str, self.needs.kernel)) or None
        return [self.id, self.file, kernel, list(self.needs.features), self.reported]

    @classmethod
    def of_plain(cls, row: Sequence[Any]) -> Test:
        """The test of :meth:`plain`."""
        node, file, kernel, features, reported = row
        return cls(node, file, needs((), {"kernel": kernel, "features": features}), reported)


@dataclass(frozen=True, slots=True)
class Start:
    """How the host's pytest was started: a guest's is started alike."""

    args: tuple[str, ...]
    folder: str
    path: tuple[str, ...]
    environment: Mapping[str, str]
    no_coverage: bool = False  # pytest-cov is there: its --no-cov is understood


@dataclass(frozen=True, slots=True)
class Order:
    """What one guest is to do: these tests, in this order, known by their numbers."""

    args: tuple[str, ...]
    path: tuple[str, ...]
    tests: tuple[tuple[int, str], ...]
    files: tuple[str, ...]
    timeout: float

    @classmethod
    def of(cls, start: Start, tests: Sequence[tuple[int, Test]], timeout: float) -> Order:
        """The order for some of a kernel's tests."""
        more = ["--no-cov"] if start.no_coverage else []
        return cls(
            (*more, *start.args),
            start.path,
            tuple((number, test.id) for number, test in tests),
            tuple(dict.fromkeys(test.file for _, test in tests)),
            timeout,
        )

    def json(self) -> bytes:
        """The file that the guest gets."""
        return json.dumps(asdict(self)).encode()


def command() -> list[str]:
    """The command of a guest: this Python, as it was started."""
    flags = ["-B"]  # what is compiled there is lost with the guest
    flags += ["-O"] * sys.flags.optimize
    flags += ["-X", "dev"] if sys.flags.dev_mode else []
    flags += [f"-W{each}" for each in sys.warnoptions]
    return [sys.executable, *flags, "-c", _START, ORDER]


def environment(start: Start) -> dict[str, str]:
    """The environment of the host's pytest, without what it says of a test that runs."""
    return {name: value for name, value in start.environment.items() if name != _CURRENT}


_CURRENT = "PYTEST_CURRENT_TEST"


def file_of(path: os.PathLike[str]) -> str:
    """The path of a test's file, as a guest's pytest is to be given it."""
    return os.path.abspath(path)
