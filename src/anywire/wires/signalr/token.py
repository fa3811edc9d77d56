"""Connection tokens: what negotiate gives away before there is a session.

SignalR TransportProtocols, "POST endpoint-base/negotiate": the connection id is public, the token
is a secret, and one is not to be guessed by the other. No node keeps anything of a token: it is
signed (`Hello.key`), and good for a beginning for a short time.
"""

import base64
import binascii
import hashlib
import hmac
import struct

import msgspec

LANDING = 15.0
"""Seconds from the negotiation to the first request of the transport."""
_FIELDS = struct.Struct(">16sQ?")
_MAC_BYTES = 16
_PERSON = b"anywire.signalr"


class Token(msgspec.Struct, frozen=True):
    """A token that is one of ours."""

    id: str
    """The public connection id."""
    landing: float
    """Until when a session may begin with it, in unix time."""
    resumes: bool
    """Whether stateful reconnect was negotiated."""


def mint(nonce: bytes, *, now: float, resumes: bool, key: bytes) -> tuple[Token, str]:
    """A new token and how it is written. `nonce`: 16 random bytes; `now`: unix time in seconds."""
    landing = int((now + LANDING) * 1000)
    fields = _FIELDS.pack(nonce, landing, resumes)
    text = _written(fields + _mac(fields, key))
    return Token(_public(nonce), landing / 1000, resumes), text


def read(text: str, key: bytes) -> Token | None:
    """What a token says; None for one that is none of ours."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        fields, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        nonce, landing, resumes = _FIELDS.unpack(fields)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        return None
    if not hmac.compare_digest(mac, _mac(fields, key)) or _written(data) != text:
        return None
    return Token(_public(nonce), landing / 1000, resumes)


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _public(nonce: bytes) -> str:
    return hashlib.blake2b(nonce, digest_size=16, person=_PERSON).hexdigest()


def _mac(fields: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(fields, key=key, digest_size=_MAC_BYTES, person=_PERSON).digest()
