"""The WebSocket of 2010, for browsers of that year (draft-ietf-hybi-thewebsocketprotocol-00).

Its handshake is answered before the client's last eight bytes of it are here (a proxy may keep them
until then), and proved by a hash of them. It has text only, no ping, and no code in its close.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from anywire.errors import ProtocolError
from anywire.net.head import Request

NONCE = 8
"""Bytes behind the head of a request."""
CLOSE = b"\xff\x00"
_TEXT, _END, _BINARY = 0x00, 0xFF, 0x80
_MOST = 2**32 - 1


class Challenge(msgspec.Struct, frozen=True):
    """What a client offers: two numbers to prove that its handshake was read (section 1.3)."""

    origin: str
    location: str
    first: int
    second: int

    def head(self) -> bytes:
        """The answer, before the rest of the handshake."""
        lines = (
            "HTTP/1.1 101 WebSocket Protocol Handshake",
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Origin: {self.origin}",
            f"Sec-WebSocket-Location: {self.location}",
        )
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def proof(self, nonce: bytes) -> bytes:
        """What follows the head, once the client's last bytes are here."""
        numbers = self.first.to_bytes(4, "big") + self.second.to_bytes(4, "big")
        return hashlib.md5(numbers + nonce, usedforsecurity=False).digest()


def challenge(request: Request, *, is_secure: bool) -> Challenge | None:
    """The challenge in a request; None where it is none of that year, or is not well made."""
    header = request.header
    first, second = (_number(header(f"sec-websocket-key{number}")) for number in (1, 2))
    host = header("host")
    if not request.upgrade or request.method != "GET" or first is None or second is None:
        return None
    if host is None or header("sec-websocket-version") is not None:
        return None
    scheme = "wss" if is_secure else "ws"
    location = f"{scheme}://{host}{request.target.decode('latin-1')}"
    return Challenge(header("origin") or "", location, first, second)


def framed(text: bytes) -> bytes:
    """One message (section 5.3); UTF-8 never has the byte that ends it."""
    return b"\x00%b\xff" % text


class Reader:
    """Frames of a client, `max_size` bytes each at most."""

    __slots__ = ("_data", "_max_size")

    def __init__(self, max_size: int) -> None:
        self._data = bytearray()
        self._max_size = max_size

    def receive(self, data: bytes) -> Sequence[str | None]:
        """The messages that are whole now; None: the client closes. Raises ProtocolError."""
        self._data += data
        found: list[str | None] = []
        while self._data:
            end = self._end()
            if end is None:
                break
            kind, body = self._data[0], bytes(self._data[1 : end - 1])
            is_close = self._data[:end] == CLOSE
            del self._data[:end]
            if is_close:
                found.append(None)
                break
            if kind == _TEXT:
                found.append(_text(body))
        return found

    def _end(self) -> int | None:
        """Where the first frame ends; None: it is not all here."""
        data = self._data
        if data[0] & _BINARY:  # a length in groups of seven bits, and that many bytes of no use
            length = 0
            for at in range(1, len(data)):
                length = length << 7 | data[at] & 0x7F
                self._bound(length)
                if not data[at] & _BINARY:
                    return at + 1 + length if len(data) > at + length else None
            return None
        end = data.find(_END)
        self._bound((len(data) if end < 0 else end) - 1)
        return None if end < 0 else end + 1

    def _bound(self, size: int) -> None:
        if size > self._max_size:
            raise ProtocolError(f"a message has at most {self._max_size} bytes", code=1009)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("text must be UTF-8", code=1007) from error


def _number(key: str | None) -> int | None:
    """The number in a key: its digits, divided by the number of its spaces (section 5.2)."""
    digits = "".join(char for char in key or "" if char in "0123456789")[:20]
    spaces = (key or "").count(" ")
    if not digits or not spaces or int(digits) % spaces or int(digits) // spaces > _MOST:
        return None
    return int(digits) // spaces
