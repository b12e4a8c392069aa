"""``python -m vm``: in a checkout, the same as ``pylibbpf vm``, set up or not."""

import sys

from pylibbpf.cli import main

sys.exit(main(["vm", *sys.argv[1:]]))
