"""ASGI: an app under a host that has the sockets (ASGI 3.0: lifespan, http, websocket).

What is answered, and by whom, is `site.py`'s, as on our own server. What is not ours goes to the
user's own app untouched. Where nobody runs our lifespan (it was switched off, or we are mounted),
the first request starts the app, and it stops when its loop does.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from anywire.core.admission import Elsewhere
from anywire.core.node import Node
from anywire.core.stepping import Stepper
from anywire.servers.asgiexchange import AsgiExchange
from anywire.servers.asgilink import Scope
from anywire.servers.asgisocket import AsgiSocket
from anywire.servers.asgistop import StopSignals
from anywire.servers.entrance import Entrance
from anywire.servers.guest import Asgi, Lifespan, Receive, Send
from anywire.servers.hello import hello_of
from anywire.servers.hosting import Hosting
from anywire.servers.neighbours.forward import Forward
from anywire.servers.neighbours.relay import Relay
from anywire.servers.origin import Origins
from anywire.servers.routes import Found
from anywire.servers.site import Site
from anywire.servers.static import File, client_files, text
from anywire.wires.base import Answer, Hello, Wire

log = logging.getLogger(__name__)

Run = Callable[[], AbstractAsyncContextManager[None]]


class AsgiServer:
    """Serves one app to hosts of ASGI. `lifespan` runs the app, `running` is its node if it runs.

    `fallback`: the user's own ASGI app, for every path that is not ours; its lifespan is run with
    ours. `hosting`: what the servers of the running node share.
    """

    __slots__ = (
        "_emptied",
        "_exchanges",
        "_fallback",
        "_hosting",
        "_keeper",
        "_lifespan",
        "_origins",
        "_running",
        "_signals",
        "_site",
        "_starting",
        "_stepper",
        "_wires",
        "scopes",
    )

    def __init__(
        self,
        *,
        wires: Sequence[Wire],
        lifespan: Run,
        running: Callable[[], Node | None],
        hosting: Callable[[], Hosting],
        origins: Sequence[str] | str | None = None,
        fallback: Asgi | None = None,
    ) -> None:
        self._wires = wires
        self._lifespan = lifespan
        self._running = running
        self._hosting = hosting
        self._origins = Origins(origins)
        self._fallback = fallback
        self._stepper = Stepper()
        self._signals = StopSignals(self._send_away, self._stepper)
        self._exchanges: set[AsgiExchange] = set()
        self._emptied: asyncio.Event | None = None
        self._starting: asyncio.Future[Node] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._site: tuple[Node, Site[AsgiExchange]] | None = None
        self.scopes: dict[bytes, Scope] = {}
        """What the host said of each open connection, by the seed of its hello."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, request or lifespan (ASGI 3.0)."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(scope, receive, send)
        elif kind in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif self._fallback is not None:
            await self._fallback(scope, receive, send)
        else:
            raise ValueError(f'anywire serves http and websocket, not "{kind}"')

    async def stopped(self) -> None:
        """The node has stopped: wait for the end of its connections, `Limits.closing` at most."""
        site, self._site = self._site, None
        if site is not None:
            self._signals.forget()
            await self._empty(site[0])

    async def _send_away(self) -> None:
        """The host was told to stop: send everybody away before it hangs up on them."""
        if self._site is not None:
            node, site = self._site
            site.is_ready = False
            node.send_away()
            await self._empty(node)

    async def _empty(self, node: Node) -> None:
        if not self._exchanges:
            return
        self._emptied = asyncio.Event()
        try:
            async with asyncio.timeout(node.limits.closing + 0.5):  # a transport hangs up by itself
                await self._emptied.wait()
        except TimeoutError:
            log.warning("%d connections did not end in time", len(self._exchanges))
            for exchange in list(self._exchanges):
                exchange.abort()

    # --- the app's life -------------------------------------------------------------------------

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and the user's own, between start-up and shut-down."""
        guest = None if self._fallback is None else Lifespan(self._fallback, scope.get("state", {}))
        await receive()
        step = "startup"
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._lifespan())
                node = self._node
                self._site_of(node)
                if guest is not None:
                    stack.push_async_callback(guest.stop, node.limits.stop / 2)
                    await guest.start()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                step = "shutdown"
        except Exception as error:
            log.exception("the app's %s failed", step)
            await send({"type": f"lifespan.{step}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    @property
    def _node(self) -> Node:
        node = self._running()
        assert node is not None  # its lifespan was entered
        return node

    async def _started(self) -> Node:
        """The running node; started now if nobody has."""
        node = self._running()
        if node is not None and (self._starting is None or self._starting.done()):
            return node
        if self._starting is None:
            log.info("nobody runs our lifespan: the first request starts the app")
            self._starting = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._starting), name="anywire lifespan")
        return await asyncio.shield(self._starting)

    async def _keep(self, starting: "asyncio.Future[Node]") -> None:
        """Run the app until the loop ends and cancels us."""
        try:
            async with self._lifespan():
                node = self._node
                self._site_of(node)
                starting.set_result(node)
                await asyncio.get_running_loop().create_future()
        except Exception as error:
            if starting.done():
                log.exception("the app failed to stop")
            else:
                starting.set_exception(error)
        finally:
            self._starting = self._keeper = None

    # --- connections ----------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        node = await self._started()
        site = self._site_of(node)
        exchange = AsgiExchange(scope, receive, send, self._stepper, self.scopes)
        if self._fallback is not None and not site.owns(exchange.request):
            await self._fallback(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()  # websocket.connect
        self._exchanges.add(exchange)
        try:
            if len(self._exchanges) > node.limits.connections:
                exchange.respond(text(503, "too many connections", ("Retry-After", "5")))
            else:
                site.handle(exchange)
            await exchange.run()
        finally:
            self._exchanges.discard(exchange)
            if self._emptied is not None and not self._exchanges:
                self._emptied.set()

    def _site_of(self, node: Node) -> "Site[AsgiExchange]":
        """Who answers what, in this run of the app."""
        if self._site is None or self._site[0] is not node:
            site = Site(
                node,
                wires=self._wires,
                origins=self._origins,
                upgrader=self,
                files={name: File.of(*file) for name, file in client_files().items()},
                carriers=self._hosting().carriers,
                fallback=None,
            )
            site.is_ready = True
            self._site = (node, site)
            self._signals.hear()
        return self._site[1]

    def open(self, exchange: AsgiExchange, found: Found, *, remote: str) -> None:
        """Answer a request on a WebSocket's path; its origin was checked."""
        scope = exchange.scope
        if scope["type"] != "websocket":
            headers = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
            exchange.respond(text(426, "this path takes WebSockets", *headers))
            return
        node = self._node
        subprotocols = tuple(scope.get("subprotocols") or ())
        hello = hello_of(exchange.request, found, node, remote=remote, subprotocols=subprotocols)
        exchange.greet(hello)
        upgrade = _Upgrade(exchange, hello, found.wire, node, self._hosting().forward)
        Entrance(node, found, hello, upgrade).open()


class _Upgrade:
    """One request whose socket is the host's (`entrance.Upgrade`)."""

    __slots__ = ("_forward", "_hello", "_node", "_wire", "exchange")

    def __init__(
        self, exchange: AsgiExchange, hello: Hello, wire: Wire, node: Node, forward: Forward
    ) -> None:
        self.exchange = exchange
        self._hello = hello
        self._wire = wire
        self._node = node
        self._forward = forward

    def accept(self, subprotocol: str | None) -> AsgiSocket:
        """Have the host say yes."""
        node = self._node
        return self.exchange.accept(
            subprotocol, now=node.now, deadlines=node.deadlines, limits=self._hello.limits
        )

    def begin(self) -> None:
        """What came meanwhile is the host's to tell."""

    async def elsewhere(self, elsewhere: Elsewhere) -> Relay | Answer | None:
        """Be between the host and the owner of the session: a host's socket cannot be given."""
        return await self._forward.relay(self._wire, self._hello, elsewhere, beats=False)
