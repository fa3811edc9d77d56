"""The transport of requests: what every transport does, on polls and on a stream; then their own.

The client here calls the transport itself, with no HTTP between: `tests/servers/test_requests.py`
has that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from anywire.core.candidate import PATIENCE, Candidate, may_upgrade
from anywire.core.clock import Deadlines
from anywire.limits import Limits
from anywire.payload import UNFRAMED, Carrier, Framed, Message, Payload
from anywire.transports.base import Yielding
from anywire.transports.http import Farewell, HttpTransport
from anywire.wires.base import Downlink, Headers, Opening, Overlap, User, Verdict
from tests.contracts.transport import CHECKS, Check, Pair, Recorder, the_client_can_say_goodbye
from tests.core.support import BOXED, Bench, TestTransport, turns

REPLACED = Farewell(4409, "replaced by a newer request")
BROKEN = Farewell(1006, "")


def told(code: int, reason: str) -> tuple[Headers, bytes]:
    return (), b""


POLL = Downlink(
    framing=UNFRAMED,
    pack=lambda payloads: (b"", len(payloads)),
    wait=0.05,
    gap=0.2,
    farewell=told,
)
STREAM = Downlink(framing=UNFRAMED, gap=0.2, farewell=told)
ONE = replace(POLL, pack=lambda payloads: (b"", 1))
"""A poll that is answered with one entry."""


class Asked:
    """One request: what it was answered with so far."""

    def __init__(self, downlink: Downlink = POLL, carrier: Carrier = Carrier.POLL) -> None:
        self.downlink = downlink
        self.carrier = carrier
        self.messages: list[Message] = []
        self.farewell: Farewell | None = None
        self.is_gone = False
        self.is_full = False
        self.is_deaf = False
        """What is said from now on fills it."""
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_answered(self) -> bool:
        return self._ended.is_set()

    @property
    def is_over(self) -> bool:
        return self.is_gone or self.is_answered

    def say(self, framed: Sequence[Framed], farewell: Farewell | None) -> int:
        assert framed, "nothing is said with `end`"
        if self.is_over:
            return 0
        count = len(framed)
        if self.downlink.pack is not None:
            _, count = self.downlink.pack([entry.payload for entry in framed])
            self.farewell = farewell if count == len(framed) else None
            self._ended.set()
        self.messages += [m for entry in framed[:count] for m in entry.payload.messages()]
        self.is_full = self.is_full or self.is_deaf
        if 0 < self.downlink.limit <= len(self.messages):
            self._ended.set()
        self._changed.set()
        return count

    def end(self, farewell: Farewell | None) -> None:
        if not self.is_over:
            self.farewell = farewell
            self._ended.set()
            self._changed.set()

    async def answered(self) -> None:
        async with asyncio.timeout(5):
            await self._ended.wait()

    async def changed(self) -> None:
        """More was said, or nothing follows."""
        async with asyncio.timeout(5):
            await self._changed.wait()
            self._changed.clear()


class Poller:
    """A client that polls while it wants to hear something, and posts one message at a time."""

    def __init__(self, transport: HttpTransport) -> None:
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
            await self.listens()
        return self._heard.popleft()

    async def closed(self) -> tuple[int, str]:
        while self.farewell is None:
            await self.listens()
        assert not self._heard
        return self.farewell.code, self.farewell.reason

    async def listens(self) -> None:
        assert not self.is_deaf
        poll = Asked()
        assert self.transport.hold(poll)
        await poll.answered()
        self._heard += poll.messages
        self.farewell = poll.farewell

    async def goodbye(self, code: int, reason: str) -> None:
        raise AssertionError("a request has no goodbye of its own: the wire's is a message")

    def vanish(self) -> None:
        """Ask for nothing any more."""

    def deafen(self) -> None:
        self.is_deaf = True

    def listen(self) -> None:
        self.is_deaf = False


class Streamer(Poller):
    """A client of one stream."""

    def __init__(self, transport: HttpTransport) -> None:
        super().__init__(transport)
        self.stream = Asked(STREAM, Carrier.STREAM)
        assert transport.hold(self.stream)

    async def listens(self) -> None:
        await self.stream.changed()
        self._heard += self.stream.messages
        self.stream.messages.clear()
        self.farewell = self.stream.farewell

    def vanish(self) -> None:
        self.stream.is_gone = True
        self.transport.lost(self.stream)

    def deafen(self) -> None:
        self.stream.is_deaf = True

    def listen(self) -> None:
        self.stream.is_deaf = self.stream.is_full = False
        self.transport.drained(self.stream)


@asynccontextmanager
async def polled(
    downlink: Downlink = POLL, kind: type[Poller] = Poller, **more: Any
) -> AsyncIterator[Pair]:
    """A transport; `more` changes its downlink."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    ends: list[None] = []
    ended = asyncio.Event()

    def end() -> None:
        ends.append(None)
        ended.set()

    transport = HttpTransport(
        Carrier.POLL, replace(downlink, **more), now=loop.time, deadlines=deadlines, ended=end
    )
    sink, peer = Recorder(), kind(transport)
    transport.attach(sink)
    try:
        yield Pair(transport, sink, peer)
    finally:
        transport.abort()
        for post in peer.posts:
            await post
        assert len(sink.ends) == 1
        async with asyncio.timeout(5):
            await ended.wait()  # a last word may be asked for a while
        assert ends == [None]
        assert len(deadlines) == 0
        deadlines.close()


