"""App: what an application writes down: channels, wires, who may come in; and what runs it."""

import asyncio
import importlib.metadata
import inspect
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anywire.brokers.choice import choose
from anywire.core.channel import Channel, Channels, Left, PresenceKey
from anywire.core.clock import Deadlines
from anywire.core.dispatch import Later
from anywire.core.member import Member
from anywire.core.node import Node
from anywire.core.room import Room
from anywire.errors import ConfigurationError
from anywire.frameworks.asking import asking, asks_for_more
from anywire.limits import Limits
from anywire.payload import Policy
from anywire.servers.asgi import AsgiServer
from anywire.servers.asgilink import Scope
from anywire.servers.guest import Receive, Send
from anywire.servers.hosting import Hosting
from anywire.wires.actioncable import ActionCable
from anywire.wires.anywire import Own
from anywire.wires.base import Hello, User, Wire
from anywire.wires.phoenix import Phoenix
from anywire.wires.raw import Raw
from anywire.wires.signalr import SignalR
from anywire.wires.socketio import SocketIO
from anywire.wires.sockjs import SockJS

Function = TypeVar("Function", bound=Callable[..., Any])

KINDS: dict[type, str] = {
    Member: "member",
    Room: "member.room",
    User: "member.user",
    Hello: "member.hello",
    Later: "later",
    Left: "left",
}
"""Classes a handler's parameter may ask for, and where each is found in the scope of a message."""

_numbers = itertools.count()
_WIRES: dict[str, Callable[[], Wire]] = {
    "anywire": Own,
    "raw": Raw,
    "signalr": SignalR,
    "socketio": SocketIO,
    "sockjs": SockJS,
    "phoenix": Phoenix,
    "actioncable": ActionCable,
}


