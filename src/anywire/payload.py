"""Payloads: encoded messages on their way to a socket, and the physical frames they are put in.

A codec makes one `Payload` for a lane; `framed` puts it into the frame of a carrier once per
framing, however many members share it. Knows no wire and no transport.
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Protocol

Message = str | bytes
"""One whole message from a peer: text as `str`, binary as `bytes`."""


class Carrier(Enum):
    """How bytes travel; a transport is one of these, open right now."""

    WEBSOCKET = "websocket"
    EVENTS = "events"
    STREAM = "stream"
    POLL = "poll"
    POST = "post"
    WEBTRANSPORT = "webtransport"
    REPLY = "reply"
    """A plain HTTP answer; no session stays behind."""


class Policy(Enum):
    """What happens to waiting entries of a room when a member's outbox is over its bound."""

    CLOSE = "close"
    """The session is closed with 4408: its client reconnects and recovers."""
    DROP_OLDEST = "drop_oldest"
    """The oldest that were never written make place; the client hears `Gap`."""


class Framing(Protocol):
    """How a kind of carrier wraps a payload: a WebSocket header, an event-stream record."""

    key: tuple[str, int]
    """Carrier name and deflate window bits (0 for none); equal keys mean equal bytes."""

    def frame(self, payload: "Payload") -> bytes | None:
        """The bytes of the payload and what travels with it; None: framed at write."""
        ...


class Framed:
    """A payload in one physical form; `data` is None where the transport frames at write.

    `key` is the framing's own, the same object: a transport sees at a glance if the form is its.
    """

    __slots__ = ("data", "is_volatile", "key", "payload", "size")

    def __init__(
        self, payload: "Payload", data: bytes | None, key: tuple[str, int] = ("none", 0)
    ) -> None:
        self.payload = payload
        self.data = data
        self.key = key
        self.is_volatile = payload.volatile
        # What it costs to hold: beside the frame, which may be packed, stands the payload itself.
        self.size = max(payload.size, len(data or b"")) or 1  # an empty one waits too


class Payload:
    """One message, or several that travel and are dropped together (`rest`: attachments, or the
    publications that follow in a run).

    `counted` entries have a place in the session's sequence (resume); `volatile` ones may be
    dropped when the peer is slow; `policy`, `room` and `key` are set by fan-out and decide what a
    full outbox does with it.
    """

    __slots__ = (
        "_first",
        "_others",
        "counted",
        "data",
        "is_text",
        "key",
        "policy",
        "rest",
        "room",
        "volatile",
    )

    def __init__(
        self,
        data: bytes,
        *,
        is_text: bool = True,
        rest: tuple["Payload", ...] = (),
        counted: bool = True,
        volatile: bool = False,
    ) -> None:
        self.data = data
        self.is_text = is_text
        self.rest = rest
        self.counted = counted
        self.volatile = volatile
        self.policy: Policy | None = None
        self.room: str | None = None
        self.key: str | None = None
        self._first: Framed | None = None
        self._others: dict[tuple[str, int], Framed] | None = None

    @classmethod
    def of(cls, message: Message, *, counted: bool = True) -> "Payload":
        """A payload of one message as it is."""
        if isinstance(message, str):
            return cls(message.encode(), counted=counted)
        return cls(message, is_text=False, counted=counted)

    @property
    def size(self) -> int:
        """Bytes of all its messages, before framing."""
        size = len(self.data)
        for part in self.rest:
            size += part.size
        return size

    def messages(self) -> Iterator[Message]:
        """What the peer will receive, message by message."""
        for part in self.parts():
            yield part.data.decode() if part.is_text else part.data

    def parts(self) -> "Sequence[Payload]":
        """Itself and all that travels with it, in order: each is one message, its `data`."""
        if not self.rest:
            return (self,)
        return [self, *(one for part in self.rest for one in part.parts())]

    def framed(self, framing: Framing) -> Framed:
        """This payload in that framing, made once and shared by everyone who needs it."""
        key = framing.key
        first = self._first
        if first is None:  # almost every payload has one form
            first = self._first = Framed(self, framing.frame(self), key)
            return first
        if first.key == key:
            return first
        if self._others is None:
            self._others = {}
        elif key in self._others:
            return self._others[key]
        framed = self._others[key] = Framed(self, framing.frame(self), key)
        return framed


class Unframed:
    """The framing of the detached and of kept deflate windows: framed at write."""

    __slots__ = ()

    key = ("none", 0)

    def frame(self, payload: Payload) -> None:
        """Leave the framing to the transport that will write it."""


UNFRAMED = Unframed()
