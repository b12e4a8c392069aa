"""The virtual machine: memory, programs that are ready to run, and two executors."""
