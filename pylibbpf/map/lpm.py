"""LPM tries: longest prefix matches."""

from __future__ import annotations

import struct

from pylibbpf.map.entries import HashMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Network, IPv6Network
    from typing import Any

    from pylibbpf.handle import K, V  # noqa: F401  # K is in the base, as a string
    from pylibbpf.map.base import Coder

__all__ = ["LpmTrie"]

# struct bpf_lpm_trie_key: the prefix length, then the data.
_PREFIX = struct.Struct("=I")
_VERSIONS = {4: 4, 16: 6}


class LpmTrie(HashMap["K", "V"]):
    """A trie of prefixes: ``trie[key]`` is the value of the longest prefix that covers the key.

    A key is a record of prefix length and data, and where the data is as long as an address of
    IPv4 or IPv6, also ``"10.0.0.0/8"``, ``"10.1.2.3"`` (all of its bits) or a network or address
    of :mod:`ipaddress`; the data then has the network's byte order. ``del`` and ``pop`` take the
    very prefix. :meth:`networks` gives the entries with such networks as keys.
    """

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        version = _VERSIONS.get(self._handle.key_size - _PREFIX.size)
        by_type = coder.encode_key
        if version is not None:
            name = self.name

            def encode(key: Any) -> bytes:
                found = getattr(key, "version", None)
                if found is None and not isinstance(key, str):
                    return by_type(key)
                return _network(key, version, name)

            coder.encode_key = encode
        return coder

    def networks(self) -> Iterator[tuple[IPv4Network | IPv6Network, V]]:
        """Every entry, with a network of :mod:`ipaddress` as key.

        Raises:
            TypeError: the keys are no addresses: their data has neither 4 nor 16 bytes.
        """
        from ipaddress import ip_network

        coder = self._coder
        if self._handle.key_size - _PREFIX.size not in _VERSIONS:
            raise TypeError(f"the keys of map {self.name!r} are no addresses")
        for key, value in self._handle.iter_items():
            (length,) = _PREFIX.unpack_from(key)
            yield ip_network((key[_PREFIX.size :], length)), coder.decode_value(value)


def _network(key: Any, version: int, name: str) -> bytes:
    from ipaddress import ip_interface, ip_network

    if isinstance(key, str) or not hasattr(key, "network_address"):
        # Of an address, all bits; of an interface, those of its network.
        network = ip_network(key) if isinstance(key, str) else ip_interface(key).network
    else:
        network = key
    if network.version != version:
        raise TypeError(f"a key of map {name!r} is of IPv{version}, not {key}")
    return _PREFIX.pack(network.prefixlen) + network.network_address.packed
