"""Limits: every bound of a session, with its default, in one place; and what deflate may cost.

Wires, transports and hosts read these and have no numbers of their own. What a client must know is
told in `Welcome`. Sizes are bytes, times are seconds.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one app; pass a changed copy as `Anywire(limits=Limits(message=1 << 20))`."""

    message: int = 64 * 1024
    """Largest message, whole and inflated."""
    fragments: int = 1024
    """Frames of one WebSocket message."""
    headers: int = 64
    """Header lines of one HTTP request."""
    header_bytes: int = 16 * 1024
    url: int = 8 * 1024
    body: int = 1024 * 1024
    """Largest HTTP request body on a path of ours; refused while reading."""
    nesting: int = 32
    """Depth of arrays and objects in a payload."""
    name: int = 255
    """UTF-8 bytes of an address, room, event or alias."""
    members: int = 128
    """Addresses one session may be joined to, and rooms one member may be in."""
    joins: int = 20
    """Joins per second and session; a burst of as many is allowed."""
    waiting_events: int = 64
    """Events of one member that wait for the handler before them."""
    calls: int = 256
    """Unanswered calls, each way."""
    streams: int = 16
    """Running streams of one session."""
    stream_items: int = 64
    stream_bytes: int = 256 * 1024
    """Items and bytes an upload may be ahead of its handler."""
    attachments: int = 16
    """Binary values of one message that travel beside it."""
    outbox: int = 1024 * 1024
    """Bytes that wait for a slow client before the policy acts; as many for each member whose join
    is not answered yet."""
    kept_bytes: int = 1024 * 1024
    kept_messages: int = 1000
    """What is kept, sent but not acknowledged, for a resume."""
    resume: float = 120.0
    """How long a session outlives its transport, where it can resume; 0 switches resume off."""
    detached: int = 10_000
    """Sessions that wait for a resume; past it, the one that has waited longest ends."""
    early_bytes: int = 4 * 1024
    """Largest message before authentication."""
    authentication: float = 10.0
    handshake: float = 5.0
    """From accept to the end of the request's head."""
    idle: float = 60.0
    """How long HTTP waits for a request, more of a body, or a client that does not read."""
    closing: float = 2.0
    """How long a peer may take to hang up after the last word."""
    connections: int = 100_000
    """Open connections of one server; more are answered with 503."""
    guest_message: int = 16 * 1024 * 1024
    """Largest WebSocket message to the user's own ASGI app."""
    beat: float = 25.0
    """A beat is sent this often …"""
    beat_timeout: float = 10.0
    """… and a peer silent for `beat + beat_timeout` is gone."""
    poll: float = 25.0
    """A long poll with nothing to say is answered after this time …"""
    poll_gap: float = 15.0
    """… and who does not poll again in this time is gone."""
    stop: float = 10.0
    """How long a stop may take."""
    replay: int = 1000
    """Publications one recovery replays; more is `lost`."""


class Deflate(msgspec.Struct, frozen=True, kw_only=True):
    """What permessage-deflate (RFC 7692) may cost; `net.deflate` negotiates with it.

    `server_bits` and `client_bits` bound the window of what that end sends (9 to 15); `keep_server`
    and `keep_client` allow that end to keep its window between messages: better compression of
    small messages, for memory per connection and without one compressed form for all members of a
    room.
    """

    server_bits: int = 15
    client_bits: int = 15
    keep_server: bool = False
    keep_client: bool = False

    def __post_init__(self) -> None:
        for bits in (self.server_bits, self.client_bits):
            if not 9 <= bits <= 15:
                raise ValueError(f"a deflate window has 9 to 15 bits, not {bits}")


def is_too_long(name: str, bound: int) -> bool:
    """Whether a name has more than `bound` (`Limits.name`) bytes of UTF-8."""
    if name.isascii():  # CPython knows this of each str: nothing is encoded
        return len(name) > bound
    return len(name) > bound or len(name.encode(errors="replace")) > bound
