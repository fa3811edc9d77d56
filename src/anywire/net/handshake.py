"""The WebSocket opening handshake, for servers and clients (RFC 6455, 4; RFC 7692, 7).

A server reads the offer, lets the wire choose a subprotocol, then accepts; a client writes a
request and checks the response. Origins, authentication and randomness are the caller's: the key
comes in as an argument.
"""

import base64
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from anywire.errors import AnywireError, ProtocolError
from anywire.limits import Deflate
from anywire.net.deflate import (
    Extension,
    PerMessageDeflate,
    answer_offers,
    parse_extensions,
    read_answer,
    write_offer,
)
from anywire.net.head import Request, Response, header, tokens
from anywire.net.response import Headers
from anywire.net.response import field as header_line
from anywire.net.rfc6455 import accept_key

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST_NAME = re.compile(r"[a-z0-9._~-]+")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_OURS = frozenset({b"connection", b"upgrade", b"content-length", b"transfer-encoding"})


class HandshakeError(AnywireError):
    """The server did not open a WebSocket, or not as it should; `response` is what it said."""

    def __init__(self, status: int, reason: str, response: Response) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.response = response


class BadUrl(AnywireError, ValueError):
    """This URL cannot be connected to; the text says why, and repeats nothing secret from it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client asks for, in its order of preference, once its request is sound."""

    key: str
    subprotocols: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The handshake is done: write `head`, then the connection is a WebSocket."""

    head: bytes
    subprotocol: str | None
    deflate: PerMessageDeflate | None


@dataclass(frozen=True, slots=True)
class Denied:
    """No WebSocket: answer with this status, and `reason` as the body."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a server accepted, as its client sees it; `rest` came after the head, and is frames."""

    subprotocol: str | None
    deflate: PerMessageDeflate | None
    rest: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `host` is for connecting: without brackets, in ASCII."""

    scheme: str
    host: str
    port: int
    resource: str
    """Path and query, as the request line has them."""
    is_secure: bool
    userinfo: str | None = field(default=None, repr=False)
    """`name:password`, percent-decoded."""

    @property
    def authority(self) -> str:
        """The Host header's value: brackets around IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_offer(request: Request) -> Offer | Denied:
    """What the client offers (RFC 6455, 4.2.1), or the answer to a request that is no handshake."""
    headers = request.headers
    if request.method != "GET":
        return Denied(405, "a WebSocket is opened with GET", (("Allow", "GET"),))
    if (
        request.version != "1.1"
        or "websocket" not in tokens(headers, "upgrade")
        or "upgrade" not in tokens(headers, "connection")
    ):
        return _upgrade_required("this path speaks WebSocket: send Upgrade and Connection")
    if len(_values(headers, b"host")) != 1:
        return Denied(400, "a request needs exactly one Host header")
    if request.length != 0:
        return Denied(400, "a request for a WebSocket has no body")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        return _upgrade_required("Sec-WebSocket-Version must be 13")
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(key := keys[0].decode("latin-1")) is None:
        return Denied(400, "Sec-WebSocket-Key must be one base64 value of 16 bytes")
    try:
        subprotocols = _subprotocols(header(headers, "sec-websocket-protocol") or "")
        extensions = parse_extensions(header(headers, "sec-websocket-extensions") or "")
    except ProtocolError as error:
        return Denied(400, error.reason)
    return Offer(key, subprotocols, tuple(extensions))


def accept(
    offer: Offer,
    subprotocol: str | None = None,
    *,
    deflate: Deflate | None = None,
    headers: Headers = (),
) -> Accepted:
    """The 101 response (RFC 6455, 4.2.2); `deflate` is what the server allows, None for nothing.

    Raises:
        ValueError: the subprotocol was not offered, or a header is not the application's to set.
    """
    if subprotocol is not None and subprotocol not in offer.subprotocols:
        raise ValueError(f"subprotocol {subprotocol!r} was not offered")
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        header_line("Sec-WebSocket-Accept", accept_key(offer.key)),
    ]
    if subprotocol is not None:
        lines.append(header_line("Sec-WebSocket-Protocol", subprotocol))
    answer, agreed = answer_offers(deflate, offer.extensions) if deflate else (None, None)
    if answer is not None:
        lines.append(header_line("Sec-WebSocket-Extensions", answer))
    lines += [line for _, line in _more(headers)]
    lines.append(b"\r\n")
    return Accepted(b"".join(lines), subprotocol, agreed)


