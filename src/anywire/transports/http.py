"""HTTP requests as a transport: one session, told by requests that follow each other.

A request is either a poll, answered once, or a stream, answered bit by bit; its `Downlink` says
which, and how. What is written while none waits is kept for the next. Between two requests the
client has `Downlink.gap` seconds; then the transport is gone, and the session waits for a resume if
its conversation has one. What an answer carried that was lost is the wire's to find (`Cap.RESUME`).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from anywire.core.clock import Deadline, Deadlines
from anywire.errors import FAULTS
from anywire.payload import Carrier, Framed, Framing, Message
from anywire.transports.base import Sink
from anywire.wires.base import Downlink, Overlap


class Farewell(msgspec.Struct, frozen=True):
    """How a transport ended: a close code, and a reason fit for the peer."""

    code: int
    reason: str


_REPLACED = Farewell(4409, "replaced by a newer request")
_OVERLAP = Farewell(4400, "two requests wait at once")
_BROKEN = Farewell(1006, "")


class Outlet(Protocol):
    """A request that waits for what a session says; no task of ours waits with it."""

    carrier: Carrier
    downlink: Downlink

    @property
    def is_over(self) -> bool:
        """It is answered, or its client is gone."""
        ...

    @property
    def is_full(self) -> bool:
        """The client has not taken everything written; `HttpTransport.drained` tells when."""
        ...

    def say(self, framed: Sequence[Framed], farewell: Farewell | None) -> int:
        """Say the first of these, and how many that were; a poll is over then.

        `farewell`: nothing follows when all are said.
        """
        ...

    def end(self, farewell: Farewell | None) -> None:
        """End it with nothing more to say; `farewell`: for good."""
        ...


class HttpTransport:
    """What a session on requests writes to. `ended` is called once, when it is over for good."""

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_downlink",
        "_ended",
        "_farewell",
        "_held",
        "_is_released",
        "_is_scheduled",
        "_last",
        "_now",
        "_outlet",
        "_readers",
        "_sink",
        "_size",
        "_taken",
        "_taking",
        "carrier",
        "framing",
        "is_over",
        "is_taking",
    )

    def __init__(
        self,
        carrier: Carrier,
        downlink: Downlink,
        *,
        now: Callable[[], float],
        deadlines: Deadlines,
        ended: Callable[[], None],
    ) -> None:
        self.carrier = carrier
        self.framing: Framing = downlink.framing
        """That of the first request; for a later one of another kind what is said is framed anew.
        """
        self._downlink = downlink
        self._now = now
        self._deadlines = deadlines
        self._ended = ended
        self._sink: Sink | None = None
        self._outlet: Outlet | None = None
        self._held: list[Framed] = []
        self._size = 0
        self._is_scheduled = False
        self._is_released = False
        self._farewell: Farewell | None = None
        self._last: Sequence[Framed] = ()
        """What was said last, where that is said to everyone who asks (`Downlink.is_repeated`)."""
        self._readers: list[asyncio.Future[None]] | None = None  # while reading is paused
        self._taken = 0
        self._taking: asyncio.Lock | None = None
        self.is_taking = False
        """A request that brings messages is under way."""
        self.is_over = False
        """Nothing more is said, but perhaps again what was said last; nothing is heard."""
        self._deadline: Deadline | None = None
        self._wait(downlink.gap)

    def attach(self, sink: Sink) -> None:
        """Tell this one; to be called right after `Node.open` made the session."""
        self._sink = sink

    # --- what requests do -----------------------------------------------------------------------

    def hold(self, outlet: Outlet) -> bool:
        """Answer this request when there is something to say; false: another one waits, and this
        one is to be refused.
        """
        old = self._outlet
        if old is not None:
            overlap = outlet.downlink.overlap
            if overlap is Overlap.REFUSE:
                return False
            self._outlet = None
            if overlap is Overlap.END:
                old.end(_OVERLAP)
                self._end(_OVERLAP, is_clean=False)
                return False
            old.end(_REPLACED)
        if self.is_over:
            if self._last:
                outlet.say(self._last, self._farewell)
            outlet.end(self._farewell or _BROKEN)
            return True
        self._outlet = outlet
        self._downlink, self.carrier = outlet.downlink, outlet.carrier
        self._heard()
        if self._is_released and self._farewell is None:
            self.release()
            return True
        if self._held and self._sink is not None:
            self._sink.writable()  # what waits behind it may go along
        if self._held or self._farewell is not None:
            self._say_soon()
        if self._outlet is outlet:
            self._rest()
        return True

    def drained(self, outlet: Outlet) -> None:
        """Its client has taken everything written."""
        if outlet is not self._outlet:
            return
        if self._held or self._farewell is not None:
            self._say_soon()
        elif self._sink is not None:
            self._sink.writable()

    def lost(self, outlet: Outlet) -> None:
        """Its client is gone, before it was answered."""
        if outlet is not self._outlet:
            return
        self._outlet = None
        if outlet.downlink.overlap is Overlap.REPLACE:
            self._wait(outlet.downlink.gap)
        else:
            self._end(_BROKEN, is_clean=False)

    async def take(self, messages: Sequence[Message], first: int | None = None) -> bool:
        """Messages of the client, in order; waits while reading is paused, and for those before.

        `first`: how many messages came before these; those that came already are dropped. False:
        the transport was over before all were taken, or some are missing.
        """
        if self._taking is None:
            self._taking = asyncio.Lock()
        async with self._taking:
            if first is not None:
                if first > self._taken:
                    return False
                messages = messages[self._taken - first :]
            for message in messages:
                while self._readers is not None:
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._readers.append(future)
                    await future
                if self._sink is None or self._farewell is not None:
                    return self.is_closing
                self._taken += 1
                self._sink.receive(message, self._now())
        # The last one may have ended the session: as it wanted, or by its fault.
        closed = self._farewell
        if closed is None:
            return not self.is_over
        return closed.code not in FAULTS or self.is_closing

    # --- what a session asks --------------------------------------------------------------------

    @property
    def is_closing(self) -> bool:
        """It has had its last word and says that to everyone who asks: what comes is dropped."""
        return self._farewell is not None and self._downlink.is_repeated

    @property
    def buffered(self) -> int:
        """Bytes that wait for a request to answer, or for its client to take them."""
        outlet = self._outlet
        return self._size or (1 if outlet is not None and outlet.is_full else 0)

    def write(self, framed: Sequence[Framed]) -> None:
        """Say these to the request that waits, or to the next one."""
        if self._farewell is not None or self.is_over:
            return
        self._held += framed
        self._size += sum(entry.size for entry in framed)
        self._say_soon()

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
        if self._outlet is not None:
            self._say_soon()
        elif self._held or self._downlink.farewell is not None:
            self._wait(self._downlink.gap)
        else:
            self._end(self._farewell, is_clean=True)

    def abort(self) -> None:
        """Be gone at once."""
        self._end(_BROKEN, is_clean=False)

    def unsay(self) -> None:
        """Forget what waits here and can be said again: the session does so."""
        self._held = [entry for entry in self._held if not entry.payload.counted]
        self._size = sum(entry.size for entry in self._held)

    def release(self) -> None:
        """Let no request wait: the client is about to go on elsewhere."""
        self._is_released = True
        if self._outlet is not None and self._held:
            self._say()
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.end(None)
            self._wait(self._downlink.gap)

    def rest(self) -> Sequence[Framed]:
        """What was written and will not be said here any more."""
        held, self._held, self._size = self._held, [], 0
        return held

    def retain(self) -> None:
        """Go on as before: it is not."""
        self._is_released = False

    # --- inside ---------------------------------------------------------------------------------

    def _say_soon(self) -> None:
        """A stream now; a poll at the end of this turn, with what else is written in it."""
        outlet = self._outlet
        if outlet is None or outlet.is_full:
            return
        if outlet.downlink.pack is None:
            self._say()
        elif not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        if self._outlet is not None and (self._held or self._farewell is not None):
            self._say()

    def _say(self) -> None:
        outlet, held = self._outlet, self._held
        assert outlet is not None  # it is what is told
        count = outlet.say(held, self._farewell) if held else 0
        said = held[:count]
        del held[:count]
        self._size = sum(entry.size for entry in held) if held else 0
        if said and outlet.downlink.is_repeated:
            self._last = said[-1:]
        if self._farewell is not None and not held:
            self._outlet = None
            outlet.end(self._farewell)
            self._end(self._farewell, is_clean=True)
            return
        if outlet.is_over:
            self._outlet = None
            self._wait(outlet.downlink.gap)
        if said and not self.buffered and self._sink is not None:
            self._sink.writable()

    def _heard(self) -> None:
        if self._sink is not None:
            self._sink.heard(self._now())

    def _rest(self) -> None:
        """A request waits: for as long as its kind may."""
        if self._downlink.wait > 0:
            self._wait(self._downlink.wait)
        elif self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None

    def _wait(self, seconds: float) -> None:
        when = self._now() + seconds
        if self._deadline is None or not self._deadlines.move(self._deadline, when):
            self._deadline = self._deadlines.at(when, self._late)

    def _late(self) -> None:
        """Nothing was said in a poll's time, or nobody asked for it."""
        self._deadline = None
        outlet, self._outlet = self._outlet, None
        if self.is_over:
            self._ended()
        elif outlet is not None:
            outlet.end(None)
            self._wait(outlet.downlink.gap)
        else:
            self._end(_BROKEN, is_clean=False)

    def _end(self, farewell: Farewell, *, is_clean: bool) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.end(farewell)
        self._held.clear()
        self._size = 0
        if not is_clean:
            self._last = ()  # it was no last word
        sink, self._sink = self._sink, None
        self.resume()
        if self._last:
            self._wait(self._downlink.gap)
        else:
            self._ended()
        if sink is not None:
            sink.detached(self, farewell.code, farewell.reason, is_clean=is_clean)
