"""A request as a `Hello`: what a wire is opened with."""

import secrets
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from anywire.core.node import Node
from anywire.net.http1 import Request
from anywire.servers.routes import Found
from anywire.wires.base import NOTHING, Fixed, Hello

_OPENING = frozenset(
    (
        b"connection",
        b"upgrade",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)
"""For the opening of a WebSocket alone (RFC 6455, 4.1): done with before anybody reads a hello."""
_COMMON = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"host",
        b"origin",
        b"pragma",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"user-agent",
    )
)
"""Headers whose values many clients share, and that hold no secret."""
_SHORT = 256
"""Longer texts are not shared, so that what is kept to be shared is bounded in bytes, too."""

Fields = tuple[tuple[bytes, bytes], ...]


def hello_of(
    request: Request, found: Found, node: Node, *, remote: str, subprotocols: tuple[str, ...] = ()
) -> Hello:
    """The hello of a request on a path of ours; its randomness and its times are made here."""
    headers = _headers(tuple(field for field in request.headers if field[0] not in _OPENING))
    query = request.query.decode("latin-1")
    return Hello(
        method=_one(request.method),
        path=_one(request.path),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else NOTHING,
        headers=headers,
        cookies=_cookies(headers["cookie"]) if "cookie" in headers else NOTHING,
        remote=_one(remote),
        carrier=found.route.carrier,
        subprotocols=subprotocols,
        address=None if found.address is None else _one(found.address),
        parts=found.parts,
        seed=secrets.token_bytes(32),
        sign=node.id,
        key=node.key,
        clock=node.wall() - node.now(),
        time=node.wall(),
        limits=found.route.mount.limits or node.limits,
    )


def _headers(fields: Fields) -> Mapping[str, str]:
    """Header fields by name: one mapping for all clients that say the same and nothing private."""
    is_common = all(name in _COMMON and len(value) <= _SHORT for name, value in fields)
    if is_common and len(fields) <= len(_COMMON):
        return _common_headers(fields)
    return _joined(fields)


@lru_cache(maxsize=256)
def _common_headers(fields: Fields) -> Fixed:
    return Fixed(_joined(fields))


def _joined(fields: Fields) -> dict[str, str]:
    """Lines of one name are joined (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = _one(raw_name.decode("latin-1")), raw_value.decode("latin-1")
        if raw_name in _COMMON:
            value = _one(value)
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers


def _one(text: str) -> str:
    """One copy of a text that many requests carry: a session holds what its hello said."""
    return _known(text) if len(text) <= _SHORT else text


@lru_cache(maxsize=1024)
def _known(text: str) -> str:
    return text


def _cookies(header: str) -> dict[str, str]:
    """Cookies as RFC 6265, 5.4 writes them; what has no name is dropped."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            cookies[name.strip()] = value.strip().removeprefix('"').removesuffix('"')
    return cookies
