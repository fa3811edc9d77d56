"""The client's end of a Socket.IO conversation, over a WebSocket.

Socket.IO protocol, revision 5. An alias is a namespace; one without a slash at its begin stands for
the namespace of that address. What a server says of a membership to go on with is shown when its
namespace is joined anew, as `socket.io-client` does.
"""

import re
from collections.abc import Sequence

import msgspec

from anywire.body import Args, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Event,
    Frame,
    Join,
    Joined,
    Leave,
    Outcome,
    Ref,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Request
from anywire.wires.socketio import codec as words
from anywire.wires.socketio.codec import CAPS
from anywire.wires.socketio.engine import CLOSE, MESSAGE, NOOP, OPEN, PING
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
)

_MARKED = re.compile(rb'(?:,|(?<=\[))"(%b)"\]\Z' % words.MARK.pattern.encode())
LATE = 5.0
"""Seconds that a ping may be late beyond what the server said."""


class _Handshake(msgspec.Struct):
    sid: str
    pingInterval: int = 25_000
    pingTimeout: int = 20_000


class _Connected(msgspec.Struct):
    sid: str
    pid: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Refused(msgspec.Struct):
    message: str = ""
    data: msgspec.Raw = msgspec.Raw()


_handshake = msgspec.json.Decoder(_Handshake).decode
_connected = msgspec.json.Decoder(_Connected).decode
_refused = msgspec.json.Decoder(_Refused).decode


class _Place(msgspec.Struct):
    """What is known of one namespace."""

    alias: str
    ref: Ref | None = None
    """Of the join that waits for its answer."""
    pid: str = ""
    offset: str | None = None


