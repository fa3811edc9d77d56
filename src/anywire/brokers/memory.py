"""The memory broker: all five contracts in one process; the default, and what a hub serves.

Everything happens in the first step of a coroutine, so between a call and its effect nothing else
runs. What is published while a record is being delivered is numbered and kept at once and delivered
after it.

*Numbering.* A room that nobody hears and that holds nothing is dropped, for its name may be a
client's. What is left of it is its top offset and epoch, so that a client that comes back is told
the truth and numbers do not go backwards. Of these remains 16,384 are held; past that the older
half is forgotten, and rooms made from then on get a new epoch, since one of them may be a forgotten
one. So false alarms (`lost`: epoch) need many dead rooms, and silent gaps cannot happen. A room
keeps its epoch while it is held.
"""

import asyncio
import inspect
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from itertools import islice

from anywire.brokers.base import Found, Keep, Question
from anywire.core.presence import PRESENCE, Change, Here
from anywire.errors import Refused
from anywire.frames import Position, Record, Since

log = logging.getLogger(__name__)

SEEN = 65_536
SEEN_SECONDS = 300.0
"""The window of idempotency: this many ids, each this long."""
QUIET = 4_096
"""Rooms held while some of them are heard by nobody; past it, those lose what they keep first."""
REMAINS = 16_384
"""Dropped rooms whose top offset is held."""
_SWEEP = 1_000
"""Rooms looked at when a node renews its lease; two more with each new room."""

Answer = Callable[[Question], Awaitable[object] | object]


class _Room:
    """What is known of one room."""

    __slots__ = ("epoch", "forgotten", "here", "is_heard", "keep", "records", "top")

    def __init__(self, top: int, epoch: str, forgotten: float) -> None:
        self.top = top
        self.epoch = epoch
        self.records: deque[tuple[float, Record]] = deque()  # (when it expires, record), no gaps
        self.forgotten = forgotten  # the time of the newest record that is no longer kept
        self.keep: Keep | None = None  # of the last change of presence: for the end of a lease
        self.here = Here()
        self.is_heard = False

    @property
    def position(self) -> Position:
        return Position(self.top, self.epoch)

    def trim(self, now: float, size: int | None = None) -> None:
        """Forget what expired, and the oldest beyond `size`."""
        records = self.records
        while records and (records[0][0] <= now or (size is not None and len(records) > size)):
            self.forgotten = max(self.forgotten, records.popleft()[1].time)

    def newest(self, count: int) -> list[Record]:
        """The last `count` that are kept, oldest first."""
        start = max(0, len(self.records) - max(0, count))
        return [record for _, record in islice(self.records, start, None)]

    def last(self, count: int) -> list[Record]:
        """The last `count` publications that are kept, oldest first; presence is none."""
        said = (record for _, record in reversed(self.records) if record.event != PRESENCE)
        return list(islice(said, max(0, count)))[::-1]


