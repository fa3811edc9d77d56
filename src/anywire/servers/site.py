"""Site: who answers a request: a wire, the server itself, or the user's own ASGI app.

Before anything of the application runs, the Host header and, on a path of a wire, the Origin are
checked here, so that no wire can forget to.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from anywire.core.admission import admit
from anywire.core.node import Node
from anywire.errors import Closed, ConfigurationError
from anywire.payload import Carrier
from anywire.servers.carry import Carry, Exchange
from anywire.servers.exchange import HttpExchange, failed
from anywire.servers.hello import hello_of
from anywire.servers.origin import Origins
from anywire.servers.routes import Found, Routes
from anywire.servers.static import File, Reply, health, text
from anywire.servers.upgrade import Upgrader
from anywire.wires.base import Answer, Hello, Reason, Why, Wire

HEALTH = "/healthz"
READY = "/readyz"


class Fallback(Protocol):
    """Who answers what is not ours."""

    def handle(self, exchange: HttpExchange) -> None: ...


class Site:
    """The paths of one server. `carriers` is the carrier table: a later carrier is one entry."""

    __slots__ = (
        "_carriers",
        "_fallback",
        "_files",
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
        upgrader: Upgrader,
        files: Mapping[str, File],
        carriers: Mapping[Carrier, Carry],
        fallback: Fallback | None,
    ) -> None:
        reserved = {HEALTH: "health check", READY: "readiness check"}
        for path in files:
            reserved[path] = "browser client" if path == "/anywire.js" else "file"
        self.routes = Routes(wires, reserved)
        known = {Carrier.WEBSOCKET, Carrier.REPLY, *carriers}
        for wire in wires:
            for route in wire.routes():
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

    def handle(self, exchange: HttpExchange) -> None:
        """Find who answers, and have it answered; bugs on the way are a 500."""
        try:
            self._handle(exchange)
        except Exception as bug:
            failed(exchange, bug)

    def _handle(self, exchange: HttpExchange) -> None:
        request = exchange.request
        path = request.path
        if not self._origins.knows_host(request.header("host")):
            exchange.respond(text(421, "this server does not answer to that name"))
            return
        owners = self.routes.methods(path)
        if owners:
            found = self.routes.find(request.method, path)
            self._own(exchange, found, owners)
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

    def _own(self, exchange: HttpExchange, found: Found | None, owners: Sequence[Found]) -> None:
        """A path of a wire."""
        request = exchange.request
        exchange.bound(self._node.limits.body)
        if exchange.is_gone:
            return
        if found is None:
            allowed = ", ".join(sorted(owner.route.method for owner in owners))
            exchange.respond(text(405, f"this path takes {allowed}", ("Allow", allowed)))
            return
        remote = remote_of(exchange)
        why = self._origins.why_not(
            request.header("origin"), request.header("host"), is_secure=is_secure(exchange)
        )
        if why is not None:
            hello = hello_of(request, found, self._node, remote=remote)
            answer = found.wire.refuse(hello, Why(Reason.ORIGIN, text=why))
            exchange.respond(_foreign(answer, why))
            return
        if found.route.carrier is Carrier.WEBSOCKET:
            self._upgrader.open(exchange, found, remote=remote)
            return
        hello = hello_of(request, found, self._node, remote=remote)
        carry = self._carriers.get(found.route.carrier, self._reply)

        def done(_: object, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, Closed):
                failed(exchange, error)
            elif not exchange.has_ended:
                exchange.fail(500, "internal error: no answer")

        stepper = self._node.dispatcher.stepper
        stepper.start(carry(exchange, found.wire, hello), done, f"anywire {hello.carrier.value}")

    async def _reply(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """A plain answer of the wire's own; no session stays behind."""
        answer = await admit(self._node, wire, hello)
        if not isinstance(answer, Answer):
            raise ConfigurationError(f"{wire.name} opened a session on {hello.path}, a plain route")
        exchange.respond(Reply.of(answer))


def _foreign(answer: Answer, why: str) -> Reply:
    """A foreign page never gets an upgrade, whatever the wire would say."""
    if answer.code is not None or answer.status < 400:
        return text(403, why)
    return Reply.of(answer)


def remote_of(exchange: HttpExchange) -> str:
    """The peer's address; empty over a Unix socket."""
    peer = exchange.transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def is_secure(exchange: HttpExchange) -> bool:
    """Whether TLS ends here."""
    return exchange.transport.get_extra_info("sslcontext") is not None
