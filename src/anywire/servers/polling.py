"""Long polls: how requests open a session, ask for what it says, and bring what its client says.

The wire says what a request means (`Opening.role`) and how bodies are packed; the session's
transport (`transports/poll.py`) holds a request until there is something to say.
"""

from collections.abc import Sequence
from urllib.parse import quote

from anywire.core.admission import Admitted, Attached, Elsewhere, admit
from anywire.core.node import Node
from anywire.core.session import Session
from anywire.errors import ProtocolError
from anywire.payload import Carrier, Payload
from anywire.servers.carry import Carry, Exchange, whole
from anywire.servers.neighbours.forward import Forward
from anywire.servers.static import Reply, text
from anywire.transports.poll import Farewell, PollTransport
from anywire.wires.base import Answer, Hello, Reason, Role, Why, Wire

FAREWELL = "x-anywire-close"
"""Header of the last answer of all: the close code and, percent-encoded, the reason."""
RETRY = 1.0
"""Seconds after which a client that sent a broken body may come back."""
_HEADERS = [
    ("Content-Type", "application/octet-stream"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Accel-Buffering", "no"),
]


class Polling:
    """The carriers POLL and POST of one node; `forward` takes what belongs to another node."""

    __slots__ = ("_forward", "_known", "_node")

    def __init__(self, node: Node, forward: Forward) -> None:
        self._node = node
        self._forward = forward
        self._known: dict[str, tuple[Session, PollTransport]] = {}  # by session id

    @property
    def carriers(self) -> dict[Carrier, Carry]:
        """The table's entries."""
        return {Carrier.POLL: self.poll, Carrier.POST: self.post}

    async def poll(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """Open a session, resume it, or ask for what it has to say."""
        transport: PollTransport | None = None
        admission = await admit(self._node, wire, hello)
        match admission:
            case Elsewhere():
                await self._forward.request(exchange, wire, hello, admission)
                return
            case Admitted():
                if len(self._known) >= self._node.limits.connections and not self._is_back(
                    wire, admission
                ):
                    why = Why(Reason.LIMIT, text="too many sessions on long polls; try again")
                    exchange.respond(Reply.of(wire.refuse(hello, why)))
                    return
                transport = self._open(wire, hello, admission)
            case Attached():
                transport = self._transport(admission.session)
            case Answer():
                transport = self._parting(wire, hello)
                if transport is None:
                    exchange.respond(Reply.of(admission))
                    return
        if transport is None:
            exchange.respond(_waits(wire, hello))
            return
        poll = _Poll(exchange, wire)
        transport.hold(poll)
        await exchange.gone()
        transport.let_go(poll)

    async def post(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """Take the messages of a body."""
        admission = await admit(self._node, wire, hello)
        match admission:
            case Elsewhere():
                await self._forward.request(exchange, wire, hello, admission)
            case Admitted():
                exchange.respond(text(405, "a session is opened by a poll", ("Allow", "GET")))
            case Answer():
                exchange.respond(Reply.of(admission))
            case Attached():
                await self._take(exchange, wire, hello, admission.session)

    async def _take(self, exchange: Exchange, wire: Wire, hello: Hello, session: Session) -> None:
        transport = self._transport(session)
        if transport is None:
            exchange.respond(_waits(wire, hello))
            return
        body = await whole(exchange)
        try:
            messages = wire.unpack(Carrier.POST, body)
        except ProtocolError as error:
            if transport is self._transport(session):
                session.close(error.code, error.reason, retry=RETRY)
            exchange.respond(text(400, error.reason))
            return
        # A session that was resumed meanwhile has another transport: its client repeats this.
        if await transport.take(messages):
            exchange.respond(Reply(204, _HEADERS))
        else:
            exchange.respond(_waits(wire, hello))

    def _transport(self, session: Session) -> PollTransport | None:
        """What this session is heard and told by, if it is by polls."""
        _, transport = self._known.get(session.id, (None, None))
        return transport if transport is session.transport else None

    def _is_back(self, wire: Wire, admitted: Admitted) -> bool:
        """Whether it goes on with a session that stands: then it is no new one."""
        opening, machine, user = admitted.opening, admitted.machine, admitted.user
        return (
            opening.role is Role.RESUME
            and self._node.resumable(wire, opening, machine, user) is not None
        )

    def _open(self, wire: Wire, hello: Hello, admitted: Admitted) -> PollTransport:
        node = self._node
        session: Session | None = None

        def ended() -> None:
            if session is not None and self._known.get(session.id) == (session, transport):
                del self._known[session.id]

        transport = PollTransport(
            now=node.now, deadlines=node.deadlines, limits=hello.limits, ended=ended
        )
        opening = admitted.opening
        session = node.open(wire, hello, opening, admitted.machine, admitted.user, transport)
        transport.attach(session)
        if not transport.is_over:
            self._known[session.id] = (session, transport)
        return transport

    def _parting(self, wire: Wire, hello: Hello) -> PollTransport | None:
        """The transport of a session that has ended, and whose last word nobody asked for yet."""
        opening = wire.open(hello)
        if isinstance(opening, Answer):
            return None
        known = self._known.get(opening.session)
        if known is None or not known[0].has_ended or not known[0].accepts(opening.token):
            return None
        return known[1]


def _waits(wire: Wire, hello: Hello) -> Reply:
    """It has another transport, or none: only a resume brings it back here."""
    return Reply.of(wire.refuse(hello, Why(Reason.UNKNOWN, text="the session waits for a resume")))


class _Poll:
    """A request that waits for an answer."""

    __slots__ = ("_exchange", "_wire")

    def __init__(self, exchange: Exchange, wire: Wire) -> None:
        self._exchange = exchange
        self._wire = wire

    def answer(self, payloads: Sequence[Payload], farewell: Farewell | None = None) -> bool:
        """Answer; false when the client is gone."""
        exchange = self._exchange
        if exchange.is_gone or exchange.has_begun:
            return False
        said = payloads or ([] if self._wire.idle is None else [self._wire.idle])
        headers = _HEADERS
        if farewell is not None:
            headers = [*headers, (FAREWELL, f"{farewell.code} {quote(farewell.reason)}".rstrip())]
        exchange.respond(Reply(200, headers, self._wire.pack(Carrier.POLL, said)))
        return True
