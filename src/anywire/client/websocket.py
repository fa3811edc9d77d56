"""The client's WebSockets: a dialer for TCP, TLS, Unix sockets and proxies.

The links it opens are `link.SocketLink`.
"""

import asyncio
import ssl as tls
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from anywire.client.dial import WebSocketLink
from anywire.client.link import SocketLink
from anywire.client.proxy import ENVIRONMENT, connect_through, parse_proxy, proxy_of_environment
from anywire.client.redirect import Asked, follow, pairs, too_many
from anywire.errors import Refused
from anywire.limits import Deflate
from anywire.net.handshake import HandshakeError, Target, parse_url
from anywire.wires.base import Request


class SocketDialer:
    """WebSockets over TCP, TLS or a Unix socket.

    `ssl`: the context for `wss` (default: certificate and host name are verified against the
    system's authorities); `server_hostname`: the name to verify instead of the URL's; `unix`: path
    of a Unix socket to connect to, whatever host the URL names; `max_message`: bytes of the largest
    message taken, inflated; `compress`: offer permessage-deflate; `headers`: sent with every
    handshake, those of its request win; `origin`: the Origin header.

    `proxy`: `http://[name:password@]host:port` (CONNECT), `socks5://…`, or `env` for what the
    environment names (`proxy.ENVIRONMENT`). `max_redirects`: how many redirects are followed;
    to another origin travel no headers of the caller (`redirect`). `greeted`: a link counts only
    once the server has said something over it, as it does on our own wire: what passes the
    handshake on and nothing behind it is then seen. Raises ValueError for options that cannot be.
    """

    __slots__ = (
        "_deflate",
        "_greeted",
        "_headers",
        "_is_proxy_named",
        "_max_message",
        "_max_redirects",
        "_origin",
        "_proxy",
        "_server_hostname",
        "_ssl",
        "_unix",
    )

    def __init__(
        self,
        *,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        unix: str | None = None,
        max_message: int = 4 * 1024 * 1024,
        compress: bool = True,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        origin: str | None = None,
        proxy: str | None = None,
        max_redirects: int = 0,
        greeted: bool = False,
    ) -> None:
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._unix = unix
        self._max_message = max_message
        self._deflate = Deflate() if compress else None
        self._headers = pairs(headers)
        self._origin = origin
        self._is_proxy_named = proxy == ENVIRONMENT
        self._proxy = None if proxy is None or self._is_proxy_named else parse_proxy(proxy)
        self._max_redirects = max_redirects
        self._greeted = greeted
        if self._proxy is not None and unix is not None:
            raise ValueError("proxy and unix are two ways to a server: give one of the two")
        if origin is not None and any(name.lower() == "origin" for name, _ in self._headers):
            raise ValueError("origin travels as the header Origin: give one of the two")

    async def dial(self, url: str, request: Request) -> WebSocketLink:
        """The link, once the opening handshake is done, and the server has spoken if it is to.

        Raises Refused for the statuses 401 and 403, OSError or AnywireError for what may pass.
        """
        named = {name.lower() for name in request.headers}
        more = [header for header in self._headers if header[0].lower() not in named]
        target = _with_query(parse_url(url), request)
        asked = Asked(target, (*more, *request.headers.items()))
        redirects = 0
        while True:
            try:
                return await self._ask(asked, request.subprotocols)
            except HandshakeError as error:
                if error.status in (401, 403):
                    raise Refused("refused", error.reason) from error
                following = follow(asked, error.response) if self._max_redirects else None
                if following is None:
                    raise
                if redirects >= self._max_redirects:
                    raise too_many(error.response, redirects) from None
                asked = following
                redirects += 1

    async def _ask(self, asked: Asked, subprotocols: Sequence[str]) -> SocketLink:
        """One handshake. Raises HandshakeError when it is answered otherwise."""
        link = SocketLink(
            asked,
            subprotocols,
            origin=self._origin,
            deflate=self._deflate,
            max_message=self._max_message,
            loop=asyncio.get_running_loop(),
        )
        try:
            await self._connect(link, asked)
            await link.agreed
            if self._greeted:
                await link.greeting()
        except BaseException:
            if not link.agreed.cancel() and not link.agreed.cancelled():
                link.agreed.exception()  # seen: it is what is raised, or a consequence of it
            link.abort()
            raise
        return link

    async def _connect(self, link: SocketLink, asked: Asked) -> None:
        target = asked.target
        loop = asyncio.get_running_loop()
        context = (self._ssl or tls.create_default_context()) if target.is_secure else None
        name = target.host if target.is_secure else None
        if target.is_secure and self._server_hostname is not None and asked.is_first_origin:
            name = self._server_hostname
        if self._unix is not None:
            if not asked.is_first_origin:
                raise ConnectionError("a redirect leads to another server than the Unix socket's")
            await loop.create_unix_connection(
                lambda: link, self._unix, ssl=context, server_hostname=name
            )
            return
        proxy = proxy_of_environment(target) if self._is_proxy_named else self._proxy
        if proxy is not None:
            await connect_through(proxy, target, link, ssl=context, server_hostname=name)
            return
        await loop.create_connection(
            lambda: link, target.host, target.port, ssl=context, server_hostname=name
        )


def _with_query(target: Target, request: Request) -> Target:
    """The target, with what the request adds to its query."""
    if not request.query:
        return target
    joint = "&" if "?" in target.resource else "?"
    return replace(target, resource=f"{target.resource}{joint}{urlencode(request.query)}")