def parts(pair: Pair) -> tuple[HttpTransport, Poller]:
    assert isinstance(pair.transport, HttpTransport) and isinstance(pair.peer, Poller)
    return pair.transport, pair.peer


@pytest.mark.parametrize("kind", [Poller, Streamer])
@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check is not the_client_can_say_goodbye],
    ids=lambda check: check.__name__,
)
async def test_the_contract(check: Check, kind: type[Poller]) -> None:
    async with polled(kind=kind) as pair:
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
    async with polled(wait=0.01, gap=5.0) as pair:
        transport, _ = parts(pair)
        for _ in range(3):
            poll = Asked(transport._downlink)
            transport.hold(poll)
            await poll.answered()
            assert (poll.messages, poll.farewell) == ([], None)
        assert pair.sink.writables == 0
        assert pair.sink.ends == []


async def test_who_does_not_ask_again_in_time_is_gone() -> None:
    async with polled(wait=0.01, gap=0.01) as pair:
        transport, _ = parts(pair)
        poll = Asked(transport._downlink)
        transport.hold(poll)
        await poll.answered()
        pair.say("to nobody")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]
        assert transport.is_over
        late = Asked()
        assert transport.hold(late)
        assert late.farewell == BROKEN
        pair.say("nor this")
        assert not await transport.take(["nor that"])
        assert pair.sink.messages == []


async def test_who_hangs_up_while_it_waits_has_the_gap_to_ask_again() -> None:
    async with polled(wait=5.0, gap=0.01) as pair:
        transport, _ = parts(pair)
        poll, other = Asked(transport._downlink), Asked()
        transport.hold(poll)
        transport.lost(other)  # one that was answered long ago
        transport.lost(poll)
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
        assert first.farewell == REPLACED
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
        assert poll.farewell == BROKEN
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
        transport.lost(poll)
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
    async with polled(gap=0.01) as pair:
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
    transport = HttpTransport(
        Carrier.POLL, POLL, now=loop.time, deadlines=deadlines, ended=lambda: None
    )
    poll = Asked()
    transport.write([Payload.of("welcome").framed(transport.framing)])
    transport.hold(poll)
    await poll.answered()
    assert poll.messages == ["welcome"]
    stream = Asked(STREAM, Carrier.STREAM)
    transport.hold(stream)
    transport.drained(stream)
    assert not await transport.take(["nobody is there"])
    transport.abort()
    transport.abort()
    deadlines.close()


# --- what the wire says of its requests -----------------------------------------------------------


