"""The transport of long polls: what every transport does, as far as polls can, then their own.

The client here calls the transport itself, with no HTTP between: `tests/servers/test_polling.py`
has that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from anywire.core.clock import Deadlines
from anywire.limits import Limits
from anywire.payload import Carrier, Message, Payload
from anywire.transports.poll import Farewell, PollTransport
from tests.contracts.transport import CHECKS, Check, Pair, Recorder, the_client_can_say_goodbye


class Asked:
    """One request: what it was answered with, once it was."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.farewell: Farewell | None = None
        self.is_gone = False
        self._answered = asyncio.Event()

    @property
    def is_answered(self) -> bool:
        return self._answered.is_set()

    def answer(self, payloads: Sequence[Payload], farewell: Farewell | None = None) -> bool:
        if self.is_gone:
            return False
        assert not self.is_answered, "answered twice"
        self.messages = [message for payload in payloads for message in payload.messages()]
        self.farewell = farewell
        self._answered.set()
        return True

    async def answered(self) -> None:
        async with asyncio.timeout(5):
            await self._answered.wait()


class Poller:
    """A client that polls while it wants to hear something, and posts one message at a time."""

    def __init__(self, transport: PollTransport) -> None:
        self.transport = transport
        self.is_deaf = False
        self.farewell: Farewell | None = None
        self.posts: list[asyncio.Task[bool]] = []
        self._heard: deque[Message] = deque()

    async def send(self, message: Message) -> None:
        self.posts.append(asyncio.create_task(self.transport.take([message])))
        await asyncio.sleep(0)  # it is on its way; nobody here waits for its answer

    async def receive(self) -> Message:
        while not self._heard:
            await self.poll()
        return self._heard.popleft()

    async def closed(self) -> tuple[int, str]:
        while self.farewell is None:
            await self.poll()
        assert not self._heard
        return self.farewell.code, self.farewell.reason

    async def poll(self) -> None:
        assert not self.is_deaf
        poll = Asked()
        self.transport.hold(poll)
        await poll.answered()
        self._heard += poll.messages
        self.farewell = poll.farewell

    async def goodbye(self, code: int, reason: str) -> None:
        raise AssertionError("a poll has no goodbye of its own: the wire's is a message")

    def vanish(self) -> None:
        """Ask for nothing any more."""

    def deafen(self) -> None:
        self.is_deaf = True

    def listen(self) -> None:
        self.is_deaf = False


@asynccontextmanager
async def polled(limits: Limits | None = None) -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    ends: list[None] = []
    transport = PollTransport(
        now=loop.time,
        deadlines=deadlines,
        limits=limits or Limits(poll=0.05, poll_gap=0.2),
        ended=lambda: ends.append(None),
    )
    sink, peer = Recorder(), Poller(transport)
    transport.attach(sink)
    try:
        yield Pair(transport, sink, peer)
    finally:
        transport.abort()
        for post in peer.posts:
            await post
        assert ends == [None]
        assert len(sink.ends) == 1
        assert len(deadlines) == 0
        deadlines.close()


def parts(pair: Pair) -> tuple[PollTransport, Poller]:
    assert isinstance(pair.transport, PollTransport) and isinstance(pair.peer, Poller)
    return pair.transport, pair.peer


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check is not the_client_can_say_goodbye],
    ids=lambda check: check.__name__,
)
async def test_the_contract(check: Check) -> None:
    async with polled() as pair:
        await check(pair)


async def test_it_is_a_poll_and_has_no_probe_of_its_own() -> None:
    async with polled() as pair:
        assert pair.transport.carrier is Carrier.POLL
        assert not pair.transport.beat()


async def test_a_request_waits_until_there_is_something_to_say() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        assert not poll.is_answered
        pair.say("now")
        await poll.answered()
        assert (poll.messages, poll.farewell) == (["now"], None)
        assert transport.buffered == 0
        assert pair.sink.writables == 1


async def test_a_request_is_a_sign_of_life() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        transport.hold(Asked())
        transport.hold(Asked())
        assert pair.sink.heards == 2


async def test_what_waits_is_one_answer_and_is_counted_until_then() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("ab")
        pair.say("cde", b"\x00")
        assert transport.buffered == 6
        poll = Asked()
        transport.hold(poll)
        await poll.answered()
        assert poll.messages == ["ab", "cde", b"\x00"]
        assert transport.buffered == 0


async def test_a_request_that_hears_nothing_is_answered_in_time_and_may_come_again() -> None:
    async with polled(Limits(poll=0.01, poll_gap=5.0)) as pair:
        transport, _ = parts(pair)
        for _ in range(3):
            poll = Asked()
            transport.hold(poll)
            await poll.answered()
            assert (poll.messages, poll.farewell) == ([], None)
        assert pair.sink.writables == 0
        assert pair.sink.ends == []


