"""What the tests of the core stand on: a small wire, a transport of lists, a clock, a node.

The wire speaks JSON text: `{"t": "Join", "address": "chat:a", "alias": "a", "ref": 1}` is the frame
of that name, both ways; members that have their default are left out. Three messages more command
the machine: `{"t": "codec", "name": "loud"}` changes its codec, `{"t": "break", "code": 4400}`
breaks the rules, `{"t": "due"}` has it answer by itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import msgspec

from anywire.body import NO_ARGS, Args, Body, Shape
from anywire.brokers.memory import MemoryBroker
from anywire.core.channel import Channel, Channels, Left
from anywire.core.clock import Deadlines
from anywire.core.dispatch import Later
from anywire.core.member import Member
from anywire.core.node import Authenticate, Node
from anywire.core.room import Room
from anywire.core.session import Session
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
    At,
    Auth,
    Beat,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Item,
    Join,
    Leave,
    Past,
    Position,
    Presence,
    Reply,
    Since,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.outbox import Outbox
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message, Payload
from anywire.transports.base import Sink
from anywire.wires.base import (
    Answer,
    Cap,
    Codec,
    Hello,
    Identity,
    Machine,
    Opening,
    Reason,
    Role,
    Route,
    User,
    Why,
)
from anywire.wires.pulse import Pulse

KINDS: dict[type, str] = {
    Member: "member",
    Room: "member.room",
    User: "member.user",
    Hello: "member.hello",
    Later: "later",
    Left: "left",
}
FULL = Cap.REPLY | Cap.CALL | Cap.STREAM | Cap.PRESENCE | Cap.RECOVER | Cap.MANY
"""All but resume; what `Wire` can do unless it is told otherwise."""

FRAMES: dict[str, type[Frame]] = {
    kind.__name__: kind
    for kind in (
        Auth, Join, Leave, Event, Reply, Item, End, Cancel, Past, Presence, Ack, Beat, Bye, Welcome
    )
}  # fmt: skip
UNCOUNTED = ("Ack", "Beat", "Auth", "Bye", "Welcome")


# --- the wire -------------------------------------------------------------------------------------


class TestCodec:
    """Writes `{"t": "Event", "alias": …, "event": …, "args": […]}`; counts what it encodes."""

    __test__ = False

    def __init__(self, name: str, caps: Cap) -> None:
        self.name = name
        self.caps = caps
        self.encodes = 0
        self.unsayable: Sequence[object] = ()
        """Values of events that it raises at."""

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        self.encodes += 1
        if any(value in self.unsayable for value in body.values):
            raise ValueError("no words for it")
        room = None if at.room == alias else at.room
        frame = Event(alias, event, body, ref=at.ref, position=at.position, room=room)
        return self.write(frame, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        self.encodes += 1
        return self.write(change)

    def write(self, frame: Frame, *, volatile: bool = False) -> Payload:
        told = shown(frame)
        if self.name != "test":
            told["codec"] = self.name
        text = json.dumps(told, separators=(",", ":"))
        counted = told["t"] not in UNCOUNTED
        if self.caps & Cap.CATCH_UP:  # what has a position is asked for, answers are void
            counted = isinstance(frame, Event | Presence) and frame.position is None
        return Payload(text.encode(), counted=counted, volatile=volatile)


class TestMachine:
    """One conversation. `home`: joined at opening. `broken`: what `send` and `tick` raise, once
    set.
    """

    __test__ = False

    def __init__(self, wire: "TestWire", limits: Limits) -> None:
        self.wire = wire
        self.codec: Codec = wire.codec
        self.caps = wire.codec.caps
        self.received = 0
        self.is_single = wire.is_single
        self.broken: ProtocolError | None = None
        self.pulse = Pulse(limits.beat, limits.beat_timeout)
        self.sent: list[Frame] = []
        self._due: list[Payload] = []

    def follow(self, before: Machine, now: float) -> Sequence[Frame]:
        self.codec, self.caps = before.codec, before.caps
        return [Leave(alias, code="lost") for alias in self.wire.over]

    def opened(self, now: float) -> Sequence[Frame]:
        self.pulse.heard(now)
        return [] if self.wire.home is None else [Join(None, self.wire.home, self.wire.home)]

    def heard(self, now: float) -> None:
        self.pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self.pulse.heard(now)
        try:
            told = json.loads(message)
        except ValueError as error:
            raise ProtocolError("not JSON", code=1007) from error
        frames: list[Frame] = []
        for one in told if isinstance(told, list) else [told]:
            match one["t"]:
                case "break":
                    raise ProtocolError("told to break", code=one["code"])
                case "due":
                    self._due.append(Payload(b'{"t":"due"}', counted=False))
                case "codec":
                    self.codec = self.wire.other(one["name"])
                    self.caps = self.codec.caps
                case _:
                    frame = meant(one)
                    self.received += type(frame).__name__ not in UNCOUNTED
                    frames.append(frame)
        return frames

    def send(self, frame: Frame) -> Sequence[Payload]:
        if self.broken is not None:
            raise self.broken
        self.sent.append(frame)
        codec = self.codec
        assert isinstance(codec, TestCodec)
        return [codec.write(frame, volatile=isinstance(frame, Event) and frame.volatile)]

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return self.pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        if self.broken is not None:
            raise self.broken
        return self.pulse.tick(now)


class TestWire:
    """The wire of these tests; `caps` are its codec's. `home`: joined at opening, as by raw."""

    __test__ = False

    reserved: frozenset[str] = frozenset({"forged"})

    def __init__(
        self,
        caps: Cap = FULL,
        *,
        name: str = "test",
        auth: Identity = Identity.HELLO,
        home: str | None = None,
        is_single: bool = False,
    ) -> None:
        self.name = name
        self.codec = TestCodec(name, caps)
        self.auth = auth
        self.home = home
        self.is_single = is_single
        self.opens = True
        self.over: Sequence[str] = ()
        """Aliases that are over for a machine that follows another."""
        self._others: dict[str, TestCodec] = {name: self.codec}

    def other(self, name: str, caps: Cap | None = None) -> TestCodec:
        """Another codec of this wire, made when it is first asked for."""
        chosen = self.codec.caps if caps is None else caps
        return self._others.setdefault(name, TestCodec(name, chosen))

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/test", Carrier.WEBSOCKET)]

    def open(self, hello: Hello) -> Opening | Answer:
        if not self.opens:
            return Answer(status=404)
        machine = TestMachine(self, hello.limits)
        query = hello.query
        if "session" not in query:
            return Opening(machine=machine, session=hello.id(0), auth=self.auth)
        received = int(query["received"]) if "received" in query else None
        return Opening(
            machine=machine,
            session=query["session"],
            role=Role.RESUME,
            token=query.get("token", ""),
            received=received,
            follows=bool(self.over),
            auth=self.auth,
        )

    def refuse(self, hello: Hello, why: Why) -> Answer:
        code = 4401 if why.reason is Reason.FORBIDDEN else 1013
        return Answer.accepted(code, f"{why.reason.value} {why.code} {why.text}".strip())


