"""Long polls as a transport: one session, heard and told by requests that follow each other.

What is written waits here for a request to answer, and travels as the wire packs it; all that is
written in one turn of the loop is one answer. At most one request waits at a time; a later one
takes its place. Between two requests the client has
`Limits.poll_gap` seconds; then the transport is gone, and the session waits for a resume if its
conversation has one. What a lost answer carried is the wire's to find (`Cap.RESUME`).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from anywire.core.clock import Deadline, Deadlines
from anywire.limits import Limits
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message, Payload
from anywire.transports.base import Sink


class Farewell(msgspec.Struct, frozen=True):
    """How a transport ended: a close code, and a reason fit for the peer."""

    code: int
    reason: str


_REPLACED = Farewell(4409, "replaced by a newer request")
_BROKEN = Farewell(1006, "")


class Poll(Protocol):
    """A request that can be answered, once."""

    def answer(self, payloads: Sequence[Payload], farewell: Farewell | None = None) -> bool:
        """Answer with these; without any, the wire's way to end an empty poll.

        `farewell`: nothing follows. False: the client is gone, and hears nothing.
        """
        ...


class PollTransport:
    """What a session on long polls writes to. `ended` is called once, when it is over for good."""

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_ended",
        "_farewell",
        "_held",
        "_is_scheduled",
        "_limits",
        "_now",
        "_poll",
        "_readers",
        "_sink",
        "_size",
        "is_over",
    )

    carrier = Carrier.POLL
    framing: Framing = UNFRAMED

    def __init__(
        self,
        *,
        now: Callable[[], float],
        deadlines: Deadlines,
        limits: Limits,
        ended: Callable[[], None],
    ) -> None:
        self._now = now
        self._deadlines = deadlines
        self._limits = limits
        self._ended = ended
        self._sink: Sink | None = None
        self._poll: Poll | None = None
        self._held: list[Payload] = []
        self._size = 0
        self._is_scheduled = False
        self._farewell: Farewell | None = None
        self._readers: list[asyncio.Future[None]] | None = None  # while reading is paused
        self.is_over = False
        """Nothing more is said, nor heard."""
        self._deadline: Deadline | None = deadlines.at(now() + limits.poll_gap, self._late)

    def attach(self, sink: Sink) -> None:
        """Tell this one; to be called right after `Node.open` made the session."""
        self._sink = sink

    # --- what requests do -----------------------------------------------------------------------

    def hold(self, poll: Poll) -> None:
        """Answer this request in the turn in which there is something to say, or time is up."""
        old, self._poll = self._poll, None
        if old is not None:
            old.answer((), _REPLACED)
        if self.is_over:
            poll.answer((), self._farewell or _BROKEN)
            return
        self._poll = poll
        self._heard()
        if self._held or self._farewell is not None:
            self._answer_soon()
        else:
            self._wait(self._limits.poll)

    def let_go(self, poll: Poll) -> None:
        """The client is gone before this request was answered."""
        if self._poll is poll:
            self._poll = None
            self._wait(self._limits.poll_gap)

    async def take(self, messages: Sequence[Message]) -> bool:
        """Messages of the client, in order; waits while reading is paused.

        False: the transport was closed before all were taken.
        """
        for message in messages:
            while self._readers is not None:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._readers.append(future)
                await future
            if self._sink is None or self._farewell is not None:
                return False
            self._sink.receive(message, self._now())
        return True

    # --- what a session asks --------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that wait for a request to answer."""
        return self._size

    def write(self, framed: Sequence[Framed]) -> None:
        """Say these in the answer of the request that waits, or of the next one."""
        if self._farewell is not None or self.is_over:
            return
        self._held += [entry.payload for entry in framed]
        self._size += sum(entry.payload.size for entry in framed)
        self._answer_soon()

    def beat(self) -> bool:
        """A request is a sign of life; there is nothing else to ask for."""
        return False

    def pause(self) -> None:
        """Leave the next messages where they are."""
        if self._readers is None:
            self._readers = []

    def resume(self) -> None:
        """Take messages again."""
        readers, self._readers = self._readers, None
        for future in readers or ():
            if not future.done():
                future.set_result(None)

    def close(self, code: int, reason: str) -> None:
        """Say what waits in the next answer, which is the last."""
        if self._farewell is not None or self.is_over:
            return
        self._farewell = Farewell(code, reason)
        self.resume()
        self._answer_soon()
        if self._poll is None:
            self._wait(self._limits.poll_gap)

    def abort(self) -> None:
        """Be gone at once."""
        self._end(_BROKEN, is_clean=False)

    # --- inside ---------------------------------------------------------------------------------

    def _answer_soon(self) -> None:
        """At the end of this turn, with what else is written in it, and the farewell."""
        if self._poll is not None and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        if self._poll is not None and (self._held or self._farewell is not None):
            self._answer()

    def _answer(self) -> None:
        poll, self._poll = self._poll, None
        assert poll is not None  # it is what is answered
        if not poll.answer(self._held, self._farewell):
            self._wait(self._limits.poll_gap)
            return
        has_said, self._held, self._size = bool(self._held), [], 0
        if self._farewell is not None:
            self._end(self._farewell, is_clean=True)
            return
        self._wait(self._limits.poll_gap)
        if has_said and self._sink is not None:
            self._sink.writable()

    def _heard(self) -> None:
        if self._sink is not None:
            self._sink.heard(self._now())

    def _wait(self, seconds: float) -> None:
        when = self._now() + seconds
        if self._deadline is None or not self._deadlines.move(self._deadline, when):
            self._deadline = self._deadlines.at(when, self._late)

    def _late(self) -> None:
        """Nothing was said in a poll's time, or nobody asked for it."""
        self._deadline = None
        if self._poll is not None:
            self._answer()
        else:
            self._end(_BROKEN, is_clean=False)

    def _end(self, farewell: Farewell, *, is_clean: bool) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.answer((), farewell)
        sink, self._sink = self._sink, None
        self.resume()
        self._ended()
        if sink is not None:
            sink.detached(self, farewell.code, farewell.reason, is_clean=is_clean)
