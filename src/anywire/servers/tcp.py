"""The standalone server: sockets, from bind to a bounded stop.

It listens on TCP or a Unix socket, with TLS or without, and gives each connection a protocol;
what is said on them is `http.py`'s and `site.py`'s.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Any

import msgspec

from anywire.core.clock import Deadlines
from anywire.core.node import Node
from anywire.errors import ConfigurationError
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.servers.carry import Carry
from anywire.servers.exchange import HttpExchange
from anywire.servers.guest import Asgi, Guest
from anywire.servers.hosting import Hosting
from anywire.servers.http import HttpConnection
from anywire.servers.listening import BACKLOG, check_path, why_not
from anywire.servers.origin import Origins
from anywire.servers.site import Site
from anywire.servers.static import File, text
from anywire.servers.upgrade import Upgrader
from anywire.wires.base import Wire

log = logging.getLogger(__name__)

TURN = 16
"""Connections taken from a socket that several workers share before the others have their turn."""
READ = 64 * 1024
"""Bytes read in one call, into one buffer for all connections."""
DEFLATE = Deflate()


class Address(msgspec.Struct, frozen=True):
    """Where a server is bound. `host` and `port` are empty for a Unix socket, `path` for TCP."""

    host: str = ""
    port: int = 0
    path: str = ""
    is_secure: bool = False

    @property
    def url(self) -> str:
        """`http://127.0.0.1:8000`, or `unix:/run/app.sock`."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_secure else 'http'}://{host}:{self.port}"