async def test_a_poll_that_may_wait_for_ever_does() -> None:
    async with polled(wait=0.0, gap=0.01) as pair:
        transport, _ = parts(pair)
        poll = Asked(transport._downlink)
        transport.hold(poll)
        assert len(transport._deadlines) == 0
        pair.say("at last")
        await poll.answered()
        assert poll.messages == ["at last"]


async def test_a_poll_holds_what_fits_and_the_next_one_the_rest() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("a", "b", "c")
        heard = []
        for left in (2, 1, 0):
            poll = Asked(ONE)
            transport.hold(poll)
            await poll.answered()
            heard += poll.messages
            assert transport.buffered == left
        assert heard == ["a", "b", "c"]
        assert pair.sink.writables > 0


async def test_the_end_is_told_with_the_last_of_what_waits() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("a", "b")
        transport.close(4003, "out")
        polls = [Asked(ONE), Asked(ONE)]
        for poll in polls:
            transport.hold(poll)
            await poll.answered()
        assert [(poll.messages, poll.farewell) for poll in polls] == [
            (["a"], None),
            (["b"], Farewell(4003, "out")),
        ]
        assert pair.sink.ends == [(4003, "out", True)]


async def test_an_end_that_the_wire_cannot_tell_is_the_end_at_once() -> None:
    async with polled(farewell=None) as pair:
        transport, _ = parts(pair)
        transport.close(4003, "out")
        assert pair.sink.ends == [(4003, "out", True)]
        late = Asked()
        transport.hold(late)
        assert late.farewell == Farewell(4003, "out")


async def test_another_request_is_refused_where_one_has_to_be_answered_first() -> None:
    async with polled(overlap=Overlap.REFUSE) as pair:
        transport, _ = parts(pair)
        first, second, third = (Asked(replace(POLL, overlap=Overlap.REFUSE)) for _ in range(3))
        assert transport.hold(first)
        assert not transport.hold(second)
        assert not (first.is_over or second.is_over)
        pair.say("for the first")
        await first.answered()
        assert first.messages == ["for the first"]
        assert transport.hold(third)


async def test_two_requests_at_once_end_both_where_that_breaks_the_rules() -> None:
    async with polled(overlap=Overlap.END) as pair:
        transport, _ = parts(pair)
        first, second = (Asked(replace(POLL, overlap=Overlap.END)) for _ in range(2))
        assert transport.hold(first)
        pair.say("unheard")
        assert not transport.hold(second)
        assert first.farewell == Farewell(4400, "two requests wait at once")
        assert first.messages == []
        assert pair.sink.ends == [(4400, "two requests wait at once", False)]


@pytest.mark.parametrize("overlap", [Overlap.REFUSE, Overlap.END])
async def test_where_nothing_is_said_again_who_hangs_up_while_it_waits_is_lost(
    overlap: Overlap,
) -> None:
    async with polled(overlap=overlap) as pair:
        transport, _ = parts(pair)
        poll = Asked(replace(POLL, overlap=overlap))
        transport.hold(poll)
        poll.is_gone = True
        transport.lost(poll)
        assert pair.sink.ends == [(1006, "", False)]


async def test_a_last_word_is_said_to_everyone_who_asks_for_a_while() -> None:
    async with polled(is_repeated=True, gap=0.02) as pair:
        transport, _ = parts(pair)
        repeated = replace(POLL, is_repeated=True, gap=0.02)
        pair.say("first", "last")
        transport.close(3000, "go away")
        first, second, stream = (
            Asked(repeated),
            Asked(repeated),
            Asked(replace(repeated, pack=None), Carrier.STREAM),
        )
        transport.hold(first)
        await first.answered()
        assert first.messages == ["first", "last"]
        assert pair.sink.ends == [(3000, "go away", True)]
        for again in (second, stream):
            assert transport.hold(again)
            assert (again.messages, again.is_answered) == (["last"], True)
        assert second.farewell == stream.farewell == Farewell(3000, "go away")
        assert await transport.take(["dropped"])
        assert pair.sink.messages == []
        pair.say("nobody hears this")
        transport.close(1000, "")


