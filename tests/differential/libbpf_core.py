"""A child that asks libbpf about one object after the other: starting it costs more than they do.

It reads lines with the path of an object and of a file of BTF, and writes for each a line of JSON:
``refused``, ``errno`` and ``code`` (see libbpf_load), or the last ``messages``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """``refused`` is the step that ended loading before the programs, and ``errno`` how."""

    refused: str | None
    errno: int
    code: bytes
    messages: tuple[str, ...]


class Libbpf:
    """One libbpf in a process of its own."""

    def __init__(self) -> None:
        command, pipe = [sys.executable, "-E", __file__], subprocess.PIPE
        self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def close(self) -> None:
        self.child.communicate(timeout=SECONDS)

    def ask(self, path: Path, btf: Path) -> Answer:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps([os.fspath(path), os.fspath(btf)]) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"libbpf crashed on {path} with {btf}"
        said = json.loads(line)
        return Answer(
            said["refused"], said["errno"], bytes.fromhex(said["code"]), tuple(said["messages"])
        )


def main() -> None:
    import libbpf_load

    for line in sys.stdin:
        path, btf = json.loads(line)
        library = os.environ.get("PYLIBBPF_LIBBPF", "libbpf.so.1")
        child = libbpf_load._Child(library)
        said = child.run(path, btf, None)
        child.lib.bpf_object__close(libbpf_load._POINTER(child.object))
        code = said["programs"][0]["code"] if said["programs"] else ""
        answer = {"refused": said["refused"], "errno": said["errno"], "code": code}
        sys.stdout.write(json.dumps({**answer, "messages": said["messages"][-8:]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
