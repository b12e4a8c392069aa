"""``python -m pylibbpf``."""

import sys

try:
    from pylibbpf.cli import main

    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(0)
