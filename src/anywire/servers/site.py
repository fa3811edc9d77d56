"""Site: who answers a request: a wire, the server itself, or the user's own ASGI app.

Before anything of the application runs, the Host header and, on a path of a wire, the Origin are
checked here, so that no wire can forget to.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from anywire.core.admission import admit
from anywire.core.node import Node
from anywire.errors import Closed, ConfigurationError
from anywire.net.head import Request
from anywire.payload import Carrier
from anywire.servers.carry import Carry, Exchange, Served
from anywire.servers.cors import cors, preflight
from anywire.servers.exchange import failed
from anywire.servers.hello import hello_of
from anywire.servers.origin import Origins
from anywire.servers.routes import ANY, Found, Routes
from anywire.servers.static import File, Reply, health, text
from anywire.wires.base import Answer, Hello, Mount, Reason, Why, Wire

HEALTH = "/healthz"
READY = "/readyz"
log = logging.getLogger(__name__)


E = TypeVar("E", bound=Served)
E_contra = TypeVar("E_contra", bound=Served, contravariant=True)


class Upgrades(Protocol[E_contra]):
    """Who opens WebSockets."""

    def open(self, exchange: E_contra, found: Found, *, remote: str) -> None:
        """Answer a request on a WebSocket's path; its origin was checked."""
        ...


class Fallback(Protocol[E_contra]):
    """Who answers what is not ours."""

    def handle(self, exchange: E_contra) -> None: ...


class Site(Generic[E]):
    """The paths of one server, whoever has its sockets: `E` is their exchange.

    `carriers` is the carrier table: a later carrier is one entry.
    """

    __slots__ = (
        "_carriers",
        "_fallback",
        "_files",
        "_mounted",
        "_node",
        "_origins",
        "_upgrader",
        "is_ready",
        "routes",
    )

    def __init__(
        self,
        node: Node,
        *,
        wires: Sequence[Wire],
        origins: Origins,
        upgrader: Upgrades[E],
        files: Mapping[str, File],
        carriers: Mapping[Carrier, Carry],
        fallback: Fallback[E] | None,
    ) -> None:
        reserved = {HEALTH: "health check", READY: "readiness check"}
        for path in files:
            reserved[path] = "browser client" if path == "/anywire.js" else "file"
        self.routes = Routes(wires, reserved)
        self._mounted: dict[tuple[str, ...], Origins] = {}
        known = {Carrier.WEBSOCKET, Carrier.REPLY, *carriers}
        for wire in wires:
            for route in wire.routes():
                if (listed := route.mount.origins) is not None:
                    self._mounted[listed] = Origins(listed)
                if route.carrier not in known:
                    raise ConfigurationError(
                        f"{wire.name}: nothing here carries {route.carrier.value} ({route.path})"
                    )
        self._node = node
        self._origins = origins
        self._upgrader = upgrader
        self._files = files
        self._carriers = carriers
        self._fallback = fallback
        self.is_ready = False

    def handle(self, exchange: E) -> None:
        """Find who answers, and have it answered; bugs on the way are a 500."""
        try:
            self._handle(exchange)
        except Exception as bug:
            failed(exchange, bug)

    def owns(self, request: Request) -> bool:
        """Whether the path is ours, and no fallback's."""
        path = request.path
        return path in (HEALTH, READY) or path in self._files or bool(self.routes.methods(path))

    def _handle(self, exchange: E) -> None:
        request = exchange.request
        path = request.path
        if not self._origins.knows_host(request.header("host")):
            exchange.respond(text(421, "this server does not answer to that name"))
            return
        owners = self.routes.methods(path)
        if owners:
            self._own(exchange, owners)
        elif path == HEALTH:
            exchange.respond(health(request, is_well=True, words=("ok", "")))
        elif path == READY:
            is_well = self.is_ready and not self._node.is_stopping
            exchange.respond(health(request, is_well=is_well, words=("ready", "not ready")))
        elif (file := self._files.get(path)) is not None:
            exchange.respond(file.answer(request))
        elif self._fallback is not None:
            self._fallback.handle(exchange)
        else:
            exchange.respond(text(404, "nothing is here"))

    def _own(self, exchange: E, owners: Sequence[Found]) -> None:
        """A path of a wire."""
        request = exchange.request
        found = self.routes.find(request.method, request.path, is_upgrade=request.upgrade)
        mount = (found or owners[0]).route.mount
        limits = mount.limits or self._node.limits
        why = self._why_not(exchange, mount)
        if why is None:
            exchange.headers = cors(request)
        exchange.bound(limits.body)
        if exchange.is_gone:
            return
        if found is None or (request.method == "OPTIONS" and found.route.method != "OPTIONS"):
            _unowned(exchange, owners, why)
            return
        remote = exchange.remote
        if why is not None:
            log.info("%s at %.200r was refused: %.300r", found.wire.name, request.path, why)
            hello = hello_of(request, found, self._node, remote=remote)
            answer = found.wire.refuse(hello, Why(Reason.ORIGIN, text=why))
            exchange.respond(_foreign(answer, why))
            return
        if found.route.carrier is Carrier.WEBSOCKET:
            self._upgrader.open(exchange, found, remote=remote)
            return
        hello = hello_of(request, found, self._node, remote=remote)
        exchange.greet(hello)
        carry = self._carriers.get(found.route.carrier, self._reply)

        def done(_: object, error: BaseException | None) -> None:
            if isinstance(error, asyncio.CancelledError):
                exchange.fail(503, "the server stops")
            elif error is not None and not isinstance(error, Closed):
                failed(exchange, error)
            elif not (exchange.has_ended or exchange.is_kept):
                exchange.fail(500, "internal error: no answer")

        stepper = self._node.dispatcher.stepper
        stepper.start(carry(exchange, found.wire, hello), done, f"anywire {hello.carrier.value}")

    def _why_not(self, exchange: E, mount: Mount) -> str | None:
        """Why the page that sent this may not speak to us; None: it may."""
        request = exchange.request
        origins = self._origins if mount.origins is None else self._mounted[mount.origins]
        origin = request.header("origin")
        if origin is None and request.header("sec-fetch-site") in ("cross-site", "same-site"):
            origin = "null"  # Fetch, 3.2: what a page loads as an image or a script bears no Origin
        return origins.why_not(origin, request.header("host"), is_secure=exchange.is_secure)

    async def _reply(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """A plain answer of the wire's own; no session stays behind."""
        answer = await admit(self._node, wire, hello)
        if not isinstance(answer, Answer):
            raise ConfigurationError(f"{wire.name} opened a session on {hello.path}, a plain route")
        exchange.respond(Reply.of(answer))


def _unowned(exchange: Served, owners: Sequence[Found], why: str | None) -> None:
    """A method that no route of the path takes; a page may ask for what does (preflight).

    `why`: the page may not, if so.
    """
    methods = sorted({owner.route.method for owner in owners} - {ANY})
    if exchange.request.method != "OPTIONS":
        allowed = ", ".join(methods)
        exchange.respond(text(405, f"this path takes {allowed}", ("Allow", allowed)))
    elif why is not None:
        exchange.respond(text(403, why))
    else:
        exchange.respond(preflight(exchange.request, ["OPTIONS", *methods]))


def _foreign(answer: Answer, why: str) -> Reply:
    """A foreign page never gets an upgrade, whatever the wire would say."""
    if answer.code is not None or answer.status < 400:
        return text(403, why)
    return Reply.of(answer)
