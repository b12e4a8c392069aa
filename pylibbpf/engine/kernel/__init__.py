"""The kernel engine: libbpf and bpf(2), through the cffi extension ``_libbpf``.

Only this package imports the extension.
"""
