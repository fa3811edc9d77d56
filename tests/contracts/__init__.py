"""Shared suites: what every wire, transport and broker must do, ours and a stranger's."""
