"""Brokers: numbering, history, presence and the directory of sessions, behind five narrow contracts."""
