"""The chat example: rooms with presence and history, on every wire in memory, and served."""

import pytest

from anywire import CallFailed, Closed, Refused, User
from anywire.client import connect as dial
from anywire.testing import WIRES, connect
from examples.chat.app import app
from tests.cli.commands import serving


@pytest.mark.parametrize("wire", WIRES)
async def test_everyone_hears_what_is_said_on_any_wire(wire: str) -> None:
    async with connect(app, user="ana", wire=wire) as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        await a.push("say", text="hi")
        for member in (a, b):
            assert await member.next("said") == {"by": "ana", "text": "hi"}


async def test_a_name_in_the_query_lets_in_and_none_keeps_out() -> None:
    async with connect(app, query="name=ana") as ana:
        chat = await ana.join("chat:lobby")
        assert chat.welcome == {"welcome": "lobby"}
        assert list(chat.presence) == ["ana"]
    with pytest.raises(Closed, match="4401"):
        async with connect(app) as nobody:
            await nobody.join("chat:lobby")


async def test_the_staff_room_is_for_staff() -> None:
    async with connect(app, user="ana") as ana:
        with pytest.raises(Refused, match="staff_only: this room is for staff"):
            await ana.join("chat:staff")
    async with connect(app, user=User("bo", claims={"staff": True})) as bo:
        assert (await bo.join("chat:staff")).welcome == {"welcome": "staff"}


async def test_who_is_here_and_how_they_are_is_seen() -> None:
    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        assert await b.call("status", status="away") is None
        await a.call("say", text="still there?")
        assert a.presence == {"ana": [{"status": "online"}], "bo": [{"status": "away"}]}
        await b.leave()
        assert a.presence == {"ana": [{"status": "online"}]}


async def test_who_was_cut_hears_what_was_said_meanwhile() -> None:
    async with connect(app, user="ana") as ana, connect(app, user="bo") as bo:
        a, b = await ana.join("chat:lobby"), await bo.join("chat:lobby")
        await b.drop()
        first = await a.call("say", text="one")
        assert await a.call("say", text="two") == first + 1
        await b.resume()
        assert [(await b.next("said"))["text"] for _ in range(2)] == ["one", "two"]


@pytest.mark.slow
@pytest.mark.net
async def test_python_clients_meet_on_a_real_server() -> None:
    async with serving("serve", "examples/chat/app.py:app", "--port", "0") as (_, url):
        ws = f"{url.replace('http', 'ws')}/ws"
        async with dial(f"{ws}?name=ana") as ana, dial(f"{ws}?name=bo", format="msgpack") as bo:
            a, b = ana.channel("chat:lobby"), bo.channel("chat:lobby", recover=True)
            assert await a.join() == {"welcome": "lobby"}
            await b.join()
            heard = b.events()
            await a.call("say", text="hi")
            async for event in heard:
                assert event.data == {"by": "ana", "text": "hi"}
                break
            await heard.aclose()
            assert [past.data["text"] for past in await b.history(last=1)] == ["hi"]
            with pytest.raises((CallFailed, Refused), match="invalid"):
                await a.call("say", text=5)
