"""LocalBroker: all five contracts for a worker of one machine, over a Unix socket to the hub.

A worker that finds no hub tries to become it; whoever gets the lock is. When the hub dies the
workers do the same again: within milliseconds there is another one, under a new epoch, and each
worker tells it what it knows: its rooms, who of its members is present, which sessions it owns.
What was asked and not answered is asked again where twice is as good as once; a publication is not:
who published hears `lost`, since some may have heard it.

*Holes.* When only the connection was cut (a worker too slow for its hub), the records that were
missed are read from the history and delivered before anything newer.
"""

import asyncio
import hmac
import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from anywire.brokers.base import Found, Keep, Question
from anywire.brokers.local import words
from anywire.brokers.local.folder import Folder
from anywire.brokers.local.hub import Hub
from anywire.brokers.local.talk import Talk
from anywire.brokers.local.words import FromHub
from anywire.errors import ConfigurationError, ProtocolError, Refused
from anywire.frames import Position, Record, Since, pack_record, unpack_record

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that what is asked waits for a hub."""
START = 10.0
"""Seconds in which a worker must find a hub at its start."""
_SLACK = 1.0
"""Seconds that the hub has beyond the time a question has."""
_RETRY = (0.005, 0.05)
"""Seconds between two tries to find a hub, from … to."""
_REPLAY = 10_000
"""Records read at most to fill a hole."""

_Hub = Talk[FromHub]
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
        "_clock",
        "_deliver",
        "_door",
        "_doors",
        "_folder",
        "_held",
        "_hub",
        "_hub_id",
        "_is_seeking",
        "_is_stopped",
        "_last",
        "_node",
        "_own",
        "_present",
        "_refs",
        "_rooms",
        "_seeking",
        "_standing",
        "_talk",
        "_waiting",
        "_wanted",
    )

    def __init__(self, folder: Path | Folder, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder if isinstance(folder, Folder) else Folder(folder)
        self._clock = clock
        self._deliver: Callable[[Record], None] | None = None
        self._broken: Callable[[str, Position | None], None] | None = None
        self._node = ""
        self._door = ""
        self._answer: Callable[[Question], Any] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._doors: dict[str, str] = {}
        self._hub: Hub | None = None
        """The hub, where this worker is it."""
        self._hub_id = ""
        self._talk: _Hub | None = None
        self._standing = asyncio.Event()
        """Set while requests are taken."""
        self._seeking: asyncio.Task[None] | None = None
        self._is_seeking = False
        self._own: set[int] = set()
        """Refs of what is said to a hub before requests are taken."""
        self._is_stopped = False
        self._refs = 0
        self._waiting: dict[int, tuple[words.Request, asyncio.Future[Any]]] = {}
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
        return self._hub is not None

    # Broker

    async def start(
        self,
        deliver: Callable[[Record], None],
        broken: Callable[[str, Position | None], None] | None = None,
    ) -> None:
        """See `Broker.start`. Raises ConfigurationError when there is no hub and none can be."""
        self._deliver, self._broken = deliver, broken
        self._is_stopped = False
        try:
            async with asyncio.timeout(START):
                await self._seek()
        except TimeoutError as error:
            raise ConfigurationError(
                f"no hub answers in {self._folder.path}, and another process holds its lock; "
                f"stop what still runs there, or remove {self._folder.hub}"
            ) from error

    async def stop(self) -> None:
        """Hang up; if this worker is the hub, another one takes over."""
        self._is_stopped = True
        self._deliver = self._broken = None
        if self._seeking is not None:
            self._seeking.cancel()
            self._seeking = None
        talk, self._talk = self._talk, None
        self._standing.clear()
        if talk is not None:
            talk.close()
        for task in list(self._answering):
            task.cancel()
        self._fail("the worker stops")
        self._rooms.clear()
        self._held.clear()
        self._present.clear()
        self._claims.clear()
        hub, self._hub = self._hub, None
        if hub is not None:
            await hub.stop()

    async def subscribe(self, room: str) -> Position | None:
        """See `Broker.subscribe`."""
        begun: Position | None = await self._ask(
            words.Subscribe(self._ref(), room), Position | None
        )
        if room not in self._rooms:
            self._rooms[room] = begun
        return begun

    async def unsubscribe(self, room: str) -> None:
        """See `Broker.unsubscribe`."""
        self._rooms.pop(room, None)
        await self._ask(words.Unsubscribe(self._ref(), room), None)

    async def publish(self, record: Record, keep: Keep | None) -> Position | None:
        """See `Broker.publish`. Raises Refused: `lost` when the hub died before it answered,
        `busy` when there is none.
        """
        word = words.Publish(self._ref(), pack_record(record), keep)
        position: Position | None = await self._ask(word, Position | None)
        return position

    # History

    async def since(
        self, room: str, since: Since, limit: int
    ) -> tuple[Sequence[Record], Position, str]:
        """See `History.since`."""
        word = words.Read(self._ref(), room, since, limit)
        packed, position, lost = await self._ask(word, tuple[list[bytes], Position, str])
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
        word = words.Enter(self._ref(), room, node, key, member, meta, lease, keep)
        position: Position | None = await self._ask(word, Position | None)
        return position

    async def exit(
        self, room: str, node: str, key: str, member: str, keep: Keep | None
    ) -> Position | None:
        """See `PresenceStore.exit`."""
        self._present.pop((room, node, key, member), None)
        word = words.Exit(self._ref(), room, node, key, member, keep)
        position: Position | None = await self._ask(word, Position | None)
        return position

    async def renew(self, node: str, lease: float) -> None:
        """See `PresenceStore.renew`."""
        await self._ask(words.Renew(self._ref(), node, lease), None)

    async def list(self, room: str) -> Mapping[str, Sequence[bytes]]:
        """See `PresenceStore.list`. What was delivered before it returns is in it, what comes after
        is not.
        """
        here: dict[str, list[bytes]] = await self._ask(
            words.List(self._ref(), room), dict[str, list[bytes]]
        )
        return here

    # Directory

    async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
        """See `Directory.claim`."""
        word = words.Claim(self._ref(), mount, id, owner, identity, lease)
        standing: str = await self._ask(word, str)
        if standing == owner:
            self._claims[mount, id] = (owner, identity, lease)
        return standing

    async def owner(self, mount: str, id: str) -> str | None:
        """See `Directory.owner`."""
        owner: str | None = await self._ask(words.Owner(self._ref(), mount, id), str | None)
        return owner

    async def release(self, mount: str, id: str) -> None:
        """See `Directory.release`."""
        self._claims.pop((mount, id), None)
        await self._ask(words.Release(self._ref(), mount, id), None)

    # Nodes

    def listen(self, node: str, answer: Callable[[Question], Any], door: str = "") -> None:
        """See `Nodes.listen`."""
        self._node, self._answer, self._door = node, answer, door

    def doors(self) -> Mapping[str, str]:
        """See `Nodes.doors`."""
        return self._doors

    async def ask(self, nodes: Sequence[str] | None, question: Question, timeout: float) -> Found:  # noqa: ASYNC109
        """See `Nodes.ask`."""
        word = words.Ask(self._ref(), nodes, question, timeout)
        try:
            async with asyncio.timeout(timeout + PATIENCE + _SLACK):
                found: Found = await self._ask(word, Found)
        except TimeoutError as error:
            raise Refused("lost", "the hub of the workers does not answer") from error
        return found

    # --- requests -------------------------------------------------------------------------------

    def _ref(self) -> int:
        self._refs += 1
        return self._refs

    async def _ask(self, word: words.Request, kind: Any) -> Any:
        """Say it, and wait for the answer."""
        if not self._standing.is_set():
            if self._is_stopped:
                raise Refused("lost", "the worker stops")
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._standing.wait()
            except TimeoutError as error:
                raise Refused("busy", "there is no hub of the workers; try again") from error
        return await self._say(word, kind)

    async def _say(self, word: words.Request, kind: Any) -> Any:
        future = self._told(word)
        try:
            value = await future
        finally:
            self._waiting.pop(word.ref, None)
        return None if kind is None else msgspec.msgpack.decode(value, type=kind)

    def _told(self, word: words.Request) -> asyncio.Future[Any]:
        """Say it; the future is its answer."""
        assert self._talk is not None  # standing, or about to be
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[word.ref] = (word, future)
        self._talk.say(word)
        return future

    def _fail(self, why: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(Refused("lost", why))

    # --- what the hub says ----------------------------------------------------------------------

    def _take(self, talk: _Hub, word: FromHub) -> bool:
        match word:
            case words.Deliver():
                self._delivered(word.record)
            case words.Done():
                request, future = self._waiting.pop(word.ref, (None, None))
                if future is not None and not future.done():
                    future.set_result(word.value)
                return isinstance(request, _ORDERED)
            case words.Failed():
                _, future = self._waiting.pop(word.ref, (None, None))
                if future is not None and not future.done():
                    future.set_exception(Refused(word.code, word.text))
            case words.Asked():
                self._asked(talk, word)
            case words.Doors():
                self._doors = dict(word.nodes)
            case words.Welcome():
                raise ProtocolError("a second welcome")
        return False

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

    def _asked(self, talk: _Hub, word: words.Asked) -> None:
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

    async def _answered(self, talk: _Hub, word: words.Asked, value: Awaitable[object]) -> None:
        try:
            talk.say(words.Answer(word.ref, await value))
        except Exception:
            self._unanswered(talk, word)

    def _unanswered(self, talk: _Hub, word: words.Asked) -> None:
        log.exception("the answer to %s failed", word.question.ask.value)
        talk.say(words.Answer(word.ref, failed=True))

    # --- finding a hub --------------------------------------------------------------------------

    def _lost(self, talk: _Hub) -> None:
        """The hub is gone, or has cut us."""
        if talk is not self._talk:
            return
        self._talk = None
        self._standing.clear()
        waiting, self._waiting = self._waiting, {}
        for ref, (word, future) in waiting.items():
            if ref not in self._own and not isinstance(word, words.Publish | words.Ask):
                self._waiting[ref] = (word, future)
            elif not future.done():
                text = "the hub of the workers went away before it answered; some may have heard it"
                future.set_exception(Refused("lost", text))
        if not (self._is_stopped or self._is_seeking):
            log.warning("the hub of the workers is gone; looking for another")
            loop = asyncio.get_running_loop()
            self._seeking = loop.create_task(self._seek(), name="anywire hub")

    async def _seek(self) -> None:
        """Find a hub or become it, and tell it what we know."""
        self._is_seeking = True
        try:
            while not await self._found():  # noqa: ASYNC110 (nobody could tell)
                await asyncio.sleep(random.uniform(*_RETRY))
        finally:
            self._is_seeking = False

    async def _found(self) -> bool:
        """Try once."""
        try:
            talk, welcome = await self._connected()
        except OSError:
            await self._become()
            return False
        try:
            await self._restore(talk, is_new=welcome.hub != self._hub_id)
        except Refused:  # it went away in the middle
            return False
        except Exception:
            log.exception("the hub of the workers could not be told what this worker knows")
            talk.cut("it was not understood")
            return False
        self._hub_id = welcome.hub
        self._standing.set()
        return True

    async def _connected(self) -> tuple[_Hub, words.Welcome]:
        """A conversation that was welcomed. Raises OSError."""
        loop = asyncio.get_running_loop()
        welcomed: asyncio.Future[words.Welcome] = loop.create_future()

        def take(talk: _Hub, word: FromHub) -> bool:
            if welcomed.done():
                return self._take(talk, word)
            if not isinstance(word, words.Welcome) or word.version != words.VERSION:
                raise ProtocolError("it is no hub of this version")
            if not hmac.compare_digest(word.key, self._folder.key):
                raise ProtocolError("it does not know the key")
            welcomed.set_result(word)
            return True

        def lost(talk: _Hub) -> None:
            if not welcomed.done():
                welcomed.set_exception(ConnectionError("the hub hung up"))
            self._lost(talk)

        _, talk = await loop.create_unix_connection(
            lambda: Talk(words.from_hub, take, lost), self._folder.hub
        )
        _unheard(welcomed)
        talk.say(words.Greeting(words.VERSION, self._folder.key, self._node, self._door))
        try:
            async with asyncio.timeout(PATIENCE):
                welcome = await welcomed
        except BaseException:
            talk.close()
            raise
        self._doors = dict(welcome.nodes)
        return talk, welcome

    async def _become(self) -> None:
        """Be the hub, if nobody else is."""
        if self._hub is not None:
            await self._hub.stop()  # it was ours, and answers no more
            self._hub = None
        hub = Hub(self._folder, clock=self._clock)
        try:
            if await hub.try_start():
                self._hub = hub
        except OSError as error:
            await hub.stop()
            log.warning("no hub can be in %s: %s", self._folder.path, error)

    async def _restore(self, talk: _Hub, *, is_new: bool) -> None:
        """Tell a hub what we know, ask again what was not answered, and fill the holes.

        Raises Refused when it goes away meanwhile.
        """
        self._talk = talk
        again = list(self._waiting.values())
        self._own = set()
        rooms = dict(self._rooms)
        self._held = {room: [] for room in rooms}  # nothing newer is delivered before the holes
        for place, (meta, lease, keep) in list(self._present.items()):
            enter = words.Enter(self._own_ref(), *place, meta, lease, keep, quiet=is_new)
            _unheard(self._told(enter))
        for (mount, id), claim in list(self._claims.items()):
            _unheard(self._told(words.Claim(self._own_ref(), mount, id, *claim)))
        begun = {
            room: _unheard(self._told(words.Subscribe(self._own_ref(), room))) for room in rooms
        }
        for word, future in again:
            if not future.done():
                self._waiting[word.ref] = (word, future)
                talk.say(word)
        for room, last in rooms.items():
            at = msgspec.msgpack.decode(await begun[room], type=Position | None)
            await self._fill(room, last, at)

    def _own_ref(self) -> int:
        ref = self._ref()
        self._own.add(ref)
        return ref

    async def _fill(self, room: str, last: Position | None, begun: Position | None) -> None:
        """Deliver what was missed in a room, then what came meanwhile."""
        missed: list[bytes] = []
        end, lost = 0, ""
        if last is not None:
            since = Since(positions={room: last})
            word = words.Read(self._own_ref(), room, since, _REPLAY)
            missed, now, lost = await self._say(word, tuple[list[bytes], Position, str])
            end = now.offset
        held = self._held.pop(room, [])
        if room not in self._rooms:
            return  # unsubscribed meanwhile
        if lost:
            self._rooms[room] = begun
            if self._broken is not None:
                self._broken(room, begun)
        else:
            for packed in missed:
                self._pass_on(unpack_record(packed))
        for record in held:
            at = record.position
            if lost or at is None or at.offset > end:
                self._pass_on(record)


def _unheard(future: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """A future whose error may never be asked for."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


_ORDERED = (words.Subscribe, words.List, words.Read)
"""Requests whose answers speak of a moment: who asked acts before what came after it is heard."""
