"""The SockJS example and its page: the official client on each transport; why somebody is gone."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anywire.testing import TestMember, connect
from examples.sockjs import app as example
from tests.cli.commands import serving
from tests.docs.pages import ROOT, blocks
from tests.e2e.processes import NODE_MODULES, Process
from tests.examples.played import ended, live, module_of

PAGE = ROOT / "docs" / "howto" / "sockjs.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "sockjs"


# ---- the example


async def tally(member: TestMember) -> Any:
    """How it stands; wires whose messages have no names say it as text."""
    said = await member.next("message")
    return json.loads(said) if isinstance(said, str) else said


@pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack", "raw", "sockjs"])
async def test_all_hear_how_it_stands_on_any_wire(wire: str) -> None:
    async with connect(example.app, wire="sockjs") as bo:
        b = await bo.join("poll")
        assert await tally(b) == {}
        async with connect(example.app, wire=wire) as ana:
            a = await ana.join("poll")
            assert await tally(a) == {}
            await a.push("message", vote="tea")
            for member in (a, b):
                assert await tally(member) == {"tea": 1}
            for vote, stands in (("coffee", {"coffee": 1, "tea": 1}), ("tea", {"tea": 2})):
                await b.push("message", vote=vote)
                for member in (a, b):
                    assert await tally(member) == stands
        assert await tally(b) == {"tea": 1}


async def test_what_is_no_vote_is_refused() -> None:
    async with connect(example.app, wire="sockjs") as ana:
        poll = await ana.join("poll")
        await poll.push("message", vote="beer")
        error = await poll.next("error")
        assert (error["event"], error["code"]) == ("message", "invalid")


@live
@pytest.mark.parametrize(
    "transport", ["websocket", "xhr-streaming", "eventsource", "xhr-polling", "default"]
)
async def test_the_official_client_votes_over_each_transport(
    transport: str, tmp_path: Path
) -> None:
    (tmp_path / "client.mjs").write_bytes((EXAMPLE / "client.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    chosen = () if transport == "default" else (transport,)
    async with serving("serve", "examples/sockjs/app.py:app", "--port", "0") as (_, url):
        command = ("node", tmp_path / "client.mjs", f"{url}/sockjs/poll", *chosen)
        ana, bo = await Process.start("ana", command), await Process.start("bo", command)
        try:
            for one in (ana, bo):
                await one.line(f"open over {'websocket' if transport == 'default' else transport}")
                await one.line("heard {}")
            await ana.say("tea")
            for one in (ana, bo):
                await one.line('heard {"tea":1}')
            await bo.say("beer")
            await bo.line('"code":"invalid"')
            await bo.say("coffee")
            for one in (ana, bo):
                await one.line('heard {"coffee":1,"tea":1}')
            assert await ana.finish() == 0
            assert ana.lines[-1] == "closed 1000 Normal closure"
            await bo.line('heard {"coffee":1}')
        finally:
            for process in (ana, bo):
                await process.kill()


# ---- the page


async def test_a_room_is_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    app = module_of(blocks(PAGE, "python"), "sockjs", monkeypatch).app
    async with (
        connect(app, user="ana", wire="sockjs") as ana,
        connect(app, user="bo", wire="sockjs") as bo,
    ):
        a, b = await ana.join("room:tea"), await bo.join("room:tea")
        await a.push("message", "hello")
        for member in (a, b):
            assert await member.next("message") == "ana: hello"
    async with connect(app, wire="sockjs") as ana:
        echo = await ana.join("room:echo")
        await echo.push("message", "hello")
        assert await echo.next("message") == "hello"


SERVER = """
from anywire import Anywire, Left, Limits, Member, SockJS

app = Anywire(wires=[SockJS()], limits=Limits(stop=1))
room = app.channel("room")


@room.leave
async def leave(member: Member, why: Left) -> None:
    print("left", repr(why.code), repr(why.text), why.clean, flush=True)


@room.message
async def do(member: Member, what: str) -> None:
    room, id = member.room, member.user.id
    await eval(what)
"""
CLIENT = """
import SockJS from "sockjs-client";
const [url, way] = process.argv.slice(2);
const socket = new SockJS(`${url}/sockjs/room`, null, { transports: ["websocket"] });
const ways = {
  "socket.close()": () => socket.close(),
  "the connection is cut": () => socket._transport.ws._stream.destroy(),
  "a message that is too large": () => socket.send("x".repeat(100_000)),
  "the server stops": () => console.log("stop it"),
};
socket.onclose = ({ code, reason }) => console.log("heard", code, JSON.stringify(reason));
socket.onopen = () => (ways[way] ? ways[way]() : socket.send(way));
process.stdin.on("end", () => process.exit(0)).resume();
"""
ROWS = re.findall(r"^\| (.+) \|$", TEXT.split("## Why somebody is gone")[1].split("\n## ")[0], re.M)
REASONS: Mapping[str, list[str]] = {
    cells[0].strip("`"): cells[1:]
    for cells in [[cell.strip() for cell in row.split(" | ")] for row in ROWS[2:]]
}


@live
@pytest.mark.parametrize("way", REASONS)
async def test_why_somebody_is_gone_is_told_to_both_sides_as_the_page_says(
    way: str, tmp_path: Path
) -> None:
    left, heard = [cell.replace("*none*", "") for cell in REASONS[way]]
    code, text, clean = left.split(", ")
    heard_code, reason = heard.split(", ")
    async with ended(tmp_path, SERVER, CLIENT, way) as (told, client):
        assert told == (code.strip("`"), text, clean == "clean")
        assert await client.line("heard ") == f'heard {heard_code} "{reason}"'
