"""Which of libbpf's messages reach logging, and that asking takes no lock of logging's."""

from __future__ import annotations

import logging
import threading

import pytest

from pylibbpf.engine.kernel import capture


@pytest.fixture(autouse=True)
def _own_levels():
    logger = logging.getLogger("pylibbpf")
    before = (logger.level, logging.root.level, logging.root.manager.disable)
    yield
    logger.setLevel(before[0])
    logging.root.setLevel(before[1])
    logging.disable(before[2])


@pytest.mark.parametrize(
    ("own", "root", "disabled", "least"),
    [
        (logging.NOTSET, logging.WARNING, 0, logging.WARNING),
        (logging.NOTSET, logging.DEBUG, 0, logging.DEBUG),
        (logging.DEBUG, logging.ERROR, 0, logging.DEBUG),
        (logging.ERROR, logging.DEBUG, 0, logging.ERROR),
        (logging.DEBUG, logging.DEBUG, logging.WARNING, logging.WARNING + 1),
    ],
)
def test_the_least_level_is_that_of_logging(own, root, disabled, least):
    logger = logging.getLogger("pylibbpf")
    logger.setLevel(own)
    logging.root.setLevel(root)
    logging.disable(disabled)
    assert capture._least_level() == least
    for level in range(1, 60):
        assert logger.isEnabledFor(level) == (level >= least)


def test_nobody_waits_for_a_lock_that_was_left_held():
    """A signal handler's exception may leave logging's lock with a thread that is gone."""
    done = threading.Event()
    with logging._lock:
        threading.Thread(target=lambda: (capture._debugging(), done.set()), daemon=True).start()
        assert done.wait(10)
