"""The engine that runs programs in Python, with no kernel and no privilege."""