class Anywire:
    """One real-time application, on every wire.

    `wires`: wires or their names; default: all of ours, each at its usual path (`anywire routes`
    lists them). `origins`: from where browsers may connect besides the server's own origin (`"*"`:
    anywhere). `fallback`: an ASGI app that gets every path that is not ours. `broker`: what numbers
    and carries publications: "memory", "local" or "local:FOLDER" (the workers of one machine), or a
    backend of one's own; default: memory, and local where this process is one of several workers.

    >>> app = Anywire()
    >>> echo = app.channel("echo")
    >>> @echo.message
    ... async def message(data: str | bytes) -> str | bytes:
    ...     return data
    """

    def __init__(
        self,
        *,
        wires: Iterable[Wire | str] | None = None,
        limits: Limits | None = None,
        origins: Sequence[str] = (),
        fallback: Callable[..., Any] | None = None,
        broker: Any = None,
    ) -> None:
        chosen = tuple(_WIRES) if wires is None else tuple(wires)
        self.wires: tuple[Wire, ...] = tuple(map(_wire, chosen))
        self.limits = limits or Limits()
        self.origins = tuple(origins)
        self.fallback = fallback
        self.broker = broker
        self.channels = Channels()
        self._authenticate: Callable[[Hello], Any] | None = None
        self._node: Node | None = None
        self._hosting: Hosting | None = None
        self._asgi: AsgiServer | None = None
        self._number = next(_numbers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve under a host of ASGI 3: `uvicorn chat:app`, or mounted in another app.

        Where nobody runs our lifespan, the first request starts the app.
        """
        if self._asgi is None:
            self._asgi = AsgiServer(
                wires=self.wires,
                origins=self.origins,
                fallback=self.fallback,
                lifespan=self.lifespan,
                running=lambda: self._node,
                hosting=lambda: self.hosting,
            )
        await self._asgi(scope, receive, send)

    def channel(
        self,
        pattern: str,
        *,
        history: int = 0,
        history_seconds: float = 300.0,
        presence: bool | PresenceKey = False,
        policy: Policy = Policy.CLOSE,
        parallel: int = 1,
        personal: bool = False,
    ) -> Channel:
        """The channel for addresses of this pattern, such as `chat:{room}`.

        The options are those of `Channel`. Raises ConfigurationError for a pattern that is there
        already or cannot be.
        """
        channel = Channel(
            pattern,
            kinds=KINDS,
            history=history,
            history_seconds=history_seconds,
            presence=presence,
            policy=policy,
            parallel=parallel,
            personal=personal,
            limits=self.limits,
        )
        self.channels.add(channel)
        return channel

    def authenticate(self, function: Function) -> Function:
        """Decorate what says who opens a conversation: `(hello: Hello) -> User | None`.

        It may be async, and may ask for what the framework knows that the app is mounted in: its
        connection, or FastAPI's `Depends`. None is an anonymous user; Refused closes the
        conversation with 4401. Without it everybody is whom the framework knows, or anonymous, each
        session with a random id of its own.
        """
        if self._authenticate is not None:
            raise ConfigurationError("the app has an authenticate function already")
        asks = asks_for_more(function)
        self._authenticate = asking(function, self._scope_of) if asks else function
        return function

    def _scope_of(self, hello: Hello) -> Scope | None:
        """What an ASGI host said of a connection; None on our own server."""
        return None if self._asgi is None else self._asgi.scopes.get(hello.seed)

    def room(self, name: str) -> Room:
        """A room by name, to publish to from anywhere in this process while the app runs."""
        return self.node.room(name)

    def user(self, id: str) -> "Person":
        """A user, over all of their sessions."""
        return Person(self.node, id)

    @property
    def is_running(self) -> bool:
        """Whether a process of this app is up here."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The running process of this app. Raises ConfigurationError before `start`."""
        if self._node is None:
            raise ConfigurationError(
                "the app is not running: serve it, or use it inside `async with app.lifespan():`"
            )
        return self._node

    @property
    def hosting(self) -> Hosting:
        """What all servers of the running process share. Raises ConfigurationError before it."""
        if self._hosting is None:
            raise ConfigurationError("the app is not running: there is nothing to serve")
        return self._hosting

    async def counters(self) -> Sequence[Mapping[str, object]]:
        """What each node has counted since its start, with its id as `node`."""
        return await self.node.questions.counters()

    @asynccontextmanager
    async def lifespan(
        self,
        site: object = None,
        *,
        now: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        deadlines: Deadlines | None = None,
    ) -> AsyncIterator[None]:
        """Run the app without serving it: what a server, a test or another framework enters first.

        As the lifespan of a site it is mounted in: `FastAPI(lifespan=app.lifespan)`.

        `now`, `wall` and `deadlines` are for tests that move the clock.
        """
        if self._node is not None:
            raise ConfigurationError("the app is running already")
        loop = asyncio.get_running_loop()
        now = now or loop.time
        backend, folder = choose(self.broker, shape=self._shape(), clock=wall)
        id = secrets.token_hex(4)
        node = Node(
            id=id,
            key=b"" if folder is None else folder.key,
            door="" if folder is None else folder.door(id),
            channels=self.channels,
            backend=backend,
            now=now,
            wall=wall,
            deadlines=Deadlines(now, loop.call_at) if deadlines is None else deadlines,
            limits=self.limits,
            authenticate=None if self._authenticate is None else _awaited(self._authenticate),
            reserved={event: wire.name for wire in self.wires for event in wire.reserved},
        )
        hosting = Hosting(node, self.wires, folder)
        self._node, self._hosting = node, hosting
        try:
            hosting.start()
            await node.start()
            yield
        finally:
            try:
                hosting.stop()
                await node.stop()
            finally:
                if self._asgi is not None:
                    await self._asgi.stopped()
                if deadlines is None:
                    node.deadlines.close()
                self._node = self._hosting = None

    def _shape(self) -> str:
        """What this app looks like: the same in each of its workers, and of no other app there.

        Two apps of one process may have the same paths and patterns (one mount for each tenant);
        all workers make them in the same order.
        """
        routes = [(route.method, route.path) for wire in self.wires for route in wire.routes()]
        return f"{self._number} {routes} {[channel.pattern for channel in self.channels]}"


class Person:
    """A user as an application addresses them: every session, on every node."""

    __slots__ = ("_node", "id")

    def __init__(self, node: Node, id: str) -> None:
        self._node = node
        self.id = id

    async def close(self, text: str = "", *, retry: float | None = None) -> int:
        """End every session of this user; returns how many. `retry`: seconds until their clients
        come back; None: they stay away.
        """
        return await self._node.questions.close_user(self.id, text, retry)


def _wire(wire: Wire | str) -> Wire:
    """A wire as it is, or by name: ours, or one that a package offers under `anywire.wires`."""
    if not isinstance(wire, str):
        return wire
    if wire in _WIRES:
        return _WIRES[wire]()
    points = importlib.metadata.entry_points(group="anywire.wires")
    offered = {point.name: point for point in points}
    if wire in offered:
        made: Wire = offered[wire].load()()
        return made
    known = ", ".join(sorted({*_WIRES, *offered}))
    raise ConfigurationError(f'there is no wire "{wire}"; known: {known}')


def _awaited(function: Callable[[Hello], Any]) -> Callable[[Hello], Awaitable[User | None]]:
    """The application's function as one that can be awaited, its value checked."""

    async def authenticate(hello: Hello) -> User | None:
        user = function(hello)
        if inspect.isawaitable(user):
            user = await user
        if user is not None and not isinstance(user, User):
            raise TypeError(f"authenticate must return a User or None, not {type(user).__name__}")
        return user

    return authenticate
