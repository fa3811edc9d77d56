"""The head of an HTTP/1 message: what it says, read strictly from its whole bytes (RFC 9110, 9112).

The grammar of header fields is `httptools`' (llhttp). The request line, and everything on which a
proxy and a server could disagree (body's size, host, upgrade), is judged here: what is ambiguous is
refused. It knows nothing of how the bytes came; `http1.py` does.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import httptools
import msgspec

_REQUEST_LINE = re.compile(rb"([!-~]+) ([^\x00-\x20]+) HTTP/([0-9])\.([0-9])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n")
_TARGET = re.compile(rb"[!\"$-~]+")
_ABSOLUTE = re.compile(rb"(?:http|ws)s?://([^/?]+)([^?]*)(.*)", re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=\[\]_~-]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a request; its framing is sound: `length` bytes follow, or chunks."""

    method: str
    target: bytes
    """As it was sent."""
    path: str
    """Percent-decoded, not normalised; `*` for `OPTIONS *`."""
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """In order, names in lower case, values without white space around them."""
    version: str
    keep_alive: bool
    upgrade: bool
    """It asks for a WebSocket in a way that may be granted: the next event is `Upgraded`."""
    length: int | None = 0
    """Size of the body; None: chunked, so unknown."""
    expects_continue: bool = False
    """The client waits for `CONTINUE` before it sends the body."""

    def header(self, name: str) -> str | None:
        """The value, several lines joined as RFC 9110, 5.3 says; None where there is none."""
        return header(self.headers, name)

    def head(self) -> bytes:
        """The head as another reader of it takes it: the same target and fields."""
        lines = [b"%s %s HTTP/%s" % (self.method.encode(), self.target, self.version.encode())]
        lines += [b"%s: %s" % field for field in self.headers]
        return b"\r\n".join([*lines, b"", b""])


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a response, and the bytes that came after it."""

    status: int
    reason: str
    headers: list[tuple[bytes, bytes]]
    rest: bytes = b""

    def header(self, name: str) -> str | None:
        """The value, several lines joined as RFC 9110, 5.3 says; None where there is none."""
        return header(self.headers, name)


class BadHead(Exception):
    """These bytes are refused, with an HTTP status and a reason fit for the peer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def header(headers: Sequence[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of a field, its lines joined to one; names in `headers` are in lower case."""
    key = name.lower().encode("latin-1")
    values = [value for field, value in headers if field == key]
    if not values:
        return None
    return (b"; " if key == b"cookie" else b", ").join(values).decode("latin-1")


def tokens(headers: Sequence[tuple[bytes, bytes]], name: str) -> list[str]:
    """The members of a list field, over all its lines, in lower case (RFC 9110, 5.6.1)."""
    members = (header(headers, name) or "").lower().split(",")
    return [token for member in members if (token := member.strip(" \t"))]


def parse_request(head: bytes) -> Request:
    """The request that a whole head says.

    Raises:
        BadHead: with the status that answers it.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise BadHead(400, "the request line must be: method, target, HTTP/1.1")
    method, target = line[1].decode(), line[2]
    version = f"{line[3].decode()}.{line[4].decode()}"
    if version not in ("1.0", "1.1"):
        raise BadHead(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method in ("CONNECT", "TRACE"):
        raise BadHead(501, f"{method} is not offered")
    if _TARGET.fullmatch(target) is None:
        raise BadHead(400, "the request target holds a character that must be percent-encoded")
    headers = _fields(httptools.HttpRequestParser, head)
    raw_path, query, path = _path(method, target, _host(headers, version))
    connection = tokens(headers, "connection")
    length = _body_length(headers, version)
    asks_upgrade = "upgrade" in connection and "websocket" in tokens(headers, "upgrade")
    # Where a proxy sees an upgrade and we a body, or the reverse, requests are smuggled past it.
    if asks_upgrade and length != 0:
        raise BadHead(400, "a request for a WebSocket has no body")
    return Request(
        method=method,
        target=target,
        path=path,
        raw_path=raw_path,
        query=query,
        headers=headers,
        version=version,
        keep_alive="close" not in connection and (version == "1.1" or "keep-alive" in connection),
        upgrade=asks_upgrade and method == "GET" and version == "1.1",
        length=length,
        expects_continue=_expects_continue(headers, version) and length != 0,
    )


def parse_response(head: bytes) -> Response:
    """The response that a whole head says, without `rest`.

    Raises:
        BadHead: it is none.
    """
    line = _STATUS_LINE.match(head)
    if line is None:
        raise BadHead(400, "the answer is not HTTP/1.1")
    headers = _fields(httptools.HttpResponseParser, head)
    return Response(status=int(line[1]), reason=(line[2] or b"").decode("latin-1"), headers=headers)


class _Received:
    """What llhttp calls back for each field of a head, and at its end."""

    __slots__ = ("headers", "is_whole")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_whole = True


def _fields(
    parser: type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser], head: bytes
) -> list[tuple[bytes, bytes]]:
    received = _Received()
    try:
        parser(received).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        raise BadHead(501, "the method is unknown") from None
    except httptools.HttpParserError as error:
        # Once the head is whole llhttp speaks of what follows it (an upgrade it misses, a body it
        # cannot frame), which is judged here. Its words are fixed texts without the peer's bytes.
        if not received.is_whole:
            raise BadHead(400, f"the head is malformed: {error}") from None
    return received.headers


def _host(headers: list[tuple[bytes, bytes]], version: str) -> bytes | None:
    """The Host field. RFC 9112, 3.2: exactly one, which HTTP/1.0 may leave out."""
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version == "1.0":
        return None
    if len(hosts) != 1:
        raise BadHead(400, "a request needs exactly one Host header")
    if _HOST.fullmatch(hosts[0]) is None:
        raise BadHead(400, "the Host header is malformed")
    return hosts[0]


def _path(method: str, target: bytes, host: bytes | None) -> tuple[bytes, bytes, str]:
    """Raw path, query and decoded path of a target in any of the forms of RFC 9112, 3.2."""
    if target.startswith(b"/"):
        raw, _, query = target.partition(b"?")
    elif target == b"*" and method == "OPTIONS":
        return target, b"", "*"
    else:
        url = _ABSOLUTE.fullmatch(target)
        if url is None:
            raise BadHead(400, "the request target must begin with a slash")
        # Of two authorities that differ a proxy may read one and we the other; neither is believed.
        if host is not None and url[1].lower() != host.lower():
            raise BadHead(400, "the request target and the Host header disagree")
        raw, query = url[2] or b"/", url[3][1:]
    try:
        return raw, query, unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadHead(400, "the path is not UTF-8") from None


def _body_length(headers: list[tuple[bytes, bytes]], version: str) -> int | None:
    """The body's size, None where it is chunked (RFC 9112, 6.3; what is ambiguous is refused)."""
    lengths = [value for name, value in headers if name == b"content-length"]
    if header(headers, "transfer-encoding") is not None:
        codings = tokens(headers, "transfer-encoding")
        if lengths or version == "1.0" or codings.count("chunked") != 1 or codings[-1] != "chunked":
            raise BadHead(400, "the body's framing is ambiguous")
        if len(codings) > 1:
            raise BadHead(501, "the only transfer coding known here is chunked")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise BadHead(400, "the Content-Length is malformed")
    return int(lengths[0])


def _expects_continue(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    # RFC 9110, 10.1.1: an expectation of HTTP/1.0 is ignored; one that is not known may be refused.
    expectations = tokens(headers, "expect") if version == "1.1" else []
    if any(expectation != "100-continue" for expectation in expectations):
        raise BadHead(417, "the only expectation known here is 100-continue")
    return bool(expectations)