async def test_what_was_said_before_a_cut_is_no_last_word() -> None:
    async with polled(is_repeated=True) as pair:
        transport, _ = parts(pair)
        repeated = replace(POLL, is_repeated=True)
        poll, late = Asked(repeated), Asked(repeated)
        transport.hold(poll)
        pair.say("an ordinary one")
        await poll.answered()
        transport.abort()
        transport.hold(late)
        assert (late.messages, late.farewell) == ([], BROKEN)


# --- streams --------------------------------------------------------------------------------------


async def test_a_stream_goes_on_and_says_each_thing_at_once() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        stream = Asked(STREAM, Carrier.STREAM)
        transport.hold(stream)
        assert transport.carrier is Carrier.STREAM
        pair.say("a")
        pair.say("b")
        assert (stream.messages, stream.is_over) == (["a", "b"], False)
        assert transport.buffered == 0
        assert len(transport._deadlines) == 0
        transport.close(4003, "out")
        assert stream.farewell == Farewell(4003, "out")


async def test_a_stream_that_has_much_to_say_at_once_goes_on_all_the_same() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("welcome")
        stream = Asked(STREAM, Carrier.STREAM)
        transport.hold(stream)
        assert stream.messages == ["welcome"]
        assert len(transport._deadlines) == 0


async def test_a_stream_that_is_over_gives_its_client_the_gap_to_ask_again() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        first, second = (Asked(replace(STREAM, limit=2), Carrier.STREAM) for _ in range(2))
        transport.hold(first)
        pair.say("a", "b")
        assert first.is_answered and first.farewell is None
        assert len(transport._deadlines) == 1
        pair.say("c")
        transport.hold(second)
        assert second.messages == ["c"]
        assert pair.sink.ends == []


async def test_a_stream_whose_client_does_not_read_is_told_nothing_more() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        stream = Asked(STREAM, Carrier.STREAM)
        transport.hold(stream)
        stream.is_full = True
        pair.say("a")
        assert transport.buffered > 0
        assert stream.messages == []
        stream.is_full = False
        transport.drained(Asked())  # another one, that was answered long ago
        assert stream.messages == []
        transport.drained(stream)
        assert stream.messages == ["a"]
        assert (transport.buffered, pair.sink.writables) == (0, 1)
        stream.is_full = True
        assert transport.buffered > 0
        stream.is_full = False
        transport.drained(stream)
        assert pair.sink.writables == 2


async def test_the_end_waits_for_a_stream_whose_client_does_not_read() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        stream = Asked(STREAM, Carrier.STREAM)
        transport.hold(stream)
        stream.is_full = True
        transport.close(4003, "out")
        assert not stream.is_over
        stream.is_full = False
        transport.drained(stream)
        assert stream.farewell == Farewell(4003, "out")


async def test_a_stream_takes_over_from_a_poll_and_a_poll_from_a_stream() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        requests = [Asked(), Asked(STREAM, Carrier.STREAM), Asked()]
        for request in requests:
            transport.hold(request)
            assert transport.carrier is request.carrier
        assert [request.farewell for request in requests] == [REPLACED, REPLACED, None]


# --- messages that are repeated -------------------------------------------------------------------


async def test_a_batch_that_is_repeated_is_dropped_by_its_count() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        assert await transport.take(["a", "b"], 0)
        assert await transport.take(["a", "b"], 0)
        assert await transport.take(["b", "c", "d"], 1)
        assert await transport.take([], 4)
        assert pair.sink.messages == ["a", "b", "c", "d"]


async def test_a_batch_behind_one_that_never_came_is_refused() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        assert await transport.take(["a"])  # it counts, though it does not say so
        assert not await transport.take(["c"], 2)
        assert await transport.take(["b"], 1)
        assert pair.sink.messages == ["a", "b"]


async def test_batches_that_are_repeated_at_once_are_taken_once() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        transport.pause()
        posts = [asyncio.create_task(transport.take(["a", "b"], 0)) for _ in range(3)]
        await asyncio.sleep(0)
        transport.resume()
        assert await asyncio.gather(*posts) == [True] * 3
        assert pair.sink.messages == ["a", "b"]


