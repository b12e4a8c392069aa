"""Which CPUs there are."""

from __future__ import annotations

__all__ = ["online"]


def online() -> tuple[int, ...]:
    """The numbers of the CPUs that are online."""
    with open("/sys/devices/system/cpu/online") as file:
        return parse(file.read())


def parse(text: str) -> tuple[int, ...]:
    """A list of CPUs as the kernel writes it: ``0-3,8``."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)