async def test_who_does_not_ask_again_in_time_is_gone() -> None:
    async with polled(Limits(poll=0.01, poll_gap=0.01)) as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        await poll.answered()
        pair.say("to nobody")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]
        assert transport.is_over
        late = Asked()
        transport.hold(late)
        assert late.farewell == Farewell(1006, "")
        pair.say("nor this")
        assert not await transport.take(["nor that"])
        assert pair.sink.messages == []


async def test_who_hangs_up_while_it_waits_has_the_gap_to_ask_again() -> None:
    async with polled(Limits(poll=5.0, poll_gap=0.01)) as pair:
        transport, _ = parts(pair)
        poll, other = Asked(), Asked()
        transport.hold(poll)
        transport.let_go(other)  # one that was answered long ago
        transport.let_go(poll)
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert not poll.is_answered


async def test_what_nobody_heard_waits_for_the_next_request() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        lost, poll = Asked(), Asked()
        transport.hold(lost)
        lost.is_gone = True
        pair.say("for who asks")
        await asyncio.sleep(0)
        assert transport.buffered > 0
        assert pair.sink.writables == 0
        transport.hold(poll)
        await poll.answered()
        assert poll.messages == ["for who asks"]


async def test_a_request_is_replaced_by_the_next_one() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        first, second = Asked(), Asked()
        transport.hold(first)
        transport.hold(second)
        assert first.farewell == Farewell(4409, "replaced by a newer request")
        pair.say("hello")
        await second.answered()
        assert (first.messages, second.messages) == ([], ["hello"])


async def test_a_request_that_waits_hears_of_an_abort() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        transport.abort()
        transport.close(1000, "")
        assert poll.farewell == Farewell(1006, "")
        assert pair.sink.ends == [(1006, "", False)]


async def test_what_is_said_in_one_turn_is_one_answer_and_so_is_the_end() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        pair.say("one")
        pair.say("two")
        transport.close(4003, "out")
        await poll.answered()
        assert (poll.messages, poll.farewell) == (["one", "two"], Farewell(4003, "out"))


async def test_who_hangs_up_in_the_turn_of_its_answer_is_not_answered() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll, next = Asked(), Asked()
        transport.hold(poll)
        pair.say("kept")
        transport.let_go(poll)
        await asyncio.sleep(0)
        assert not poll.is_answered
        transport.hold(next)
        await next.answered()
        assert next.messages == ["kept"]


async def test_a_request_that_waits_hears_of_a_close_at_once() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        transport.close(4003, "out")
        await poll.answered()
        assert poll.farewell == Farewell(4003, "out")
        assert pair.sink.ends == [(4003, "out", True)]


async def test_a_last_word_that_nobody_asks_for_is_given_up() -> None:
    async with polled(Limits(poll_gap=0.01)) as pair:
        transport, _ = parts(pair)
        pair.say("too late")
        transport.close(4003, "out")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]


async def test_messages_behind_a_pause_are_taken_in_order_whoever_brought_them() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        transport.pause()
        posts = [asyncio.create_task(transport.take([f"{n}", f"{n}'"])) for n in range(3)]
        await asyncio.sleep(0)
        posts[1].cancel()  # its client hung up
        await asyncio.sleep(0)
        assert pair.sink.messages == []
        transport.resume()
        assert [await posts[0], await posts[2]] == [True, True]
        assert pair.sink.messages == ["0", "0'", "2", "2'"]


async def test_a_pause_in_the_middle_of_a_body_holds_the_rest_back() -> None:
    class Strained(Recorder):
        def receive(self, message: Message, now: float) -> None:
            super().receive(message, now)
            transport.pause()

    async with polled() as pair:
        transport, _ = parts(pair)
        strained = Strained()
        transport.attach(strained)
        post = asyncio.create_task(transport.take(["a", "b"]))
        await strained.until(lambda: strained.messages == ["a"])
        assert not post.done()
        transport.resume()
        await strained.until(lambda: strained.messages == ["a", "b"])
        assert await post
        transport.attach(pair.sink)


async def test_a_close_lets_go_of_who_waits_behind_a_pause() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        transport.pause()
        post = asyncio.create_task(transport.take(["unheard"]))
        await asyncio.sleep(0)
        transport.close(4000, "enough")
        assert not await post
        assert pair.sink.messages == []


async def test_what_is_said_before_a_sink_is_there_is_kept() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    transport = PollTransport(
        now=loop.time, deadlines=deadlines, limits=Limits(), ended=lambda: None
    )
    poll = Asked()
    transport.write([Payload.of("welcome").framed(transport.framing)])
    transport.hold(poll)
    await poll.answered()
    assert poll.messages == ["welcome"]
    assert not await transport.take(["nobody is there"])
    transport.abort()
    transport.abort()
    deadlines.close()
