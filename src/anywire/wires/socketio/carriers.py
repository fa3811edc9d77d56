"""Engine.IO packets in HTTP bodies: U+001E between them, bytes as base64 behind a `b`.

Engine.IO protocol, revision 4, HTTP long-polling.
"""

import base64
import binascii
from collections.abc import Sequence

from anywire.errors import ProtocolError
from anywire.payload import Message, Payload
from anywire.wires.base import Answer, Downlink, Overlap, Uplink
from anywire.wires.socketio.engine import Heartbeat

SEPARATOR = b"\x1e"
PACKETS = 4096
"""Packets of one body."""
_UNCACHED = ("Cache-Control", "no-store")
_CLOSE = b"1"

TAKEN = Answer(headers=(("Content-Type", "text/html"), _UNCACHED), body=b"ok")
"""All packets of a POST were taken. HTML, as some browsers offer to save a plain text."""


class Packets:
    """A payload in a body, made once for all who poll."""

    __slots__ = ()

    key = ("engineio.poll", 0)

    def frame(self, payload: Payload) -> bytes:
        """Its packets."""
        if payload.is_text and not payload.rest:
            return payload.data
        return SEPARATOR.join([_packet(part) for part in payload.parts()])


POLLED = Packets()


def downlink(heartbeat: Heartbeat) -> Downlink:
    """How a poll is answered: pings make sure that it is, so it may wait as long as it takes."""
    return Downlink(
        framing=POLLED,
        headers=(("Content-Type", "text/plain; charset=UTF-8"), _UNCACHED),
        pack=pack,
        overlap=Overlap.END,
        gap=heartbeat.interval + heartbeat.timeout,
        idle=b"6",
        closed=b"1",
    )


def uplink(content_type: str) -> Uplink:
    """How a POST is read."""
    is_binary = content_type.partition(";")[0].strip().lower() == "application/octet-stream"
    return Uplink(unpack=_refused if is_binary else unpack, taken=TAKEN, is_alone=True)


def pack(payloads: Sequence[Payload]) -> tuple[bytes, int]:
    """All of them as one body, but for a close: a client acts on that before the messages beside
    it, so it gets a body of its own.
    """
    count = len(payloads)
    if count > 1 and payloads[-1].data == _CLOSE:
        count -= 1
    packets = [payload.framed(POLLED).data or b"" for payload in payloads[:count]]
    return SEPARATOR.join(packets), count


def unpack(body: bytes) -> Sequence[Message]:
    """The packets of a body, as they would come over a WebSocket. Raises ProtocolError."""
    try:
        packets = body.decode().split("\x1e", PACKETS)
    except UnicodeDecodeError as error:
        raise ProtocolError("the body is no UTF-8", code=1007) from error
    if len(packets) > PACKETS:
        raise ProtocolError(f"a body has at most {PACKETS} packets", code=1009)
    return [_bytes(packet) if packet[:1] == "b" else packet for packet in packets]


def _refused(body: bytes) -> Sequence[Message]:
    raise ProtocolError("bytes come as base64 in a text body", code=1003)


def _bytes(packet: str) -> bytes:
    try:
        return base64.b64decode(packet[1:].encode("ascii", "replace"), validate=True)
    except binascii.Error as error:
        raise ProtocolError("not base64", code=1007) from error


def _packet(part: Payload) -> bytes:
    return part.data if part.is_text else b"b" + base64.b64encode(part.data)
