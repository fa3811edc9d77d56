"""Socket.IO as configured for one app."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from anywire.limits import Deflate, Limits
from anywire.wires.base import ANONYMOUS_ID, Answer, Hello, Identity, Machine, Opening, Route, Why
from anywire.wires.socketio.codec import MARKED, PLAIN
from anywire.wires.socketio.engine import Engine, Heartbeat
from anywire.wires.socketio.machine import SocketIoMachine
from anywire.wires.socketio.mount import TRANSPORTS, EngineMount
from anywire.wires.socketio.packets import RESERVED


class SocketIO:
    """Socket.IO 5 (over Engine.IO 4) at `path`, for `socket.io-client` 3 and 4 and their like.

    A namespace without its slash is an address: `/chat:lobby` is `chat:lobby`, behind `prefix`; the
    namespace `/` is `home`; None: there is none. The payload `auth` of a client is what
    `authenticate` finds in `hello.credentials`, and what `join` gets.

    `recovery`: a client that was cut goes on where it was, within `Limits.resume` seconds; every
    event then has one more argument, as with the original. `ping`, `ping_timeout`: seconds between
    pings and for the answer; `connect_timeout`: until a client asks for its first namespace;
    `cookie`: the name of a cookie with the session's id; `transports`: what is offered of `polling`
    and `websocket`. `limits`, `origins`, `deflate`: see `Mount`.

    >>> wire = SocketIO("/socket.io", home="chat")
    >>> sorted({route.path for route in wire.routes()})
    ['/socket.io', '/socket.io/']
    """

    __slots__ = ("_mount", "connect_timeout", "home", "prefix", "recovery")

    name = "socketio"
    reserved = RESERVED | {"error", "gap"}

    def __init__(
        self,
        path: str = "/socket.io",
        *,
        home: str | None = None,
        prefix: str = "",
        recovery: bool = False,
        ping: float = 25.0,
        ping_timeout: float = 20.0,
        connect_timeout: float = 10.0,
        cookie: str | None = None,
        transports: Sequence[str] = TRANSPORTS,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        self.home = home
        self.prefix = prefix
        self.recovery = recovery
        self.connect_timeout = connect_timeout
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
        return self._mount.open(hello, self._machine, Identity.FRAME)

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """See `EngineMount.refuse`."""
        return self._mount.refuse(hello, why)

    def _machine(self, hello: Hello, sid: str, upgrades: Sequence[str]) -> Machine:
        limits = hello.limits
        return SocketIoMachine(
            MARKED if self.recovery and limits.resume > 0 else PLAIN,
            Engine(self._mount.heartbeat),
            limits,
            sid=sid,
            upgrades=upgrades,
            home=self.home,
            prefix=self.prefix,
            connect=self.connect_timeout,
            marks=f"{hello.id(ANONYMOUS_ID)[-8:]}-",  # no secret, and no other client's
        )
