"""Calls and streams, both ways, against a script that plays the server and against a real app."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anywire import Anywire, Limits, Member, Own
from anywire.client import Channel, Client, connect
from anywire.errors import CallFailed, Refused
from tests.client.memory import AppDialer, FakeClock, ScriptDialer, settle


class Scripted:
    """A joined channel, and the script that plays its server."""

    def __init__(self) -> None:
        self.dialer = ScriptDialer()
        self.clock = FakeClock()
        self.client: Client = connect(
            "ws://server/ws", dialer=self.dialer, clock=self.clock, random=lambda: 0.5
        )
        self.chat: Channel = self.client.channel("chat")

    async def begin(self, **limits: float) -> None:
        self.client.start()
        await settle()
        self.dialer.welcome(limits=limits)
        join = asyncio.create_task(self.chat.join())
        await settle()
        (asked,) = self.dialer.sent
        self.dialer.say(type="joined", ref=asked["ref"], address="chat", outcome="fresh")
        await join

    def say(self, **members: Any) -> None:
        self.dialer.say(**members)

    def ask(self, ref: Any, event: str, **members: Any) -> None:
        """The server calls."""
        self.say(type="call", ref=ref, address="chat", event=event, **members)

    async def sent(self) -> list[dict[str, Any]]:
        await settle()
        return self.dialer.sent


@pytest.fixture
async def desk() -> AsyncIterator[Scripted]:
    desk = Scripted()
    await desk.begin()
    yield desk
    await desk.client.close()


NOBODY = 'nobody answers "nope" here'


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


# --- calls --------------------------------------------------------------------------------------


async def test_answers_find_their_calls_in_any_order(desk: Scripted) -> None:
    calls = [asyncio.create_task(desk.chat.call("add", number)) for number in range(3)]
    asked = await desk.sent()
    for message in reversed(asked):
        desk.say(type="reply", ref=message["ref"], data=message["data"] * 10)
    assert await asyncio.gather(*calls) == [0, 10, 20]
    assert len(desk.client._calls) == 0


async def test_an_error_of_the_server_is_raised_with_all_it_said(desk: Scripted) -> None:
    call = asyncio.create_task(desk.chat.call("add"))
    (asked,) = await desk.sent()
    desk.say(type="reply", ref=asked["ref"], code="declined", text="no", data={"price": 3})
    with pytest.raises(CallFailed, match="declined: no") as caught:
        await call
    assert caught.value.data == {"price": 3}
    call = asyncio.create_task(desk.chat.call("add"))
    (asked,) = await desk.sent()
    desk.say(type="refused", ref=asked["ref"], code="rate", text="slower", data=1)
    with pytest.raises(Refused, match="rate: slower"):
        await call


async def test_a_call_without_an_answer_times_out_and_is_cancelled(desk: Scripted) -> None:
    quick = asyncio.create_task(desk.chat.call("slow", timeout=2))
    default = asyncio.create_task(desk.chat.call("slow"))
    patient = asyncio.create_task(desk.chat.call("slow", timeout=0))
    asked = await desk.sent()
    await desk.clock.pass_(2)
    with pytest.raises(CallFailed, match='timeout: no answer to "slow" in 2 s'):
        await quick
    assert await desk.sent() == [{"type": "cancel", "ref": asked[0]["ref"]}]
    await desk.clock.pass_(8)
    with pytest.raises(CallFailed, match="in 10 s"):
        await default
    await desk.clock.pass_(10)
    desk.say(type="reply", ref=asked[2]["ref"], data="at last")
    desk.say(type="reply", ref=asked[0]["ref"], data="too late")
    assert await patient == "at last"


async def test_a_call_that_is_given_up_is_cancelled_at_the_server(desk: Scripted) -> None:
    call = asyncio.create_task(desk.chat.call("slow"))
    (asked,) = await desk.sent()
    call.cancel()
    await settle()
    assert await desk.sent() == [{"type": "cancel", "ref": asked["ref"]}]
    assert call.cancelled()


async def test_a_call_that_waits_for_a_connection_is_given_up_without_a_word(
    desk: Scripted,
) -> None:
    desk.dialer.link.cut()
    await settle()
    call = asyncio.create_task(desk.chat.call("slow", timeout=0.1))
    await desk.clock.pass_(0.1)
    with pytest.raises(CallFailed, match="timeout"):
        await call
    assert desk.client._line.waiting == 0
    await desk.clock.pass_(0.4)
    desk.dialer.welcome(resumed=True, received=1)
    assert await desk.sent() == []


async def test_a_call_that_never_left_survives_the_loss_of_the_session(desk: Scripted) -> None:
    under_way = asyncio.create_task(desk.chat.call("one"))
    await desk.sent()
    desk.dialer.link.cut()
    await settle()
    waiting = asyncio.create_task(desk.chat.call("two"))
    await desk.clock.pass_(0.5)
    desk.dialer.welcome("s2")
    with pytest.raises(CallFailed, match="lost"):
        await under_way
    (join,) = await desk.sent()
    assert join["type"] == "join"
    desk.say(type="joined", ref=join["ref"], address="chat", outcome="fresh")
    (call,) = await desk.sent()
    assert call["event"] == "two"
    desk.say(type="reply", ref=call["ref"], args=[None])
    assert await waiting is None


async def test_a_queued_message_too_large_for_the_new_server_is_refused_then(
    desk: Scripted,
) -> None:
    refused: list[Any] = []
    desk.client.on("overflow", refused.append)
    desk.dialer.link.cut()
    await settle()
    call = asyncio.create_task(desk.chat.call("say", "x" * 300))
    assert await desk.chat.send("say", "y" * 300)
    await desk.clock.pass_(0.5)
    desk.dialer.welcome(resumed=True, received=1, limits={"message": 200})
    with pytest.raises(Refused, match="too_large"):
        await call
    assert len(refused) == 1
    assert await desk.sent() == []


# --- streams ------------------------------------------------------------------------------------


async def test_a_stream_ends_with_the_servers_word(desk: Scripted) -> None:
    stream = desk.chat.stream("ticks", 3)
    assert await desk.sent() == []
    first = asyncio.ensure_future(anext(stream))
    (asked,) = await desk.sent()
    assert asked["stream"] is True
    for value in (1, 2, 3):
        desk.say(type="item", ref=asked["ref"], data=value)
    desk.say(type="end", ref=asked["ref"])
    assert [await first, *[item async for item in stream]] == [1, 2, 3]


async def test_leaving_the_loop_cancels_the_stream(desk: Scripted) -> None:
    async def first() -> Any:
        async for item in desk.chat.stream("ticks"):
            return item

    task = asyncio.create_task(first())
    (asked,) = await desk.sent()
    desk.say(type="item", ref=asked["ref"], data=7)
    assert await task == 7
    assert await desk.sent() == [{"type": "cancel", "ref": asked["ref"]}]
    assert len(desk.client._calls) == 0


@pytest.mark.parametrize(
    ("answer", "items", "code"),
    [
        ({"type": "end", "code": "gone"}, [1], "gone"),
        ({"type": "reply", "code": "staff_only"}, [1], "staff_only"),
        ({"type": "reply", "data": 2}, [1, 2], ""),
    ],
)
async def test_a_stream_may_end_otherwise(
    desk: Scripted, answer: dict[str, Any], items: list[int], code: str
) -> None:
    heard: list[int] = []

    async def read() -> None:
        async for item in desk.chat.stream("ticks", timeout=60):
            heard.append(item)  # noqa: PERF401

    task = asyncio.create_task(read())
    (asked,) = await desk.sent()
    desk.say(type="item", ref=asked["ref"], data=1)
    desk.say(ref=asked["ref"], **answer)
    await settle()
    assert heard == items
    if code:
        with pytest.raises(CallFailed, match=code):
            await task
    else:
        await task


async def test_a_stream_that_runs_away_from_its_reader_ends_with_busy(desk: Scripted) -> None:
    stream = desk.chat.stream("ticks")
    first = asyncio.ensure_future(anext(stream))
    (asked,) = await desk.sent()
    for value in range(1002):
        desk.say(type="item", ref=asked["ref"], data=value)
    with pytest.raises(CallFailed, match="busy"):
        await first
    assert (await desk.sent())[-1] == {"type": "cancel", "ref": asked["ref"]}


# --- uploads ------------------------------------------------------------------------------------


async def test_uploads_follow_their_call_and_end(desk: Scripted) -> None:
    call = asyncio.create_task(desk.chat.call("sum", uploads=[numbers(2), numbers(1)]))
    asked, *items = await desk.sent()
    first, second = asked["uploads"]
    assert [one for one in items if one["ref"] == first] == [
        {"type": "item", "ref": first, "data": 0},
        {"type": "item", "ref": first, "data": 1},
        {"type": "end", "ref": first},
    ]
    assert [one["type"] for one in items if one["ref"] == second] == ["item", "end"]
    desk.say(type="reply", ref=asked["ref"], data=1)
    assert await call == 1


async def test_an_upload_stops_with_its_call_or_when_nobody_wants_it(desk: Scripted) -> None:
    ended: list[str] = []

    async def endless(name: str) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    call = asyncio.create_task(desk.chat.call("sum", uploads=[endless("first"), endless("second")]))
    asked, *_ = await desk.sent()
    desk.say(type="cancel", ref=asked["uploads"][0])
    await settle()
    assert ended == ["first"]
    desk.say(type="reply", ref=asked["ref"], data=1)
    assert await call == 1
    await settle()
    assert ended == ["first", "second"]
    assert await desk.sent() == []


async def test_an_upload_that_fails_tells_the_server_no_secrets(
    desk: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(error: Exception) -> AsyncIterator[int]:
        yield 1
        raise error

    uploads = [failing(RuntimeError("secret")), failing(Refused("enough", "no more"))]
    call = asyncio.create_task(desk.chat.call("sum", uploads=uploads))
    asked, *messages = await desk.sent()
    ends = {one["ref"]: one for one in messages if one["type"] == "end"}
    first, second = asked["uploads"]
    assert ends[first] == {"type": "end", "ref": first, "code": "internal"}
    assert ends[second] == {"type": "end", "ref": second, "code": "enough", "text": "no more"}
    assert "secret" in caplog.text
    desk.say(type="reply", ref=asked["ref"])
    await call


# --- calls from the server ----------------------------------------------------------------------


async def test_the_servers_calls_are_answered(
    desk: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    @desk.chat.answer("add")
    def add(left: int, right: int) -> int:
        return left + right

    @desk.chat.answer("later")
    async def later() -> None:
        await asyncio.sleep(0)

    @desk.chat.answer("refuse")
    def refuse(value: Any) -> None:
        raise Refused("declined", "too dear", data={"price": value})

    @desk.chat.answer("fail")
    async def fail() -> None:
        raise RuntimeError("secret")

    desk.chat.answer("strange", lambda: object())
    desk.ask("a", "add", args=[1, 2])
    desk.ask("b", "later")
    desk.ask("c", "refuse", data=9)
    desk.ask("d", "fail")
    desk.ask("e", "strange")
    desk.ask("f", "nope")
    assert sorted(await desk.sent(), key=lambda one: str(one["ref"])) == [
        {"type": "reply", "ref": "a", "data": 3},
        {"type": "reply", "ref": "b"},
        {"type": "reply", "ref": "c", "data": {"price": 9}, "code": "declined", "text": "too dear"},
        {"type": "reply", "ref": "d", "code": "internal"},
        {"type": "reply", "ref": "e", "code": "internal"},
        {
            "type": "reply",
            "ref": "f",
            "code": "unknown_event",
            "text": NOBODY,
        },
    ]
    assert "secret" in caplog.text
    assert not desk.client._tasks


async def test_an_answer_may_be_a_stream(desk: Scripted) -> None:
    desk.chat.answer("count", numbers)
    desk.chat.answer("one", lambda: 1)

    @desk.chat.answer("broken")
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise Refused("enough")

    for ref, event in enumerate(("count", "one", "broken")):
        desk.ask(ref, event, stream=True, **({"data": 2} if event == "count" else {}))
    messages = await desk.sent()
    told = {ref: [one for one in messages if one["ref"] == ref] for ref in range(3)}
    assert [one.get("data") for one in told[0]] == [0, 1, None]
    assert [one["type"] for one in told[1]] == ["item", "end"]
    assert told[2][-1] == {"type": "end", "ref": 2, "code": "enough"}


async def test_an_answer_that_is_not_wanted_any_more_is_stopped(desk: Scripted) -> None:
    ended: list[str] = []

    @desk.chat.answer("slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")

    desk.ask(1, "slow")
    await settle()
    desk.say(type="cancel", ref=1)
    desk.say(type="cancel", ref=2)
    await settle()
    assert ended == ["slow"]
    assert await desk.sent() == []


async def test_uploads_of_the_server_reach_the_answerer(desk: Scripted) -> None:
    @desk.chat.answer("sum")
    async def total(start: int, values: AsyncIterator[int]) -> int:
        return start + sum([value async for value in values])

    desk.ask(1, "sum", data=10, uploads=["s1"])
    desk.say(type="item", ref="s1", data=1)
    desk.say(type="item", ref="s1", data=2)
    desk.say(type="end", ref="s1")
    assert await desk.sent() == [{"type": "reply", "ref": 1, "data": 13}]
    assert desk.client._calls._inboxes == {}

    @desk.chat.answer("failing")
    def failing(values: AsyncIterator[int]) -> None:
        raise Refused("no")

    @desk.chat.answer("ignoring")
    def ignoring(values: AsyncIterator[int]) -> str:
        return "no need"

    desk.ask(2, "failing", uploads=["s2"])
    desk.ask(3, "ignoring", uploads=["s3"])
    assert [one.get("data") or one["code"] for one in await desk.sent()] == ["no", "no need"]
    assert desk.client._calls._inboxes == {}


async def test_an_upload_of_the_server_that_is_too_fast_is_cancelled(desk: Scripted) -> None:
    @desk.chat.answer("sum")
    async def total(values: AsyncIterator[int]) -> int:
        return sum([value async for value in values])

    desk.ask(1, "sum", uploads=["s1"])
    for value in range(1002):
        desk.say(type="item", ref="s1", data=value)
    answered = {one["type"]: one for one in await desk.sent() if one["type"] != "ack"}
    assert answered["cancel"] == {"type": "cancel", "ref": "s1"}
    assert answered["reply"]["code"] == "busy"


async def test_a_lost_session_ends_what_was_under_way_in_both_directions(desk: Scripted) -> None:
    seen: list[str] = []

    @desk.chat.answer("sum")
    async def total(values: AsyncIterator[int]) -> int:
        try:
            return sum([value async for value in values])
        finally:
            seen.append("answer over")

    desk.ask(1, "sum", uploads=["s1"])
    await settle()
    desk.dialer.link.cut()
    await desk.clock.pass_(0.5)
    desk.dialer.welcome("s2")
    (join,) = await desk.sent()
    assert join["type"] == "join"
    assert seen == ["answer over"]


async def test_a_reply_too_large_for_the_server_becomes_an_error() -> None:
    desk = Scripted()
    await desk.begin(message=200)
    desk.chat.answer("much", lambda: "x" * 300)

    @desk.chat.answer("many")
    async def many() -> AsyncIterator[str]:
        yield "x" * 300

    desk.ask(1, "much")
    desk.ask(2, "many", stream=True)
    assert [(one["type"], one["code"]) for one in await desk.sent()] == [
        ("reply", "too_large"),
        ("end", "too_large"),
    ]
    await desk.client.close()


# --- with a real app ----------------------------------------------------------------------------


async def test_calls_and_streams_work_both_ways_with_a_real_app() -> None:
    app = Anywire(wires=[Own("/ws")], limits=Limits(resume=60))
    shop = app.channel("shop")

    @shop.on("bulk")
    async def bulk(orders: AsyncIterator[int]) -> int:
        return sum([order async for order in orders])

    @shop.on("double")
    async def double(values: AsyncIterator[int]) -> AsyncIterator[int]:
        async for value in values:
            yield value * 2

    @shop.on("buy")
    async def buy(member: Member, what: str) -> str:
        if not await member.call("confirm", what, returns=bool, timeout=5):
            raise Refused("declined", f"no {what} then")
        return what

    async with app.lifespan():
        client = connect("ws://s/ws", dialer=AppDialer(app), clock=FakeClock())
        async with client:
            here = client.channel("shop")
            await here.join()
            here.answer("confirm", lambda what: what == "tea")
            assert await here.call("bulk", uploads=[numbers(2000)], timeout=0) == 1999000
            items = [item async for item in here.stream("double", uploads=[numbers(300)])]
            assert items == [number * 2 for number in range(300)]
            assert await here.call("buy", "tea") == "tea"
            with pytest.raises(CallFailed, match="declined: no coffee then"):
                await here.call("buy", "coffee")
