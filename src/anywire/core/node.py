"""Node: one process of an app; its sessions, rooms, broker and clock, composed.

It knows no wire and no transport. Deliveries come from the broker, also those published here, so
that one order holds on all nodes.

Length: it is where everything is put together; most of it hands on to the part that does it.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from anywire.body import Body
from anywire.brokers.base import (
    Ask,
    Broker,
    Directory,
    History,
    Nodes,
    PresenceStore,
    Question,
)
from anywire.core.calls import Calls
from anywire.core.channel import PRESENCE, Channel, Channels, Left
from anywire.core.clock import Deadline, Deadlines
from anywire.core.dispatch import Dispatcher
from anywire.core.gathering import Answers, Gathering
from anywire.core.member import Member
from anywire.core.recovery import is_caught_up, is_new
from anywire.core.room import Room
from anywire.core.session import Session
from anywire.errors import Refused
from anywire.frames import At, Position, Record, Ref, Reply, Since
from anywire.limits import Limits
from anywire.outbox import Outbox
from anywire.transports.base import Transport
from anywire.wires.base import Hello, Machine, Opening, Role, User, Wire

log = logging.getLogger(__name__)

FLUSH_SESSIONS = 256
"""Connections served per loop turn; then the loop gets its turn."""
RUN = 64
"""Publications that are put together at most."""
LEASE = 45.0
"""Seconds a node's presence outlives its last sign of life; renewed three times as often."""

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
        make_outbox: Callable[..., Outbox] = Outbox,
    ) -> None:
        self.id = id or secrets.token_hex(4)
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
        self.users: dict[str, set[Session]] = {}
        self.rooms: dict[str, Room] = {}
        self.dirty: list[Session] = []
        self.run: list[tuple[Record, At]] = []
        """Publications of one room that wait for `settle`; empty almost always."""
        self._run_room: Room | None = None
        self.dispatcher = Dispatcher(self)
        self.is_stopping = False
        self._authenticate = authenticate
        self._reserved = {PRESENCE: "presence", **(reserved or {})}
        self._is_scheduled = False
        self._call_soon: Callable[[Callable[[], None]], object] | None = None
        self._mark = 0
        self._gathering: dict[str, Gathering] = {}
        self._renewal: Deadline | None = None

    async def start(self) -> None:
        """Open the broker; call once, in the loop that will serve."""
        self.nodes.listen(self.id, self.answer)
        await self.broker.start(self.deliver)
        self._renew()

    async def stop(self) -> None:
        """End every session with 1001, then close the broker. Bounded by `Limits.stop`."""
        self.is_stopping = True
        if self._renewal is not None:
            self.deadlines.cancel(self._renewal)
            self._renewal = None
        for session in list(self.sessions.values()):
            self._send_away(session)
        try:
            async with asyncio.timeout(self.limits.stop / 2):
                await self.dispatcher.stepper.stop()
        except TimeoutError:
            log.warning("%d handlers did not stop in time", len(self.dispatcher.stepper.tasks))
        try:
            async with asyncio.timeout(self.limits.stop / 2):
                await self.broker.stop()
        except TimeoutError:
            log.warning("the broker did not stop in time")

    def _send_away(self, session: Session) -> None:
        session.close(1001, "the server stops", retry=secrets.randbelow(2000) / 1000)

    # --- sessions -------------------------------------------------------------------------------

    async def authenticated(self, hello: Hello, credentials: object = None) -> User:
        """Who opens this conversation. Raises Refused, also when the application takes too long."""
        if self._authenticate is None:
            return hello.user or User(f"anonymous.{hello.id(2)}", is_anonymous=True)
        if credentials is not None:
            hello = _with_credentials(hello, credentials)
        try:
            async with asyncio.timeout(self.limits.authentication):
                user = await self._authenticate(hello)
        except TimeoutError as error:
            raise Refused("timeout", "authentication took too long") from error
        return user or User(f"anonymous.{hello.id(2)}", is_anonymous=True)

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
            found = self.sessions.get(opening.session)
            if (
                found is not None
                and self._may_resume(found, wire, opening, machine, user)
                and found.resume(transport, machine, opening, now)
            ):
                return found
            opening = Opening(
                machine=machine,
                session=hello.id(0),
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

    def _may_resume(
        self, found: Session, wire: Wire, opening: Opening, machine: Machine, user: User
    ) -> bool:
        """The secret and the identity must both be right: rights are checked again at each resume.

        The codec too: what is kept is written already.
        """
        if found.wire is not wire or machine.codec is not found.codec:
            return False
        if self.is_stopping or not found.accepts(opening.token):
            return False
        return found.user.id == user.id or (found.user.is_anonymous and user.is_anonymous)

    def enlist(self, session: Session) -> None:
        """It is known now whose session this is."""
        self.users.setdefault(session.user.id, set()).add(session)

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self.sessions.pop(session.id, None)
        mates = self.users.get(session.user.id)
        if mates is not None:
            mates.discard(session)
            if not mates:
                del self.users[session.user.id]

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

    # --- writing --------------------------------------------------------------------------------

    def mark(self, session: Session) -> None:
        """This session has something to write: it will be flushed once in this turn of the loop."""
        self.dirty.append(session)
        if not self._is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Flush the dirty sessions at the end of this loop turn."""
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._call_soon is None:  # asked once: it costs a system call
                self._call_soon = asyncio.get_running_loop().call_soon
            self._call_soon(self.flush)

    def flush(self) -> None:
        """One joined write per dirty connection, at most so many connections per turn."""
        self.settle()
        self._is_scheduled = False
        batch = self.dirty
        if len(batch) > FLUSH_SESSIONS:
            self.dirty = batch[FLUSH_SESSIONS:]
            del batch[FLUSH_SESSIONS:]
        else:
            self.dirty = []
        for session in dict.fromkeys(batch):  # a put and its transport may both have marked one
            try:
                if session.flush():
                    self.dirty.append(session)
            except Exception:
                log.exception("flushing %r failed; it is closed", session)
                session.abort(1011, "internal error")
        if self.dirty:
            self.schedule()

    # --- publishing -----------------------------------------------------------------------------

    def check_event(self, event: str) -> None:
        """Raise ValueError for a name that means something else to some client of this app."""
        owner = self._reserved.get(event)
        if owner is not None:
            raise ValueError(f'the event "{event}" is reserved by "{owner}"; choose another name')
        if not event or len(event) > self.limits.name:
            raise ValueError(f"an event's name has 1 to {self.limits.name} characters")

    async def publish(
        self,
        room: Room,
        event: str,
        args: tuple[object, ...],
        *,
        but: But = None,
        id: str | None = None,
        volatile: bool = False,
        ref: Ref | None = None,
    ) -> Position | None:
        """Number, keep and carry one publication; see `Room.publish`."""
        self.check_event(event)
        channel = room.channel
        names = channel.names(event) if channel is not None else None
        record = Record(
            room=room.name,
            event=event,
            body=Body.of(*args, names=names),
            id=id,
            but=_names(but),
            time=self.wall(),
            volatile=volatile,
            ref=ref,
            origin=self.id,
        )
        keep = None if channel is None or volatile or ref is not None else channel.keep
        return await self.broker.publish(record, keep)

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
            if self._run_room is not room or len(self.run) >= RUN:
                self.settle()
                self._run_room = room
            self.run.append((record, at))
            if not self._is_scheduled:
                self.schedule()
        for member in list(room.parked):
            member.park(room, record, at)

    def settle(self) -> None:
        """Put the run of publications that waits into its room's outboxes.

        Publications of one room that follow each other within a loop turn are put together, as one
        entry per member. Whatever else is said, or changes who hears them, settles the run first:
        so every member hears everything in the order in which it happened.
        """
        room, run = self._run_room, self.run
        if room is not None:
            self._run_room, self.run = None, []
            room.fan_out_run(run)

    def room(self, name: str, channel: Channel | None = None) -> Room:
        """The room of this name, to publish to or to enter; it need not have members."""
        found = self.rooms.get(name)
        if found is not None:
            return found
        return Room(self, name, channel or self.channels.of_room(name))

    # --- joining --------------------------------------------------------------------------------

    async def enter(self, member: Member, room: Room) -> Room:
        """Put a member into a room; when it returns, nothing published there is missed."""
        room = self.rooms.setdefault(room.name, room)
        member.rooms[room.name] = room
        if member.parked is not None:
            room.parked[member] = None
        else:
            room.add(member)
        if not room.is_subscribed:
            try:
                await self._subscribe(room)
            except BaseException:  # cancelled, too: a member that hears nothing is none
                member.rooms.pop(room.name, None)
                room.remove(member)
                self.spawn(self._release(room), "anywire release")
                raise
        return room

    async def _subscribe(self, room: Room) -> None:
        async with self._lock(room):
            if room.is_subscribed:
                return
            begun = await self.broker.subscribe(room.name)
            if not is_caught_up(room.delivered, begun):  # what follows may have come already
                room.delivered = begun
            room.is_subscribed = True

    async def exit(self, member: Member, room: Room) -> None:
        """Take a member out of a room."""
        member.rooms.pop(room.name, None)
        room.remove(member)
        await self._release(room)

    def dismiss(self, member: Member) -> None:
        """The membership is over: its rooms and its presence forget it."""
        rooms = list(member.rooms.values())
        member.rooms = {}
        for room in rooms:
            room.remove(member)
        if member.presence_key is not None or any(room.is_empty() for room in rooms):
            self.spawn(self._dismissed(member, rooms), "anywire dismiss")

    async def _dismissed(self, member: Member, rooms: list[Room]) -> None:
        if member.presence_key is not None:
            await self.presence.exit(
                member.room.name, self.id, member.presence_key, member.id, member.channel.keep
            )
        for room in rooms:
            await self._release(room)

    async def _release(self, room: Room) -> None:
        """Unsubscribe a room that nobody here is in."""
        if not room.is_empty():
            return
        try:
            async with self._lock(room):
                if not room.is_empty() or not room.is_subscribed:
                    return
                room.is_subscribed = False  # first: who enters meanwhile waits for the lock
                room.delivered = None
                await self.broker.unsubscribe(room.name)
        finally:
            if room.is_empty() and self.rooms.get(room.name) is room:
                del self.rooms[room.name]

    def _lock(self, room: Room) -> AbstractAsyncContextManager[None]:
        if room.lock is None:
            room.lock = asyncio.Lock()
        return room.lock

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> None:
        """Run something of our own; an error is a bug and is logged."""

        def done(_: object, error: BaseException | None) -> None:
            if isinstance(error, Exception):
                log.error("%s failed", name, exc_info=error)

        self.dispatcher.stepper.start(coroutine, done, name)

    # --- presence, history, other nodes ---------------------------------------------------------

    async def track(self, member: Member) -> None:
        """List a member as present in its address's room."""
        key = member.channel.presence
        if member.presence_key is None:
            member.presence_key = key(member) if callable(key) else member.user.id
        meta = Body.of(member.meta or {}).json[1:-1]
        await self.presence.enter(
            member.room.name,
            self.id,
            member.presence_key,
            member.id,
            meta,
            LEASE,
            member.channel.keep,
        )
        if member.has_left and not member.rooms:
            await self.presence.exit(
                member.room.name, self.id, member.presence_key, member.id, member.channel.keep
            )

    async def past(self, member: Member, since: Since, limit: int) -> Body:
        """What was published at a member's address, as the answer to `Past`."""
        if member.channel.keep is None:
            raise Refused("unsupported", f'"{member.channel.pattern}" keeps no history')
        bound = max(0, min(limit or self.limits.replay, self.limits.replay))
        is_asked = since.positions or since.time is not None or since.last is not None
        asked = since if is_asked else Since(last=bound)
        return Body.of(list(map(_told, await self.records(member.room.name, asked, bound))))

    async def records(self, room: str, since: Since, limit: int) -> list[Record]:
        """What is kept of a room since a point, without who came and went."""
        records, _, _ = await self.history.since(room, since, min(limit, self.limits.replay))
        return [record for record in records if record.event != PRESENCE]

    async def count(self, room: str) -> int:
        """Members of a room on all nodes."""
        found = await self.nodes.ask(None, Question(ask=Ask.COUNT, room=room), 5.0)
        return sum(value for value in found.values if isinstance(value, int))

    async def kick(self, room: str, text: str) -> int:
        """End the membership of everyone in a room, on all nodes."""
        found = await self.nodes.ask(None, Question(ask=Ask.KICK, room=room, text=text), 5.0)
        return sum(value for value in found.values if isinstance(value, int))

    async def close_user(self, user: str, text: str) -> int:
        """End every session of a user, on all nodes; they may not come back by themselves."""
        found = await self.nodes.ask(None, Question(ask=Ask.CLOSE_USER, user=user, text=text), 5.0)
        return sum(value for value in found.values if isinstance(value, int))

    def answer(self, question: Question) -> object:
        """What this node says to a question of another (or of itself)."""
        room = self.rooms.get(question.room)
        match question.ask:
            case Ask.COUNT:
                return 0 if room is None else len(room.members())
            case Ask.KICK:
                members = [] if room is None else room.members()
                for member in members:
                    left = Left("kicked", question.text, clean=True)
                    self.dispatcher.finish(member, left, tell=True)
                return len(members)
            case Ask.CLOSE_USER:
                sessions = list(self.users.get(question.user, ()))
                for session in sessions:
                    session.close(4403, question.text or "closed by the server")
                return len(sessions)
            case _:
                return None

    async def call_room(
        self,
        room: Room,
        event: str,
        args: tuple[object, ...],
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Answers:
        """Ask everyone in a room of this process; see `Room.call`."""
        ref = secrets.token_hex(8)
        found = self.rooms.get(room.name)
        gathering = self._gathering[ref] = Gathering([] if found is None else found.members())
        try:
            await self.publish(room, event, args, ref=ref)
            return await gathering.wait(timeout)
        finally:
            del self._gathering[ref]

    def answered(self, session: Session, reply: Reply) -> None:
        """An answer that no call waits for: one of an acknowledged broadcast, or none of ours."""
        gathering = self._gathering.get(str(reply.ref))
        if gathering is not None:
            gathering.take(session, reply)

    def _renew(self) -> None:
        """Tell the store, three times per lease, that this node lives."""
        self.spawn(self.presence.renew(self.id, LEASE), "anywire renew")
        self._renewal = self.deadlines.at(self.now() + LEASE / 3, self._renew)


def _names(but: But) -> tuple[str, ...]:
    """Member ids and room names, as they travel with a record."""
    if but is None:
        return ()
    if isinstance(but, Member):
        return (but.id,)
    if isinstance(but, Room):
        return (but.name,)
    return tuple(name for one in but for name in _names(one))


def _told(record: Record) -> dict[str, object]:
    """One publication in the answer to `Past`."""
    values = record.body.values
    position = record.position
    assert position is not None  # what is kept is numbered
    told: dict[str, object] = {
        "event": record.event,
        "time": record.time,
        "offset": position.offset,
        "epoch": position.epoch,
    }
    if len(values) > 1 and not record.body.is_named:
        told["args"] = list(values)
    elif values:
        told["data"] = record.body.one_value
    return told


def _with_credentials(hello: Hello, credentials: object) -> Hello:
    fields = {name: getattr(hello, name) for name in hello.__struct_fields__}
    return Hello(**{**fields, "credentials": credentials})
