"""Tables of facts about the kernel's BPF interface, each with its source."""
