"""What libbpf prints during a call, as data, and then as log messages.

Nothing goes to stderr: libbpf's messages are collected in C, per thread, while one of our calls
runs. A call that fails puts them into its error; one that succeeds hands the warnings to
``logging.getLogger("pylibbpf")``.
"""

from __future__ import annotations

import sys

from pylibbpf.engine.kernel.library import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WARN, INFO, DEBUG = 0, 1, 2
_LOGGER = "pylibbpf"

# libbpf tells the reason first, and then on each level that something failed.
_SUMMARIES = ("failed to load", "failed to perform CO-RE relocations")


class Capture:
    """Context manager around calls into libbpf; ``messages`` is filled when it is left."""

    __slots__ = ("_ffi", "_lib", "messages")

    def __init__(self) -> None:
        self._ffi, self._lib = load()
        self.messages: list[tuple[int, str]] = []

    def __enter__(self) -> Capture:
        if not self._lib.plb_capture_begin(DEBUG if _debugging() else INFO):
            raise MemoryError
        return self

    def __exit__(self, *exception: object) -> None:
        size = self._ffi.new("size_t *")
        text = self._lib.plb_capture_end(size)
        if not text:
            return
        try:
            data: Any = self._ffi.unpack(text, size[0])
        finally:
            self._lib.plb_free(text)
        for message in data.split(b"\0")[:-1]:
            level = message[0] - ord("0")
            self.messages.append((level, message[1:].decode("utf-8", "replace")))

    @property
    def text(self) -> str:
        """All messages above debug level, in one piece."""
        return "".join(text for level, text in self.messages if level < DEBUG)

    def last_warning(self) -> str | None:
        """The last warning that is not a mere "failed to load": the nearest thing to a reason."""
        for level, text in reversed(self.messages):
            reason = text.strip().removeprefix("libbpf: ")
            if level == WARN and not any(each in reason for each in _SUMMARIES):
                return reason
        return None

    def log(self) -> None:
        """Hand what libbpf said to ``logging``, for calls that went well."""
        if not self.messages or (
            "logging" not in sys.modules and all(level > WARN for level, _ in self.messages)
        ):
            return
        import logging

        # libbpf's "info" is a remark on how it gets on; users of a library call that debug.
        levels = {WARN: logging.WARNING, INFO: logging.DEBUG, DEBUG: logging.DEBUG}
        least = _least_level()
        said = [(levels.get(level, logging.DEBUG), text) for level, text in self.messages]
        said = [(level, text) for level, text in said if level >= least]
        if said:
            logger = logging.getLogger(_LOGGER)
            for level, text in said:
                logger.log(level, "%s", text.rstrip())


def _debugging() -> bool:
    return _least_level() <= 10  # logging.DEBUG; whoever wants those messages has imported logging


def _least_level() -> int:
    """The least level of our logger that is not thrown away.

    Asked for at every call, and so without logging's own lock (``getLogger()`` and
    ``isEnabledFor()`` take it): what a signal handler raises between the acquiring of that lock
    and its ``try`` would leave it held, and other threads waiting for it for ever.
    """
    logging = sys.modules.get("logging")
    manager = getattr(getattr(logging, "Logger", None), "manager", None)
    if logging is None or manager is None:
        return 30  # logging.WARNING, its default; another thread may be about to import it
    logger = manager.loggerDict.get(_LOGGER)
    if not isinstance(logger, logging.Logger):
        logger = logging.root  # nobody has asked for ours by name yet
    return max(int(logger.getEffectiveLevel()), int(manager.disable) + 1)