async def test_what_can_be_said_again_is_forgotten_and_the_rest_is_not() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        framing = transport.framing
        transport.write([Payload(b"counted").framed(framing)])
        transport.write([Payload(b"pong", counted=False).framed(framing)])
        transport.unsay()
        assert transport.buffered == 4
        poll = Asked()
        transport.hold(poll)
        await poll.answered()
        assert poll.messages == ["pong"]


# --- another transport that may take over ---------------------------------------------------------


async def test_it_can_yield() -> None:
    async with polled() as pair:
        assert isinstance(pair.transport, Yielding)


async def test_while_it_yields_no_request_waits() -> None:
    async with polled(wait=5.0) as pair:
        transport, _ = parts(pair)
        waiting, next = Asked(), Asked()
        transport.hold(waiting)
        transport.release()
        assert (waiting.is_answered, waiting.messages, waiting.farewell) == (True, [], None)
        transport.hold(next)
        assert (next.is_answered, next.messages, next.farewell) == (True, [], None)
        assert len(transport._deadlines) == 1
        transport.retain()
        again = Asked()
        transport.hold(again)
        pair.say("as before")
        await again.answered()
        assert again.messages == ["as before"]


async def test_what_waits_when_it_yields_is_said_to_the_request_that_is_there() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        poll = Asked()
        transport.hold(poll)
        pair.say("in this turn")
        transport.release()
        assert poll.messages == ["in this turn"]
        assert transport.rest() == []


async def test_a_stream_ends_when_it_yields() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        for is_full in (False, True):
            stream = Asked(STREAM, Carrier.STREAM)
            transport.hold(stream)
            stream.is_full = is_full
            pair.say("last")
            transport.release()
            assert (stream.messages, stream.is_answered) == (["last"], True)
            assert stream.farewell is None
            transport.retain()


async def test_what_nobody_asked_for_is_said_to_who_asks_while_it_yields_or_is_the_rest() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("a", "b")
        transport.release()
        poll = Asked(ONE)
        transport.hold(poll)
        await poll.answered()
        assert poll.messages == ["a"]
        (rest,) = transport.rest()
        assert rest.payload.data == b"b"
        assert transport.buffered == 0


async def test_a_stream_that_is_asked_for_while_it_yields_ends_with_what_waits() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        pair.say("a")
        transport.release()
        stream = Asked(STREAM, Carrier.STREAM)
        transport.hold(stream)
        assert (stream.messages, stream.is_answered, stream.farewell) == (["a"], True, None)


async def test_an_end_while_it_yields_is_told_to_who_asks() -> None:
    async with polled() as pair:
        transport, _ = parts(pair)
        transport.release()
        transport.close(4003, "out")
        poll = Asked()
        transport.hold(poll)
        await poll.answered()
        assert poll.farewell == Farewell(4003, "out")


async def test_a_transport_that_was_taken_over_from_tells_nobody() -> None:
    async with polled(gap=0.01) as pair:
        transport, _ = parts(pair)
        transport.release()
        transport.close(1000, "the session goes on elsewhere")
        assert not await transport.take(["late"])
        await pair.sink.until(lambda: bool(pair.sink.ends))
        late = Asked()
        transport.hold(late)
        assert late.is_answered
        assert pair.sink.messages == []


class Word:
    """`probe` waits, `now` takes over, anything else gives up."""

    def receive(self, message: Message) -> tuple[Sequence[Payload], Verdict]:
        verdict = {"probe": Verdict.WAIT, "now": Verdict.SWAP}.get(str(message), Verdict.DROP)
        return [Payload(b"yes", counted=False)], verdict


