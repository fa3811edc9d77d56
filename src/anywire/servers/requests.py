"""Requests: how a session is opened, told and heard by HTTP requests that follow each other.

The wire says what a request means (`Opening.role`) and how it is read and answered
(`Opening.downlink`, `uplink`); the session's transport (`transports/http.py`) holds those that wait
until there is something to say.
"""

from anywire.core.admission import Admitted, Attached, Elsewhere, admit
from anywire.core.node import Node
from anywire.core.session import Session
from anywire.errors import Closed, ProtocolError
from anywire.payload import Carrier
from anywire.servers.carry import Carry, Exchange, whole
from anywire.servers.neighbours.forward import Forward
from anywire.servers.outlet import COMMON, ExchangeOutlet, refuse, said
from anywire.servers.static import Reply, text
from anywire.transports.http import HttpTransport
from anywire.wires.base import Answer, Headers, Hello, Opening, Reason, Role, User, Why, Wire

RETRY = 1.0
"""Seconds after which a client that sent a broken body may come back."""


class Requests:
    """The HTTP carriers of one node; `forward` takes what belongs to another node."""

    __slots__ = ("_forward", "_known", "_node")

    def __init__(self, node: Node, forward: Forward) -> None:
        self._node = node
        self._forward = forward
        self._known: dict[str, tuple[Session, HttpTransport]] = {}  # by session id

    @property
    def carriers(self) -> dict[Carrier, Carry]:
        """The table's entries."""
        down = dict.fromkeys((Carrier.POLL, Carrier.EVENTS, Carrier.STREAM), self.downlink)
        return {**down, Carrier.POST: self.uplink}

    async def downlink(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """Open a session, resume it, or ask for what it has to say."""
        admission = await admit(self._node, wire, hello)
        if isinstance(admission, Elsewhere):
            await self._forward.request(exchange, wire, hello, admission)
            return
        found = self._found(wire, hello, admission)
        if isinstance(found, Answer):
            refuse(exchange, found)
            return
        transport, opening = found
        outlet = ExchangeOutlet(exchange, hello.carrier, opening)
        if transport.hold(outlet):
            outlet.keep(transport)
        else:
            refuse(exchange, wire.refuse(hello, Why(Reason.TAKEN, text="another request waits")))

    async def uplink(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        """Take the messages of a body."""
        admission = await admit(self._node, wire, hello)
        match admission:
            case Elsewhere():
                await self._forward.request(exchange, wire, hello, admission)
            case Admitted():
                exchange.respond(text(405, "a session is opened by a GET", ("Allow", "GET")))
            case Answer():
                opening = self._closing(wire, hello)
                if opening is None:
                    refuse(exchange, admission)
                    return
                await whole(exchange)
                exchange.respond(_reply(said(opening.uplink).taken, opening.headers))
            case Attached():
                await self._take(exchange, wire, hello, admission)

    async def _take(self, exchange: Exchange, wire: Wire, hello: Hello, attached: Attached) -> None:
        session, opening = attached.session, attached.opening
        uplink = said(opening.uplink)
        transport = self._transport(session)
        if transport is None:
            refuse(exchange, _gone(wire, hello))
            return
        if uplink.is_alone and transport.is_taking:
            session.close(4400, "two requests bring messages at once", retry=RETRY)
            refuse(exchange, wire.refuse(hello, Why(Reason.TAKEN, text="another one is read")))
            return
        transport.is_taking = True
        try:
            try:
                body = await whole(exchange)
            except Closed:
                if uplink.is_alone:
                    transport.abort()  # something is lost, and nobody will repeat it
                raise
            try:
                messages = uplink.unpack(body)
            except ProtocolError as error:
                if transport is self._transport(session):
                    session.close(error.code, error.reason, retry=RETRY)
                exchange.respond(text(400, error.reason))
                return
            if isinstance(messages, Answer):
                exchange.respond(_reply(messages, opening.headers))
            # A session that was resumed meanwhile has another transport: its client repeats this.
            elif await transport.take(messages, uplink.first):
                if uplink.is_goodbye:
                    session.left(1000, "")
                exchange.respond(_reply(uplink.taken, opening.headers))
            else:
                refuse(exchange, _gone(wire, hello))
        finally:
            transport.is_taking = False

    def _found(
        self, wire: Wire, hello: Hello, admission: Admitted | Attached | Answer
    ) -> tuple[HttpTransport, Opening] | Answer:
        """What tells the session that this request is for; made for a new one."""
        transport: HttpTransport | None
        match admission:
            case Attached(opening=opening):
                transport = self._transport(admission.session)
                if transport is None or not _rewound(transport, admission):
                    return _gone(wire, hello)
            case Admitted(opening=opening):
                transport = self._parting(opening, admission.user)
                if transport is not None:
                    self._node.disclaim(opening.session)
                elif self._is_full and not self._is_back(wire, admission):
                    self._node.disclaim(opening.session)
                    text = "too many sessions on requests; try again"
                    return wire.refuse(hello, Why(Reason.LIMIT, text=text))
                else:
                    transport = self._open(wire, hello, admission)
            case _:
                reopened = wire.open(hello)  # of a session that has ended, perhaps
                if isinstance(reopened, Answer):
                    return admission
                opening, transport = reopened, self._parting(reopened, None)
                if transport is None:
                    return admission
        return transport, opening

    def _transport(self, session: Session) -> HttpTransport | None:
        """What this session is told and heard by, if it is by requests."""
        _, transport = self._known.get(session.id, (None, None))
        return transport if transport is session.transport else None

    @property
    def _is_full(self) -> bool:
        return len(self._known) >= self._node.limits.connections

    def _open(self, wire: Wire, hello: Hello, admitted: Admitted) -> HttpTransport:
        node = self._node
        session: Session | None = None

        def ended() -> None:
            if session is not None and self._known.get(session.id) == (session, transport):
                del self._known[session.id]

        opening = admitted.opening
        transport = HttpTransport(
            hello.carrier,
            said(opening.downlink),
            now=node.now,
            deadlines=node.deadlines,
            ended=ended,
        )
        session = node.open(wire, hello, opening, admitted.machine, admitted.user, transport)
        transport.attach(session)
        if not transport.is_over:
            self._known[session.id] = (session, transport)
        return transport

    def _is_back(self, wire: Wire, admitted: Admitted) -> bool:
        """Whether it goes on with a session that stands: then it is no new one."""
        opening, machine, user = admitted.opening, admitted.machine, admitted.user
        return (
            opening.role is Role.RESUME
            and self._node.resumable(wire, opening, machine, user) is not None
        )

    def _closing(self, wire: Wire, hello: Hello) -> Opening | None:
        """What this request means, where its session has ended and tells everyone so."""
        opening = wire.open(hello)
        if isinstance(opening, Answer):
            return None
        session, transport = self._known.get(opening.session, (None, None))
        if session is None or transport is None or not session.has_ended:
            return None
        is_its = _is_nobodys(opening) or session.accepts(opening.token)
        return opening if is_its and transport.is_closing else None

    def _parting(self, opening: Opening, user: User | None) -> HttpTransport | None:
        """The transport of a session that has ended, and whose last word may still be asked for.

        `user`: who asks, where that is known; an id that a client made up is no secret.
        """
        session, transport = self._known.get(opening.session, (None, None))
        if session is None or not session.has_ended:
            return None
        if _is_nobodys(opening):
            return transport if user is not None and user.is_same(session.user) else None
        return transport if session.accepts(opening.token) else None


def _is_nobodys(opening: Opening) -> bool:
    """Whether a client made this id up: it is no secret, and nothing else is shown."""
    return opening.is_claimed and not opening.token


def _rewound(transport: HttpTransport, attached: Attached) -> bool:
    """Have said again what the client does not have, where it says what it has."""
    received = attached.opening.received
    if received is None:
        return True
    if not attached.session.rewind(received):
        return False
    transport.unsay()
    return True


def _gone(wire: Wire, hello: Hello) -> Answer:
    """It has another transport, or none: only a resume brings it back here."""
    return wire.refuse(hello, Why(Reason.UNKNOWN, text="the session waits for a resume"))


def _reply(answer: Answer, headers: Headers) -> Reply:
    return Reply(answer.status, [*answer.headers, *COMMON, *headers], answer.body)
