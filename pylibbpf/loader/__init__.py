"""Read BPF objects without loading them: ELF file in, :class:`~pylibbpf.spec.ObjectSpec` out.

Needs neither libbpf nor any privilege, and survives damaged and hostile files: whatever is wrong
with one becomes an ``ElfError`` or a ``BtfError`` that says what.
"""