def request(
    target: Target,
    key: bytes,
    *,
    headers: Headers = (),
    subprotocols: Sequence[str] = (),
    deflate: Deflate | None = None,
    origin: str | None = None,
) -> bytes:
    """A client's request (RFC 6455, 4.1). `key` is 16 fresh random bytes; `check` wants it again.

    `headers` may replace Host and Authorization, which else come from the target.

    Raises:
        ValueError: a subprotocol is no token or stands twice; a header is the handshake's own.
    """
    more = _more(headers)
    given = {name for name, _ in more}
    lines = [header_line("Host", target.authority)] if b"host" not in given else []
    lines += [
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        header_line("Sec-WebSocket-Key", _encode(key)),
    ]
    if subprotocols:
        names = ", ".join(subprotocols)
        if any("," in name or not name for name in subprotocols):
            raise ValueError("a subprotocol's name is a token (RFC 9110, 5.6.2)")
        try:
            _subprotocols(names)
        except ProtocolError as error:
            raise ValueError(error.reason) from None
        lines.append(header_line("Sec-WebSocket-Protocol", names))
    if deflate is not None:
        lines.append(header_line("Sec-WebSocket-Extensions", write_offer(deflate)))
    if origin is not None:
        lines.append(header_line("Origin", origin))
    if target.userinfo is not None and b"authorization" not in given:
        lines.append(header_line("Authorization", f"Basic {_encode(target.userinfo.encode())}"))
    lines += [line for _, line in more]
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target.resource.encode("ascii"), b"".join(lines))


def check(
    response: Response,
    key: bytes,
    *,
    subprotocols: Sequence[str] = (),
    deflate: Deflate | None = None,
) -> Agreed:
    """What the server agreed to, given what `request` was (RFC 6455, 4.1, second list).

    Raises:
        HandshakeError: it did not answer 101, or claims what was not offered.
    """
    status, headers = response.status, response.headers
    if status != 101:
        said = response.reason.encode("ascii", "replace").decode()[:100]
        raise HandshakeError(status, f"the server answered {status} {said}".rstrip(), response)
    is_upgraded = tokens(headers, "upgrade") == ["websocket"]
    if not is_upgraded or "upgrade" not in tokens(headers, "connection"):
        raise HandshakeError(status, "the server did not upgrade to a WebSocket", response)
    if response.header("sec-websocket-accept") != accept_key(_encode(key)):
        raise HandshakeError(status, "the server's Sec-WebSocket-Accept is wrong", response)
    subprotocol = response.header("sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in subprotocols:
        raise HandshakeError(status, "the server chose a subprotocol not offered", response)
    extensions = response.header("sec-websocket-extensions")
    if deflate is None:
        if extensions:
            raise HandshakeError(status, "the server chose an extension not offered", response)
        return Agreed(subprotocol, None, response.rest)
    try:
        return Agreed(subprotocol, read_answer(deflate, extensions), response.rest)
    except ProtocolError as error:
        raise HandshakeError(status, error.reason, response) from None


def parse_url(url: str) -> Target:
    """Takes a `ws`, `wss`, `http` or `https` URL apart (RFC 6455, 3). A fragment is never sent.

    Raises:
        BadUrl: it has another scheme, no host, or a host or port that cannot be.
    """
    if any(character <= " " or character == "\x7f" for character in url):
        raise BadUrl("a URL has no spaces and no control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUrl(f"the URL is malformed: {error}") from None
    if parts.scheme not in _PORTS:
        raise BadUrl(f"the URL must begin with ws:// or wss://, not {parts.scheme[:20]!r}")
    if port == 0:
        raise BadUrl("port 0 cannot be connected to")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(
        scheme=parts.scheme,
        host=_host(parts.hostname or ""),
        port=_PORTS[parts.scheme] if port is None else port,
        resource=quote(resource, safe=_PRINTABLE),
        is_secure=parts.scheme in ("wss", "https"),
        userinfo=_userinfo(parts),
    )


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _upgrade_required(reason: str) -> Denied:
    # RFC 6455, 4.2.2: the answer names the version; RFC 9110, 15.5.22: and the protocol.
    return Denied(426, reason, (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")))


def _subprotocols(value: str) -> tuple[str, ...]:
    """The names in a Sec-WebSocket-Protocol header, in time linear in its length."""
    names = [name for part in value.split(",") if (name := part.strip(" \t"))]
    if not all(map(_TOKEN.fullmatch, names)):
        raise ProtocolError("a subprotocol's name is a token (RFC 9110, 5.6.2)")
    if len(set(names)) != len(names):
        raise ProtocolError("a subprotocol is offered twice")
    return tuple(names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _more(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Lower-case names and lines of headers that an application adds."""
    lines = [header_line(name, value) for name, value in headers]
    more = [(line.partition(b":")[0].lower(), line) for line in lines]
    for name, _ in more:
        if name in _OURS or name.startswith(b"sec-websocket-"):
            raise ValueError(f"the header {name.decode()!r} is the handshake's own")
    return more


def _host(host: str) -> str:
    if not host:
        raise BadUrl("the URL has no host")
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
            return host
        # The limit of a host name (RFC 1035, 2.3.4); longer ones make the IDNA codec slow.
        name = host[:256] if host.isascii() else host[:256].encode("idna").decode()
    except ValueError:
        raise BadUrl("the URL's host is malformed") from None
    if len(name) > 255 or _HOST_NAME.fullmatch(name) is None:
        raise BadUrl("the URL's host is malformed")
    return name


def _userinfo(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"
