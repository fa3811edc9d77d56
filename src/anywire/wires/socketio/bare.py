"""Engine.IO alone, for `engine.io-client`: messages without names, at one address.

Engine.IO protocol, revision 4; what messages mean is as on every wire whose messages have no names
(`wires/nameless.py`).
"""

from collections.abc import Mapping, Sequence

from msgspec import UNSET, UnsetType

from anywire.body import Body
from anywire.frames import At, Beat, Bye, Frame, Join, Presence
from anywire.limits import Deflate, Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Answer, Cap, Codec, Hello, Identity, Machine, Opening, Route, Why
from anywire.wires.nameless import RESERVED, event_of, join_at, message_of, presence_of, said
from anywire.wires.socketio.engine import MESSAGE, PINGED, Engine, Heartbeat
from anywire.wires.socketio.mount import TRANSPORTS, EngineMount

_OURS = frozenset(("EIO", "transport", "sid", "t", "b64"))
"""What a query says to Engine.IO; all else is for the application."""


class EngineIoCodec:
    """`4hello`; bytes as they are."""

    __slots__ = ()

    name = "engineio.4"
    caps = Cap.NONE

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        message = message_of(event, body)
        if message.is_text:
            message.data = b"4" + message.data
        message.volatile = at.volatile
        return message

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.event(alias, "presence", presence_of(change), At(""))


ENGINE_IO = EngineIoCodec()


class EngineIoMachine:
    """The server's end: joins at opening, then every message is an event."""

    __slots__ = ("_engine", "_join", "_limits", "_sid", "_upgrades", "received")

    codec: Codec = ENGINE_IO
    caps = ENGINE_IO.caps
    is_single = True

    def __init__(
        self, join: Join, engine: Engine, limits: Limits, *, sid: str, upgrades: Sequence[str]
    ) -> None:
        self.received = 0
        self._join = join
        self._engine = engine
        self._limits = limits
        self._sid = sid
        self._upgrades = upgrades

    def opened(self, now: float) -> Sequence[Frame]:
        limit = self._limits.message
        self._engine.open(now, sid=self._sid, upgrades=self._upgrades, limit=limit)
        return (self._join,)

    def heard(self, now: float) -> None:
        """A sign of life of the carrier: only a pong shows that the client itself hears us."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if isinstance(message, bytes):
            return (event_of(self._join.alias, message, self._limits),)
        if message[:1] != MESSAGE:
            return self._engine.control(message, now)
        return (event_of(self._join.alias, message[1:], self._limits),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        if isinstance(frame, Bye):
            return self._engine.bye(frame)
        if isinstance(frame, Beat):
            return () if frame.is_answer else (PINGED,)
        return said(frame, ENGINE_IO)

    def due(self) -> Sequence[Payload]:
        return self._engine.due()

    def deadline(self) -> float | None:
        return self._engine.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        return self._engine.tick(now)


class EngineIO:
    """Engine.IO 4 at `path`, where every message is the event `message` at the address `to`.

    The options are those of `SocketIO`.

    >>> wire = EngineIO("/engine.io", to="echo")
    >>> sorted({route.path for route in wire.routes()})
    ['/engine.io', '/engine.io/']
    """

    __slots__ = ("_mount", "to")

    name = "engineio"
    reserved = RESERVED

    def __init__(
        self,
        path: str = "/engine.io",
        *,
        to: str,
        ping: float = 25.0,
        ping_timeout: float = 20.0,
        cookie: str | None = None,
        transports: Sequence[str] = TRANSPORTS,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        self.to = to
        self._mount = EngineMount(
            path,
            heartbeat=Heartbeat(ping, ping_timeout),
            cookie=cookie,
            transports=transports,
            limits=limits,
            origins=origins,
            deflate=deflate,
        )

    def routes(self) -> Sequence[Route]:
        return self._mount.routes()

    def open(self, hello: Hello) -> Opening | Answer:
        return self._mount.open(hello, self._machine, Identity.HELLO)

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """See `EngineMount.refuse`."""
        return self._mount.refuse(hello, why)

    def _machine(self, hello: Hello, sid: str, upgrades: Sequence[str]) -> Machine:
        join = join_at(self.to, _asked(hello.query))
        engine = Engine(self._mount.heartbeat)
        return EngineIoMachine(join, engine, hello.limits, sid=sid, upgrades=upgrades)


def _asked(query: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in query.items() if name not in _OURS}
