"""Frames of SockJS: `o`, `h`, `a["hi","there"]`, `c[3000,"Go away!"]`.

SockJS protocol 0.3.3, "Protocol and framing" and "JSON Unicode Encoding". A payload of ours is one
frame, which is one message of a WebSocket; clients send JSON without a letter in front of it.
Messages are text: bytes are base64.
"""

import base64
import re
from collections.abc import Sequence

import msgspec

from anywire.body import Body
from anywire.errors import ProtocolError, as_text
from anywire.frames import At, Presence
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Message, Payload
from anywire.wires.base import Cap
from anywire.wires.nameless import message_of, named, presence_of

MESSAGES = 4096
"""Messages of one array."""
OPEN = Payload(b"o", counted=False)
HEARTBEAT = Payload(b"h", counted=False)
BROKEN = "Broken JSON encoding."

_json = msgspec.json.Encoder().encode
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_texts = msgspec.json.Decoder(list[str]).decode
_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder(msgspec.Raw).decode
_text = msgspec.json.Decoder(str).decode
_MANGLED = re.compile(rb"\xe2(?:\x80[\x8c-\x8f\xa8-\xaf]|\x81[\xa0-\xaf])|\xef\xbf[\xb0-\xbf]")
"""UTF-8 of the characters that browsers do not hand on as they are: U+200C to U+200F, U+2028 to
U+202F, U+2060 to U+206F, U+FFF0 to U+FFFF. (JSON itself escapes those below U+0020.)"""


class SockJsCodec:
    """Raw's messages, each as an array of one."""

    __slots__ = ()

    name = "sockjs"
    caps = Cap.NONE

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        lone = body.lone if event == "message" else None
        item = quoted(lone) if isinstance(lone, str) else _item(message_of(event, body))
        return Payload(b"a[%b]" % item, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return Payload(b"a[%b]" % _item(named("presence", presence_of(change))))


SOCKJS = SockJsCodec()


def closed(code: int, text: str) -> Payload:
    """The last frame: `c[3000,"Go away!"]`."""
    return Payload(b"c[%d,%b]" % (code, quoted(as_text(text))), counted=False)


def quoted(text: str) -> bytes:
    """A JSON string that comes through any browser."""
    json = _json(text)
    return json if json.isascii() else _MANGLED.sub(_escaped, json)


def items(message: Message, limits: Limits) -> Sequence[str]:
    """The messages in what a peer sends: an array of them, one alone, or nothing.

    A message that is no string is its own JSON text: the original lets the application have the
    value, and no client of its own sends one. Raises ProtocolError.
    """
    if isinstance(message, bytes):
        raise ProtocolError("messages of SockJS are text", code=1003)
    if not message:
        return ()
    try:
        try:
            found = _texts(message)
        except msgspec.ValidationError:
            found = _others(message, limits)
        except msgspec.DecodeError:
            found = _texts(_ESCAPE.sub(_whole, message))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(BROKEN, code=1007) from error
    if len(found) > MESSAGES:
        raise ProtocolError(f"an array has at most {MESSAGES} messages", code=1009)
    return found


def _whole(escape: "re.Match[str]") -> str:
    """An escape; for half a character what stands for it in UTF-8, which has no halves."""
    return "\\ufffd" if escape[1] else escape[0]


def _others(message: str, limits: Limits) -> list[str]:
    """Messages of which not all are strings."""
    if is_too_deep_json(message, limits.nesting + 1):
        raise ProtocolError(f"a message nests at most {limits.nesting} deep", code=4400)
    is_array = message.lstrip(" \t\r\n")[:1] == "["
    values = _values(message) if is_array else [_value(message)]
    return [_text(value) if bytes(value)[:1] == b'"' else bytes(value).decode() for value in values]


def _item(payload: Payload) -> bytes:
    """A message of raw as an item of an array."""
    if payload.is_text:
        return quoted(payload.data.decode())
    return b'"%b"' % base64.b64encode(payload.data)


def _escaped(found: "re.Match[bytes]") -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
