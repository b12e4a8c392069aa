"""Compiles the program, on the host: guests see the host's files."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def pytest_configure():
    if "PYLIBBPF_GUEST" not in os.environ:
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding"]
        options = ["-O2", "-g", "-c", "opens.bpf.c", "-o", "opens.bpf.o"]
        subprocess.run([*compiler, *options], cwd=HERE, check=True)
