"""Typed modules of BPF objects: what ``pylibbpf gen`` writes.

The module has the record types and enumerations of the object as classes, and ``open_object()``,
whose result editors and ``mypy --strict`` know: ``obj.maps.counts``, the fields of a ring's
records, the globals. It needs pylibbpf and the object's file, and no compiler.
"""

from __future__ import annotations

from pylibbpf.gen.module import write_module

__all__ = ["write_module"]
