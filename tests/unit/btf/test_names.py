"""Names of types without their flavour, as libbpf 1.7 cuts them (bpf_core_essential_name_len)."""

from __future__ import annotations

import pytest

from pylibbpf.btf.names import essential


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("", ""),
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b", "a"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("a____b___c", "a____b"),
        ("a___b____c", "a"),
        ("___a", "___a"),
        ("a___", "a___"),
        ("_a___b", "_a"),
        ("a_b___c_d", "a_b"),
        ("___", "___"),
        ("____", "____"),
        ("_______", "_______"),
    ],
)
def test_what_is_left(name: str, without: str) -> None:
    assert essential(name) == without
