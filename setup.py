"""What pyproject.toml cannot say: the cffi extension, and its stable-ABI tag."""

import sysconfig

from setuptools import setup

# A wheel for every CPython from 3.11 on that has the GIL; free-threaded builds have no stable
# ABI, and get a wheel of their own.
stable_abi = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if stable_abi else {},
)
