"""Writes HTTP/1.1 responses: whole, or a head whose body follows in parts (RFC 9110, 9112).

Nothing an application passes can break out of its header line, or claim another framing than the
one written here.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus

Text = str | bytes
Headers = Iterable[tuple[Text, Text]]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_LENGTH = re.compile(rb"[0-9]{1,18}")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
# RFC 9110, 7.6.1 and RFC 9112, 6: they describe one connection, which an application cannot know.
_OURS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})
_STATUS_LINES = {int(code): f"HTTP/1.1 {code} {code.phrase}\r\n".encode() for code in HTTPStatus}


def response(
    status: int,
    headers: Headers,
    body: bytes = b"",
    *,
    keep_alive: bool,
    head_only: bool = False,
    date: Text | None = None,
) -> bytes:
    """A whole response; `head_only` answers HEAD. 1xx, 204 and 304 have no body, whatever is given.

    Fields of the connection and of the body's framing are written here and dropped from `headers`;
    a Content-Length there counts only where the body is not sent (RFC 9110, 8.6).

    Raises:
        ValueError: a name or value cannot stand in a header, or the status is none.
    """
    lines, length = _lines(status, headers, date)
    has_length = status >= 200 and status != 204
    has_body = has_length and status != 304 and not head_only
    if has_body or (length is None and body):
        length = b"%d" % len(body)
    if has_length and length is not None:
        lines.append(b"Content-Length: %b\r\n" % length)
    lines.append(_connection(status, keep_alive))
    if has_body:
        lines.append(body)
    return b"".join(lines)


def head(
    status: int,
    headers: Headers,
    *,
    chunked: bool,
    keep_alive: bool,
    date: Text | None = None,
) -> bytes:
    """The head of a response whose body follows: in chunks, or of the Content-Length in `headers`.

    Without either, the end of the connection ends the body (all that HTTP/1.0 clients understand).

    Raises:
        ValueError: as `response`; or the connection lives on and nothing says where the body ends.
    """
    lines, length = _lines(status, headers, date)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif length is not None:
        lines.append(b"Content-Length: %b\r\n" % length)
    elif keep_alive:
        raise ValueError("a body of unknown size on a kept connection must be chunked")
    lines.append(_connection(status, keep_alive))
    return b"".join(lines)


def chunk(data: bytes) -> bytes:
    """One part of a chunked body; nothing for no bytes, since an empty chunk would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def field(name: Text, value: Text) -> bytes:
    """One header line.

    Raises:
        ValueError: CR, LF, NUL or another character that would break out of the line.
    """
    raw_name = name.encode("latin-1") if isinstance(name, str) else name
    raw_value = value.encode("latin-1") if isinstance(value, str) else value
    if _NAME.fullmatch(raw_name) is None:
        raise ValueError(f"{name!r} is not a header name (RFC 9110, 5.1)")
    if _VALUE.fullmatch(raw_value) is None:
        raise ValueError(f"the value of header {name!r} holds a control character")
    return b"%b: %b\r\n" % (raw_name, raw_value)


def _lines(status: int, headers: Headers, date: Text | None) -> tuple[list[bytes], bytes | None]:
    """Status line and fields, without those that are ours; and the Content-Length among them."""
    if not 100 <= status <= 599:
        raise ValueError(f"{status} is not an HTTP status")
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    length = None
    if date is not None:
        lines.append(field("Date", date))
    for name, value in headers:
        line = field(name, value)
        key, _, rest = line.partition(b":")
        if key.lower() == b"content-length":
            length = rest.strip()
            if _LENGTH.fullmatch(length) is None:
                raise ValueError("Content-Length must be a number")
        elif key.lower() not in _OURS and (key.lower() != b"upgrade" or status == 426):
            lines.append(line)
    return lines, length


def _connection(status: int, keep_alive: bool) -> bytes:
    # HTTP/1.1 keeps by default, HTTP/1.0 only when told; saying it always serves both.
    option = b"keep-alive" if keep_alive else b"close"
    # RFC 9110, 15.5.22: a 426 names the protocol in Upgrade, and 7.8: that is the connection's own.
    return b"Connection: %b%b\r\n\r\n" % (b"Upgrade, " if status == 426 else b"", option)
