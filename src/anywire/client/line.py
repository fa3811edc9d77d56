"""Line: one session's way to the server, over links that come and go.

It joins a client machine (what is said), a ring (what the server may not have), a queue (what waits
for a connection or a join) and the link that is there now. Everything is synchronous but waiting
for room; it knows no time.

Invariant: while `is_live` and not blocked, nothing waits in the queue for a channel that is joined.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from anywire.client.dial import Link
from anywire.client.queue import Queue
from anywire.errors import AnywireError, Refused, Unsupported
from anywire.frames import Beat, Event, Frame, Welcome
from anywire.outbox import Outbox
from anywire.payload import UNFRAMED, Payload
from anywire.wires.base import Cap, Client

PRESSING = 256
"""Messages the server has not acknowledged past which senders wait, so that a resume can always
repeat them.
"""
_HEAP = 64 * 1024
"""Bytes said in one turn of the loop past which senders wait."""
_ALL = 2**62


class Place(Protocol):
    """What a message waits for: a channel that is joined."""

    @property
    def is_joined(self) -> bool: ...


@runtime_checkable
class Forgetful(Protocol):
    """A machine that can be told to begin a new session at the next opening."""

    def forget(self) -> None: ...


class Resumption(Enum):
    """What became of the session at a welcome."""

    NEW = auto()
    RESUMED = auto()
    BROKEN = auto()
    """The server went on with it, but lacks what we do not have any more: only a new session is
    whole.
    """


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message on its way."""

    place: Place
    frame: Frame
    is_bound: bool = False
    """It means nothing in another session than the one it was made in."""
    sent: Callable[[], None] | None = None
    """Called when it is handed to the link."""
    failed: Callable[[AnywireError], None] | None = None
    """Called when it will never be."""
    payloads: tuple[Payload, ...] = ()


