"""Listening: the asyncio edge of `anywire talk --listen`: a port, and who connects to it.

Built on the server's own HTTP connections (`servers.http`), so it reads requests as strictly as
`anywire serve`. It answers on every path, to every origin, and talks to one client at a time, as
wscat does; others are told so with 503.
"""

import asyncio
import ssl as tls
import time
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import formatdate

from anywire.cli.conversation import MOST
from anywire.cli.entry import Entry, Exit, failed, listening
from anywire.cli.peer import Peer
from anywire.cli.talking import Talk, on_signals
from anywire.core.clock import Deadlines
from anywire.errors import ConfigurationError
from anywire.limits import Deflate, Limits
from anywire.net.handshake import Denied, Offer, accept, read_offer
from anywire.servers.exchange import HttpExchange
from anywire.servers.http import HttpConnection
from anywire.servers.listening import why_not
from anywire.servers.static import text

_READ = 64 * 1024


class Door:
    """A listening port, and the host of its connections (`servers.http.Host`).

    `subprotocols`: the first of a client's offers that stands here is chosen; with none here, its
    first. `came` has the clients, one at a time.
    """

    __slots__ = (
        "_deflate",
        "_is_taken",
        "_listener",
        "_open",
        "_subprotocols",
        "buffer",
        "came",
        "deadlines",
        "is_open",
        "limits",
        "port",
    )

    def __init__(self, *, subprotocols: Sequence[str] = (), compress: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self._subprotocols = subprotocols
        self._deflate = Deflate() if compress else None
        self._listener: asyncio.Server | None = None
        self._open: set[object] = set()
        self._is_taken = False
        self.came: asyncio.Queue[Peer] = asyncio.Queue()
        self.buffer = memoryview(bytearray(_READ))
        self.deadlines = Deadlines(loop.time, loop.call_at)
        self.limits = Limits()
        self.port = 0
        """Where it listens, once it does."""
        self.is_open = False
        """No connection is kept for a second request."""

    async def open(self, host: str, port: int, ssl: tls.SSLContext | None = None) -> None:
        """Listen. Raises ConfigurationError: one line on why it cannot."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: HttpConnection(self), host, port, ssl=ssl
            )
        except OSError as error:
            raise ConfigurationError(why_not(error, host=host, port=port)) from error
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and cut who is still there."""
        if self._listener is not None:
            self._listener.close()
        for transport in list(self._open):
            transport.abort()  # type: ignore[attr-defined]
        self.deadlines.close()

    # --- what its connections ask (servers.http.Host) -------------------------------------------

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def date(self) -> str:
        return formatdate(time.time(), usegmt=True)

    def made(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)

    def lost(self, transport: object) -> None:
        self._open.discard(transport)

    def handle(self, exchange: HttpExchange) -> None:
        """Let a client in, if nobody else is."""
        offer = read_offer(exchange.request)
        if isinstance(offer, Denied):
            exchange.respond(text(offer.status, offer.reason, *offer.headers))
        elif self._is_taken:
            exchange.respond(text(503, "another client is talked to", ("Retry-After", "5")))
        else:
            self._let_in(exchange, offer)

    # --- inside ---------------------------------------------------------------------------------

    def _let_in(self, exchange: HttpExchange, offer: Offer) -> None:
        accepted = accept(offer, self._chosen(offer), deflate=self._deflate)
        transport = exchange.transport
        transport.write(accepted.head)

        def lost() -> None:
            self._is_taken = False
            exchange.lost(transport)

        peer = Peer(
            transport,
            subprotocol=accepted.subprotocol,
            deflate=accepted.deflate,
            max_message=MOST,
            lost=lost,
        )
        rest = exchange.give_away(peer)
        self._is_taken = True
        if rest:
            peer.data_received(rest)
        self.came.put_nowait(peer)

    def _chosen(self, offer: Offer) -> str | None:
        known = self._subprotocols or offer.subprotocols
        return next((name for name in offer.subprotocols if name in known), None)


class Listening:
    """Talks to one client after another, each by a talk of its own, until a signal.

    `make` makes the talks; `lines` is called for each and may give the same lines again, from where
    they were. `is_typed`: a person types, so what is typed while nobody is there is said to nobody.
    It ends once everything was said, or when it was we who closed in a script.
    """

    __slots__ = ("_door", "_is_typed", "_lines", "_main", "_make", "_show", "_stopped", "_talk")

    def __init__(
        self,
        door: Door,
        make: Callable[[], Talk],
        lines: Callable[[], AsyncIterator[str]],
        *,
        show: Callable[[Entry], None],
        is_typed: bool,
    ) -> None:
        self._door = door
        self._make = make
        self._lines = lines
        self._show = show
        self._is_typed = is_typed
        self._main: asyncio.Task[Exit] | None = None
        self._talk: Talk | None = None
        self._stopped = False

    async def run(self, *, is_for_ever: bool) -> Exit:
        """Talk until there is nothing left to say; `is_for_ever`: until a signal."""
        self._main = main = asyncio.create_task(
            self._run(is_for_ever=is_for_ever), name="anywire listening"
        )
        with on_signals(self.stop):
            self._show(listening(self._door.port))
            await asyncio.wait({main})
        return Exit.MEANT if main.cancelled() else main.result()

    def stop(self) -> None:
        """Say goodbye to who is there; when that is under way, or nobody is there, end at once."""
        assert self._main is not None
        self._stopped = True
        if self._talk is not None and not self._talk.is_closing:
            self._talk.stop()
        else:
            self._main.cancel()

    async def _run(self, *, is_for_ever: bool) -> Exit:
        while True:
            peer = await self._next()
            if peer is None:
                return Exit.MEANT
            self._talk = talk = self._make()
            code = await talk.over(peer, self._lines())
            self._talk = None
            if self._stopped:
                return Exit.MEANT
            is_done = talk.is_closing and not self._is_typed
            if is_done or (talk.has_said_all and not is_for_ever):
                return Exit.MEANT if self._is_typed else code

    async def _next(self) -> Peer | None:
        """The next client; None when the person at the terminal wants no more."""
        if not self._is_typed:
            return await self._door.came.get()
        coming = asyncio.create_task(self._door.came.get(), name="anywire client")
        typing = asyncio.create_task(self._say_to_nobody(), name="anywire lines")
        try:
            await asyncio.wait({coming, typing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()
            typing.cancel()
            await asyncio.wait({coming, typing})
        if not coming.cancelled():
            return coming.result()
        if not typing.cancelled():
            typing.result()  # raises what made the input unreadable
        return None

    async def _say_to_nobody(self) -> None:
        async for _ in self._lines():
            self._show(failed("nobody is connected"))
