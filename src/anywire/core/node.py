"""Node: one process of an app; its sessions, rooms, broker and clock, composed.

It knows no wire and no transport. Deliveries come from the broker, also those published here, so
that one order holds on all nodes.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from anywire.body import Body
from anywire.brokers.base import (
    Broker,
    Directory,
    History,
    Nodes,
    PresenceStore,
)
from anywire.core.attendance import Attendance
from anywire.core.calls import Calls
from anywire.core.channel import PRESENCE, Channel, Channels
from anywire.core.clock import Deadlines
from anywire.core.counters import Counters
from anywire.core.dispatch import Dispatcher
from anywire.core.flushing import Flushing
from anywire.core.member import Member
from anywire.core.questions import Questions
from anywire.core.recovery import is_new
from anywire.core.room import Room
from anywire.core.session import Session
from anywire.errors import Refused
from anywire.frames import At, Gap, Position, Record, Ref
from anywire.limits import Limits, is_too_long
from anywire.outbox import Outbox
from anywire.transports.base import Transport
from anywire.wires.base import (
    ANONYMOUS_ID,
    SESSION_ID,
    Hello,
    Machine,
    Opening,
    Role,
    User,
    Wire,
)

log = logging.getLogger(__name__)

CLAIM = 86_400.0
"""Seconds that a session is ours whose id does not say so; it is released when it ends."""
SPENT = 30.0
"""Seconds after its end that a session's id is still known, where the id was given away before the
session began: a request for it that comes late begins no new one."""

Authenticate = Callable[[Hello], Awaitable[User | None]]
But = Member | Room | Iterable[Member | Room] | None


class Node:
    """The composition of one process. `now`: loop time in seconds; `wall`: unix time in seconds."""

    def __init__(
        self,
        *,
        channels: Channels,
        backend: Any,
        now: Callable[[], float],
        wall: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits | None = None,
        authenticate: Authenticate | None = None,
        reserved: Mapping[str, str] | None = None,
        id: str = "",
        key: bytes = b"",
        door: str = "",
        make_outbox: Callable[..., Outbox] = Outbox,
    ) -> None:
        self.id = id or secrets.token_hex(4)
        self.key = key or secrets.token_bytes(32)
        """What all nodes of the app know, and nobody else."""
        self.channels = channels
        self.broker: Broker = backend
        self.history: History = backend
        self.presence: PresenceStore = backend
        self.directory: Directory = backend
        self.nodes: Nodes = backend
        self.now = now
        self.wall = wall
        self.deadlines = deadlines
        self.limits = limits or Limits()
        self.make_outbox = make_outbox
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, tuple[Session] | set[Session]] = {}
        """Sessions by user; a tuple where there is one, as a set costs four times as much."""
        self.detached: dict[Session, None] = {}
        """Sessions that wait for a resume, the longest waiting first."""
        self.adoptable: dict[str, Member] = {}
        """Members that may go on in another session, by id."""
        self.rooms: dict[str, Room] = {}
        self.replays: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By session, while one of its members catches up: see `replaying.one_at_a_time`."""
        self.flushing = flushing = Flushing()
        self.dirty, self.run = flushing.dirty, flushing.run
        self.mark, self.schedule = flushing.mark, flushing.schedule
        self.settle, self.flush = flushing.settle, flushing.flush
        self.questions = Questions(self)
        self.attendance = Attendance(self)
        self.dispatcher = Dispatcher(self)
        self.is_stopping = False
        self._authenticate = authenticate
        self._reserved = {PRESENCE: "presence", **(reserved or {})}
        self.counters = Counters()
        self.breaks = 0
        """How often deliveries were broken: what was read before is then no longer true."""
        self._door = door
        self._claims: dict[str, str] = {}  # sessions whose ids do not name us: by id, their wire
        self._mark = 0

    async def start(self) -> None:
        """Open the broker; call once, in the loop that will serve."""
        self.nodes.listen(self.id, self.questions.answer, self._door)
        await self.broker.start(self.deliver, self.broken)
        self.attendance.start()

    async def stop(self) -> None:
        """End every session with 1001, then close the broker. Bounded by `Limits.stop`.

        Handlers have half of it to end by themselves: a `leave` may have something to store.
        """
        self.attendance.stop()
        self.send_away()
        stepper = self.dispatcher.stepper
        quarter = self.limits.stop / 4
        try:
            async with asyncio.timeout(3 * quarter):
                await stepper.stop(2 * quarter)
        except TimeoutError:
            log.warning("%d handlers did not stop in time", len(stepper.tasks))
        try:
            async with asyncio.timeout(quarter):
                await self.broker.stop()
        except TimeoutError:
            log.warning("the broker did not stop in time")

    def send_away(self) -> None:
        """Begin to stop: end every session with 1001, refuse who comes; `stop` does the rest."""
        self.is_stopping = True
        for session in list(self.sessions.values()):
            self._send_away(session)

    def _send_away(self, session: Session) -> None:
        session.close(1001, "the server stops", retry=secrets.randbelow(2000) / 1000)

    # --- sessions -------------------------------------------------------------------------------

    async def authenticated(self, hello: Hello, credentials: object = None) -> User:
        """Who opens this conversation. Raises Refused, also when the application takes too long.

        What another node passed on brings the user along.
        """
        if hello.hops and hello.user is not None:
            return hello.user
        if self._authenticate is None:
            return hello.user or _anonymous(hello)
        if credentials is not None:
            hello = _with_credentials(hello, credentials)
        try:
            async with asyncio.timeout(self.limits.authentication):
                user = await self._authenticate(hello)
        except TimeoutError as error:
            raise Refused("timeout", "authentication took too long") from error
        if user is None:
            return _anonymous(hello)
        id: object = user.id
        if not isinstance(id, str):  # a number of a database: it could not be a key in JSON
            raise TypeError(f"a user's id is a str, not {id!r:.80}: User(str(id))")
        return user

    def open(
        self,
        wire: Wire,
        hello: Hello,
        opening: Opening,
        machine: Machine,
        user: User,
        transport: Transport,
    ) -> Session:
        """The session of an opening whose transport stands: a new one, or the one it resumes."""
        now = self.now()
        if opening.role is Role.RESUME:
            found = self.resumable(wire, opening, machine, user)
            if found is not None and found.resume(transport, machine, opening, now):
                return found
            if not opening.is_claimed:
                opening = Opening(
                    machine=machine,
                    session=hello.id(SESSION_ID),
                    subprotocol=opening.subprotocol,
                    auth=opening.auth,
                )
        session = Session(self, wire, hello, opening, machine, user)
        self.sessions[session.id] = session
        if session.is_admitted:
            self.enlist(session)
        session.begin(transport, now)
        if self.is_stopping:  # admitted before the stop, here after it
            self._send_away(session)
        return session

    def resumable(
        self, wire: Wire, opening: Opening, machine: Machine, user: User
    ) -> Session | None:
        """The session that this opening may go on with, if there is one.

        The secret and the identity must both be right: rights are checked again at each resume.
        The codec too: what is kept is written already.
        """
        found = self.sessions.get(opening.session)
        if found is None or found.wire is not wire:
            return None
        if machine.codec is not found.codec and not opening.follows:
            return None
        if self.is_stopping or not found.resumes or not found.accepts(opening.token):
            return None
        return found if found.user.is_same(user) else None

    def enlist(self, session: Session) -> None:
        """It is known now whose session this is."""
        id = session.user.id
        mates = self.users.get(id)
        if mates is None:
            self.users[id] = (session,)
        elif isinstance(mates, set):
            mates.add(session)
        else:
            self.users[id] = {*mates, session}

    def let_wait(self, session: Session) -> None:
        """The session has lost its transport and waits for a resume."""
        self.detached[session] = None
        if len(self.detached) > self.limits.detached:
            next(iter(self.detached)).end(4410, "too many wait for a resume", is_clean=False)

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self.detached.pop(session, None)
        self.sessions.pop(session.id, None)
        if session.token and session.id in self._claims and not self.is_stopping:
            self.deadlines.at(self.now() + SPENT, partial(self.disclaim, session.id))
        else:
            self.disclaim(session.id)
        mates = self.users.get(session.user.id, ())
        if isinstance(mates, set) and len(mates) > 1:
            mates.discard(session)
        elif session in mates:
            del self.users[session.user.id]

    async def claim(self, wire: Wire, session: str, user: User) -> str:
        """Own a session whose id does not say whose it is; returns the owner that stands.

        Raises Refused when it belongs to another identity.
        """
        identity = "" if user.is_anonymous else user.id
        standing = await self.directory.claim(wire.name, session, self.id, identity, CLAIM)
        if standing == self.id:
            self._claims[session] = wire.name
        return standing

    def has_ended(self, session: str) -> bool:
        """Whether a session under this id that was ours has ended not long ago."""
        return session in self._claims and session not in self.sessions

    def disclaim(self, session: str) -> None:
        """Own it no more: it has ended, or was not opened after all."""
        mount = self._claims.pop(session, None)
        if mount is not None:
            self.spawn(self.directory.release(mount, session), "anywire release")

    def new_token(self) -> str:
        """A secret nobody can guess."""
        return secrets.token_urlsafe(18)

    def calls_of(self, session: Session) -> Calls:
        """The table of calls to this client."""
        if session.calls is None:
            session.calls = Calls(self.deadlines, self.now, session.hello.limits.calls)
        return session.calls

    async def drained(self, session: Session) -> None:
        """Wait until less waits for this client, or it is gone."""
        if session.has_ended or not session.is_over_mark:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        session.when_under_mark(wake)
        await future

    # --- publishing -----------------------------------------------------------------------------

    def check_event(self, event: str) -> None:
        """Raise ValueError for a name that means something else to some client of this app."""
        owner = self._reserved.get(event)
        if owner is not None:
            raise ValueError(f'the event "{event}" is reserved by "{owner}"; choose another name')
        if not event or is_too_long(event, self.limits.name):
            raise ValueError(f"an event's name has 1 to {self.limits.name} bytes")
        if not event.isascii():
            event.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError

    async def publish(
        self,
        room: Room,
        event: str,
        args: tuple[object, ...],
        *,
        but: But = None,
        id: str | None = None,
        volatile: bool = False,
    ) -> Position | None:
        """Number, keep and carry one publication; see `Room.publish`."""
        record = self.record(room, event, args, but=but, id=id, volatile=volatile)
        keep = None if room.channel is None or volatile else room.channel.keep
        return await self.broker.publish(record, keep)

    def record(
        self,
        room: Room,
        event: str,
        args: tuple[object, ...],
        *,
        but: But = None,
        id: str | None = None,
        volatile: bool = False,
        ref: Ref | None = None,
    ) -> Record:
        """One publication of this node. Raises ValueError, see `Room.publish`."""
        self.check_event(event)
        channel = room.channel
        return Record(
            room=room.name,
            event=event,
            body=Body.of(*args) if channel is None else channel.body(event, args),
            id=id,
            but=_names(but),
            time=self.wall(),
            volatile=volatile,
            ref=ref,
            origin=self.id,
        )

    def deliver(self, record: Record) -> None:
        """A record has come from the broker, for a room somebody here is in."""
        room = self.rooms.get(record.room)
        if room is None:
            return
        if record.position is not None:
            if not is_new(record, room.delivered):
                return  # still on its way from an earlier subscription of this room
            room.delivered = record.position
        mark = None
        if not record.volatile and record.ref is None:
            self._mark += 1
            mark = self._mark
        at = At(record.room, record.position, mark, record.ref, record.volatile)
        if record.but or not room.may_wait(record):
            self.settle()
            room.fan_out(record, at)
        else:
            self.flushing.hold(room, record, at)
        for member in list(room.parked):
            member.park(room, record, at)

    def broken(self, name: str, position: Position | None) -> None:
        """Deliveries of a room have a hole (see `Broker.start`): tell whoever relies on them."""
        self.breaks += 1
        room = self.rooms.get(name)
        if room is None:
            return
        self.settle()
        room.delivered = position
        for member in list(room.parked):
            if member.parked is None and member.behind[name] is not None:
                member.catch_up(room)  # it waited for records that will not come
        channel = room.channel
        if room.is_kept():
            for member in room.members():
                member.say(Gap(member.alias, 0, position))
        if channel is not None and channel.presence:
            self.attendance.relist(name)

    def room(self, name: str, channel: Channel | None = None) -> Room:
        """The room of this name, to publish to or to enter; it need not have members."""
        found = self.rooms.get(name)
        if found is not None:
            return found
        return Room(self, name, channel or self.channels.of_room(name))

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> None:
        """Run something of our own; an error is a bug and is logged."""

        def done(_: object, error: BaseException | None) -> None:
            if isinstance(error, Exception):
                log.error("%s failed", name, exc_info=error)

        self.dispatcher.stepper.start(coroutine, done, name)


def _names(but: But) -> tuple[str, ...]:
    """Member ids and room names, as they travel with a record."""
    if but is None:
        return ()
    if isinstance(but, Member):
        return (but.id,)
    if isinstance(but, Room):
        return (but.name,)
    return tuple(name for one in but for name in _names(one))


def _anonymous(hello: Hello) -> User:
    return User(f"anonymous.{hello.id(ANONYMOUS_ID)}", is_anonymous=True)


def _with_credentials(hello: Hello, credentials: object) -> Hello:
    fields = {name: getattr(hello, name) for name in hello.__struct_fields__}
    return Hello(**{**fields, "credentials": credentials})
