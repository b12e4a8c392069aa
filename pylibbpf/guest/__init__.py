"""Throwaway VMs: runs commands on other kernels, under QEMU.

A guest sees this host's root file system read-only, under a layer in memory that takes its writes
and is lost with it. It runs one command as root and vanishes. Nothing here uses the library's
engines: ``pylibbpf vm`` and the pytest plugin stand on this, for any command.

* :mod:`~pylibbpf.guest.kernels`: which kernels there are (``kernels.toml``), fetched into a cache.
* :mod:`~pylibbpf.guest.image`: the initramfs, with our init (``init.sh``, ``run.sh``).
* :mod:`~pylibbpf.guest.qemu`: the command line, and whether KVM can be trusted.
* :mod:`~pylibbpf.guest.runner`: ``run(job)``; :mod:`~pylibbpf.guest.outcome`: how a run can end.
"""