def shown(frame: Frame) -> dict[str, Any]:
    """A frame as this wire writes it."""
    told: dict[str, Any] = {"t": type(frame).__name__}
    for field in msgspec.structs.fields(frame):
        value = getattr(frame, field.name)
        if value == field.default and type(value) is type(field.default):
            continue
        if isinstance(value, Body):
            value = list(value.values) if field.name == "args" else value.one_value
        elif isinstance(value, Args):
            value = value.value()
        elif isinstance(value, Enum):
            value = value.name
        elif isinstance(value, Position):
            value = [value.offset, value.epoch]
        elif field.name == "positions":
            value = {name: [at.offset, at.epoch] for name, at in value.items()}
        told[field.name] = value
    return told


def meant(told: dict[str, Any]) -> Frame:
    """The frame in a message of this wire. Raises ProtocolError for what is none."""
    fields = dict(told)
    kind = FRAMES.get(fields.pop("t"))
    if kind is None:
        raise ProtocolError(f"no frame {told['t']!r}", code=4400)
    for name in ("args", "params", "data", "credentials"):
        if name in fields:
            shape = Shape.LIST if name == "args" else Shape.ONE
            fields[name] = Args(msgspec.Raw(json.dumps(fields[name]).encode()), shape=shape)
    if "want" in fields:
        fields["want"] = Want[fields["want"]]
    if "since" in fields:
        since = dict(fields["since"])
        since["positions"] = {
            room: Position(*at) for room, at in since.get("positions", {}).items()
        }
        fields["since"] = Since(**since)
    if "streams" in fields:
        fields["streams"] = tuple(fields["streams"])
    if kind is Event:
        fields.setdefault("args", NO_ARGS)
    for name in ("ref", "address", "alias"):
        if name in kind.__struct_fields__ and name not in fields:
            fields[name] = None if name == "ref" else fields.get("address", "")
    if kind is Auth:
        fields.setdefault("credentials", NO_ARGS)
    return kind(**fields)


