"""Channel: what an application can do at one address, against a real app in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from anywire import Anywire, Member, Own
from anywire.client import Channel, Client, Event, connect
from anywire.errors import CallFailed, Closed, Refused
from anywire.frames import Position
from anywire.payload import Policy
from tests.client.memory import AppDialer, FakeClock, settle


class Quote(msgspec.Struct):
    symbol: str
    price: float


def desk() -> Anywire:
    app = Anywire(wires=[Own("/ws")])
    chat = app.channel("chat:{room}", history=50, presence=True)

    @chat.join
    async def join(member: Member, room: str, secret: str = "") -> dict[str, str]:
        if room == "staff" and secret != "xyzzy":
            raise Refused("staff_only", "this room is for staff", data={"room": room})
        await member.track(status="on")
        return {"welcome": room}

    @chat.on("say")
    async def say(member: Member, text: str) -> int:
        position = await member.room.publish("said", {"text": text})
        assert position is not None
        return position.offset

    @chat.on("both")
    async def both(member: Member, left: int, right: int) -> None:
        await member.room.publish("pair", left, right)

    @chat.on("nothing")
    async def nothing(member: Member) -> None:
        await member.room.publish("empty")

    @chat.on("quote")
    async def quote(symbol: str) -> Quote:
        return Quote(symbol, 1.5)

    @chat.on("ticks")
    async def ticks(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @chat.on("kick")
    async def kick(member: Member) -> None:
        await member.leave("kicked")

    return app


@pytest.fixture
async def app() -> AsyncIterator[Anywire]:
    app = desk()
    async with app.lifespan():
        yield app


@pytest.fixture
async def client(app: Anywire) -> AsyncIterator[Client]:
    clock = FakeClock()
    async with connect("ws://s/ws", dialer=AppDialer(app), clock=clock, random=lambda: 0.5) as one:
        yield one


@pytest.fixture
async def chat(client: Client) -> Channel:
    chat = client.channel("chat:lobby")
    await chat.join()
    return chat


def clock_of(client: Client) -> FakeClock:
    clock = client._clock
    assert isinstance(clock, FakeClock)
    return clock


async def test_join_returns_the_servers_answer_also_the_second_time(client: Client) -> None:
    chat = client.channel("chat:lobby")
    assert chat.state == "idle"
    assert list(await asyncio.gather(chat.join(), chat.join())) == [{"welcome": "lobby"}] * 2
    assert await chat.join() == {"welcome": "lobby"}
    assert chat.state == "joined"
    assert client.channel("chat:lobby") is chat
    assert repr(chat) == "Channel('chat:lobby', joined)"


async def test_a_refused_join_raises_and_may_be_tried_again(client: Client) -> None:
    staff = client.channel("chat:staff")
    with pytest.raises(Refused, match="staff_only: this room is for staff") as caught:
        await staff.join()
    assert caught.value.data == {"room": "staff"}
    assert staff.state == "left"
    with pytest.raises(Refused, match="left"):
        await staff.send("say", text="hi")
    with pytest.raises(Refused, match="staff_only"):
        await staff.join()


async def test_params_go_along_with_the_join(client: Client) -> None:
    staff = client.channel("chat:staff", params={"secret": "xyzzy"})
    assert await staff.join() == {"welcome": "staff"}


async def test_handlers_hear_the_arguments_as_they_were_published(chat: Channel) -> None:
    heard: list[Any] = []
    chat.on("said", heard.append)

    @chat.on("pair")
    def pair(left: int, right: int) -> None:
        heard.append((left, right))

    @chat.once("empty")
    async def empty() -> None:
        heard.append("empty")

    await chat.call("say", text="hi")
    await chat.call("both", 1, 2)
    await chat.call("nothing")
    await chat.call("nothing")
    await settle()
    assert heard == [{"text": "hi"}, (1, 2), "empty"]
    chat.off("pair", pair)
    await chat.call("both", 1, 2)
    assert len(heard) == 3


async def test_iteration_sees_every_event_with_its_place(chat: Channel) -> None:
    events = chat.events()
    await chat.call("say", text="hi")
    await chat.call("both", 1, 2)
    await chat.call("nothing")
    first, second, third = [await anext(events) for _ in range(3)]
    assert first.name == "said"
    assert first.data == {"text": "hi"}
    assert first.position is not None
    assert first.room == "chat:lobby"
    assert (second.args, second.data) == ((1, 2), [1, 2])
    assert third.data is None
    await events.aclose()
    assert chat._readers == []


async def test_a_loop_ends_when_the_channel_is_left_and_raises_when_it_was_ended(
    chat: Channel,
) -> None:
    heard: list[Event] = []

    async def listen() -> None:
        async for event in chat:
            heard.append(event)  # noqa: PERF401

    loop = asyncio.create_task(listen())
    await settle()
    await chat.call("say", text="hi")
    await chat.leave()
    await loop
    assert [event.data for event in heard] == [{"text": "hi"}]
    await chat.join()
    loop = asyncio.create_task(listen())
    await settle()
    await chat.send("kick")
    with pytest.raises(Refused, match="kicked"):
        await loop
    assert chat.state == "left"
    assert dict(chat.presence) == {}


async def test_a_slow_loop_loses_the_oldest_or_is_ended_as_it_wants(chat: Channel) -> None:
    dropping = chat.events(most=1)
    closing = chat.events(most=1, policy=Policy.CLOSE)
    for text in "abc":
        await chat.call("say", text=text)
    assert (await anext(dropping)).data == {"text": "c"}
    with pytest.raises(CallFailed, match="busy"):
        await anext(closing)
    await dropping.aclose()


async def test_next_waits_for_one_event(client: Client, chat: Channel) -> None:
    waiting = asyncio.create_task(chat.next("pair", timeout=0))
    anything = asyncio.create_task(chat.next())
    await settle()
    await chat.call("say", text="hi")
    await chat.call("both", 1, 2)
    assert await anything == {"text": "hi"}
    assert await waiting == [1, 2]
    late = asyncio.create_task(chat.next("said", timeout=3))
    await clock_of(client).pass_(3)
    with pytest.raises(CallFailed, match=r'timeout: no event "said" on .chat:lobby. in 3 s'):
        await late
    left = asyncio.create_task(chat.next())
    await settle()
    await chat.leave()
    with pytest.raises(CallFailed, match="left"):
        await left
    assert chat._readers == []


async def test_an_answer_can_be_converted(chat: Channel) -> None:
    assert await chat.call("quote", "ABC") == {"symbol": "ABC", "price": 1.5}
    assert await chat.call("quote", symbol="ABC", returns=Quote) == Quote("ABC", 1.5)
    with pytest.raises(CallFailed, match="invalid: the answer"):
        await chat.call("quote", "ABC", returns=int)
    assert [item async for item in chat.stream("ticks", 2, returns=float)] == [0.0, 1.0]


async def test_positional_arguments_and_keywords_do_not_mix(chat: Channel) -> None:
    with pytest.raises(TypeError, match="not both"):
        await chat.send("say", "a", text="b")


async def test_history_is_told_oldest_first(chat: Channel) -> None:
    for text in "abc":
        await chat.call("say", text=text)
    whole = await chat.history()
    assert [event.data for event in whole] == [{"text": text} for text in "abc"]
    assert all(event.time is not None and event.room == "chat:lobby" for event in whole)
    assert [event.data["text"] for event in await chat.history(limit=2)] == ["b", "c"]
    assert [event.data["text"] for event in await chat.history(last=1)] == ["c"]
    place = whole[0].position
    assert isinstance(place, Position)
    since = await chat.history(since={"chat:lobby": place})
    assert [event.data["text"] for event in since] == ["b", "c"]
    assert len(await chat.history(since=datetime(2000, 1, 1, tzinfo=UTC))) == 3
    await chat.call("both", 1, 2)
    assert (await chat.history(last=1))[0].args == (1, 2)


async def test_presence_follows_who_comes_and_goes(app: Anywire, chat: Channel) -> None:
    await settle()
    assert len(chat.presence) == 1
    changes: list[Any] = []
    chat.presence.on_change(lambda people, joined, left: changes.append((len(joined), len(left))))
    async with connect("ws://s/ws", dialer=AppDialer(app), clock=FakeClock()) as other:
        await other.channel("chat:lobby").join()
        await settle()
        assert len(chat.presence) == 2
    await settle()
    assert len(chat.presence) == 1
    assert changes == [(1, 0), (0, 1)]


async def test_a_volatile_event_without_a_connection_is_dropped(client: Client) -> None:
    chat = client.channel("chat:elsewhere")
    assert not await chat.send("say", volatile=True, text="gone")
    assert await chat.send("say", text="kept")


async def test_what_is_sent_before_the_join_goes_out_after_it(client: Client) -> None:
    chat = client.channel("chat:later")
    heard: list[Any] = []
    chat.on("said", heard.append)
    assert await chat.send("say", text="early")
    await settle()
    assert heard == []
    await chat.join()
    await settle()
    assert heard == [{"text": "early"}]


async def test_leaving_stops_delivery_at_once_and_drops_what_waits(chat: Channel) -> None:
    heard: list[Any] = []
    chat.on("said", heard.append)
    call = asyncio.create_task(chat.call("say", text="too late"))
    await asyncio.sleep(0)
    leaving = [asyncio.create_task(chat.leave()) for _ in range(2)]
    await asyncio.gather(*leaving)
    with pytest.raises(Refused, match="left"):
        await call
    await settle()
    assert heard == []
    assert chat.state == "left"
    await chat.leave()
    await chat.join()
    await chat.call("say", text="back")
    assert heard == [{"text": "back"}]


async def test_a_message_the_server_would_not_take_is_refused_here(chat: Channel) -> None:
    with pytest.raises(Refused, match=r"too_large: .* the server takes 65536"):
        await chat.send("say", text="x" * 70_000)
    with pytest.raises(Refused, match="too_large"):
        await chat.call("say", text="x" * 70_000)
    assert await chat.call("say", text="x")


async def test_after_close_everything_says_so(client: Client, chat: Channel) -> None:
    await client.close(4000, "enough")
    for attempt in (chat.join(), chat.send("say"), chat.call("say"), chat.history()):
        with pytest.raises(Closed, match="4000"):
            await attempt
    await chat.leave()
