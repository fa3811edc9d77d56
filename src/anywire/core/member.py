"""Member: a session joined to an address; what a handler speaks to."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from anywire.body import Args, Shape
from anywire.core.channel import Channel, Handler, Left
from anywire.core.entering import enter, exit
from anywire.core.parking import Parked
from anywire.core.recovery import is_caught_up, is_new
from anywire.core.room import Room
from anywire.errors import CallFailed, Refused, Unsupported
from anywire.frames import At, Event, Frame, Outcome, Position, Record, Ref, Since, Want
from anywire.limits import is_too_long
from anywire.wires.base import NOTHING, Cap, Hello, User

if TYPE_CHECKING:
    from anywire.core.restoring import Restoring
    from anywire.core.session import Session
    from anywire.core.stream import Inbox

T = TypeVar("T")
_NOTHING: dict[str, Position | None] = {}
"""What almost every member is behind with; replaced, never changed."""


class Member:
    """One client at one address. Handlers get it as their `member` parameter.

    `state` is the application's, kept through a resume. Members compare by identity and have an
    `id` that is unique over all nodes.
    """

    __slots__ = (
        "_id",
        "_serial",
        "_state",
        "address",
        "alias",
        "behind",
        "channel",
        "fields",
        "has_left",
        "inboxes",
        "is_advancing",
        "is_held",
        "is_leaving",
        "is_told",
        "left",
        "meta",
        "outcome",
        "overflows",
        "parked",
        "presence_key",
        "queue",
        "restoring",
        "room",
        "rooms",
        "running",
        "session",
        "since",
        "successor",
        "token",
    )

    def __init__(
        self,
        session: "Session",
        channel: Channel,
        *,
        address: str,
        alias: str,
        fields: Mapping[str, str],
        since: Since | None,
    ) -> None:
        session.serial += 1
        self._serial = session.serial
        self._id = ""
        self.token = ""
        """The secret to go on with this membership in another session, where its wire can."""
        self.session = session
        self.channel = channel
        self.address = address
        self.alias = alias
        self.fields = fields
        self.since = since
        self.room: Room = session.node.room(personal(channel, address, session.user), channel)
        self.rooms: Mapping[str, Room] = NOTHING
        """Rooms this member is in, by name; still full while `leave` runs. Replaced, never changed:
        members of one room alone share it."""
        self.outcome = Outcome.FRESH
        """How the join with a position ended."""
        self.has_left = False
        self.left: Left | None = None
        self.is_told = False
        """Its `leave` handler has run, or will not: it may be adopted all the same."""
        self.is_leaving = False
        """Its `leave` handler runs or has its turn still to come, and it may be adopted."""
        self.parked: Parked | None = Parked(session.hello.limits.outbox)
        self.behind: dict[str, Position | None] = _NOTHING
        """Rooms whose replay is ahead of what this node was given: where it ended. None: it is not
        read yet, as its client is to say where it stands."""
        self.restoring: Restoring | None = None
        """What it missed is being read."""
        self.queue: deque[Any] | None = None
        self.is_held = True
        """The queue waits for a handler; it begins with the join."""
        self.is_advancing = False
        """The queue is being walked, further up in the stack."""
        self.running: dict[Handler, int] | None = None
        self.overflows = 0
        self.inboxes: dict[Ref, Inbox] | None = None
        self.meta: dict[str, object] | None = None
        self.presence_key: str | None = None
        self.successor: Callable[[], None] | None = None
        self._state: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Member({self.address!r}, user={self.user.id!r}, id={self.id!r})"

    @property
    def id(self) -> str:
        """Unique over all nodes; made when it is asked for, as few ever ask."""
        if self._id:
            return self._id
        session = self.session
        return f"{session.node.id}.{session.id}.{self._serial}"

    def keep_id(self) -> None:
        """The session changes, the id does not."""
        self._id = self.id

    @property
    def user(self) -> User:
        return self.session.user

    @property
    def hello(self) -> Hello:
        """The request that opened the session."""
        return self.session.hello

    @property
    def carrier(self) -> str | None:
        """What carries this client right now, as `websocket` or `poll`; None: it is cut. For logs,
        not for logic.
        """
        transport = self.session.transport
        return None if transport is None else transport.carrier.value

    @property
    def state(self) -> dict[str, Any]:
        """The application's own values; they live as long as the membership, through a resume."""
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def is_away(self) -> bool:
        """Whether it has left as far as the application knows, and may come back all the same."""
        return self.is_told or self.is_leaving

    @property
    def attached(self) -> bool:
        """Whether a transport is open right now; what is sent meanwhile waits for the resume."""
        return self.session.is_attached

    async def send(self, event: str, *args: object, volatile: bool = False) -> None:
        """Tell this member alone; waits while its outbox is over its mark.

        After the end of the membership nothing is sent. Raises ValueError for a reserved name, for
        values JSON cannot hold, and for others than `emits` declares.
        """
        self.session.node.check_event(event)
        body = self.channel.body(event, args)
        self.say(Event(self.alias, event, body, volatile=volatile))
        if self.session.is_over_mark:
            await self.session.node.drained(self.session)

    async def call(
        self,
        event: str,
        *args: object,
        returns: type[T] | Any = object,
        timeout: float = 10.0,  # noqa: ASYNC109 (our own clock keeps it)
    ) -> T | Any:
        """Ask this member and await its answer, converted to `returns`.

        Not for a `join` handler: the client hears the question after the answer to its join. Raises
        CallFailed `timeout`, `lost`, `busy`, the client's own code, or `invalid` when the answer is
        not what `returns` says; Unsupported on a wire without calls.
        """
        session = self.session
        if not session.machine.caps & Cap.CALL:
            raise Unsupported(
                f'the wire "{session.wire.name}" cannot carry the call "{event}" to its client;'
                " send an event and let the client send one back"
            )
        session.node.check_event(event)
        body = self.channel.body(event, args)
        if self.has_left:
            raise CallFailed("lost", "the client is gone")
        ref, answer = session.node.calls_of(session).open(timeout)
        self.say(Event(self.alias, event, body, ref=ref, want=Want.REPLY))
        reply = await answer
        if reply.code:
            data = converted(reply.data, object, event)
            raise CallFailed(reply.code, reply.text, data=data)
        return converted(reply.data, returns, event)

    async def enter(self, room: "str | Room") -> Room:
        """Be in a room too: a name inside this channel (`chat/engineering`), or any room as object.

        Raises Refused `invalid` for a name that is empty, too long or unprintable, `busy` past the
        bound of rooms, `left` after the end of the membership.
        """
        limits = self.hello.limits
        node = self.session.node
        if isinstance(room, str):
            if not room or not room.isprintable() or is_too_long(room, limits.name):
                raise Refused("invalid", f"a room's name is 1 to {limits.name} printable bytes")
            if self.channel.personal:
                pattern = self.channel.pattern
                raise Unsupported(f'"{pattern}" is personal: enter a Room, not a name')
            room = node.room(f"{self.channel.name}/{room}", self.channel)
        if self.has_left:
            raise Refused("left", "the membership has ended")
        entered = self.rooms.get(room.name)
        if entered is not None and entered.is_subscribed:
            return entered
        if entered is None and len(self.rooms) >= limits.members:
            raise Refused("busy", f"a member may be in {limits.members} rooms")
        return await enter(node, self, room)

    async def exit(self, room: "str | Room") -> None:
        """Be in that room no more; harmless when it is not."""
        name = f"{self.channel.name}/{room}" if isinstance(room, str) else room.name
        found = self.rooms.get(name)
        if found is not None:
            await exit(self.session.node, self, found)

    async def track(self, /, **meta: object) -> None:
        """Be listed as present, with this meta (what other members may see).

        Raises Unsupported where the channel has no `presence`.
        """
        if not self.channel.presence:
            pattern = self.channel.pattern
            raise Unsupported(f'"{pattern}" has no presence; app.channel(…, presence=True)')
        self.meta = meta
        await self.session.node.attendance.track(self)

    async def update(self, /, **meta: object) -> None:
        """Change parts of the meta."""
        await self.track(**{**(self.meta or {}), **meta})

    async def untrack(self) -> None:
        """Be listed no more; nothing where it was not. The membership goes on."""
        self.meta = None
        await self.session.node.attendance.untrack(self)

    async def leave(self, text: str = "") -> None:
        """End this membership; the session goes on."""
        self.session.node.dispatcher.finish(self, Left("left", text, clean=True), tell=True)

    async def fail(self, text: str = "") -> None:
        """End it as failed: wires that know the difference tell their client to join again."""
        self.session.node.dispatcher.finish(self, Left("internal", text, clean=False), tell=True)

    async def close(self, code: int = 4403, text: str = "", *, retry: float | None = None) -> None:
        """End the session. `retry`: seconds until its client comes back; None: it stays away."""
        self.session.close(code, text, retry=retry)

    # --- for the core ---------------------------------------------------------------------------

    def say(self, frame: Frame) -> None:
        """Send a frame, after the answer to the join if that is still to come."""
        if self.parked is not None:
            self.parked.put(frame)
        elif not self.has_left:
            self.session.send(frame)

    def park(self, room: Room, record: Record, at: At) -> None:
        """Take a publication that lanes do not deliver yet: for after the answer to the join, or,
        while the node is still behind what was replayed, without what the replay had."""
        is_meant = not self.is_in(record.but)
        if self.parked is not None:
            is_for_nobody = self.restoring is not None and self.restoring.asked is None
            if is_meant and not (is_for_nobody and self.behind.get(room.name, record) is None):
                if not self.parked.put_record(record, at, self.rooms):
                    # Not at once: others are still to be told this publication.
                    node = self.session.node
                    node.deadlines.at(node.now(), self.session.give_up)
            return
        end = self.behind[room.name]
        if end is None:
            return  # it is in the history that will be read
        if is_meant and is_new(record, end):
            room.tell(self, record, at)
        if is_caught_up(record.position, end):
            self.catch_up(room)

    def catch_up(self, room: Room) -> None:
        """Wait for nothing any more: hear this room live."""
        self.behind.pop(room.name, None)
        room.parked.pop(self, None)
        room.add(self)

    def strand(self, room: Room) -> None:
        """Hear nothing of this room until its client has said where it stands."""
        room.parked[self] = None
        self.behind = {**self.behind, room.name: None}

    def strand_all(self) -> bool:
        """The client is gone, whatever was under way: it is to say where it stands in every room
        with history. False: there is none.
        """
        if self.restoring is not None:
            self.restoring.asked = None
        if self.behind or self.restoring is not None:
            self.behind = {name: None for name, room in self.rooms.items() if room.is_kept()}
        return bool(self.behind)

    def lacking(self) -> list[Room]:
        """The rooms where its client is to say where it stands."""
        if not self.behind:
            return []
        return [self.rooms[name] for name, end in self.behind.items() if end is None]

    def forget(self, room: str) -> None:
        """Be behind in this room no more: the member is not in it."""
        if room in self.behind:
            del self.behind[room]

    def is_in(self, but: Iterable[str]) -> bool:
        """Whether one of these member ids or room names is this member's."""
        id, rooms = self.id, self.rooms
        for name in but:
            if name == id or name in rooms:
                return True
        return False

    def delivered(self) -> list[Room]:
        """Rooms whose lanes hold this member now."""
        if self.parked is not None:
            return []
        return [room for name, room in self.rooms.items() if name not in self.behind]


def personal(channel: Channel, address: str, user: User) -> str:
    """The name of the room at an address: `<address>/<user id>` where the channel is personal."""
    if not channel.personal:
        return address
    if user.is_anonymous:
        raise Refused("refused", f'"{channel.pattern}" is personal: say who you are first')
    return f"{address}/{user.id}"


def converted(data: object, returns: Any, event: str) -> Any:
    """The value of an answer as the type that was asked for. Raises CallFailed `invalid`."""
    value = None
    try:
        if isinstance(data, Args):
            value = data.value()
            if data.shape is Shape.LIST:
                values = data.values()
                value = values[0] if len(values) == 1 else list(values) if values else None
        if returns is object:
            return value
        return msgspec.convert(value, returns, builtin_types=(bytes,))
    except ValueError as error:  # msgspec's, too
        raise CallFailed("invalid", f'the answer to "{event}": {error}') from error
