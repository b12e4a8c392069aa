"""BTF, the type information of BPF: read it, and turn bytes into Python values and back."""
