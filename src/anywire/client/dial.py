"""Dialing: the edge where the client meets the network, and the seam where a test plugs
something else in.

A `Dialer` opens one `Link` per attempt and is told everything an attempt needs: the URL as the
application gave it, and a `Request` (subprotocols, query members to add, headers with the
credentials). A `Link` carries whole messages and knows no protocol. It brings nothing before
`start` names a `Receiver`; then messages come in order, and `on_closed` comes exactly once, last.
Nothing a link is asked to do ever waits or raises, also when it is closed already.

The real ones are `websocket.SocketDialer` and `requests.HttpDialer`, between which `choosing`
chooses; another one is given as `connect(url, dialer=…)`. The first one's links are WebSockets and
can more than others: `WebSocketLink`, and for who wants to see pings `Watcher`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Watcher(Protocol):
    """A receiver that also wants to see the pings and pongs of a `WebSocketLink`.

    Each is told after `on_heard`; of several that arrived together only the newest.
    """

    def on_ping(self, data: bytes) -> None:
        """The peer pinged, and was answered."""
        ...

    def on_pong(self, data: bytes) -> None: ...


@runtime_checkable
class Opener(Protocol):
    """A receiver that tells what it would open with now: a link of several requests asks it for the
    session that the first of them began.
    """

    def opening(self) -> Request: ...


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


class WebSocketLink(Link, Protocol):
    """A link that is a WebSocket, with what only a WebSocket has."""

    url: str
    """Where it leads, after redirects; without name and password."""
    headers: Mapping[str, str]
    """Of the answer to the handshake: names in lower case, several lines of a name joined."""
    extensions: str
    """What was agreed, as the answer says it; empty: none."""
    was_clean: bool
    """True from the `on_closed` on that ends a whole closing handshake (RFC 6455, 7.1.4)."""

    def ping(self, data: bytes = b"") -> bool:
        """Send a ping; False once the link is closing. Raises ValueError over 125 bytes."""
        ...

    def pong(self, data: bytes = b"") -> bool:
        """Send a pong that nobody asked for; as `ping`."""
        ...

    def pause(self) -> None:
        """Bring no more for now: the network keeps it, and then the peer has to wait. What came
        with the message that is being told still follows.
        """
        ...

    def resume(self) -> None:
        """`pause` is over. So it is once the link is to be closed."""
        ...


class Dialer(Protocol):
    """What opens links. Cancelling `dial` leaves nothing open."""

    async def dial(self, url: str, request: Request) -> Link:
        """Open a link. Raises OSError or AnywireError: the attempt failed; Refused: and so will
        every other.
        """
        ...


class WebSocketDialer(Protocol):
    """A dialer whose links are WebSockets."""

    async def dial(self, url: str, request: Request) -> WebSocketLink: ...
