"""SignalR over HTTP requests: server-sent events and long polls down, POSTs up.

SignalR TransportProtocols. All of them carry a stream of bytes, of which the hub protocol makes
messages; event streams carry text alone.
"""

from collections.abc import Sequence

from anywire.payload import UNFRAMED, Message, Payload
from anywire.wires.base import Answer, Downlink, Overlap, Uplink

_UNCACHED = ("Cache-Control", "no-cache, no-store")
_BYTES = ("Content-Type", "application/octet-stream")
GAP = 15.0
"""Seconds that a client which polls has between two polls."""


class Records:
    """A record of an event stream a payload. JSON has no line breaks, so it is one line."""

    __slots__ = ()

    key = ("signalr.events", 0)

    def frame(self, payload: Payload) -> bytes:
        """What stands for its messages."""
        return b"".join([b"data: %b\r\n\r\n" % part.data for part in payload.parts()])


EVENTS = Downlink(
    framing=Records(),
    headers=(("Content-Type", "text/event-stream"), _UNCACHED),
    prelude=b":\r\n",  # lets the client know that it is connected
    overlap=Overlap.REFUSE,
    gap=GAP,
)
"""How an event stream is answered."""


def polled(wait: float) -> Downlink:
    """How a poll is answered: with what waits, or after `wait` seconds with nothing."""
    return Downlink(
        framing=UNFRAMED,
        headers=(_BYTES, _UNCACHED),
        pack=pack,
        wait=wait,
        gap=GAP,
        gone=204,
    )


def pack(payloads: Sequence[Payload]) -> tuple[bytes, int]:
    """All of them, one behind the other."""
    parts = [part.data for payload in payloads for part in payload.parts()]
    return b"".join(parts), len(payloads)


def unpack(body: bytes) -> Sequence[Message]:
    """The bytes of a POST as they are: messages may be split over several."""
    return (body,)


SENT = Uplink(unpack=unpack, taken=Answer(headers=(("Content-Type", "text/plain"),)))
"""How a POST is read and answered."""
LEFT = Uplink(unpack=lambda body: (), taken=Answer(status=202), is_goodbye=True)
"""… and a DELETE, by which a client that polls says that it leaves."""