class Line:
    """See the module's text. `soon` has a function called later in this turn of the loop."""

    __slots__ = (
        "_fresh",
        "_is_scheduled",
        "_link",
        "_queue",
        "_ref",
        "_ring",
        "_soon",
        "_waiters",
        "ended",
        "has_session",
        "is_live",
        "limits",
        "machine",
        "overflowed",
    )

    def __init__(
        self,
        machine: Client,
        *,
        soon: Callable[[Callable[[], None]], object],
        max_queue: int,
        max_queue_bytes: int,
        kept_messages: int = 1000,
        kept_bytes: int = 1024 * 1024,
        overflowed: Callable[[Frame], None],
    ) -> None:
        self.machine = machine
        self._soon = soon
        resumes = Cap.RESUME in machine.caps
        self._ring = Outbox(
            bound=_ALL,  # every turn empties it: what waits for the network waits in the queue
            kept_bytes=kept_bytes if resumes else 0,
            kept_messages=kept_messages if resumes else 0,
        )
        self._queue: Queue[Outgoing] = Queue(most=max_queue, most_bytes=max_queue_bytes)
        self._link: Link | None = None
        self._ref = 0
        self._fresh = 0  # counted messages that were put since the last write
        self._is_scheduled = False
        self._waiters: list[asyncio.Future[None]] = []
        self.overflowed = overflowed
        self.is_live = False
        """A session stands on the link that is there."""
        self.has_session = False
        """There is one to go on with."""
        self.ended: AnywireError | None = None
        """Why nothing can be said any more."""
        self.limits: dict[str, float] = {}
        """What the server says of its limits."""

    @property
    def is_pressed(self) -> bool:
        """Whether senders who can wait should."""
        link = self._link
        if (link is not None and link.is_blocked) or self._ring.waiting > _HEAP:
            return True
        if Cap.RESUME not in self.machine.caps:
            return False
        return self._ring.written + self._fresh - self._ring.acked >= PRESSING

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        return len(self._queue)

    def ref(self) -> int:
        """A new ref of ours."""
        self._ref += 1
        return self._ref

    def require(self, cap: Cap, what: str) -> None:
        """Raise Unsupported when this conversation cannot do it."""
        if cap not in self.machine.caps:
            raise Unsupported(f"this wire has no {what}; the anywire wire has")

    # --- the link -------------------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        """A link stands; nothing counted is said on it before `welcomed` or `begin`."""
        self._link = link

    def welcomed(self, welcome: Welcome) -> Resumption:
        """The server says with which session we go on; then memberships first, `flush` after
        them.
        """
        self.limits = dict(welcome.limits)
        self.has_session = Cap.RESUME in self.machine.caps
        if not welcome.resumed:
            self._ring.forget()
            self.is_live = True
            return Resumption.NEW
        if not self._ring.rewind(welcome.received):
            return Resumption.BROKEN
        self._mark()
        self.is_live = True
        self._wake()
        return Resumption.RESUMED

    def begin(self) -> None:
        """The conversation has no welcome: it begins with the link."""
        self._ring.forget()
        self.is_live = True

    def detach(self) -> None:
        """The link is gone. What was handed to it in this turn counts as written: it may have
        been.
        """
        self._link = None
        self.is_live = False
        self._ring.take(_ALL)
        self._fresh = 0
        self._wake()

    def forget(self) -> None:
        """Go on with a new session at the next opening."""
        self.has_session = False
        if isinstance(self.machine, Forgetful):
            self.machine.forget()

    def end(self, error: AnywireError) -> int:
        """All is over; how many messages were never sent."""
        self.ended = error
        dropped = len(self._queue.take())
        self._ring.clear()
        self._wake()
        return dropped

    def acked(self, count: int) -> bool:
        """The server has `count` counted messages of ours; False when it cannot."""
        if not self._ring.ack(count):
            return False
        self._wake()
        return True

    def writable(self) -> None:
        """The link takes more."""
        self.flush()
        self._wake()

    # --- saying something -----------------------------------------------------------------------

    def write(self, frame: Frame) -> None:
        """Say it now, whatever waits; only while a link is there."""
        self.put(self.machine.send(frame))

    def put(self, payloads: Iterable[Payload]) -> None:
        """Hand over payloads of the machine; they go out together at the end of this turn."""
        if self._link is None:
            return
        for payload in payloads:
            self._ring.put(payload.framed(UNFRAMED))
            self._fresh += payload.counted
            self._mark()

    def post(self, outgoing: Outgoing) -> bool:
        """Say it now, or once its place is joined; False when it was refused or would mean nothing.

        Raises Refused for what is larger than the server allows, as far as that is known.
        """
        if self.ended is not None:
            return False
        place = outgoing.place
        if outgoing.is_bound and not place.is_joined:
            return False
        outgoing.payloads = tuple(self.machine.send(outgoing.frame))
        if too_large := self._too_large(outgoing):
            raise too_large
        link = self._link
        if self.is_live and place.is_joined and link is not None and not link.is_blocked:
            self._hand(outgoing)
            return True
        if isinstance(outgoing.frame, Event) and outgoing.frame.volatile:
            return False
        if self._queue.put(outgoing, sum(payload.size for payload in outgoing.payloads)):
            return True
        self.overflowed(outgoing.frame)
        return False

    def drop(self, wanted: Callable[[Outgoing], bool]) -> list[Outgoing]:
        """Take out of the queue what is not to be said any more."""
        return self._queue.take(wanted)

    def flush(self) -> None:
        """Hand over what waits for places that are joined."""
        if not self.is_live or not len(self._queue):
            return
        for outgoing in self._queue.take(lambda one: one.place.is_joined):
            if (too_large := self._too_large(outgoing)) is None:
                self._hand(outgoing)
            elif outgoing.failed is not None:
                outgoing.failed(too_large)
            else:
                self.overflowed(outgoing.frame)

    def write_now(self) -> None:
        """Hand what was put to the link at once: it is about to be closed."""
        if self._link is not None:
            self._fresh = 0
            self._link.write([framed.payload for framed in self._ring.take(_ALL)])

    async def pace(self) -> None:
        """Wait while the connection is slower than we are; without one, do not wait."""
        while self.is_live and self.is_pressed:
            await self._changed()

    async def room(self) -> None:
        """Wait until there is a connection that takes more, or all is over."""
        while self.ended is None and (not self.is_live or self.is_pressed):
            await self._changed()

    async def arrived(self) -> None:
        """Wait until the server has what was said so far, where the conversation can tell."""
        ring = self._ring
        target = ring.written + self._fresh
        asked: Link | None = None
        while self.ended is None and ring.acked < target and Cap.RESUME in self.machine.caps:
            if self.is_live and self._link is not asked:
                asked = self._link
                self.write(Beat())  # its answer comes with an acknowledgement
            await self._changed()

    # --- inside ---------------------------------------------------------------------------------

    def _hand(self, outgoing: Outgoing) -> None:
        self.put(outgoing.payloads)
        if outgoing.sent is not None:
            outgoing.sent()

    def _too_large(self, outgoing: Outgoing) -> Refused | None:
        """The server would cut the connection for it."""
        most = self.limits.get("message")
        size = max((len(payload.data) for payload in outgoing.payloads), default=0)
        if most is None or size <= most:
            return None
        return Refused("too_large", f"a message of {size} bytes; the server takes {most:.0f}")

    def _mark(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._soon(self._flush_ring)

    def _flush_ring(self) -> None:
        self._is_scheduled = False
        if self._link is not None and self._ring.waiting:
            self.write_now()
            if not self.is_pressed:
                self._wake()

    async def _changed(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
