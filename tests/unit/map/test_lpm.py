"""Networks as keys of LPM tries."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.map.lpm import _network


@given(st.ip_addresses(), st.data())
def test_networks(address, data):
    bits = data.draw(st.integers(0, address.max_prefixlen))
    network = ipaddress.ip_network((address, bits), strict=False)
    expected = bits.to_bytes(4, "little") + network.network_address.packed
    for key in (network, str(network), ipaddress.ip_interface((address, bits))):
        assert _network(key, address.version, "m") == expected
    whole = address.max_prefixlen.to_bytes(4, "little") + address.packed
    assert _network(address, address.version, "m") == whole
    assert _network(str(address), address.version, "m") == whole
    with pytest.raises(TypeError, match="is of IPv"):
        _network(network, 10 - address.version, "m")
