"""Member: a test's hands on a client at one address."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from anywire.body import Body
from anywire.errors import Refused
from anywire.frames import (
    Cancel,
    Data,
    End,
    Event,
    Frame,
    Item,
    Joined,
    Leave,
    Position,
    Presence,
    Ref,
    Refusal,
    Reply,
    Want,
)
from anywire.testing.clock import settled
from anywire.wires.base import Cap

Uploads = Sequence[AsyncIterable[object] | Iterable[object]]


class Talk(Protocol):
    """What a member needs of the conversation it belongs to."""

    timeout: float
    members: "dict[str, TestMember]"
    streams: "dict[Ref, asyncio.Queue[Item | End | Reply]]"
    uploads: "dict[Ref, asyncio.Task[None]]"
    end: tuple[int, str] | None

    def require(self, cap: Cap, what: str) -> None: ...

    def new_ref(self) -> int: ...

    def ask(self, ref: Ref, frame: Event) -> "asyncio.Future[Frame]": ...

    def send(self, frame: Frame) -> None: ...

    def cut(self) -> None: ...

    async def open(self) -> None: ...


class TestMember:
    """A client at one address."""

    __test__ = False

    def __init__(self, conversation: Talk, address: str) -> None:
        self._conversation = conversation
        self._events: asyncio.Queue[Event | Refusal | Exception] = asyncio.Queue()
        self._aside: list[Event] = []
        self._handlers: dict[str, Callable[..., Any]] = {}
        self.address = address
        self.joined: Joined | None = None
        """The answer to the join: `data`, `outcome`, `reason`, `positions`."""
        self.positions: dict[str, Position] = {}
        """Where this client stands, by room; what it joins with after a cut."""
        self.presence: dict[str, list[Any]] = {}
        """Metas by key, as told so far."""

    @property
    def welcome(self) -> object:
        """What the `join` handler returned."""
        return plain(self.joined.data) if self.joined is not None else None

    async def push(self, event: str, *args: object, **fields: object) -> None:
        """Send an event that asks for no answer."""
        self._conversation.send(Event(self.address, event, body_of(args, fields)))

    async def call(self, event: str, *args: object, uploads: Uploads = (), **fields: object) -> Any:
        """Send an event and wait for its answer.

        `uploads`: iterables, async or not; the values of each go to one stream parameter of the
        handler, in order, one a turn of the loop. Raises Refused for an error, Unsupported where
        the wire has no answers.
        """
        conversation = self._conversation
        conversation.require(
            Cap.STREAM if uploads else Cap.REPLY, "uploads" if uploads else "calls"
        )
        ref = conversation.new_ref()
        streams = tuple(f"u{ref}.{number}" for number in range(len(uploads)))
        body = body_of(args, fields)
        frame = Event(self.address, event, body, ref=ref, want=Want.REPLY, streams=streams)
        answer = conversation.ask(ref, frame)
        async with asyncio.timeout(conversation.timeout), self._uploading(streams, uploads):
            reply = await answer
        assert isinstance(reply, Reply)
        if reply.code:
            raise Refused(reply.code, reply.text, data=plain(reply.data))
        return plain(reply.data)

    async def stream(self, event: str, *args: object, **fields: object) -> AsyncIterator[Any]:
        """The items of a stream; leaving the loop cancels it."""
        queue: asyncio.Queue[Item | End | Reply] = asyncio.Queue()
        conversation = self._conversation
        conversation.require(Cap.STREAM, "streams")
        ref = conversation.new_ref()
        frame = Event(self.address, event, body_of(args, fields), ref=ref, want=Want.STREAM)
        conversation.streams[ref] = queue
        conversation.send(frame)
        is_over = False
        try:
            while True:
                async with asyncio.timeout(conversation.timeout):
                    got = await queue.get()
                if isinstance(got, Item):
                    yield plain(got.data)
                    continue
                if got.code:
                    raise Refused(got.code, got.text)
                is_over = True
                return
        finally:
            conversation.streams.pop(ref, None)
            if not is_over and conversation.end is None:
                conversation.send(Cancel(ref))

    async def next(self, event: str | None = None) -> Any:
        """The arguments of the next event (of that name; others are kept for later)."""
        return plain((await self.next_event(event)).args)

    async def next_event(self, event: str | None = None) -> Event:
        """The next event (of that name) as a frame.

        Raises Closed or Refused if that comes instead.
        """
        for index, aside in enumerate(self._aside):
            if event in (None, aside.event):
                return self._aside.pop(index)
        while True:
            async with asyncio.timeout(self._conversation.timeout):
                got = await self._events.get()
            if isinstance(got, Exception):
                raise got
            if isinstance(got, Refusal):
                raise Refused(got.code, got.text, data=plain(got.data))
            if event in (None, got.event):
                return got
            self._aside.append(got)

    async def silence(self) -> None:
        """Let everything under way arrive, and see that it was nothing."""
        await settled()
        assert not self._aside, f"came instead of silence: {self._aside}"
        assert self._events.empty(), f"came instead of silence: {self._events.get_nowait()}"

    def answer(self, event: str, function: Callable[..., Any]) -> None:
        """Answer the server's calls of this event; raise Refused in it to refuse."""
        self._handlers[event] = function

    async def leave(self) -> None:
        """End the membership, and let the server's handlers see it."""
        self._conversation.send(Leave(self.address))
        self._conversation.members.pop(self.address, None)
        await settled()

    async def drop(self) -> None:
        """Cut this client's connection without a goodbye."""
        self._conversation.cut()
        await settled()

    async def resume(self) -> None:
        """Open this client's connection again."""
        await self._conversation.open()

    # What the conversation tells.

    def take(self, event: Event) -> None:
        if event.position is not None:
            self.positions[event.room or self.address] = event.position
        if event.want is Want.REPLY and event.ref is not None and event.event in self._handlers:
            self._answer(event, event.ref)
        else:
            self._events.put_nowait(event)

    def present(self, change: Presence) -> None:
        if change.whole:
            self.presence = {key: list(metas) for key, metas in change.joined.items()}
            return
        for key, metas in change.left.items():
            left = [meta for meta in self.presence.get(key, []) if meta not in metas]
            self.presence[key] = left
            if not left:
                del self.presence[key]
        for key, metas in change.joined.items():
            self.presence.setdefault(key, []).extend(metas)

    def refused(self, refusal: Refusal) -> None:
        self._events.put_nowait(refusal)

    def closed(self, error: Exception) -> None:
        self._events.put_nowait(error)

    @asynccontextmanager
    async def _uploading(self, refs: Sequence[Ref], uploads: Uploads) -> AsyncIterator[None]:
        """Send the values of all uploads meanwhile."""
        running = self._conversation.uploads
        tasks = {
            ref: asyncio.create_task(self._upload(ref, values), name=f"upload {ref}")
            for ref, values in zip(refs, uploads, strict=True)
        }
        running.update(tasks)
        try:
            yield
        finally:
            for ref, task in tasks.items():
                running.pop(ref, None)
                task.cancel()
            for ended in await asyncio.gather(*tasks.values(), return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _upload(self, ref: Ref, values: AsyncIterable[object] | Iterable[object]) -> None:
        conversation = self._conversation
        end = End(ref)
        try:
            async for value in _each(values):
                conversation.send(Item(ref, Body.of(value)))
                await asyncio.sleep(0)  # the server takes it before the next one comes
        except Refused as refused:
            end = End(ref, refused.code, refused.text)
        conversation.uploads.pop(ref, None)
        conversation.send(end)

    def _answer(self, event: Event, ref: Ref) -> None:
        value = plain(event.args)
        try:
            answer = self._handlers[event.event](value)
        except Refused as refused:
            reply = Reply(ref, self.address, None, refused.code, refused.text)
        else:
            reply = Reply(ref, self.address, Body.of(answer))
        self._conversation.send(reply)


def plain(data: Data | None) -> Any:
    """Arguments as one plain value; None where there are none."""
    return None if data is None else data.one_value


def body_of(args: tuple[object, ...], fields: dict[str, object]) -> Body:
    """Arguments as they were passed: in a row, the keywords as one object behind them."""
    return Body.of(*args, fields) if fields else Body.of(*args)


async def _each(values: AsyncIterable[object] | Iterable[object]) -> AsyncIterator[object]:
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield value
    else:
        for value in values:
            yield value
