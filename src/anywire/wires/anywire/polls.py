"""The anywire protocol over HTTP requests: docs/reference/protocol.md, Long-polling.

A body holds whole messages: JSON texts with U+001E between them (no JSON text holds that
character), or MessagePack messages, each behind its length (four bytes, big-endian; the first byte
is 0, which no JSON text begins with).
"""

from collections.abc import Sequence

from anywire.errors import ProtocolError
from anywire.payload import Message, Payload

SEPARATOR = b"\x1e"
_PREFIX = 4
_LONGEST = 2**24 - 1


def pack(payloads: Sequence[Payload]) -> bytes:
    """Messages as one body."""
    parts = [one for payload in payloads for one in _parts(payload)]
    if parts and not parts[0].is_text:
        return b"".join(len(part.data).to_bytes(_PREFIX, "big") + part.data for part in parts)
    return SEPARATOR.join(part.data for part in parts)


def unpack(body: bytes) -> Sequence[Message]:
    """The messages of a body. Raises ProtocolError (1007) for what is cut or no text."""
    if not body:
        return ()
    if body[0] == 0:
        return _binary(body)
    try:
        return body.decode().split(SEPARATOR.decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("the body is no UTF-8", code=1007) from error


def _parts(payload: Payload) -> Sequence[Payload]:
    if not payload.rest:
        return (payload,)
    return [payload, *(one for part in payload.rest for one in _parts(part))]


def _binary(body: bytes) -> Sequence[Message]:
    messages: list[Message] = []
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + _PREFIX], "big")
        at += _PREFIX
        if size > _LONGEST or at + size > len(body):
            raise ProtocolError("the body ends in the middle of a message", code=1007)
        messages.append(body[at : at + size])
        at += size
    return messages
