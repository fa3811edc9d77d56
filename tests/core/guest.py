"""A client of Socket.IO on the bench, which may be cut at any byte and come back with what it saw.

It remembers as `socket.io-client` does: of each namespace the secret it was told, and as its offset
the last argument of any event that is text and has nothing behind it.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from anywire.core.member import Member
from anywire.core.session import Session
from anywire.payload import Message
from anywire.wires.base import Hello, Opening, User
from anywire.wires.socketio import SocketIO
from tests.core.support import Bench, TestTransport

_PACKET = re.compile(r"4([0-6])(?:([0-9]+)-)?(?:(/[^,]*),)?([0-9]+)?(.*)", re.DOTALL)


def io(bench: Bench, **options: Any) -> SocketIO:
    """A wire with recovery whose namespace `/` is `desk`, unless they say otherwise."""
    return SocketIO(**{"home": "desk", "recovery": True, **options})


class Guest:
    """One client, over all its connections."""

    def __init__(self, bench: Bench, wire: SocketIO, name: str = "") -> None:
        self.bench = bench
        self.wire = wire
        self.name = name
        self.pids: dict[str, str] = {}
        self.offsets: dict[str, str] = {}
        self.recovered: dict[str, bool] = {}
        """Of each namespace, how the last answer to a connect was taken."""
        self.transport = TestTransport()
        self.session: Session
        self._seen = 0
        self.connect()

    # --- connections ----------------------------------------------------------------------------

    def connect(self, **auth: Any) -> None:
        """Open a new connection."""
        self.transport = TestTransport()
        self._seen = 0
        hello = self._hello()
        opening = self.wire.open(hello)
        assert isinstance(opening, Opening) and opening.machine is not None
        nobody = User("", is_anonymous=True)
        self.session = self.bench.node.open(
            self.wire, hello, opening, opening.machine, nobody, self.transport
        )

    def cut(self) -> None:
        """The connection breaks; what was not read by now is never read."""
        self.session.detached(self.transport, 1006, "cut", is_clean=False)

    def come_back(self, *namespaces: str, seen: int | None = None) -> None:
        """Be cut, with only so many of the unread messages read before; connect, join as before."""
        self.hear(seen)
        self.cut()
        self.connect()
        for namespace in namespaces or ("/",):
            self.join(namespace)

    def _hello(self) -> Hello:
        hello = self.bench.hello(EIO="4", transport="websocket")
        if self.name:
            hello.user = User(self.name)
        return hello

    # --- what it says ---------------------------------------------------------------------------

    def say(self, *messages: Message) -> None:
        """Send these."""
        for message in messages:
            self.session.receive(message, self.bench.clock.now())

    def join(self, namespace: str = "/", **auth: Any) -> None:
        """Ask for a namespace, with what is remembered of it."""
        if namespace in self.pids:
            auth["pid"] = self.pids[namespace]
            if namespace in self.offsets:
                auth["offset"] = self.offsets[namespace]
        self.say(f"40{at(namespace)}{json.dumps(auth) if auth else ''}")

    def emit(self, event: str, *args: Any, namespace: str = "/", id: int | None = None) -> None:
        """Say an event."""
        number = "" if id is None else str(id)
        self.say(f"42{at(namespace)}{number}{json.dumps([event, *args])}")

    # --- what it hears --------------------------------------------------------------------------

    def hear(self, count: int | None = None) -> list[Message]:
        """Read so many of the messages that were written, or all of them."""
        self.bench.flush()
        written = [one for payload in self.transport.payloads for one in payload.messages()]
        unread = written[self._seen :]
        read = unread if count is None else unread[:count]
        self._seen += len(read)
        for message in read:
            if isinstance(message, str):
                self._learn(message)
        return read

    def events(self, count: int | None = None) -> list[tuple[str, list[Any]]]:
        """(namespace, arguments with the name in front) of the events among the unread messages."""
        found = [told(message) for message in self.hear(count) if isinstance(message, str)]
        return [(one[1], one[3]) for one in found if one is not None and one[0] == "2"]

    def said(self, count: int | None = None) -> list[Any]:
        """What the events among the unread messages say, without their marks."""
        return [unmarked(args) for _, args in self.events(count)]

    def _learn(self, message: str) -> None:
        found = told(message)
        if found is None:
            return
        kind, namespace, id, said = found
        if kind == "0":
            pid = said.get("pid", "")
            self.recovered[namespace] = bool(pid) and self.pids.get(namespace) == pid
            self.pids[namespace] = pid
        elif kind in "25" and id is None and isinstance(said[-1], str) and len(said) > 1:
            self.offsets[namespace] = said[-1]

    # --- what the server knows ------------------------------------------------------------------

    def member(self, namespace: str = "/") -> Member:
        """Its membership there."""
        return self.session.members[namespace]


def at(namespace: str) -> str:
    """How a packet says where it belongs."""
    return "" if namespace == "/" else f"{namespace},"


def told(message: str) -> tuple[str, str, int | None, Any] | None:
    """Kind, namespace, id and payload of a packet; None for what is none of Socket.IO."""
    found = _PACKET.fullmatch(message)
    if found is None:
        return None
    kind, _, namespace, id, payload = found.groups()
    said = json.loads(payload) if payload else None
    return kind, namespace or "/", None if id is None else int(id), said


def unmarked(args: list[Any]) -> list[Any]:
    """Arguments without the mark behind them."""
    return args[:-1] if isinstance(args[-1], str) and args[-1].startswith("~") else args


def kinds(messages: Sequence[Message]) -> list[str]:
    """The first two characters of each text."""
    return [message[:2] for message in messages if isinstance(message, str)]