# --- the transport --------------------------------------------------------------------------------


class Boxed:
    """A framing of these tests: every payload gets the same prefix, so its frames are told from
    others.
    """

    def __init__(self, name: str = "boxed", bits: int = 0) -> None:
        self.key = (name, bits)
        self.frames = 0

    def frame(self, payload: Payload) -> bytes:
        self.frames += 1
        return b"#" + payload.data


BOXED = Boxed()


class TestTransport:
    """Takes what it is given, or, while `is_stuck`, buffers it until `unstick`."""

    __test__ = False

    carrier = Carrier.WEBSOCKET

    def __init__(self, framing: Framing = UNFRAMED, *, beats: bool = True) -> None:
        self.framing = framing
        self.writes: list[list[Framed]] = []
        self.is_stuck = False
        self.buffered = 0
        self.beats = 0
        self.is_paused = False
        self.closed: tuple[int, str] | None = None
        self.is_aborted = False
        self.failure: Exception | None = None
        self.sink: Sink | None = None
        self._has_probe = beats

    def attach(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, framed: Sequence[Framed]) -> None:
        if self.failure is not None:
            raise self.failure
        assert framed, "an empty write"
        assert self.closed is None, "a write after the close"
        assert self.buffered == 0 or self.is_stuck
        self.writes.append(list(framed))
        if self.is_stuck:
            self.buffered += sum(entry.size for entry in framed)

    def beat(self) -> bool:
        self.beats += self._has_probe
        return self._has_probe

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def payloads(self) -> list[Payload]:
        return [entry.payload for write in self.writes for entry in write]


class Peer:
    """A client at its end of a transport: says frames, reads what was written."""

    def __init__(self, bench: "Bench", session: Session, transport: TestTransport) -> None:
        self.bench = bench
        self.session = session
        self.transport = transport
        self._read = 0

    def say(self, t: str, **fields: Any) -> None:
        """Send one frame; its data as plain values, `args` as a list."""
        self.say_all({"t": t, **fields})

    def say_all(self, *told: dict[str, Any]) -> None:
        """Send one message of several frames."""
        text = json.dumps(told[0] if len(told) == 1 else told)
        self.session.receive(text, self.bench.clock.now())

    def join(self, address: str, **fields: Any) -> None:
        """Ask to be joined, as `alias` (default: the address)."""
        self.say("Join", **{"address": address, "alias": address, "ref": "j", **fields})

    def call(self, alias: str, event: str, *args: Any, ref: int | str = 1, **fields: Any) -> None:
        """Ask for a reply."""
        self.say("Event", alias=alias, event=event, args=args, ref=ref, want="REPLY", **fields)

    def push(self, alias: str, event: str, *args: Any) -> None:
        """An event that nobody answers."""
        self.say("Event", alias=alias, event=event, args=args)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """Everything written so far."""
        return [
            json.loads(message)
            for payload in self.transport.payloads
            for message in payload.messages()
        ]

    def news(self) -> list[dict[str, Any]]:
        """What was written since the last call of this, without the welcome; flushes first."""
        self.bench.node.settle()
        self.bench.flush()
        new = self.heard[self._read :]
        self._read += len(new)
        return [one for one in new if one["t"] != "Welcome"]

    def events(self) -> list[Any]:
        """(event, args) of the events among the news."""
        return [(one["event"], one["args"]) for one in self.news() if one["t"] == "Event"]

    @property
    def welcome(self) -> dict[str, Any]:
        """The last welcome that was written."""
        return [one for one in self.heard if one["t"] == "Welcome"][-1]

    def cut(self, code: int = 1006, reason: str = "", *, is_clean: bool = False) -> None:
        """The transport is gone."""
        self.session.detached(self.transport, code, reason, is_clean=is_clean)

    def unstick(self) -> None:
        """The transport has taken everything."""
        self.transport.is_stuck = False
        self.transport.buffered = 0
        self.session.writable()


# --- time and the node ----------------------------------------------------------------------------


