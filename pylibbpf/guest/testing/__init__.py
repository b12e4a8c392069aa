"""Tests of a pytest session on the host, run in guests: both sides, and what they tell each other.

A guest is told once, before it starts, which tests to run and in which order
(:mod:`~pylibbpf.guest.testing.orders`), and runs them as one pytest session of its own
(:mod:`~pylibbpf.guest.testing.inside`), which streams what happens as lines of JSON. It does not
wait for the host: all its effects stay in the guest. The host's session takes each test's reports
as its own when it comes to that test (:mod:`~pylibbpf.guest.testing.host`), from the run of its
kernel (:mod:`~pylibbpf.guest.testing.run`), which boots another guest where one died. Workers of
pytest-xdist ask the controller (:mod:`~pylibbpf.guest.testing.workers`).
"""
