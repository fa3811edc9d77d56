"""Brokers: numbering, history, presence and the directory, behind five narrow contracts."""