class _Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """Loop time that a test moves; unix time is `WALL` seconds ahead of it."""

    WALL = 1_700_000_000.0

    def __init__(self) -> None:
        self._now = 1000.0
        self._timers: list[_Timer] = []
        self.deadlines = Deadlines(self.now, self.call_at)

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self.WALL + self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(when, callback)
        self._timers.append(timer)
        return timer

    def move(self, seconds: float) -> None:
        """Let time pass, and call every timer at its moment."""
        end = self._now + seconds
        while True:
            self._timers = [timer for timer in self._timers if not timer.is_cancelled]
            due = min(self._timers, key=lambda timer: timer.when, default=None)
            if due is None or due.when > end:
                break
            self._timers.remove(due)
            self._now = max(self._now, due.when)
            due.callback()
        self._now = end


class Bench:
    """A node on the memory broker, and everything a test needs to speak to it."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        authenticate: Authenticate | None = None,
        broker: Any = None,
        make_outbox: Callable[..., Outbox] = Outbox,
    ) -> None:
        self.clock = Clock()
        self.channels = Channels()
        given = limits or Limits()
        # Handlers of tests often never end: the stop has not the seconds that users' have.
        is_usual = given.stop == Limits().stop
        self.limits = msgspec.structs.replace(given, stop=0.2) if is_usual else given
        self.broker = broker or MemoryBroker(clock=self.clock.wall)
        self.node = Node(
            channels=self.channels,
            backend=self.broker,
            now=self.clock.now,
            wall=self.clock.wall,
            deadlines=self.clock.deadlines,
            limits=self.limits,
            authenticate=authenticate,
            reserved={"forged": "test"},
            id="n1",
            make_outbox=make_outbox,
        )
        self.wire = TestWire()
        self._hellos = 0

    def channel(self, pattern: str, **options: Any) -> Channel:
        """A new channel of the node."""
        channel = Channel(pattern, kinds=KINDS, **options)
        self.channels.add(channel)
        return channel

    def hello(self, **query: str) -> Hello:
        """A new request, with ids of its own."""
        self._hellos += 1
        return Hello(
            query=query,
            seed=self._hellos.to_bytes(32, "big"),
            clock=Clock.WALL,
            limits=self.limits,
        )

    def connect(
        self,
        wire: TestWire | None = None,
        *,
        user: User | str | None = None,
        framing: Framing = UNFRAMED,
        transport: TestTransport | None = None,
        **query: str,
    ) -> Peer:
        """A client whose request was admitted as `user` (default: an anonymous one)."""
        wire = wire or self.wire
        hello = self.hello(**query)
        opening = wire.open(hello)
        assert isinstance(opening, Opening)
        assert opening.machine is not None
        if user is None:
            user = User(f"anonymous.{hello.id(2)}", is_anonymous=True)
        elif isinstance(user, str):
            user = User(user)
        transport = transport or TestTransport(framing)
        session = self.node.open(wire, hello, opening, opening.machine, user, transport)
        return Peer(self, session, transport)

    def resume(self, peer: Peer, received: int | None = None, **more: Any) -> Peer:
        """The client of `peer` comes back over a new transport, with the last token it was told."""
        query = {"session": peer.welcome["session"], "token": peer.welcome["token"]}
        if received is not None:
            query["received"] = str(received)
        return self.connect(
            **{"wire": peer.session.wire, "user": peer.session.user, **query, **more}
        )

    def flush(self) -> None:
        """What the loop does at the end of its turn, until nothing is dirty."""
        self.node.settle()
        while self.node.dirty:
            self.node.flush()


async def turns(count: int = 10) -> None:
    """Give the loop so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    """A bench whose node is started, and stopped at the end."""
    bench = Bench(**options)
    await bench.node.start()
    try:
        yield bench
    finally:
        await bench.node.stop()


def echo(bench: Bench, pattern: str = "echo", **options: Any) -> Channel:
    """A channel whose `say` answers with what it is given."""
    channel = bench.channel(pattern, **options)

    @channel.on("say")
    async def say(text: str) -> str:
        return text

    return channel


def machine(peer: Peer) -> TestMachine:
    found = peer.session.machine
    assert isinstance(found, TestMachine)
    return found


def idle(bench: Bench) -> bool:
    """Whether nothing is left of anybody."""
    bench.flush()
    node = bench.node
    return not (node.sessions or node.users or node.dirty or len(bench.clock.deadlines))
