"""Counters: what one node has done since its start; `Ask.COUNTERS` brings those of all nodes."""

import msgspec


class Counters(msgspec.Struct):
    """Each counts up only."""

    requests: int = 0
    """Requests of sessions (long polls, posts, upgrades that resume) that reached this node."""
    forwarded: int = 0
    """… of these, requests that another node owned and answered through this one."""
    relayed: int = 0
    """… WebSockets that another node owned, and that go through this one."""
    handed_over: int = 0
    """… WebSockets that another node owned, and whose sockets it was given."""
