"""``python -m pylibbpf``."""

import sys

from pylibbpf.cli import main

sys.exit(main())
