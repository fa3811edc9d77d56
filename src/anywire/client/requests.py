"""The own wire over HTTP requests, where WebSockets do not get through: a dialer for each carrier.

The links it opens are `httplink.HttpLink`.
"""

import ssl as tls
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal
from urllib.parse import urlencode

from anywire.body import Form
from anywire.client.http import Asking, Way
from anywire.client.httplink import HttpLink
from anywire.client.redirect import pairs
from anywire.errors import Refused
from anywire.net.handshake import Target, parse_url
from anywire.payload import Carrier
from anywire.wires.anywire.codec import SUBPROTOCOLS
from anywire.wires.anywire.reading import reader
from anywire.wires.base import Request


class HttpDialer:
    """Links of the own wire over one HTTP carrier.

    `carrier`: `events` (server-sent events, JSON alone), `stream` (one answer without end) or
    `poll` (long-polling). `fresh`: each request on a connection of its own; `max_body`: bytes of
    messages that one request brings, if they are several; `max_answer`: bytes of the largest answer
    to a poll, and of the largest message of the others; `headers`: sent with every request, those
    of the client win. `ssl`, `server_hostname`, `unix`, `proxy`: see `SocketDialer`. Raises
    ValueError for options that cannot be.
    """

    __slots__ = ("_carrier", "_fresh", "_headers", "_max_answer", "_max_body", "_way")

    def __init__(
        self,
        carrier: Literal["events", "stream", "poll"],
        *,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        unix: str | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        fresh: bool = False,
        max_body: int = 256 * 1024,
        max_answer: int = 8 * 1024 * 1024,
    ) -> None:
        if carrier not in ("events", "stream", "poll"):
            raise ValueError(f"an HTTP carrier is events, stream or poll, not {carrier!r}")
        self._carrier = Carrier(carrier)
        self._way = Way(ssl=ssl, server_hostname=server_hostname, unix=unix, proxy=proxy)
        self._headers = pairs(headers)
        self._fresh = fresh
        self._max_body = max_body
        self._max_answer = max_answer

    async def dial(self, url: str, request: Request) -> HttpLink:
        """The link, once the server has said the first of its messages.

        Raises Refused for the statuses 401 and 403 and for a client of another wire; OSError or
        AnywireError for what may pass.
        """
        subprotocol = next((one for one in request.subprotocols if one in SUBPROTOCOLS), None)
        is_binary = subprotocol is not None and SUBPROTOCOLS[subprotocol].form is Form.MSGPACK
        if subprotocol is None or (is_binary and self._carrier is Carrier.EVENTS):
            spoken = (
                "anywire.json.1" if self._carrier is Carrier.EVENTS else ", ".join(SUBPROTOCOLS)
            )
            raise Refused("unsupported", f"the carrier {self._carrier.value} speaks {spoken}")
        target = parse_url(url)
        named = {name.lower() for name in request.headers}
        more = [header for header in self._headers if header[0].lower() not in named]
        headers = [*more, *request.headers.items()]
        asks, posts = (
            Asking(self._way, target, headers, fresh=self._fresh, max_answer=self._max_answer)
            for _ in range(2)
        )
        link = HttpLink(
            asks,
            posts,
            _resource(target, self._carrier, subprotocol),
            partial(reader, self._carrier, is_binary=is_binary, largest=self._max_answer),
            carrier=self._carrier,
            subprotocol=subprotocol,
            max_body=self._max_body,
        )
        await link.open(urlencode(request.query))
        return link


def _resource(target: Target, carrier: Carrier, subprotocol: str) -> str:
    """Where the requests of this URL go, with what all of them say."""
    path, _, query = target.resource.partition("?")
    joint = f"{query}&" if query else ""
    return f"{path.rstrip('/')}/{carrier.value}?{joint}{urlencode({'protocol': subprotocol})}"
