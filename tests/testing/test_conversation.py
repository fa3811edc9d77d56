"""A conversation of a test: what is said, said again after a cut, and told when it ends."""

import asyncio

import pytest

from anywire import Anywire, CallFailed, Closed, Limits, Member, Refused
from anywire.testing import connect
from anywire.testing.clock import settled


def make(limits: Limits | None = None) -> Anywire:
    app = Anywire(limits=limits)
    chat = app.channel("chat:{room}", history=100)

    @chat.join
    async def join(room: str) -> None:
        if room == "staff":
            raise Refused("staff_only", "this room is for staff")

    @chat.on("say")
    async def say(member: Member, text: str) -> str:
        await member.room.publish("said", text)
        return text

    @chat.on("out")
    async def out(member: Member) -> None:
        await member.leave("done")

    @chat.on("shut")
    async def shut(member: Member) -> None:
        await member.close(4500, "bye", retry=1.0)

    return app


async def test_what_was_said_while_cut_is_said_again_after_the_resume() -> None:
    async with connect(make(), user="ana") as ana:
        chat = await ana.join("chat:lobby")
        await ana.drop()
        await chat.push("say", text="into the void")
        await ana.resume()
        assert await chat.next("said") == "into the void"
        await chat.silence()


async def test_a_call_under_way_is_lost_with_its_session() -> None:
    app = make()
    async with connect(app, user="ana") as ana:
        chat = await ana.join("chat:lobby")
        await ana.drop()
        call = asyncio.create_task(chat.call("say", text="hello?"))
        await settled()
        await app.user("ana").close()
        await ana.resume()
        with pytest.raises(CallFailed, match="lost"):
            await call


async def test_raw_cannot_say_anything_while_it_is_cut() -> None:
    async with connect(make(), wire="raw") as client:
        chat = await client.join("chat:lobby")
        await client.drop()
        with pytest.raises(Closed, match="the test cut it"):
            await chat.push("say", text="hello?")
        await client.resume()
        await chat.push("say", text="hello")
        assert await chat.next("said") == "hello"


async def test_a_new_session_joins_with_its_positions() -> None:
    app = make(Limits(resume=0.0))
    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        await a.call("say", text="one")
        assert await b.next("said") == "one"
        await b.drop()
        await a.call("say", text="two")
        await b.resume()
        assert b.joined is not None
        assert b.joined.outcome.value == "recovered"
        assert await b.next("said") == "two"
        await b.silence()


async def test_the_end_of_a_membership_is_raised_where_something_was_awaited() -> None:
    async with connect(make()) as client:
        chat = await client.join("chat:lobby")
        await chat.push("out")
        with pytest.raises(Refused, match="done"):
            await chat.next("never")


async def test_the_end_of_a_connection_is_raised_and_nothing_more_can_be_said() -> None:
    async with connect(make()) as client:
        chat = await client.join("chat:lobby")
        await chat.push("shut")
        with pytest.raises(Closed, match="4500"):
            await chat.next("never")
        with pytest.raises(Closed, match="4500"):
            await chat.push("say", text="anybody?")
    assert any("bye 4500" in line for line in client.log)


async def test_on_raw_a_refused_join_is_the_end_of_the_connection() -> None:
    async with connect(make(), wire="raw") as client:
        with pytest.raises(Refused, match="staff"):
            await client.join("chat:staff")


async def test_each_address_of_raw_is_a_connection_and_of_ours_there_is_one() -> None:
    app = make()
    async with connect(app, wire="raw") as raw, connect(app) as own:
        for address in ("chat:a", "chat:b"):
            await raw.join(address)
            await own.join(address)
        assert len(app.node.sessions) == 3


async def test_the_log_shows_what_both_said() -> None:
    async with connect(make()) as client:
        chat = await client.join("chat:lobby")
        await chat.call("say", text="hi")
    assert [line for line in client.log if '"call"' in line and line.startswith("C> ")]
    assert [line for line in client.log if '"reply"' in line and line.startswith("S> ")]
    assert client.shown().startswith("messages of this client:\nS> ")