class SocketIoClient:
    """Pinged by its server, and gone when no ping comes in time."""

    __slots__ = ("_asked", "_due", "_limits", "_partial", "_places", "_serial", "_until", "_wait")

    caps = CAPS
    is_single = False

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._places: dict[str, _Place] = {}
        self._asked: dict[int, Ref] = {}
        self._serial = 0
        self._partial: Packet | None = None
        self._due: list[Payload] = []
        self._until: float | None = None
        self._wait = 0.0

    def opening(self) -> Request:
        return Request(query={"EIO": "4", "transport": "websocket"})

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._partial = None
        self._until = None
        self._asked.clear()
        for place in self._places.values():
            place.ref = None
        return ()

    def heard(self, now: float) -> None:
        """Only a ping counts."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if isinstance(message, bytes):
            return self._attachment(message)
        kind = message[:1]
        if kind == MESSAGE:
            if self._partial is not None:
                raise ProtocolError("a packet before the last attachment of the one before")
            packet = parse(message[1:], self._limits)
            if packet.attachments:
                self._partial = packet
                return ()
            return self._frames(packet)
        if kind == PING:
            self._until = now + self._wait
            self._due.append(Payload(b"3", counted=False))
            return (Beat(),)
        if kind == OPEN:
            return self._welcomed(message, now)
        if kind == CLOSE:
            return (Bye(1000, "the server closes"),)
        if kind == NOOP:
            return ()
        raise ProtocolError("not an Engine.IO packet of a server")

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Event():
                id = None
                if frame.want is not Want.NOTHING and frame.ref is not None:
                    id = self._id(frame.ref)
                    self._asked[id] = frame.ref
                body, namespace = frame.args.body(), _namespace(frame.alias)
                return (words.write(namespace, frame.event, body, id=id, volatile=frame.volatile),)
            case Reply():
                return (words.answer(frame, _namespace(frame.alias)),)
            case Join():
                return self._join(frame)
            case Leave():
                namespace = _namespace(frame.alias)
                self._places.pop(namespace, None)
                return (words.disconnect(namespace),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return self._until

    def tick(self, now: float) -> Sequence[Frame]:
        if self._until is None or now < self._until:
            return ()
        self._until = None
        return (Bye(4410, "no ping came in time"),)

    # --- inside ---------------------------------------------------------------------------------

    def _id(self, ref: Ref) -> int:
        """A number for this ref, which acknowledgements have: the ref itself, if it is one."""
        if isinstance(ref, int) and 0 <= ref < 1 << 53:
            return ref
        self._serial += 1
        return self._serial

    def _welcomed(self, message: str, now: float) -> Sequence[Frame]:
        try:
            said = _handshake(message[1:])
        except ValueError as error:
            raise ProtocolError(f"not a handshake: {error}") from error
        self._wait = (said.pingInterval + said.pingTimeout) / 1000 + LATE
        self._until = now + self._wait
        return (Welcome(said.sid, None, said.pingInterval / 1000),)

    def _join(self, join: Join) -> Sequence[Payload]:
        namespace = _namespace(join.alias)
        place = self._places.setdefault(namespace, _Place(join.alias))
        place.ref = join.ref
        said = join.params.body().one_value
        auth: dict[str, object] = dict(said) if isinstance(said, dict) else {}
        if place.pid:
            auth["pid"] = place.pid
            if place.offset is not None:
                auth["offset"] = place.offset
        return (words.connect(namespace, auth or None),)

    def _attachment(self, data: bytes) -> Sequence[Frame]:
        packet = self._partial
        if packet is None:
            raise ProtocolError("an attachment of no packet")
        if not attach(packet, data, self._limits):
            return ()
        self._partial = None
        return self._frames(packet)

    def _frames(self, packet: Packet) -> Sequence[Frame]:
        kind = packet.kind
        place = self._places.get(packet.namespace) or _Place(packet.namespace)
        if kind == EVENT or kind == BINARY_EVENT:
            return (self._event(place, packet),)
        if kind == ACK or kind == BINARY_ACK:
            ref = self._asked.pop(packet.id or 0, None)
            return () if ref is None else (words.answered(ref, place.alias, packet.args),)
        if kind == CONNECT:
            return self._joined(place, packet)
        self._places.pop(packet.namespace, None)
        if kind == CONNECT_ERROR:
            return (_refusal(place, packet),)
        return (Leave(place.alias),)

    def _event(self, place: _Place, packet: Packet) -> Event:
        args = packet.args
        if place.pid and packet.id is None:
            args = self._unmarked(place, args)
        want = Want.NOTHING if packet.id is None else Want.REPLY
        return Event(place.alias, packet.event, args, packet.id, want)

    def _unmarked(self, place: _Place, args: Args) -> Args:
        """The arguments without the mark behind them, which is remembered."""
        raw = args.raw.encode() if isinstance(args.raw, str) else bytes(args.raw)
        found = _MARKED.search(raw)
        if found is None:
            return args  # an event without one
        place.offset = found[1].decode()
        return Args(raw[: found.start()] + b"]", Form.JSON, Shape.LIST, args.blobs)

    def _joined(self, place: _Place, packet: Packet) -> Sequence[Frame]:
        try:
            said = _connected(packet.args.raw)
        except msgspec.DecodeError as error:
            raise ProtocolError(f"not the answer to a connect: {error}") from error
        is_same = bool(said.pid) and said.pid == place.pid
        place.pid = said.pid
        ref, place.ref = place.ref, None
        outcome = Outcome.RECOVERED if is_same else Outcome.FRESH
        data = Args(said.data) if len(said.data) else None
        return (Joined(ref, place.alias, data, outcome, member=said.sid, token=said.pid),)


def _namespace(alias: str) -> str:
    return alias if alias.startswith("/") else f"/{alias}"


def _refusal(place: _Place, packet: Packet) -> Refusal:
    raw = packet.args.raw
    try:
        said = _refused(raw)
        data = Args(said.data) if len(said.data) else None
        value = None if data is None else data.one_value
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a connect error: {error}") from error
    found = value.get("code") if isinstance(value, dict) else None
    code = found if isinstance(found, str) else ""
    return Refusal(place.ref, place.alias, code or "refused", said.message, data)
