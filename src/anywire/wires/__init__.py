"""Wires: sans-I/O translations between bytes and frames, one module or folder per protocol."""