class Upgrading:
    """A client that asks for what its session says, and may go on over a second transport."""

    def __init__(self, downlink: Downlink) -> None:
        self.bench = bench = Bench(limits=Limits(beat=0.0))
        self.downlink = downlink
        self.first = HttpTransport(
            Carrier.POLL,
            downlink,
            now=bench.clock.now,
            deadlines=bench.clock.deadlines,
            ended=lambda: None,
        )
        hello = bench.hello()
        opening = bench.wire.open(hello)
        assert isinstance(opening, Opening) and opening.machine is not None
        user = User("ana")
        self.session = bench.node.open(
            bench.wire, hello, opening, opening.machine, user, self.first
        )
        self.first.attach(self.session)
        self.said = 0
        self.heard: list[int] = []
        self.asked: Asked | None = None
        self.second: TestTransport | None = None
        self.candidate: Candidate | None = None
        self.read = 0

    @property
    def is_over(self) -> bool:
        """It has gone on over the second one."""
        return self.session.transport is self.second is not None

    def say(self) -> None:
        self.session.enqueue(Payload(b"%d" % self.said))
        self.said += 1

    def ask(self) -> None:
        if self.asked is None and not self.is_over:
            self.asked = Asked(self.downlink)
            assert self.first.hold(self.asked)

    def hear(self) -> None:
        """The answer arrives, or what the second transport has brought."""
        asked = self.asked
        if asked is not None and (asked.is_over or self.downlink.pack is None):
            self._hear(asked.messages)
            asked.messages = []
            self.asked = None if asked.is_over else asked
        if self.is_over and self.second is not None:
            messages = [m for payload in self.second.payloads for m in payload.messages()]
            self._hear(messages[self.read :])
            self.read = len(messages)

    def _hear(self, messages: Sequence[Message]) -> None:
        self.heard += [int(one) for one in messages if isinstance(one, str) and one.isdigit()]

    def probe(self) -> None:
        if self.candidate is None and not self.is_over and may_upgrade(self.session):
            self.second = TestTransport(BOXED)
            self.candidate = Candidate(self.session, Word(), self.second)
        self._tell("probe")

    def now(self) -> None:
        if self.asked is None or self.asked.is_over:  # first what is under way
            self.hear()
            self._tell("now")

    def never(self) -> None:
        self._tell("never")
        self.candidate = None if not self.is_over else self.candidate

    def cut(self) -> None:
        if self.candidate is not None and self.second is not None and not self.is_over:
            self.candidate.detached(self.second, 1006, "", is_clean=False)
            self.candidate = None

    def late(self) -> None:
        if not self.is_over:
            self.bench.clock.move(PATIENCE)
            self.candidate = None

    def _tell(self, word: str) -> None:
        if self.candidate is not None and not self.is_over:
            self.candidate.receive(word, self.bench.clock.now())

    async def finish(self) -> None:
        """However it went: it gives up what is under way, and hears all that was said."""
        self.never()
        for _ in range(self.said + 10):
            self.ask()
            await turns(3)
            self.hear()


STEPS = ["say", "ask", "hear", "turn", "probe", "now", "never", "cut", "late"]


@pytest.mark.slow
@pytest.mark.parametrize("downlink", [POLL, ONE, STREAM], ids=["polls", "one each", "streams"])
def test_nothing_is_lost_doubled_or_reordered_by_another_transport(downlink: Downlink) -> None:
    patient = replace(downlink, wait=0.0, gap=1e9)

    async def play(steps: list[str]) -> None:
        client = Upgrading(patient)
        for step in steps:
            if step == "turn":
                await turns(2)
            else:
                getattr(client, step)()
            assert client.heard == list(range(len(client.heard)))
        await client.finish()
        assert client.heard == list(range(client.said))

    @given(st.lists(st.sampled_from(STEPS) | st.just("say"), max_size=40))
    @example(["say", "ask", "turn", "hear", "say", "probe", "say", "turn", "now", "say", "turn"])
    @example(["ask", "say", "probe", "say", "turn", "hear", "never", "say", "ask"])
    @example(["say", "turn", "say", "probe", "ask", "turn", "say", "hear", "now", "hear"])
    def check(steps: list[str]) -> None:
        asyncio.run(play(steps))

    check()
