"""The ``attach_*`` methods of programs: one file for each family of hooks."""
