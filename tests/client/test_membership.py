"""Membership: every way into a channel and out of it, with a script that plays the server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anywire.client.membership import JOIN_AGAIN
from anywire.errors import Closed, Refused
from tests.client.memory import settle
from tests.client.test_calls import Scripted


@pytest.fixture
async def desk() -> AsyncIterator[Scripted]:
    """A client that is open; `chat` is not joined yet."""
    desk = Scripted()
    desk.client.start()
    await settle()
    desk.dialer.welcome()
    yield desk
    await desk.client.close()


async def asked(desk: Scripted, kind: str) -> Any:
    """The ref of the one message of this type that was sent."""
    (message,) = [one for one in await desk.sent() if one["type"] == kind]
    return message["ref"]


async def join(desk: Scripted, **members: Any) -> None:
    joining = asyncio.create_task(desk.chat.join())
    said = {"address": "chat", "outcome": "fresh", **members}
    desk.say(type="joined", ref=await asked(desk, "join"), **said)
    await joining


async def reconnect(desk: Scripted, session: str = "s2", **members: Any) -> None:
    desk.dialer.link.cut()
    await desk.clock.pass_(30)
    desk.dialer.welcome(session, **members)
    await settle()


def events(desk: Scripted) -> list[tuple[Any, ...]]:
    """What the membership tells, from now on."""
    told: list[tuple[Any, ...]] = []
    for name in ("joined", "recovered", "lost", "gap", "refused", "left"):
        desk.chat.membership.on(name, lambda *args, name=name: told.append((name, *args)))
    return told


async def test_a_join_refused_for_its_rate_is_tried_again(desk: Scripted) -> None:
    joining = asyncio.create_task(desk.chat.join())
    ref = await asked(desk, "join")
    desk.say(type="refused", ref=ref, address="chat", code="rate")
    await desk.clock.pass_(JOIN_AGAIN)
    assert await desk.sent() == []
    await desk.clock.pass_(JOIN_AGAIN)
    again = await asked(desk, "join")
    desk.say(type="joined", ref=ref, address="chat", outcome="fresh", data="old")
    assert not joining.done()
    desk.say(type="joined", ref=again, address="chat", outcome="fresh", data="new")
    assert await joining == "new"


async def test_a_channel_left_while_its_join_waits_for_the_rate_is_not_joined(
    desk: Scripted,
) -> None:
    joining = asyncio.create_task(desk.chat.join())
    desk.say(type="refused", ref=await asked(desk, "join"), address="chat", code="rate")
    await desk.chat.leave()
    with pytest.raises(Refused, match="left"):
        await joining
    await desk.clock.pass_(5)
    assert await desk.sent() == []


async def test_positions_are_asked_from_and_what_was_heard_is_not_heard_again(
    desk: Scripted,
) -> None:
    desk.chat = desk.client.channel("news", recover=True)
    told = events(desk)
    heard: list[int] = []
    desk.chat.on("said", heard.append)
    place = {"offset": 4, "epoch": "k1"}
    await join(desk, address="news", positions={"news": place})
    for offset in (5, 6, 6, 5, 7):
        desk.say(type="event", address="news", event="said", data=offset, offset=offset, epoch="k1")
    assert heard == [5, 6, 7]
    desk.dialer.link.cut()
    await desk.clock.pass_(1)
    desk.dialer.welcome("s2")
    (again,) = [one for one in await desk.sent() if one["type"] == "join"]
    assert again["since"] == {"positions": {"news": {"offset": 7, "epoch": "k1"}}}
    here = {"news": {"offset": 7, "epoch": "k1"}}
    said = {"address": "news", "positions": here, "outcome": "recovered"}
    desk.say(type="joined", ref=again["ref"], **said)
    desk.say(type="event", address="news", event="said", data=8, offset=8, epoch="k1")
    await reconnect(desk, "s3")
    ref = await asked(desk, "join")
    desk.say(type="joined", ref=ref, address="news", outcome="lost", reason="epoch")
    desk.say(type="event", address="news", event="said", data=1, offset=1, epoch="k2")
    desk.say(type="gap", address="news", lost=3)
    assert heard == [5, 6, 7, 8, 1]
    assert [one[0] for one in told] == ["joined", "joined", "recovered", "joined", "lost", "gap"]
    assert told[-2:] == [("lost", "epoch"), ("gap", 3)]


async def test_without_recover_nothing_is_asked_for_again(desk: Scripted) -> None:
    await join(desk, positions={"chat": {"offset": 4, "epoch": "k1"}})
    await reconnect(desk)
    (again,) = await desk.sent()
    assert again["type"] == "join"
    assert "since" not in again


async def test_a_resumed_session_is_still_joined(desk: Scripted) -> None:
    await join(desk)
    await reconnect(desk, resumed=True, received=1)
    assert await desk.sent() == []
    assert desk.chat.state == "joined"


async def test_a_leave_is_answered_or_made_good_by_the_end_of_the_session(desk: Scripted) -> None:
    await join(desk)
    leaving = asyncio.create_task(desk.chat.leave())
    ref = await asked(desk, "leave")
    assert desk.chat.state == "leaving"
    desk.say(type="leave", address="chat", ref="other")
    await settle()
    assert not leaving.done()
    desk.say(type="leave", address="chat", ref=ref)
    await leaving
    await join(desk)
    leaving = asyncio.create_task(desk.chat.leave())
    await desk.sent()
    await reconnect(desk)
    await leaving
    assert desk.chat.state == "left"


async def test_a_leave_without_a_connection_is_said_when_there_is_one(desk: Scripted) -> None:
    await join(desk)
    desk.dialer.link.cut()
    await settle()
    leaving = asyncio.create_task(desk.chat.leave())
    await desk.clock.pass_(1)
    desk.dialer.welcome(resumed=True, received=1)
    desk.say(type="refused", ref=await asked(desk, "leave"), address="chat", code="gone")
    await leaving
    assert desk.chat.state == "left"


async def test_the_servers_leave_ends_what_we_wait_for(desk: Scripted) -> None:
    told = events(desk)
    await join(desk)
    call = asyncio.create_task(desk.chat.call("slow"))
    await settle()
    desk.say(type="leave", address="chat", code="kicked", text="be nice")
    with pytest.raises(Refused, match="kicked: be nice"):
        await call
    assert told[-1][0] == "left"
    desk.say(type="leave", address="chat")
    assert len(told) == 2
    await desk.sent()
    await join(desk)
    leaving = asyncio.create_task(desk.chat.leave())
    await settle()
    desk.say(type="leave", address="chat", code="closed")
    await leaving
    assert desk.chat.state == "left"


async def test_joining_again_while_leaving_begins_anew(desk: Scripted) -> None:
    await join(desk)
    leaving = asyncio.create_task(desk.chat.leave())
    ref = await asked(desk, "leave")
    joining = asyncio.create_task(desk.chat.join())
    again = await asked(desk, "join")
    await leaving
    desk.say(type="leave", address="chat", ref=ref)
    desk.say(type="joined", ref=again, address="chat", outcome="fresh")
    await joining
    assert desk.chat.state == "joined"


async def test_an_event_that_is_refused_is_told_and_changes_nothing(desk: Scripted) -> None:
    told = events(desk)
    await join(desk)
    desk.say(type="refused", address="chat", event="say", code="rate", text="slower")
    (_, error, event) = told[-1]
    assert (error.code, event, desk.chat.state) == ("rate", "say", "joined")


async def test_before_the_join_nothing_is_heard(desk: Scripted) -> None:
    heard: list[Any] = []
    desk.chat.on("said", heard.append)
    desk.chat.presence.on_change(lambda *args: heard.append(args))
    desk.say(type="event", address="chat", event="said", data=1)
    desk.say(type="presence", address="chat", joined={"ana": [1]}, left={})
    assert heard == []


async def test_everyone_who_waits_for_a_join_is_told_of_the_end(desk: Scripted) -> None:
    joins = [asyncio.create_task(desk.chat.join()) for _ in range(3)]
    await settle()
    joins[0].cancel()
    await desk.client.close()
    assert joins[0].cancelled()
    for waiting in joins[1:]:
        with pytest.raises(Closed):
            await waiting
