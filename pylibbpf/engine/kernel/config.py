"""The kernel's configuration: what it was built with."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field

from pylibbpf.engine.kernel.host import Host

__all__ = ["Config", "parse", "read_config"]


@dataclass(frozen=True, slots=True)
class Config:
    """The options that are set, with their values (``y``, ``m``, a number or text)."""

    source: str | None  # the file; None: none could be read
    options: dict[str, str] = field(default_factory=dict)

    def lacks(self, option: str) -> bool:
        """True where the configuration is known, and says that the option is not set."""
        return self.source is not None and option not in self.options


def read_config(host: Host) -> Config:
    """Read the configuration where libbpf looks for it, and beside the kernel's modules."""
    release = host.release() or ""
    places = ["proc/config.gz", f"boot/config-{release}", f"lib/modules/{release}/config"]
    for place in places:
        data = host.read_bytes(place)
        if data is None:
            continue
        if place.endswith(".gz"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error):
                continue
        return Config(f"/{place}", parse(data.decode(errors="replace")))
    return Config(None)


def parse(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            found[name] = value.strip('"')
    return found
