"""The engines: where a program is loaded and run, behind one set of Protocols (abc.py)."""
