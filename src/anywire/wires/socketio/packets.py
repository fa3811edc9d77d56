"""Socket.IO packets: one Engine.IO message, and as many with bytes as it announces.  HOT

Socket.IO protocol, revision 5: `<type>[<attachments>-][<namespace>,][<id>][<JSON>]`, behind the
digit `4` of an Engine.IO message. Arguments stay as they were written, for the binder to read.
"""

import re

import msgspec

from anywire.body import NO_ARGS, Args, Blobs, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import Event, Want
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.wires.surrogates import whole

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = "0123456"
RESERVED = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Events that mean something to a client or a server of Socket.IO itself."""
ID_DIGITS = 16
"""Digits of an acknowledgement's id; JavaScript counts no further."""

_HEAD = re.compile(
    r"([0-6])(?:(?<=[56])([0-9]{1,9})-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,17})?", re.ASCII
)
_PLAIN = re.compile(r'2(?:(/[^,]*),)?([0-9]{1,16})?\["([^"\\\x00-\x1f]*)"(,|\]\Z)', re.ASCII)
_PLACE = re.compile(
    rb'\{\s*(?:"_placeholder"\s*:\s*true\s*,\s*"num"\s*:\s*([0-9]{1,9})'
    rb'|"num"\s*:\s*([0-9]{1,9})\s*,\s*"_placeholder"\s*:\s*true)\s*\}'
)
_LOOKS_SO = re.compile(rb'"_placeholder"\s*:\s*true')
_valid = msgspec.json.Decoder(msgspec.Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_name = msgspec.json.Decoder(str | int).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Packet(msgspec.Struct):
    """One packet; `args` once its attachments are here."""

    kind: str
    namespace: str = "/"
    id: int | None = None
    attachments: int = 0
    event: str = ""
    args: Args = NO_ARGS
    parts: list[bytes] | None = None
    """The attachments that have come."""
    size: int = 0
    """Bytes of them."""


def plain_event(message: str, limits: Limits) -> Event | None:
    """The event in a whole message, where it is written as clients write it: almost all are.

    None: see `parse`, which also says what is wrong. Raises ProtocolError.
    """
    found = _PLAIN.match(message, 1)
    if found is None:
        return None
    namespace, id, name, behind = found.groups()
    if name in RESERVED or is_too_deep_json(message, limits.nesting + 1):
        return None
    args = NO_ARGS
    if behind == ",":
        raw = "[" + message[found.end() :]
        try:
            _valid(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            mended = whole(message)
            if mended is not None:
                return plain_event(mended, limits)
            raise _wrong("the payload is no JSON array") from error
        if raw[1:].lstrip()[:1] == "]":
            raise _wrong("a comma with nothing behind it")
        args = Args(raw, Form.JSON, Shape.LIST)
    if id is None:
        return Event(namespace or "/", name, args)
    return Event(namespace or "/", name, args, int(id), Want.REPLY)


def parse(text: str, limits: Limits) -> Packet:
    """The packet in the text of a message, behind its `4`. Raises ProtocolError."""
    try:
        return _parse(text, limits)
    except ProtocolError:
        mended = whole(text)
        if mended is None:
            raise
        return _parse(mended, limits)


def _parse(text: str, limits: Limits) -> Packet:
    head = _HEAD.match(text)
    if head is None:
        raise _wrong("no Socket.IO packet")
    kind, count, namespace, id = head.groups()
    packet = Packet(kind)
    if namespace is not None:
        packet.namespace = namespace
    if id is not None:
        if len(id) > ID_DIGITS:
            raise _wrong("the id of an acknowledgement is too long")
        packet.id = int(id)
    end = head.end()
    if kind in (BINARY_EVENT, BINARY_ACK):
        if count is None:
            raise _wrong("the number of attachments is missing")
        packet.attachments = int(count)
        if packet.attachments > limits.attachments:
            raise ProtocolError(f"at most {limits.attachments} attachments", code=1009)
    if kind in (EVENT, BINARY_EVENT):
        return _event(packet, text, end, limits)
    if kind in (ACK, BINARY_ACK):
        if packet.id is None:
            raise _wrong("an acknowledgement without an id")
        _elements(text[end:], limits)
        packet.args = Args(text[end:], Form.JSON, Shape.LIST)
    elif kind == CONNECT:
        packet.args = Args(_auth(text[end:], limits), Form.JSON, Shape.ONE)
    elif kind == DISCONNECT and end < len(text):
        raise _wrong("a disconnect with a payload")
    elif kind == CONNECT_ERROR:
        packet.args = Args(text[end:] or "null", Form.JSON, Shape.ONE)
    return packet


def attach(packet: Packet, data: bytes, limits: Limits) -> bool:
    """One attachment of a packet has come; whether it was the last one. Raises ProtocolError."""
    packet.size += len(data)
    if packet.size > limits.message:
        raise ProtocolError(f"attachments have at most {limits.message} bytes", code=1009)
    parts = packet.parts
    if parts is None:
        parts = packet.parts = []
    parts.append(data)
    if len(parts) < packet.attachments:
        return False
    packet.args = _filled(packet.args, parts)
    return True


def _event(packet: Packet, text: str, start: int, limits: Limits) -> Packet:
    body = text[start:]
    elements = _elements(body, limits)
    if not elements:
        raise _wrong("an event without a name")
    try:
        name = _name(elements[0])
    except msgspec.DecodeError as error:
        raise _wrong("the name of an event is text or a number") from error
    if type(name) is str:
        if name in RESERVED:
            raise _wrong("the name of an event is reserved")
        packet.event = name
    else:
        packet.event = str(name)
    if len(elements) > 1:
        first = bytes(elements[0]).decode()
        if body.startswith(f"{first},", 1):  # and no space before it, nor behind it
            raw: str | bytes = "[" + body[2 + len(first) :]
        else:
            raw = b"[%b]" % b",".join([bytes(element) for element in elements[1:]])
        packet.args = Args(raw, Form.JSON, Shape.LIST)
    return packet


def _elements(text: str, limits: Limits) -> list[msgspec.Raw]:
    """The elements of a JSON array, unread."""
    if is_too_deep_json(text, limits.nesting + 1):
        raise ProtocolError(f"a payload nests at most {limits.nesting} deep", code=4400)
    try:
        return _array(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _wrong("the payload is no JSON array") from error


def _auth(text: str, limits: Limits) -> str:
    """The payload of a CONNECT: an object; none is an empty one."""
    if not text:
        return "{}"
    if is_too_deep_json(text, limits.nesting + 1):
        raise ProtocolError(f"a payload nests at most {limits.nesting} deep", code=4400)
    try:
        _object(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _wrong("the payload of a connect is an object") from error
    return text


def _filled(args: Args, parts: list[bytes]) -> Args:
    """The arguments with their attachments in place. Raises ProtocolError.

    What looks like a placeholder is one: inside a string its quotes would be escaped.
    """
    text = args.raw.encode() if isinstance(args.raw, str) else bytes(args.raw)
    pieces: list[bytes] = []
    blobs: list[tuple[int, bytes]] = []
    start = size = 0
    for place in _PLACE.finditer(text):
        number = int(place[1] if place[1] is not None else place[2])
        if number >= len(parts):
            raise _wrong("a placeholder of no attachment")
        pieces.append(text[start : place.start()])
        size += len(pieces[-1])
        blobs.append((size, parts[number]))
        pieces.append(b"null")
        size += len(b"null")
        start = place.end()
    pieces.append(text[start:])
    if any(_LOOKS_SO.search(piece) for piece in pieces):
        raise _wrong("a placeholder that names no attachment")
    found: Blobs = tuple(blobs)
    return Args(b"".join(pieces), Form.JSON, Shape.LIST, found)


def _wrong(what: str) -> ProtocolError:
    return ProtocolError(what, code=4400)
