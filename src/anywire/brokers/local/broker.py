"""LocalBroker: all five contracts for a worker of one machine, over a Unix socket to the hub.

A worker that finds no hub tries to become it; whoever gets the lock is. When the hub dies the
workers do the same again: within milliseconds there is another one, under a new epoch, and each
worker tells it what it knows: its rooms, who of its members is present, which sessions it owns.
A publication that was not answered is not said again: who published hears `lost`, since some may
have heard it.

*Holes.* When only the connection was cut (a worker too slow for its hub), the records that were
missed are read from the history and delivered before anything newer.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anywire.brokers.base import Found, Keep, Question
from anywire.brokers.local import words
from anywire.brokers.local.folder import Folder
from anywire.brokers.local.line import HubDialogue, HubLine
from anywire.brokers.local.words import FromHub
from anywire.errors import ProtocolError
from anywire.frames import Position, Record, Since, pack_record, unpack_record

log = logging.getLogger(__name__)

_REPLAY = 10_000
"""Records read at most to fill a hole."""

_Place = tuple[str, str, str, str]  # room, node, key, member


class LocalBroker:
    """One worker's end. `clock` gives unix time in seconds: it is the hub's, if this worker becomes
    it.
    """

    __slots__ = (
        "_answer",
        "_answering",
        "_broken",
        "_claims",
        "_deliver",
        "_door",
        "_doors",
        "_folder",
        "_held",
        "_line",
        "_node",
        "_present",
        "_rooms",
    )

    def __init__(self, folder: Path | Folder, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder if isinstance(folder, Folder) else Folder(folder)
        self._line = HubLine(self._folder, clock=clock, take=self._take, restore=self._restore)
        self._deliver: Callable[[Record], None] | None = None
        self._broken: Callable[[str, Position | None], None] | None = None
        self._node = ""
        self._door = ""
        self._answer: Callable[[Question], Any] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._doors: dict[str, str] = {}
        # What another hub must be told:
        self._rooms: dict[str, Position | None] = {}
        """Subscribed rooms, and where the last record stood that was delivered."""
        self._present: dict[_Place, tuple[bytes, float, Keep | None]] = {}
        self._claims: dict[tuple[str, str], tuple[str, str, float]] = {}
        self._held: dict[str, list[Record]] = {}
        """Rooms whose hole is being filled, and what came meanwhile."""

    @property
    def folder(self) -> Folder:
        """Where the workers meet."""
        return self._folder

    @property
    def is_hub(self) -> bool:
        """Whether this process serves the hub."""
        hub = self._line.hub
        return hub is not None and hub.is_serving

    # Broker

    async def start(
        self,
        deliver: Callable[[Record], None],
        broken: Callable[[str, Position | None], None] | None = None,
    ) -> None:
        """See `Broker.start`. Raises ConfigurationError when there is no hub and none can be."""
        self._deliver, self._broken = deliver, broken
        await self._line.start(self._node, self._door)

    async def stop(self) -> None:
        """Hang up; if this worker is the hub, another one takes over."""
        self._deliver = self._broken = None
        for task in list(self._answering):
            task.cancel()
        await self._line.stop()
        self._rooms.clear()
        self._held.clear()
        self._present.clear()
        self._claims.clear()

    async def subscribe(self, room: str) -> Position | None:
        """See `Broker.subscribe`."""
        begun: Position | None = await self._line.ask(
            words.Subscribe(self._line.ref(), room), Position | None
        )
        if room not in self._rooms:
            self._rooms[room] = begun
        return begun

    async def unsubscribe(self, room: str) -> None:
        """See `Broker.unsubscribe`."""
        self._rooms.pop(room, None)
        await self._line.ask(words.Unsubscribe(self._line.ref(), room), None)

    async def publish(self, record: Record, keep: Keep | None) -> Position | None:
        """See `Broker.publish`. Raises Refused: `lost` when the hub died before it answered,
        `busy` when there is none.
        """
        word = words.Publish(self._line.ref(), pack_record(record), keep)
        position: Position | None = await self._line.ask(word, Position | None)
        return position

    # History

    async def since(
        self, room: str, since: Since, limit: int
    ) -> tuple[Sequence[Record], Position, str]:
        """See `History.since`."""
        word = words.Read(self._line.ref(), room, since, limit)
        packed, position, lost = await self._line.ask(word, tuple[list[bytes], Position, str])
        return [unpack_record(one) for one in packed], position, lost

    # PresenceStore

    async def enter(
        self,
        room: str,
        node: str,
        key: str,
        member: str,
        meta: bytes,
        lease: float,
        keep: Keep | None,
    ) -> Position | None:
        """See `PresenceStore.enter`."""
        self._present[room, node, key, member] = (meta, lease, keep)
        word = words.Enter(self._line.ref(), room, node, key, member, meta, lease, keep)
        position: Position | None = await self._line.ask(word, Position | None)
        return position

    async def exit(
        self, room: str, node: str, key: str, member: str, keep: Keep | None
    ) -> Position | None:
        """See `PresenceStore.exit`."""
        self._present.pop((room, node, key, member), None)
        word = words.Exit(self._line.ref(), room, node, key, member, keep)
        position: Position | None = await self._line.ask(word, Position | None)
        return position

    async def renew(self, node: str, lease: float) -> None:
        """See `PresenceStore.renew`."""
        await self._line.ask(words.Renew(self._line.ref(), node, lease), None)

    async def list(self, room: str) -> Mapping[str, Sequence[bytes]]:
        """See `PresenceStore.list`. What was delivered before it returns is in it, what comes after
        is not.
        """
        here: dict[str, list[bytes]] = await self._line.ask(
            words.List(self._line.ref(), room), dict[str, list[bytes]]
        )
        return here

    # Directory

    async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
        """See `Directory.claim`."""
        word = words.Claim(self._line.ref(), mount, id, owner, identity, lease)
        standing: str = await self._line.ask(word, str)
        if standing == owner:
            self._claims[mount, id] = (owner, identity, lease)
        return standing

    async def owner(self, mount: str, id: str) -> str | None:
        """See `Directory.owner`."""
        owner: str | None = await self._line.ask(
            words.Owner(self._line.ref(), mount, id), str | None
        )
        return owner

    async def release(self, mount: str, id: str) -> None:
        """See `Directory.release`."""
        self._claims.pop((mount, id), None)
        await self._line.ask(words.Release(self._line.ref(), mount, id), None)

    # Nodes

    def listen(self, node: str, answer: Callable[[Question], Any], door: str = "") -> None:
        """See `Nodes.listen`."""
        self._node, self._answer, self._door = node, answer, door

    def doors(self) -> Mapping[str, str]:
        """See `Nodes.doors`."""
        return self._doors

    async def ask(self, nodes: Sequence[str] | None, question: Question, timeout: float) -> Found:  # noqa: ASYNC109
        """See `Nodes.ask`."""
        word = words.Ask(self._line.ref(), nodes, question, timeout)
        found: Found = await self._line.ask(word, Found)
        return found

    # --- what the hub says ----------------------------------------------------------------------

    def _take(self, talk: HubDialogue, word: FromHub) -> None:
        match word:
            case words.Deliver():
                self._delivered(word.record)
            case words.Asked():
                self._asked(talk, word)
            case words.Doors():
                self._doors = dict(word.nodes)
            case _:
                raise ProtocolError(f"{type(word).__name__} is not for a worker")

    def _delivered(self, packed: bytes) -> None:
        try:
            record = unpack_record(packed)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        held = self._held.get(record.room)
        if held is not None:
            held.append(record)
        else:
            self._pass_on(record)

    def _pass_on(self, record: Record) -> None:
        if record.position is not None and record.room in self._rooms:
            self._rooms[record.room] = record.position
        if self._deliver is not None:
            try:
                self._deliver(record)
            except Exception:  # the next one must be delivered
                log.exception("delivering a record of room %r failed", record.room)

    def _asked(self, talk: HubDialogue, word: words.Asked) -> None:
        """A question is heard now, in order with what is delivered; its answer may take time."""
        try:
            if self._answer is None:
                raise LookupError("nobody answers here")
            value = self._answer(word.question)
            if inspect.isawaitable(value):
                answering = self._answered(talk, word, value)
                task = asyncio.get_running_loop().create_task(answering, name="anywire answer")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            else:
                talk.say(words.Answer(word.ref, value))
        except Exception:
            self._unanswered(talk, word)

    async def _answered(
        self, talk: HubDialogue, word: words.Asked, value: Awaitable[object]
    ) -> None:
        try:
            talk.say(words.Answer(word.ref, await value))
        except Exception:
            self._unanswered(talk, word)

    def _unanswered(self, talk: HubDialogue, word: words.Asked) -> None:
        log.exception("the answer to %s failed", word.question.ask.value)
        talk.say(words.Answer(word.ref, failed=True))

    # --- a hub that is told what we know --------------------------------------------------------

    async def _restore(self, is_new: bool) -> None:
        """Tell a hub what we know, and fill the holes. Raises Refused when it goes away meanwhile.

        It keeps the order of a room: nothing newer is delivered before a hole of it is filled.
        """
        line = self._line
        rooms = dict(self._rooms)
        self._held = {room: [] for room in rooms}
        for place, (meta, lease, keep) in list(self._present.items()):
            ref = line.ref(is_own=True)
            line.tell(words.Enter(ref, *place, meta, lease, keep, quiet=is_new))
        for (mount, id), claim in list(self._claims.items()):
            line.tell(words.Claim(line.ref(is_own=True), mount, id, *claim))
        for room in rooms:
            line.tell(words.Subscribe(line.ref(is_own=True), room))
        for room, last in rooms.items():
            await self._fill(room, last)

    async def _fill(self, room: str, last: Position | None) -> None:
        """Deliver what was missed in a room, then what came meanwhile.

        Where not all of it is kept, or under another epoch, all there is: it is news here.
        """
        missed: list[Record] = []
        end, lost = Position(0, ""), ""
        if last is not None:
            since = Since(positions={room: last})
            word = words.Read(self._line.ref(is_own=True), room, since, _REPLAY)
            packed, end, lost = await self._line.say(word, tuple[list[bytes], Position, str])
            missed = [unpack_record(one) for one in packed]
        held = self._held.pop(room, [])
        if room not in self._rooms:
            return  # unsubscribed meanwhile
        if lost:
            first = missed[0].position if missed else None
            start = end if first is None else Position(first.offset - 1, end.epoch)
            self._rooms[room] = start
            if self._broken is not None:
                self._broken(room, start)
        for record in missed:
            self._pass_on(record)
        for record in held:
            at = record.position
            if at is None or at.offset > end.offset:
                self._pass_on(record)