class MemoryBroker:
    """Broker, history, presence, directory and nodes in this process.

    `clock` gives unix time in seconds; `random` makes that many random bytes. Nothing expires by
    itself: leases and rooms are looked at when a node calls, so at least one node must renew its
    lease regularly.
    """

    __slots__ = (
        "_answer",
        "_claims",
        "_clock",
        "_deliver",
        "_door",
        "_epoch",
        "_is_delivering",
        "_leases",
        "_node",
        "_places",
        "_queue",
        "_random",
        "_remains",
        "_rooms",
        "_rotation",
        "_seen",
    )

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._random = random
        self._epoch = random(8).hex()
        self._deliver: Callable[[Record], None] | None = None
        self._queue: deque[Record] = deque()
        self._is_delivering = False
        self._rooms: dict[str, _Room] = {}
        self._rotation: deque[str] = deque()  # every room once: whose turn it is to be looked at
        self._remains: dict[str, tuple[int, str, float]] = {}  # top, epoch, forgotten
        self._seen: dict[tuple[str, str], tuple[float, Position | None]] = {}
        self._leases: dict[str, float] = {}
        self._places: dict[str, dict[str, None]] = {}  # by node: rooms it may have members in
        self._claims: dict[tuple[str, str], tuple[str, str, float]] = {}
        self._node = ""
        self._door = ""
        self._answer: Answer | None = None

    # Broker

    async def start(
        self,
        deliver: Callable[[Record], None],
        broken: Callable[[str, Position | None], None] | None = None,
    ) -> None:
        """See `Broker.start`. What was published before is kept, not delivered; nothing breaks."""
        self._deliver = deliver

    async def stop(self) -> None:
        """Deliver nothing more and forget what was subscribed; history stays for a next start."""
        self._deliver = None
        for room in self._rooms.values():
            room.is_heard = False

    async def subscribe(self, room: str) -> Position | None:
        """See `Broker.subscribe`; subscribing twice is subscribing once."""
        known = self._room(room)
        known.is_heard = True
        return known.position

    async def unsubscribe(self, room: str) -> None:
        """See `Broker.unsubscribe`; harmless for a room that was never subscribed."""
        known = self._rooms.get(room)
        if known is not None:
            known.is_heard = False

    async def publish(self, record: Record, keep: Keep | None) -> Position | None:
        """See `Broker.publish`. A record without a time gets the present one."""
        now = self._clock()
        if record.id is None:
            return self._publish(record, keep, now)
        key = (record.room, record.id)
        seen = self._seen.get(key)
        if seen is not None and seen[0] > now:
            return seen[1]
        self._forget_seen(now)
        return self._publish(record, keep, now, key)

    # History

    async def since(
        self, room: str, since: Since, limit: int
    ) -> tuple[Sequence[Record], Position, str]:
        """See `History.since`. `time` includes that very moment; `last` is never lost."""
        known = self._rooms.get(room) or self._remembered(room)
        known.trim(self._clock())
        position = since.positions.get(room)
        if position is not None:
            wanted, lost = _after(known, position)
        elif since.time is not None:
            wanted, lost = _from(known, since.time)
        else:
            return known.last(min(since.last or 0, limit)), known.position, ""
        if wanted > limit and not lost:
            lost = "limit"
        return known.newest(min(wanted, limit)), known.position, lost

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
        """See `PresenceStore.enter`. The same meta again is no change, but extends the lease."""
        now = self._clock()
        self._expire(now, node)
        self._leases[node] = max(self._leases.get(node, 0.0), now + lease)
        self._places.setdefault(node, {})[room] = None
        known = self._room(room)
        return self._announce(room, known, known.here.enter(node, key, member, meta), keep, now)

    async def restore(
        self,
        room: str,
        node: str,
        key: str,
        member: str,
        meta: bytes,
        lease: float,
        keep: Keep | None,
    ) -> None:
        """Enter without a word: who is here was known before this broker was."""
        now = self._clock()
        self._leases[node] = max(self._leases.get(node, 0.0), now + lease)
        self._places.setdefault(node, {})[room] = None
        known = self._room(room)
        known.keep = keep
        known.here.enter(node, key, member, meta)

    async def exit(
        self, room: str, node: str, key: str, member: str, keep: Keep | None
    ) -> Position | None:
        """See `PresenceStore.exit`; no change when the member is not there."""
        now = self._clock()
        self._expire(now, node)
        known = self._rooms.get(room) or self._remembered(room)
        change = known.here.exit(key, member)
        if not known.here.has(node):
            self._places.get(node, {}).pop(room, None)
        return self._announce(room, known, change, keep, now)

    async def renew(self, node: str, lease: float) -> None:
        """See `PresenceStore.renew`. Takes away everyone of other nodes whose lease has run out."""
        now = self._clock()
        self._leases[node] = now + lease
        self._expire(now, node)
        self._sweep(now, _SWEEP)

    async def list(self, room: str) -> Mapping[str, Sequence[bytes]]:
        """See `PresenceStore.list`."""
        self._expire(self._clock())
        known = self._rooms.get(room)
        return {} if known is None else known.here.list()

    # Directory

    async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
        """See `Directory.claim`. The owner's own claim renews the lease; Refused is `refused`."""
        now = self._clock()
        for key in [*islice(self._claims, 2)]:  # the oldest ones; each claim makes at most one more
            if self._claims[key][2] <= now:
                del self._claims[key]
        standing = self._claims.get((mount, id))
        if standing is not None and standing[2] > now:
            if standing[1] != identity:
                raise Refused("refused", "this session id belongs to someone else")
            if standing[0] != owner:
                return standing[0]
        self._claims.pop((mount, id), None)
        self._claims[mount, id] = (owner, identity, now + lease)
        return owner

    async def owner(self, mount: str, id: str) -> str | None:
        """See `Directory.owner`."""
        standing = self._claims.get((mount, id))
        return standing[0] if standing is not None and standing[2] > self._clock() else None

    async def release(self, mount: str, id: str) -> None:
        """See `Directory.release`."""
        self._claims.pop((mount, id), None)

    async def disown(self, owner: str) -> None:
        """Release everything that this node owned: it is gone."""
        gone = [key for key, standing in self._claims.items() if standing[0] == owner]
        for key in gone:
            del self._claims[key]

    # Nodes

    def listen(self, node: str, answer: Answer, door: str = "") -> None:
        """See `Nodes.listen`; what `answer` raises counts as no answer."""
        self._node = node
        self._answer = answer
        self._door = door

    def doors(self) -> Mapping[str, str]:
        """See `Nodes.doors`: there is one node."""
        return {self._node: self._door} if self._node else {}

    async def ask(self, nodes: Sequence[str] | None, question: Question, timeout: float) -> Found:  # noqa: ASYNC109
        """See `Nodes.ask`: the one node asks itself; any other that is named is missing."""
        others = [node for node in nodes or () if node != self._node]
        if self._answer is None or (nodes is not None and self._node not in nodes):
            return Found((), others)
        try:
            value = self._answer(question)
            if inspect.isawaitable(value):
                async with asyncio.timeout(timeout):
                    value = await value
        except TimeoutError:
            return Found((), [self._node, *others])
        except Exception:
            log.exception("the answer to %s failed", question.ask.value)
            return Found((), [self._node, *others])
        return Found((value,), others)

    # what they share

    def _publish(
        self, record: Record, keep: Keep | None, now: float, key: tuple[str, str] | None = None
    ) -> Position | None:
        position = None
        if not record.time or keep is not None or record.position is not None:
            record = copy(record)  # the publisher's own stays as it was
            record.time = record.time or now
            record.position = None
        if keep is not None:
            room = self._room(record.room)
            room.top += 1
            record.position = position = room.position
            room.records.append((now + keep.seconds, record))
            room.trim(now, keep.size)
        if key is not None:  # before the delivery, in which it may be published again
            self._seen[key] = (now + SEEN_SECONDS, position)
        self._queue.append(record)
        if not self._is_delivering:
            self._drain()
        return position

    def _drain(self) -> None:
        """Deliver what is queued, and what is queued by that."""
        queue = self._queue
        self._is_delivering = True
        try:
            while queue:
                record = queue.popleft()
                # Who hears it is looked up when it arrives, not when it was published.
                room = self._rooms.get(record.room)
                if room is not None and room.is_heard and self._deliver is not None:
                    try:
                        self._deliver(record)
                    except Exception:  # not the publisher's fault, and the next must be delivered
                        log.exception("delivering a record of room %r failed", record.room)
        finally:
            self._is_delivering = False

    def _room(self, name: str) -> _Room:
        """The room, made when it is new."""
        room = self._rooms.get(name)
        if room is None:
            self._sweep(self._clock(), 2)
            room = self._rooms[name] = self._remembered(name)
            self._remains.pop(name, None)
            self._rotation.append(name)
        return room

    def _remembered(self, name: str) -> _Room:
        """A room that is not held, as far as it is remembered."""
        return _Room(*self._remains.get(name, (0, self._epoch, 0.0)))

    def _sweep(self, now: float, count: int) -> None:
        """Look at the next `count` rooms and drop those that nobody hears and that hold nothing."""
        for _ in range(min(count, len(self._rotation))):
            name = self._rotation.popleft()
            room = self._rooms[name]
            is_quiet = not room.is_heard and not room.here
            room.trim(now, 0 if is_quiet and len(self._rooms) > QUIET else None)
            if not is_quiet or room.records:
                self._rotation.append(name)
                continue
            del self._rooms[name]
            if room.top:
                self._remains[name] = (room.top, room.epoch, room.forgotten)
        if len(self._remains) > REMAINS:
            for name in [*islice(self._remains, REMAINS // 2)]:
                del self._remains[name]
            self._epoch = self._random(8).hex()

    def _forget_seen(self, now: float) -> None:
        """Make place for one more id: what expired goes, and the oldest when there are too many."""
        seen = self._seen
        for key in [*islice(seen, 2)]:
            if seen[key][0] <= now or len(seen) >= SEEN:
                del seen[key]

    def _announce(
        self, name: str, room: _Room, change: Change, keep: Keep | None, now: float
    ) -> Position | None:
        """Publish a change of presence in the room's own numbering."""
        room.keep = keep
        if not change:
            return None if keep is None else room.position
        return self._publish(Record(room=name, event=PRESENCE, body=change.body()), keep, now)

    def _expire(self, now: float, caller: str | None = None) -> None:
        """Take away everyone of the nodes whose lease has run out; who calls us is alive."""
        alive = (caller, self._node)
        gone = [node for node, end in self._leases.items() if end <= now and node not in alive]
        for node in gone:
            self._leases.pop(node, None)
            for name in self._places.pop(node, ()):
                room = self._room(name)
                self._announce(name, room, room.here.exit_node(node), room.keep, now)


def _after(room: _Room, position: Position) -> tuple[int, str]:
    """How many records of the newest are after this position, and why some of them are lost."""
    held = len(room.records)
    if position.epoch != room.epoch or not 0 <= position.offset <= room.top:
        return held, "epoch"
    missed = room.top - position.offset
    return (held, "expired") if missed > held else (missed, "")


def _from(room: _Room, moment: float) -> tuple[int, str]:
    """How many records of the newest are of this moment or later, and whether there were more."""
    held = len(room.records)
    earlier = 0
    for _, record in room.records:
        if record.time >= moment:
            break
        earlier += 1
    return held - earlier, "expired" if room.forgotten >= moment else ""
