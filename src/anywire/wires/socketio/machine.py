"""The server's end of a Socket.IO conversation: namespaces over Engine.IO.

Socket.IO protocol, revision 5. A namespace is an address without its slash (`/` is the mount's
home); to be connected to one is to be a member there.
"""

import re
from collections.abc import Sequence

import msgspec

from anywire.body import Args, Body, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import (
    Auth,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Cap, Codec
from anywire.wires.socketio import codec as words
from anywire.wires.socketio.codec import SocketIoCodec
from anywire.wires.socketio.engine import MESSAGE, PINGED, Engine
from anywire.wires.socketio.packets import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    EVENT,
    Packet,
    attach,
    parse,
    plain_event,
)

ATTACHMENTS_WITHIN = 30.0
"""Seconds from a packet to its last attachment."""
ATTEMPTS = 16
"""Times that a client may show who it is before it is known; the last refusal ends it."""
UNKNOWN = "Invalid namespace"
_LEFT = "client namespace disconnect"
_PACKET = re.compile(rb"4(?:[23]|[56][0-9]+-)(?:(/[^,]*),)?([0-9]*)\[")
_ASKING = (EVENT.encode(), BINARY_EVENT.encode())

_json = msgspec.json.Encoder().encode


class SocketIoMachine:
    """One client. `sid`: what it shows with each request; `home`: the address of the namespace `/`,
    None: there is none; `prefix`: what stands before those of the others; `connect`: seconds until
    it must have asked for a namespace.
    """

    __slots__ = (
        "_attempts",
        "_codec",
        "_connect",
        "_engine",
        "_home",
        "_is_admitted",
        "_limits",
        "_marks",
        "_namespaces",
        "_parted",
        "_partial",
        "_prefix",
        "_sid",
        "_unmarked",
        "_until",
        "_upgrades",
        "caps",
        "codec",
        "received",
    )

    is_single = False

    def __init__(
        self,
        codec: SocketIoCodec,
        engine: Engine,
        limits: Limits,
        *,
        sid: str,
        upgrades: Sequence[str],
        home: str | None,
        prefix: str,
        connect: float,
        marks: str,
    ) -> None:
        self.codec: Codec = codec
        self._codec = codec
        self.caps = codec.caps
        self.received = 0
        self._engine = engine
        self._limits = limits
        self._sid = sid
        self._upgrades = upgrades
        self._home = home
        self._prefix = prefix
        self._connect = connect
        self._until: float | None = None
        """When to give up: on a namespace, before there is one, or on an attachment."""
        self._partial: Packet | None = None
        self._namespaces: set[str] | None = None
        """Those it is connected to, or asked for."""
        self._parted: set[str] | None = None
        """Those it was put out of: what it still says there is on its way, and no fault."""
        self._is_admitted = False
        self._attempts = 0
        self._marks = marks
        """What the marks of events for this client alone begin with, unlike all others'."""
        self._unmarked = 0

    # --- in -------------------------------------------------------------------------------------

    def opened(self, now: float) -> Sequence[Frame]:
        limit = self._limits.message
        self._engine.open(now, sid=self._sid, upgrades=self._upgrades, limit=limit)
        self._until = now + self._connect
        return ()

    def heard(self, now: float) -> None:
        """A sign of life of the carrier: only a pong shows that the client itself hears us."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if isinstance(message, bytes):
            return self._attachment(message)
        if message[:1] != MESSAGE:
            return self._engine.control(message, now)
        if len(message) > self._limits.message or (
            not message.isascii() and len(message.encode(errors="replace")) > self._limits.message
        ):
            raise ProtocolError(f"a message has at most {self._limits.message} bytes", code=1009)
        if self._partial is not None:
            raise ProtocolError("a packet before the last attachment of the one before", code=4400)
        event = plain_event(message, self._limits)
        if event is not None:
            return (event,) if self._is_in(event.alias) else ()
        packet = parse(message[1:], self._limits)
        if packet.attachments:
            self._partial = packet
            self._until = now + ATTACHMENTS_WITHIN
            return ()
        return self._frames(packet)

    def _attachment(self, data: bytes) -> Sequence[Frame]:
        packet = self._partial
        if packet is None:
            raise ProtocolError("an attachment of no packet", code=4400)
        if not attach(packet, data, self._limits):
            return ()
        self._partial = self._until = None
        return self._frames(packet)

    def _frames(self, packet: Packet) -> Sequence[Frame]:
        kind, alias = packet.kind, packet.namespace
        if kind == CONNECT:
            return self._joining(packet)
        if kind == CONNECT_ERROR:
            raise ProtocolError("a client sends no connect error", code=4400)
        if not self._is_in(alias):
            return ()
        if kind == EVENT or kind == BINARY_EVENT:
            want = Want.NOTHING if packet.id is None else Want.REPLY
            return (Event(alias, packet.event, packet.args, packet.id, want),)
        if kind == ACK or kind == BINARY_ACK:
            assert packet.id is not None  # the parser sees to it
            return (words.answered(packet.id, alias, packet.args),)
        assert self._namespaces is not None  # it is in one
        self._namespaces.discard(alias)
        return (Leave(alias, text=_LEFT),)

    def _is_in(self, alias: str) -> bool:
        """Whether the client may say something there; one that was put out may not know it yet.

        Raises ProtocolError where it never asked to be.
        """
        if self._namespaces is not None and alias in self._namespaces:
            return True
        if self._parted is None or alias not in self._parted:
            raise ProtocolError("this namespace is not connected", code=4400)
        return False

    def _joining(self, packet: Packet) -> Sequence[Frame]:
        alias = packet.namespace
        namespaces = self._namespaces
        if namespaces is None:
            namespaces = self._namespaces = set()
        if alias in namespaces:
            return ()  # clients that are told twice to connect ask twice; it is answered once
        address = self._home if alias == "/" else f"{self._prefix}{alias[1:]}"
        if not address or len(namespaces) >= self._limits.members:
            self._engine.say(words.refuse(alias, {"message": UNKNOWN}).data)
            return ()
        namespaces.add(alias)
        if self._parted is not None:
            self._parted.discard(alias)
        self._until = None
        join = Join(None, address, alias, packet.args)
        if self.caps & Cap.ADOPT:
            _show(join, packet.args)
        if self._is_admitted:
            return (join,)
        self._attempts += 1
        return (Auth(alias, join.params, is_final=self._attempts >= ATTEMPTS), join)

    # --- out ------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Reply():
                return (words.answer(frame, frame.alias),)
            case Event():
                return (self._event(frame),)
            case Joined():
                return self._joined(frame)
            case Refusal():
                return self._refused(frame)
            case Beat():
                return () if frame.is_answer else (PINGED,)
            case Presence():
                return (self._codec.presence(frame.alias, frame),)
            case Gap():
                about = Body.of({"lost": frame.lost})
                return (words.write(frame.alias, "gap", about),)
            case Leave():
                self._forget(frame.alias)
                return (words.disconnect(frame.alias),)
            case Welcome():
                self._is_admitted = True
                return ()
            case Bye():
                return self._bye(frame)
            case _:
                return ()

    def _event(self, frame: Event) -> Payload:
        mark = None
        if self._codec.marks and frame.ref is None and not frame.volatile:
            self._unmarked += 1
            mark = f"{words.SIGN}{self._marks}{self._unmarked}"
        return words.write(
            frame.alias,
            frame.event,
            frame.args.body(),
            id=frame.ref,
            mark=mark,
            volatile=frame.volatile,
        )

    def _joined(self, frame: Joined) -> Sequence[Payload]:
        about: dict[str, object] = {"sid": frame.member}
        if frame.token:
            about["pid"] = frame.token
        if frame.data is not None:  # official clients leave it alone
            about["data"] = frame.data.body().one_value
        return (words.connect(frame.alias, about),)

    def _refused(self, frame: Refusal) -> Sequence[Payload]:
        data = None if frame.data is None else frame.data.body().one_value
        if frame.event is not None:
            about = {"event": frame.event, **words.problem(frame.code, frame.text, data)}
            return (words.write(frame.alias or "/", "error", Body.of(about)),)
        alias = frame.alias or (frame.ref if isinstance(frame.ref, str) else "/")
        self._forget(alias)
        if frame.code == "unknown_address":
            return (words.refuse(alias, {"message": UNKNOWN}),)
        about = {"message": frame.text or frame.code}
        about["data"] = {"code": frame.code} if data is None else data
        return (words.refuse(alias, about),)

    def _bye(self, bye: Bye) -> Sequence[Payload]:
        """A client that is to stay away is disconnected from its namespaces first."""
        said: list[Payload] = []
        if bye.retry is None and not self._engine.is_left:
            said += [words.disconnect(alias) for alias in self._namespaces or ()]
        return [*said, *self._engine.bye(bye)]

    def _forget(self, alias: str) -> None:
        """The server has put the client out of a namespace."""
        if self._namespaces is None or alias not in self._namespaces:
            return
        self._namespaces.discard(alias)
        if self._parted is None:
            self._parted = set()
        if len(self._parted) < self._limits.members:
            self._parted.add(alias)

    def due(self) -> Sequence[Payload]:
        return self._engine.due()

    # --- time -----------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        when = self._engine.deadline()
        until = self._until
        return when if until is None or (when is not None and when < until) else until

    def tick(self, now: float) -> Sequence[Frame]:
        if self._until is not None and now >= self._until:
            self._until = None
            if self._partial is not None:
                raise ProtocolError("attachments did not come in time", code=4400)
            return (Bye(4410, "no namespace was asked for in time"),)
        return self._engine.tick(now)

    # --- a membership of another session --------------------------------------------------------

    def missed(
        self, tail: Sequence[Payload], alias: str, mark: str | None, *, is_whole: bool
    ) -> Sequence[Payload] | None:
        """See `Adopting`: the events and acknowledgements of one namespace behind that mark.

        A mark that is not there was acknowledged. But what is none was the last argument of an
        event without a mark: clients cannot tell, and what they have heard is not known then.
        """
        mine = [each for each in tail if _is_missed(each.data, alias)]
        if mark is not None:
            if words.MARK.fullmatch(mark) is None:
                return None
            ending = b',"%b"]' % mark.encode()
            for index, payload in enumerate(mine):
                if payload.counted and payload.data.endswith(ending):
                    return mine[index + 1 :]
        return mine if is_whole else None


def _show(join: Join, auth: Args) -> None:
    """Move what the payload of a connect says of a membership to go on with into the join."""
    try:
        said = auth.value()
    except ValueError:
        return  # a number that is too large: who reads the payload says so
    assert isinstance(said, dict)  # the parser sees to it
    token = said.pop("pid", None)
    if isinstance(token, str):
        mark = said.pop("offset", None)
        join.token, join.mark = token, mark if isinstance(mark, str) else None
        join.params = Args(_json(said), Form.JSON, Shape.ONE)


def _is_missed(data: bytes, alias: str) -> bool:
    """Whether this is an event or an acknowledgement of that namespace. An event that is to be
    acknowledged is not said again: its answer would be taken for another one's.
    """
    found = _PACKET.match(data)
    if found is None:
        return False
    namespace, id = found.groups()
    is_asking = id and data[1:2] in _ASKING
    return (namespace or b"/") == alias.encode() and not is_asking
