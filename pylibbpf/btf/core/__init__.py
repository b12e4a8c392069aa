"""CO-RE: what a program was compiled against, found again in the types of a running kernel.

:class:`Target` is the kernel's types; a :class:`Resolver` answers an object's relocations, in the
order in which libbpf does; :mod:`pylibbpf.loader.patch` puts the answers into instructions.
"""

from __future__ import annotations

from pylibbpf.btf.core.kind import CoreKind
from pylibbpf.btf.core.resolve import Candidate, Resolution, Resolver, resolve
from pylibbpf.btf.core.target import Target

__all__ = ["Candidate", "CoreKind", "Resolution", "Resolver", "Target", "resolve"]
