"""pytest-xdist: the controller owns the guests, and its workers ask it for results.

They talk over an abstract Unix socket, of which nothing can be left behind; it has no permissions,
so each side makes sure that the other runs as the same user. Lines of JSON: a worker sends one
question, the kernel, its tests and the number of one; the answer is that test's events.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    import pytest

    from pylibbpf.guest.testing.fleet import Fleet
    from pylibbpf.guest.testing.orders import Test
    from pylibbpf.guest.testing.run import Event

INPUT = "pylibbpf_guests"  # the address, in xdist's workerinput


class Server:
    """The controller's side: a thread for each worker that asks."""

    def __init__(self, fleet: Fleet, config: pytest.Config) -> None:
        self._fleet = fleet
        self._config = config
        self._lock = threading.Lock()
        self.address = f"pylibbpf-guests-{os.getpid()}-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{self.address}")
        self._socket.listen()
        threading.Thread(target=self._accept, name="pylibbpf guests", daemon=True).start()

    def close(self) -> None:
        """Take no more questions."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        except OSError:
            pass  # closed before
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                worker, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(worker,), daemon=True).start()

    def _serve(self, worker: socket.socket) -> None:
        with worker, worker.makefile("rw", encoding="ascii") as stream:
            if not _same_user(worker):
                return
            try:
                for line in stream:
                    for event in self._answer(json.loads(line)):
                        stream.write(json.dumps(event) + "\n")
                        stream.flush()
            except OSError:
                return  # the worker has crashed; what it did not take, another one may ask for

    def _answer(self, question: list[object]) -> Iterator[Event]:
        from pylibbpf.guest.testing.fleet import tell
        from pylibbpf.guest.testing.orders import Test

        kernel, rows, number = question
        assert isinstance(kernel, str)
        assert isinstance(rows, list | None)
        assert isinstance(number, int)
        with self._lock:
            run = self._fleet.run(kernel, [Test.of_plain(row) for row in rows or ()])
        for event in run.events(number):
            if event["event"] == "say":
                tell(self._config, event["text"])  # of the workers, nobody sees the terminal
            else:
                yield event
        yield {"event": "end"}


class Remote:
    """A worker's side: the same results, from the controller's guests."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stream: TextIO | None = None
        self._told: set[str] = set()  # kernels whose tests the controller knows

    def events(self, kernel: str, tests: Sequence[Test], number: int) -> Iterator[Event]:
        """What happens to one of a kernel's tests."""
        lost = {"event": "stop", "reason": "the controller has ended its guests"}
        try:
            if self._stream is None:
                self._stream = _connect(self._address)
            rows = None if kernel in self._told else [test.plain() for test in tests]
            self._told.add(kernel)
            question = [kernel, rows, number]
            self._stream.write(json.dumps(question) + "\n")
            self._stream.flush()
            for line in self._stream:
                event = json.loads(line)
                if event["event"] == "end":
                    return
                yield event
        except OSError as error:
            lost["reason"] += f" ({error})"
        yield lost


def _connect(address: str) -> TextIO:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
        ours.connect(f"\0{address}")
        if not _same_user(ours):
            raise ConnectionRefusedError("it belongs to another user")
        return ours.makefile("rw", encoding="ascii")


def _same_user(peer: socket.socket) -> bool:
    about = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", about)
    return bool(user == os.geteuid())
