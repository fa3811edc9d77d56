"""Phoenix messages in the bodies of long polls.

Phoenix.Transports.LongPoll. The status of HTTP is 200; the one that counts stands in the body:
`{"status":200,"token":"…","messages":["[null,null,…]"]}`, 204 for nothing to say, 410 for a session
that begins or is over. A client shows next time the token of the last answer, so each has it. It
brings its messages a line each, binary ones as base64; what it hears is text.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from anywire.errors import ProtocolError
from anywire.payload import Message, Payload
from anywire.wires.base import Answer, Downlink, Uplink
from anywire.wires.phoenix.codec import as_text

HEADERS = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))
LINES = 1000
"""Messages of one request; the official client brings a hundred at most."""
JSON = "application/json"
"""The content type of one message, as clients before 1.7 send it; all else is a line each."""

_json = msgspec.json.Encoder().encode
_STATUS = b'{"status"'


class Strings:
    """A payload as strings in the list of an answer, made once for all who poll."""

    __slots__ = ()

    key = ("phoenix.longpoll", 0)

    def frame(self, payload: Payload) -> bytes:
        """Its messages; one that is an answer itself stays as it is."""
        if payload.data.startswith(_STATUS):
            return payload.data
        return b",".join([_string(part) for part in payload.parts()])


STRINGS = Strings()


def answer(status: int, token: str = "", messages: bytes = b"") -> bytes:
    """The body of an answer; one with a token lists messages, strings with commas between them."""
    if not token:
        return b'{"status":%d}' % status
    return b'{"status":%d,"token":%b,"messages":[%b]}' % (status, _json(token), messages)


def told(status: int) -> Answer:
    """An answer without a session."""
    return Answer(headers=HEADERS, body=answer(status))


TAKEN, GONE, FORBIDDEN = told(200), told(410), told(403)


def downlink(token: str, *, wait: float, gap: float) -> Downlink:
    """How a poll is answered. `wait`: seconds it may wait; `gap`: seconds between two."""

    def pack(payloads: Sequence[Payload]) -> tuple[bytes, int]:
        first = payloads[0].framed(STRINGS).data or b""
        if first.startswith(_STATUS):
            return first, 1
        strings = [payload.framed(STRINGS).data or b"" for payload in payloads]
        return answer(200, token, b",".join(strings)), len(payloads)

    return Downlink(
        framing=STRINGS,
        headers=HEADERS,
        pack=pack,
        wait=wait,
        gap=gap,
        idle=answer(204, token),
        closed=answer(410),
    )


_REFUSED = downlink("", wait=0.0, gap=0.0)


def refused(status: int, code: int) -> Answer:
    """The answer to a request that is told no; `code`: what a WebSocket would be closed with."""
    said = Payload(answer(status), counted=False)
    return Answer.accepted(code, "", payloads=(said,), downlink=_REFUSED)


def uplink(content_type: str) -> Uplink:
    """How a request with messages is read."""
    is_one = content_type.partition(";")[0].strip().lower() == JSON
    return Uplink(unpack=whole if is_one else lines, taken=TAKEN)


def lines(body: bytes) -> Sequence[Message]:
    """The messages of a body, a line each. Raises ProtocolError."""
    parts = _text(body).split("\n", LINES)
    if len(parts) > LINES:
        raise ProtocolError(f"a body has at most {LINES} lines", code=1009)
    messages: list[Message] = []
    for part in parts:
        line = part.strip()
        if line:
            messages.append(line if line[0] in "[{" else _bytes(line))
    return messages


def whole(body: bytes) -> Sequence[Message]:
    """The one message that a body is. Raises ProtocolError."""
    return [_text(body)]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("the body is no UTF-8", code=1007) from error


def _bytes(line: str) -> bytes:
    try:
        return base64.b64decode(line.encode("ascii", "replace"), validate=True)
    except binascii.Error as error:
        raise ProtocolError("a line is neither a message nor base64", code=1007) from error


def _string(part: Payload) -> bytes:
    return _json((part.data if part.is_text else as_text(part.data)).decode())
