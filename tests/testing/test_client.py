"""The test client: every wire in memory, a time-out on every wait, and the log in a failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from anywire import Anywire, Closed, Left, Limits, Member, Refused
from anywire.testing import WIRES, Clock, connect, running


def make() -> Anywire:
    app = Anywire(limits=Limits(resume=30.0))
    chat = app.channel("chat:{room}", history=100, presence=True)
    gone: list[str] = []
    app.gone = gone  # type: ignore[attr-defined]

    @chat.join
    async def join(member: Member, room: str) -> dict[str, str]:
        if room == "staff":
            raise Refused("staff_only", "this room is for staff", data={"room": room})
        await member.track(status="online")
        return {"welcome": room}

    @chat.on("say")
    async def say(member: Member, text: str) -> int:
        position = await member.room.publish("said", {"by": member.user.id, "text": text})
        return position.offset if position else 0

    @chat.on("count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
            await asyncio.sleep(0)

    @chat.on("ask")
    async def ask(member: Member) -> object:
        return await member.call("question", 20)

    @chat.leave
    async def leave(member: Member, why: Left) -> None:
        gone.append(str(why.code))

    return app


@pytest.mark.parametrize("wire", WIRES)
async def test_members_on_every_wire_hear_each_other(wire: str) -> None:
    app = make()
    async with connect(app, user="ana", wire=wire) as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        await a.push("say", text="hi")
        assert await b.next("said") == {"by": "ana", "text": "hi"}
        assert await a.next("said") == {"by": "ana", "text": "hi"}


async def test_a_call_is_answered_and_a_refusal_is_raised() -> None:
    async with connect(make(), user="ana") as ana:
        chat = await ana.join("chat:lobby")
        assert chat.welcome == {"welcome": "lobby"}
        assert await chat.call("say", text="hi") == 2  # after the presence record of the join
        with pytest.raises(Refused, match="unknown_event"):
            await chat.call("sya", text="hi")
        with pytest.raises(Refused, match="staff_only") as refused:
            await ana.join("chat:staff")
        assert refused.value.data == {"room": "staff"}


async def test_streams_questions_and_presence() -> None:
    app = make()
    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        assert [item async for item in a.stream("count", to=3)] == [0, 1, 2]
        a.answer("question", lambda number: number + 1)
        assert await a.call("ask") == 21
        assert b.presence == {"ana": [{"status": "online"}], "bo": [{"status": "online"}]}
        await b.leave()
        assert a.presence == {"ana": [{"status": "online"}]}
        assert app.gone == ["left"]  # type: ignore[attr-defined]


async def test_a_cut_client_resumes_and_misses_nothing() -> None:
    app = make()
    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        await b.drop()
        await a.call("say", text="while you were out")
        await b.resume()
        assert (await b.next("said"))["text"] == "while you were out"
        assert app.gone == []  # type: ignore[attr-defined]


async def test_after_the_window_the_client_recovers_by_position() -> None:
    app, clock = make(), Clock()
    async with running(app, clock=clock):
        async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
            a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
            await b.drop()
            await a.call("say", text="long ago")
            clock.advance(31.0)
            assert app.gone == ["4410"]  # type: ignore[attr-defined]
            await b.resume()
            assert b.joined is not None
            assert b.joined.outcome.value == "recovered"
            assert (await b.next("said"))["text"] == "long ago"


async def test_a_wait_without_end_fails_with_the_log_of_messages() -> None:
    with pytest.raises(AssertionError, match=r"nothing came within 0\.01 s(?s:.)*C> .*chat:lobby"):
        async with connect(make(), user="ana", timeout=0.01) as ana:
            chat = await ana.join("chat:lobby")
            await chat.next("never")


async def test_silence_fails_when_something_came() -> None:
    async with connect(make(), user="ana") as ana:
        chat = await ana.join("chat:lobby")
        await chat.silence()
        await chat.push("say", text="hi")
        with pytest.raises(AssertionError, match="instead of silence"):
            await chat.silence()


async def test_an_unknown_wire_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"anywire, anywire\.msgpack, raw"):
        async with connect(make(), wire="carrier pigeon"):
            pass


async def test_the_server_stopping_closes_every_client() -> None:
    app = make()
    with pytest.raises(Closed, match="1001"):
        async with running(app):
            async with connect(app, user="ana") as ana:
                chat = await ana.join("chat:lobby")
                asyncio.get_running_loop().create_task(app.node.stop())
                await chat.next("never")


async def test_a_replay_larger_than_half_an_outbox_is_lost_and_not_a_slow_client() -> None:
    app = Anywire(limits=Limits(outbox=8_000, resume=0))
    log = app.channel("log", history=100)

    @log.on("say")
    async def say(member: Member, text: str) -> None:
        await member.room.publish("said", text)

    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("log"), await bo.join("log")
        await b.drop()
        for number in range(20):
            await a.call("say", f"{number:0500}")
        await b.resume()
        assert b.joined is not None
        assert (b.joined.outcome.value, b.joined.reason) == ("lost", "limit")
        assert [int(await b.next("said")) for _ in range(7)] == [13, 14, 15, 16, 17, 18, 19]
        await b.silence()
