"""Channel: what an application does at one address: join, listen, send, call, stream, answer."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from anywire.body import NO_BODY, Args, Body, one_of
from anywire.client.calls import Calls, Uploads
from anywire.client.clock import Clock
from anywire.client.flow import MOST, Flow
from anywire.client.line import Line, Outgoing
from anywire.client.membership import Membership, Stage
from anywire.client.presence import People
from anywire.client.tasks import Handler, Listeners, Tasks
from anywire.errors import AnywireError, CallFailed
from anywire.frames import Event as EventFrame
from anywire.frames import Past, Position, Presence, Since, Want
from anywire.payload import Policy
from anywire.wires.base import Cap

log = logging.getLogger(__name__)

T = TypeVar("T")
MEMBERSHIP_EVENTS = ("joined", "recovered", "lost", "gap", "refused", "left")


class Event(msgspec.Struct, frozen=True):
    """An event as it was heard."""

    name: str
    args: tuple[Any, ...] = ()
    """The arguments, in order."""
    room: str = ""
    position: Position | None = None
    """Where it stands in the history of its room."""
    id: str | None = None
    time: float | None = None
    """Unix time of its publication in seconds, where it comes from history."""

    @property
    def data(self) -> Any:
        """The arguments as one value: the lone one, None for none, else the list."""
        return one_of(self.args)


class Channel:
    """One address, joined or to be joined; made by `Client.channel`.

    `membership` tells (by `on`) what happens to the membership: `joined` (the answer), `recovered`
    (what was missed follows), `lost` (reason: what was missed cannot be had), `gap` (how many will
    not come), `refused` (error, event) and `left` (error).
    """

    __slots__ = (
        "_answerers",
        "_calls",
        "_clock",
        "_events",
        "_line",
        "_membership",
        "_readers",
        "membership",
        "presence",
    )

    def __init__(
        self, membership: Membership, *, line: Line, calls: Calls, tasks: Tasks, clock: Clock
    ) -> None:
        self._membership = membership
        self._line = line
        self._calls = calls
        self._clock = clock
        self._events = Listeners(tasks, f"event on {membership.address!r}")
        self._answerers: dict[str, Handler] = {}
        self._readers: list[Flow[Event]] = []
        self.membership = Listeners(
            tasks, f"membership of {membership.address!r}", names=MEMBERSHIP_EVENTS
        )
        self.presence = People(tasks)
        membership.show(_Face(self))

    def __repr__(self) -> str:
        return f"Channel({self.address!r}, {self.state})"

    @property
    def address(self) -> str:
        return self._membership.address

    @property
    def state(self) -> Stage:
        """`idle`, `joining`, `joined`, `leaving` or `left`."""
        return self._membership.stage

    # --- membership ------------------------------------------------------------------------------

    async def join(self) -> Any:
        """Become a member, and stay one over every cut; returns what the server's join handler
        said.

        Raises Refused when the server says no, Closed when the client is closed.
        """
        return await self._membership.join()

    async def leave(self) -> None:
        """End the membership; what waits to be sent here is dropped."""
        await self._membership.leave()

    # --- hearing ---------------------------------------------------------------------------------

    def on(self, event: str, handler: Handler | None = None) -> Handler:
        """Call `handler` with the arguments of each event of this name; also a decorator.

        Async handlers take one event after the other. One that raises is logged and stops nobody
        else.
        """
        return self._events.on(event, handler)

    def once(self, event: str, handler: Handler | None = None) -> Handler:
        """As `on`, for the next event only."""
        return self._events.once(event, handler)

    def off(self, event: str, handler: Handler | None = None) -> None:
        """Take one handler away, or all of this name."""
        self._events.off(event, handler)

    def events(
        self, *, most: int = MOST, policy: Policy = Policy.DROP_OLDEST
    ) -> AsyncGenerator[Event, None]:
        """Every event from now on, until the channel is left; `most` may wait for a slow loop.

        Past it the oldest are dropped, or with `Policy.CLOSE` the loop ends with CallFailed `busy`.
        """
        flow: Flow[Event] = Flow(most=most, policy=policy)
        self._readers.append(flow)
        return self._read(flow)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.events()

    async def next(self, event: str | None = None, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """The data of the next event (of this name); `timeout` in seconds, default: the client's.

        Raises CallFailed `timeout`, or what ended the membership.
        """
        seconds = self._calls.timeout if timeout is None else timeout
        flow: Flow[Event] = Flow()
        self._readers.append(flow)
        name = "event" if event is None else f'event "{event}"'
        late = CallFailed("timeout", f"no {name} on {self.address!r} in {seconds:g} s")
        timer = None
        if seconds:
            timer = self._clock.call_at(self._clock.now() + seconds, lambda: flow.end(late))
        try:
            async for heard in flow:
                if event is None or heard.name == event:
                    return heard.data
            raise CallFailed("left", f"{self.address!r} was left")
        finally:
            if timer is not None:
                timer.cancel()
            if flow in self._readers:
                self._readers.remove(flow)

    async def history(
        self,
        *,
        limit: int | None = None,
        last: int | None = None,
        since: datetime | Mapping[str, Position] | None = None,
    ) -> list[Event]:
        """Publications of the past, oldest first: the `last` ones, or those since a moment or a
        place.

        `limit` bounds their number; alone it asks for the last so many.
        """
        self._membership.check()
        self._line.require(Cap.RECOVER, "history")
        if since is None:
            asked = Since(last=limit if last is None else last)
        elif isinstance(since, datetime):
            asked = Since(time=since.timestamp())
        else:
            asked = Since(positions=since)
        most = 2**31 - 1 if limit is None else limit
        listed = await self._calls.call(self._membership, Past(0, self.address, asked, most))
        return [self._past(one) for one in listed or ()]

    # --- speaking --------------------------------------------------------------------------------

    async def send(
        self, event: str, *args: Any, volatile: bool = False, id: str | None = None, **fields: Any
    ) -> bool:
        """Tell the server, now or after the join: positional arguments, or keywords as one
        object.

        False when it was refused: too much waits already (the client tells `overflow`), or it is
        volatile and there is no connection. Waits only while a connection is slower than we are.
        Raises Refused (the channel was left, the message is too large) or Closed.
        """
        self._membership.check()
        frame = EventFrame(self.address, event, _body(args, fields), volatile=volatile, id=id)
        is_taken = self._line.post(Outgoing(self._membership, frame))
        if self._line.is_pressed:
            await self._line.pace()
        return is_taken

    @overload
    async def call(
        self,
        event: str,
        *args: Any,
        returns: type[T],
        timeout: float | None = ...,  # noqa: ASYNC109
        uploads: Uploads = ...,
        **fields: Any,
    ) -> T: ...

    @overload
    async def call(
        self,
        event: str,
        *args: Any,
        returns: None = ...,
        timeout: float | None = ...,  # noqa: ASYNC109
        uploads: Uploads = ...,
        **fields: Any,
    ) -> Any: ...

    async def call(
        self,
        event: str,
        *args: Any,
        returns: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109
        uploads: Uploads = (),
        **fields: Any,
    ) -> Any:
        """Ask the server; returns its answer, converted to `returns` when that is given.

        `timeout`: seconds, default: the client's, 0: for ever; `uploads`: async iterables whose
        values the handler gets in its stream parameters. Raises CallFailed with the code of what
        went wrong (`timeout`, `lost`, `busy`, the server's own), Refused, Closed.
        """
        self._membership.check()
        self._line.require(Cap.REPLY, "calls")
        frame = EventFrame(self.address, event, _body(args, fields), want=Want.REPLY)
        value = await self._calls.call(self._membership, frame, timeout=timeout, uploads=uploads)
        return value if returns is None else _converted(value, returns, event)

    async def stream(
        self,
        event: str,
        *args: Any,
        returns: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109
        uploads: Uploads = (),
        **fields: Any,
    ) -> AsyncGenerator[Any, None]:
        """Ask the server for many answers: `async for item in chat.stream("ticks", "ABC")`.

        Asked when the loop begins, cancelled when it is left. More than 1,000 items that wait for
        the loop end it with CallFailed `busy`. `timeout` bounds the whole stream; default: not at
        all.
        """
        self._membership.check()
        self._line.require(Cap.STREAM, "streams")
        frame = EventFrame(self.address, event, _body(args, fields), want=Want.STREAM)
        items = self._calls.stream(self._membership, frame, timeout=timeout, uploads=uploads)
        async with aclosing(items):
            async for item in items:
                yield item if returns is None else _converted(item, returns, event)

    def answer(self, event: str, handler: Handler | None = None) -> Handler:
        """Answer the server's calls of this name with what `handler` returns or yields; also a
        decorator.

        Raise Refused to refuse. Uploads of the server come as further arguments, async iterators.
        """
        if handler is None:
            return lambda decorated: self.answer(event, decorated)
        self._answerers[event] = handler
        return handler

    # --- inside ----------------------------------------------------------------------------------

    async def _read(self, flow: Flow[Event]) -> AsyncGenerator[Event, None]:
        try:
            async for event in flow:
                yield event
        finally:
            if flow in self._readers:
                self._readers.remove(flow)

    def _past(self, one: Any) -> Event:
        """`{"event": "said", "data": {"text": "hi"}, "offset": 3, "epoch": "k3", "time":
        1700000000.0}`
        """
        args = (
            one["args"] if one.get("args") is not None else [one["data"]] if "data" in one else []
        )
        position = (
            None if one.get("offset") is None else Position(one["offset"], one.get("epoch") or "")
        )
        room = one.get("room") or self.address
        return Event(one["event"], tuple(args), room, position, one.get("id"), one.get("time"))


class _Face:
    """What the client and the membership tell a channel, apart from what an application may
    call.
    """

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def told(self, name: str, *args: Any) -> None:
        listeners = self._channel.membership
        listeners.tell(name, *args)
        if name == "refused" and args[1] is not None and not listeners.has(name):
            log.warning("the event %.80r was refused: %.80r", args[1], args[0].code)

    def over(self, error: AnywireError | None) -> None:
        channel = self._channel
        readers, channel._readers = channel._readers, []
        for reader in readers:
            reader.end(error)
        channel.presence.apply(Presence(channel.address, {}, {}, whole=True))


def hear(channel: Channel, frame: EventFrame) -> None:
    """An event or a call came for this channel."""
    membership = channel._membership
    if not membership.is_joined:
        return  # leaving stops delivery at once, and before the join's answer nothing is ours
    room = channel.address if frame.room is None else frame.room
    if not membership.is_news(room, frame.position):
        return
    if frame.want is not Want.NOTHING:
        channel._calls.answer(membership, frame, channel._answerers.get(frame.event))
        return
    data = frame.args
    args = tuple(data.values() if isinstance(data, Args) else data.values)
    channel._events.tell(frame.event, *args)
    if channel._readers:
        event = Event(frame.event, args, room, frame.position, frame.id)
        for reader in list(channel._readers):
            reader.push(event)


def see(channel: Channel, frame: Presence) -> None:
    """Who is here has changed, or is told for the first time."""
    if channel._membership.is_joined:
        channel.presence.apply(frame)


def _body(args: Sequence[Any], fields: Mapping[str, Any]) -> Body:
    """The arguments as they were passed: in a row, or by name as one object."""
    if not fields:
        return Body.of(*args) if args else NO_BODY
    if args:
        raise TypeError(
            "pass positional arguments or keywords, not both: keywords become one object"
        )
    return Body.of(dict(fields))


def _converted(value: Any, to: Any, event: str) -> Any:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise CallFailed("invalid", f'the answer to "{event}" is not {to}: {error}') from error
