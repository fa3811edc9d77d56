"""A request as a `Hello`: what a wire is opened with."""

import secrets
from urllib.parse import parse_qsl

from anywire.core.node import Node
from anywire.net.http1 import Request
from anywire.servers.routes import Found
from anywire.wires.base import Hello


def hello_of(
    request: Request, found: Found, node: Node, *, remote: str, subprotocols: tuple[str, ...] = ()
) -> Hello:
    """The hello of a request on a path of ours; its randomness and its times are made here."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    query = request.query.decode("latin-1")
    return Hello(
        method=request.method,
        path=request.path,
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        headers=headers,
        cookies=_cookies(headers["cookie"]) if "cookie" in headers else {},
        remote=remote,
        carrier=found.route.carrier,
        subprotocols=subprotocols,
        address=found.address,
        seed=secrets.token_bytes(32),
        sign=node.id,
        clock=node.wall() - node.now(),
        limits=node.limits,
    )


def _cookies(header: str) -> dict[str, str]:
    """Cookies as RFC 6265, 5.4 writes them; what has no name is dropped."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            cookies[name.strip()] = value.strip().removeprefix('"').removesuffix('"')
    return cookies
