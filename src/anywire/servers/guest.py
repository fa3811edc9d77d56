"""Guest: the user's own ASGI app, for every path that is not ours (ASGI 3.0).

Each request is a task of its own. Backpressure goes both ways: `send` waits until the kernel has
taken what was written, and a body is read from the client only as fast as the app reads it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from anywire.core.node import Node
from anywire.errors import Closed, ConfigurationError
from anywire.limits import Deflate
from anywire.net.handshake import Denied, read_offer
from anywire.servers.exchange import HttpExchange, failed
from anywire.servers.guestsocket import GuestSocket
from anywire.servers.static import text

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

ASGI = {"version": "3.0", "spec_version": "2.3"}


class Guest:
    """One ASGI app and its running requests."""

    __slots__ = ("_app", "_deflate", "_lifespan", "_node", "_sockets", "_state", "_tasks")

    def __init__(self, app: Asgi, node: Node, deflate: Deflate | None = None) -> None:
        self._app = app
        self._node = node
        self._deflate = deflate
        self._state: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: set[GuestSocket] = set()
        self._lifespan: Lifespan | None = None

    async def start(self) -> None:
        """Run the app's start-up, if it has one. Raises ConfigurationError when that fails."""
        self._lifespan = Lifespan(self._app, self._state)
        await self._lifespan.start()

    async def stop(self) -> None:
        """Cancel what still runs, then run the app's shut-down; within `Limits.stop` seconds."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._node.limits.stop / 2)
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop(self._node.limits.stop / 2)

    def close_sockets(self) -> None:
        """The server stops: close every WebSocket with 1001."""
        for guest in list(self._sockets):
            guest.close(1001)

    def handle(self, exchange: HttpExchange) -> None:
        """Have the app answer this request."""
        if not exchange.request.upgrade:
            self._run(self._http(exchange), "anywire guest request")
            return
        offer = read_offer(exchange.request)
        if isinstance(offer, Denied):
            exchange.respond(text(offer.status, offer.reason, *offer.headers))
            return
        guest = GuestSocket(exchange, offer, self._node, self._deflate)
        self._run(self._websocket(exchange, guest), "anywire guest websocket")

    def _run(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _http(self, exchange: HttpExchange) -> None:
        body_is_read = False

        async def receive() -> Message:
            nonlocal body_is_read
            if body_is_read:
                await exchange.gone()
                return {"type": "http.disconnect"}
            try:
                data = await exchange.read()
            except Closed:
                return {"type": "http.disconnect"}
            body_is_read = exchange.is_whole
            return {"type": "http.request", "body": data, "more_body": not body_is_read}

        async def send(message: Message) -> None:
            match message["type"]:
                case "http.response.start":
                    exchange.start(message["status"], message.get("headers", ()))
                case "http.response.body" if exchange.has_begun or exchange.is_gone:
                    data = bytes(message.get("body", b""))
                    if message.get("more_body", False):
                        exchange.write(data)
                    else:
                        exchange.end(data)
                    await exchange.drained()
                case kind:
                    raise RuntimeError(f'"{kind}" cannot be sent here')

        try:
            await self._app(self._scope(exchange, "http"), receive, send)
        except asyncio.CancelledError:
            exchange.fail(503, "the server stops")
            raise
        except Exception as bug:
            failed(exchange, bug)
        else:
            if not exchange.has_ended and not exchange.is_gone:
                failed(exchange, RuntimeError("the app returned before its response was whole"))

    async def _websocket(self, exchange: HttpExchange, guest: GuestSocket) -> None:
        scope = self._scope(exchange, "websocket")
        scope["subprotocols"] = list(guest.offer.subprotocols)
        scope["extensions"] = {"websocket.http.response": {}}
        self._sockets.add(guest)
        try:
            await self._app(scope, guest.receive_message, guest.send_message)
        except asyncio.CancelledError:
            guest.close(1001)
            raise
        except Exception as bug:
            guest.fail(bug)
        else:
            guest.close(1000)
        finally:
            self._sockets.discard(guest)

    def _scope(self, exchange: HttpExchange, kind: str) -> dict[str, Any]:
        request = exchange.request
        transport = exchange.transport
        is_secure = transport.get_extra_info("sslcontext") is not None
        scheme = "http" if kind == "http" else "ws"
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": ASGI,
            "http_version": request.version,
            "scheme": f"{scheme}s" if is_secure else scheme,
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": _address(transport.get_extra_info("peername")),
            "server": _address(transport.get_extra_info("sockname")),
            "state": self._state.copy(),
        }
        if kind == "http":
            scope["method"] = request.method
        return scope


class Lifespan:
    """Start-up and shut-down of one app; one that raises on the scope is taken to have none."""

    __slots__ = ("_app", "_inbox", "_started", "_state", "_stopped", "_task")

    def __init__(self, app: Asgi, state: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        self._app = app
        self._state = state
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(2)
        self._started: asyncio.Future[str | None] = loop.create_future()
        self._stopped: asyncio.Future[str | None] = loop.create_future()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Say start-up, and wait for the answer. Raises ConfigurationError."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="anywire lifespan")
        self._inbox.put_nowait({"type": "lifespan.startup"})
        try:
            why = await self._started
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if why is not None:
            raise ConfigurationError(f"the app's start-up failed: {why or 'it did not say why'}")

    async def stop(self, seconds: float) -> None:
        """Say shut-down, and wait so many `seconds` at most."""
        task = self._task
        if task is None:
            return
        if not task.done():
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            await asyncio.wait([self._stopped], timeout=seconds)
            if not self._stopped.done():
                log.warning("the app did not shut down in %s seconds", seconds)
            elif (why := self._stopped.result()) is not None:
                log.error("the app's shut-down failed: %s", why)
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        scope: dict[str, Any] = {"type": "lifespan", "asgi": ASGI, "state": self._state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception:
            if self._started.done():
                log.exception("the app's lifespan failed")
            else:
                log.debug("the app has no lifespan", exc_info=True)
        for told in (self._started, self._stopped):
            if not told.done():
                told.set_result(None)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        told = self._started if kind.startswith("lifespan.startup.") else self._stopped
        if not told.done():
            told.set_result(message.get("message", "") if kind.endswith(".failed") else None)


def _address(name: object) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
