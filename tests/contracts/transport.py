"""What every transport does, whatever carries it: order, close codes, backpressure, half-open.

A test module gives a `Carrier` (a context manager that yields a `Pair`) and runs each of `CHECKS`
on it: a check is a coroutine function of one pair.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from anywire.payload import Message, Payload
from anywire.transports.base import Transport

MANY = 500
LARGE = 60_000


class Recorder:
    """A sink that remembers what it was told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.times: list[float] = []
        self.heards = 0
        self.writables = 0
        self.ends: list[tuple[int, str, bool]] = []
        self._changed = asyncio.Event()

    def receive(self, message: Message, now: float) -> None:
        self.messages.append(message)
        self.times.append(now)
        self._changed.set()

    def heard(self, now: float) -> None:
        self.heards += 1
        self.times.append(now)
        self._changed.set()

    def writable(self) -> None:
        self.writables += 1
        self._changed.set()

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        self.ends.append((code, reason, is_clean))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; five seconds are too many."""
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Peer(Protocol):
    """The client's end of one connection."""

    async def send(self, message: Message) -> None: ...

    async def receive(self) -> Message: ...

    async def closed(self) -> tuple[int, str]:
        """Code and reason that the server gave; the connection is gone then."""
        ...

    async def goodbye(self, code: int, reason: str) -> None:
        """Leave in the carrier's way."""
        ...

    def vanish(self) -> None:
        """Be gone without a word."""
        ...

    def deafen(self) -> None:
        """Read nothing until `listen`."""
        ...

    def listen(self) -> None: ...


@dataclass(slots=True)
class Pair:
    """A transport with its sink attached, and the client it leads to."""

    transport: Transport
    sink: Recorder
    peer: Peer

    def say(self, *messages: Message) -> None:
        """Write the messages as one."""
        framing = self.transport.framing
        self.transport.write([Payload.of(message).framed(framing) for message in messages])


Check = Callable[[Pair], Awaitable[None]]


async def messages_arrive_as_they_are_and_in_order(pair: Pair) -> None:
    """Both ways, text and binary, many in one write."""
    sent: list[Message] = [f"é {n}" if n % 2 else b"\x00%d" % n for n in range(MANY)]
    pair.say(*sent)
    assert [await pair.peer.receive() for _ in sent] == sent
    for message in sent:
        await pair.peer.send(message)
    await pair.sink.until(lambda: len(pair.sink.messages) == MANY)
    assert pair.sink.messages == sent
    assert sorted(pair.sink.times) == pair.sink.times


async def what_travels_together_arrives_together(pair: Pair) -> None:
    """A payload and its attachments are adjacent, in order."""
    payload = Payload(b"head", rest=(Payload(b"\x01", is_text=False), Payload(b"tail")))
    framed = payload.framed(pair.transport.framing)
    pair.transport.write([framed, framed])
    heard = [await pair.peer.receive() for _ in range(6)]
    assert heard == ["head", b"\x01", "tail"] * 2


async def a_close_reaches_the_client_after_all_that_was_written(pair: Pair) -> None:
    """With its code and reason; what the client says after it is not heard."""
    pair.say("last")
    pair.transport.close(4000, "enough")
    pair.transport.close(4001, "again")
    pair.say("never")
    assert await pair.peer.receive() == "last"
    assert await pair.peer.closed() == (4000, "enough")
    await pair.sink.until(lambda: bool(pair.sink.ends))
    assert len(pair.sink.ends) == 1
    assert pair.sink.messages == []


async def the_client_can_say_goodbye(pair: Pair) -> None:
    """Clean, with its own code; told once."""
    await pair.peer.send("last")
    await pair.peer.goodbye(4002, "bye")
    await pair.sink.until(lambda: bool(pair.sink.ends))
    assert pair.sink.messages == ["last"]
    assert pair.sink.ends == [(4002, "bye", True)]
    pair.say("to nobody")
    pair.transport.close(1000, "")


async def a_client_that_vanishes_is_lost(pair: Pair) -> None:
    """1006, not clean, told once."""
    pair.peer.vanish()
    await pair.sink.until(lambda: bool(pair.sink.ends))
    assert pair.sink.ends == [(1006, "", False)]


async def an_abort_is_told_once(pair: Pair) -> None:
    """And loses the connection at once."""
    pair.transport.abort()
    await pair.sink.until(lambda: bool(pair.sink.ends))
    assert pair.sink.ends == [(1006, "", False)]


async def a_client_that_does_not_read_is_seen_and_its_end_too(pair: Pair) -> None:
    """`buffered` tells what the kernel has not taken, `writable` that it has."""
    noise = random.Random(1).randbytes(LARGE)  # what cannot be compressed
    pair.peer.deafen()
    assert pair.transport.buffered == 0
    written = 0
    while not pair.transport.buffered:
        pair.say(noise)
        written += 1
        assert written < 1000
    assert pair.sink.writables == 0
    pair.peer.listen()
    for _ in range(written):
        assert await pair.peer.receive() == noise
    await pair.sink.until(lambda: pair.sink.writables > 0)
    assert pair.transport.buffered == 0


async def reading_can_be_paused(pair: Pair) -> None:
    """Twice is once; what came meanwhile is heard after `resume`."""
    pair.transport.pause()
    pair.transport.pause()
    await pair.peer.send("waits")
    pair.say("not paused")
    assert await pair.peer.receive() == "not paused"
    assert pair.sink.messages == []
    pair.transport.resume()
    pair.transport.resume()
    await pair.sink.until(lambda: pair.sink.messages == ["waits"])


async def a_paused_connection_can_be_closed(pair: Pair) -> None:
    """Its client is heard out: the goodbye is not missed."""
    pair.transport.pause()
    await pair.peer.send("unheard")
    pair.transport.close(4000, "enough")
    assert await pair.peer.closed() == (4000, "enough")
    await pair.sink.until(lambda: bool(pair.sink.ends))
    assert pair.sink.messages == []


CHECKS: list[Check] = [
    messages_arrive_as_they_are_and_in_order,
    what_travels_together_arrives_together,
    a_close_reaches_the_client_after_all_that_was_written,
    the_client_can_say_goodbye,
    a_client_that_vanishes_is_lost,
    an_abort_is_told_once,
    a_client_that_does_not_read_is_seen_and_its_end_too,
    reading_can_be_paused,
    a_paused_connection_can_be_closed,
]
