"""Dialing: the edge where the client meets the network, and the seam where a test plugs
something else in.

A `Dialer` opens one `Link` per attempt and is told everything an attempt needs: the URL as the
application gave it, and a `Request` (subprotocols, query members to add, headers with the
credentials). A `Link` carries whole messages and knows no protocol. It brings nothing before
`start` names a `Receiver`; then messages come in order, and `on_closed` comes exactly once, last.
Nothing a link is asked to do ever waits or raises, also when it is closed already.

The real one is `websocket.SocketDialer`; another one is given as `connect(url, dialer=…)`.
"""

from collections.abc import Sequence
from typing import Protocol

from anywire.payload import Message, Payload
from anywire.wires.base import Request


class Receiver(Protocol):
    """Who hears what a link brings: the client."""

    def on_message(self, message: Message) -> None: ...

    def on_heard(self) -> None:
        """The peer is alive, though no message came (a pong, part of a message)."""
        ...

    def on_writable(self) -> None:
        """`is_blocked` is over."""
        ...

    def on_closed(self, code: int, reason: str) -> None:
        """The link is gone; 1006 when it broke."""
        ...


class Link(Protocol):
    """One open connection."""

    subprotocol: str | None
    """What the peer chose of the request's."""

    @property
    def is_blocked(self) -> bool:
        """So much waits for the network that those who can should wait, until `on_writable`."""
        ...

    def start(self, receiver: Receiver) -> None:
        """Deliver what came, and what comes, to this receiver; called once."""
        ...

    def write(self, payloads: Sequence[Payload]) -> None:
        """Send these messages, in order, as one write."""
        ...

    def beat(self) -> bool:
        """Send the carrier's own probe; False where it has none."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was written, and hang up within a bounded time."""
        ...

    def abort(self) -> None:
        """Hang up at once."""
        ...


class Dialer(Protocol):
    """What opens links. Cancelling `dial` leaves nothing open."""

    async def dial(self, url: str, request: Request) -> Link:
        """Open a link. Raises OSError or AnywireError: the attempt failed; Refused: and so will
        every other.
        """
        ...
