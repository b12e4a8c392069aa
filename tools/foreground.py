#!/usr/bin/env python3
"""Runs a command so that Ctrl-C reaches it alone, and exits with its status.

make ends with a status of its own when a terminal interrupts it, whatever its recipe makes of
the signal; so the command gets the terminal to itself while it runs, as a shell does it with
jobs. Where there is no terminal, or it belongs to others, the command just runs.
"""

import os
import signal
import sys


def main() -> int:
    command = sys.argv[1:]
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        ours = os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        ours = False
    if not ours:
        os.execvp(command[0], command)
    # Who gives the terminal away from the background is stopped by SIGTTOU, unless it ignores it.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda received, frame: os.killpg(child, received))
    try:
        return wait(child, terminal)
    finally:
        os.tcsetpgrp(terminal, os.getpgrp())


def wait(child: int, terminal: int) -> int:
    """Wait for the command's end; stop and go on with it (Ctrl-Z, fg)."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status) % 256
        os.tcsetpgrp(terminal, os.getpgrp())
        os.killpg(0, signal.SIGTSTP)
        os.tcsetpgrp(terminal, child)
        os.killpg(child, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
