"""The BPF instruction set: encoding, and what can be read from a program without running it."""