class Server:
    """One standalone server of a started node, which `stop` stops too: its sessions must end.

    Listens on `host` and `port` (0: one that is free), or on the Unix socket `path`, or serves
    `sockets`, which listen already, under paths that others remove. `origins`: pages that may
    connect beside our own (`"*"`: all); `hosts`: names we answer to (None: any). `fallback`: the
    user's own ASGI app, for every path that is not ours. `files`: content type and bytes by path,
    as the browser client at `/anywire.js`. `deflate=None` compresses nothing.
    """

    __slots__ = (
        "_date",
        "_emptied",
        "_guest",
        "_host",
        "_hosting",
        "_is_stopped",
        "_listeners",
        "_node",
        "_path",
        "_port",
        "_sockets",
        "_ssl",
        "_transports",
        "addresses",
        "buffer",
        "lost",
        "site",
    )

    def __init__(
        self,
        *,
        node: Node,
        wires: Sequence[Wire],
        host: str = "127.0.0.1",
        port: int = 8000,
        path: str | None = None,
        sockets: Sequence[socket.socket] = (),
        ssl: tls.SSLContext | None = None,
        origins: Sequence[str] | str | None = None,
        hosts: Sequence[str] | None = None,
        fallback: Asgi | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        deflate: Deflate | None = DEFLATE,
        carriers: Mapping[Carrier, Carry] | None = None,
        hosting: Hosting | None = None,
    ) -> None:
        self._node = node
        self._hosting = hosting = hosting or Hosting(node, wires)
        self._host = host
        self._port = port
        self._path = path
        self._sockets = sockets
        self._ssl = ssl
        self._guest = None if fallback is None else Guest(fallback, node, deflate)
        self.site = Site(
            node,
            wires=wires,
            origins=Origins(origins, hosts),
            upgrader=Upgrader(node, deflate, hosting.forward),
            files={name: File.of(*file) for name, file in (files or {}).items()},
            carriers={**hosting.carriers, **(carriers or {})},
            fallback=self._guest,
        )
        self.addresses: list[Address] = []
        """Where it listens, once it has started."""
        self.buffer = memoryview(bytearray(READ))
        self.lost: Callable[[object], None] = self._lost
        """A socket is gone, whoever had it last; one bound method for all who hold it."""
        self._listeners: list[asyncio.Server] = []
        self._transports: set[object] = set()
        self._emptied: asyncio.Event | None = None
        self._is_stopped = False
        self._date = (0, "")

    @property
    def connections(self) -> int:
        """Open sockets, of any protocol."""
        return len(self._transports)

    async def start(self) -> None:
        """Start the guest, then listen; the node was started.

        Raises:
            ConfigurationError: one line on why it cannot, as a port that is in use.
        """
        try:
            if self._guest is not None:
                await self._guest.start()
            await self._listen()
        except BaseException:
            if self._guest is not None:
                await self._guest.stop()
            raise
        self.addresses = [
            address_of(one, is_secure=self._ssl is not None)
            for listener in self._listeners
            for one in listener.sockets
        ]
        self.site.is_ready = True
        if self._hosting.door is not None:
            self._hosting.door.adopt = self.adopt
        for address in self.addresses:
            log.info("listening on %s", address.url)

    def adopt(self, sock: socket.socket, data: bytes) -> None:
        """Serve a socket that reached another worker, from which `data` was read there."""
        sock.setblocking(False)
        self._node.spawn(self._adopted(sock, data), "anywire hand-over")

    async def _adopted(self, sock: socket.socket, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: HttpConnection(self, data), sock)
        except BaseException:
            sock.close()
            raise

    def stop_listening(self) -> None:
        """Accept no more; who is connected is served as before."""
        for listener in self._listeners:
            listener.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    async def stop(self) -> None:
        """Stop listening, end every session with 1001, and return within `Limits.stop` seconds."""
        if self._is_stopped or not self._listeners:
            return
        self._is_stopped = True
        self.site.is_ready = False
        self._hosting.stop()
        self.stop_listening()
        until = self._node.now() + self._node.limits.stop
        for transport in list(self._transports):
            connection = transport.get_protocol()  # type: ignore[attr-defined]
            if isinstance(connection, HttpConnection):
                connection.close_idle()
        if self._guest is not None:
            self._guest.close_sockets()
        await self._node.stop()
        await self._empty(until)
        if self._guest is not None:
            await self._guest.stop()
        log.info("stopped")

    async def _empty(self, until: float) -> None:
        """Wait for the connections to end; those that do not are cut."""
        self._emptied = asyncio.Event()
        if not self._transports:
            return
        try:
            async with asyncio.timeout(max(0.0, until - self._node.now())):
                await self._emptied.wait()
        except TimeoutError:
            log.warning("%d connections did not end in time", len(self._transports))
            for transport in list(self._transports):
                transport.abort()  # type: ignore[attr-defined]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._emptied.wait()

    # --- what connections share (http.Host) -----------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The node's."""
        return self._node.limits

    @property
    def deadlines(self) -> Deadlines:
        """The node's."""
        return self._node.deadlines

    @property
    def is_open(self) -> bool:
        """Whether connections may be kept for another request."""
        return self.site.is_ready and len(self._transports) <= self.limits.connections

    def now(self) -> float:
        """Loop time."""
        return self._node.now()

    def date(self) -> str:
        """The Date header (RFC 9110, 6.6.1), made once a second."""
        now = int(self._node.wall())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]

    def made(self, transport: asyncio.Transport) -> None:
        """A socket was accepted."""
        self._transports.add(transport)

    def _lost(self, transport: object) -> None:
        self._transports.discard(transport)
        if self._emptied is not None and not self._transports:
            self._emptied.set()

    def handle(self, exchange: HttpExchange) -> None:
        """Answer a request, if there is room for its connection."""
        if len(self._transports) > self.limits.connections:
            exchange.respond(text(503, "too many connections", ("Retry-After", "5")))
        else:
            self.site.handle(exchange)

    # --- listening ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"backlog": BACKLOG}
        if self._ssl is not None:
            options |= {
                "ssl": self._ssl,
                "ssl_handshake_timeout": self.limits.handshake,
                "ssl_shutdown_timeout": self.limits.closing,
            }
        try:
            if self._sockets:
                for one in self._sockets:
                    self._listeners.append(await self._listen_on(one, options))
                return
            if self._path is not None:
                check_path(self._path)
                listener = await loop.create_unix_server(self._connection, self._path, **options)
            else:
                listener = await loop.create_server(
                    self._connection, self._host, self._port, **options
                )
        except OSError as error:
            why = why_not(error, host=self._host, port=self._port, path=self._path)
            raise ConfigurationError(why) from error
        self._listeners = [listener]

    async def _listen_on(self, one: socket.socket, options: dict[str, Any]) -> asyncio.Server:
        """Serve a socket that listens already; it is the loop's from now on."""
        loop = asyncio.get_running_loop()
        if one.family != socket.AF_UNIX:
            return await loop.create_server(self._connection, sock=one, **options)
        # asyncio accepts as many in one turn of its loop as may wait in the kernel's queue. (That
        # this is not create_unix_server leaves the path alone at the end: others serve it.)
        options = options | {"backlog": TURN}
        listener = await loop.create_server(self._connection, sock=one, **options)
        one.listen(BACKLOG)
        return listener

    def _connection(self) -> HttpConnection:
        return HttpConnection(self)


def address_of(listener: socket.socket, *, is_secure: bool) -> Address:
    """Where a socket is bound."""
    name = listener.getsockname()
    if isinstance(name, tuple):
        return Address(host=name[0], port=name[1], is_secure=is_secure)
    return Address(path=str(name), is_secure=is_secure)
