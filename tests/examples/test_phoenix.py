"""The Phoenix example and its page: the official client on each transport; why somebody is gone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anywire import Anywire, Member, Refused, Unsupported
from anywire.testing import TestMember, connect
from examples.phoenix import app as example
from tests.cli.commands import serving
from tests.docs.pages import ROOT, blocks
from tests.e2e.processes import NODE_MODULES, Process
from tests.examples.played import ended, live, module_of

PAGE = ROOT / "docs" / "howto" / "phoenix.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "phoenix"


# ---- the example


@pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack", "raw", "phoenix"])
async def test_all_talk_whatever_wire_they_are_on(wire: str) -> None:
    async with (
        connect(example.app, query="user=bo", wire="phoenix") as bo,
        connect(example.app, query="user=ana", wire=wire) as ana,
    ):
        b = await bo.join("room:lobby")
        assert b.welcome == {"topic": "what is on in lobby"}
        a = await ana.join("room:lobby")
        await a.push("new_msg", body="hello")
        for member in (a, b):
            assert await member.next("new_msg") == {"by": "ana", "body": "hello"}
        assert await b.call("away", minutes=5) == {"back_in": 5}
        assert b.presence == {
            "bo": [{"over": "websocket", "away": 5}],
            "ana": [{"over": "websocket"}],
        }


async def test_who_has_no_name_is_refused_and_nobody_is_let_into_the_private_room() -> None:
    with pytest.raises(Exception, match="403"):
        async with connect(example.app, wire="phoenix") as nobody:
            await nobody.join("room:lobby")
    async with connect(example.app, query="user=ana", wire="phoenix") as ana:
        with pytest.raises(Refused, match="unauthorized"):
            await ana.join("room:private")


@live
@pytest.mark.parametrize("transport", ["websocket", "longpoll"])
async def test_the_official_client_talks_over_each_transport(
    transport: str, tmp_path: Path
) -> None:
    (tmp_path / "client.mjs").write_bytes((EXAMPLE / "client.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    over = "poll" if transport == "longpoll" else "websocket"
    async with serving("serve", "examples/phoenix/app.py:app", "--port", "0") as (_, url):
        command = ("node", tmp_path / "client.mjs", f"{url}/socket")
        ana = await Process.start("ana", (*command, "ana", transport))
        bo = await Process.start("bo", (*command, "bo"))
        try:
            for one in (ana, bo):
                await one.line("joined: what is on in lobby")
                await one.line(f"here ana ({over}), bo (websocket)")
            await ana.say("hello")
            for one in (ana, bo):
                await one.line("heard ana hello")
            assert await bo.finish() == 0
            await ana.line(lambda _: ana.lines[-1] == f"here ana ({over})")
        finally:
            for process in (ana, bo):
                await process.kill()


# ---- the page


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Anywire:
    """The app of the page: all its blocks, one after the other."""
    made: Anywire = module_of(blocks(PAGE, "python"), "phoenix", monkeypatch).app
    return made


async def test_a_message_reaches_all_in_the_room(app: Anywire) -> None:
    async with (
        connect(app, user="ana", wire="phoenix") as ana,
        connect(app, user="bo", wire="anywire") as bo,
    ):
        a, b = await ana.join("room:lobby"), await bo.join("room:lobby")
        assert await a.call("new_msg", body="hello") == {}
        for member in (a, b):
            assert await member.next("new_msg") == {"body": "hello"}


async def joined(client: Any, status: str = "here") -> TestMember:
    member: TestMember = await client.join("support:tea", status=status)
    return member


async def test_a_channel_of_phoenix_has_become_one_of_ours(app: Anywire) -> None:
    async with (
        connect(app, query="user=ana", wire="phoenix") as ana,
        connect(app, query="user=bo", wire="phoenix") as bo,
    ):
        a, b = await joined(ana), await joined(bo, "away")
        assert (a.welcome, b.welcome) == ({"hello": "ana"}, {"hello": "bo"})
        assert await a.call("new_msg", body="hi") == {}
        for member in (a, b):
            assert await member.next("new_msg") == {"by": "ana", "body": "hi"}
        await b.call("typing")
        assert await a.next("typing") == {"by": "bo"}
        await b.silence()
        assert await b.call("status", status="back") == {"status": "back"}
        assert a.presence == {"ana": [{"status": "here"}], "bo": [{"status": "back"}]}


async def test_staff_is_let_in_by_its_token(app: Anywire) -> None:
    async with connect(app, query="user=ana", wire="phoenix") as ana:
        with pytest.raises(Refused, match="unauthorized"):
            await ana.join("support:staff", status="here")
        with pytest.raises(Refused, match="invalid"):
            await ana.join("support:tea")
    async with connect(app, query="token=staff-secret", wire="phoenix") as eve:
        staff = await eve.join("support:staff", status="here")
        assert staff.welcome == {"hello": "eve"}


async def test_what_differs_is_as_the_page_says(app: Anywire) -> None:
    odd = app.channel("odd")

    @odd.on("crash")
    async def crash() -> None:
        raise RuntimeError("a bug")

    @odd.on("ask")
    async def ask(member: Member) -> str:
        try:
            await member.call("why")
        except Unsupported:
            return "unsupported"
        return "answered"

    @odd.on("refused")
    async def refused() -> None:
        raise Refused("never", "not today")

    async with connect(app, user="ana", wire="phoenix") as ana:
        member = await ana.join("odd")
        with pytest.raises(Refused, match="internal") as caught:
            await member.call("crash")
        assert isinstance(caught.value.data, dict) and set(caught.value.data) == {"id"}
        assert await member.call("ask") == "unsupported"
        await member.push("refused")
        with pytest.raises(Refused, match="never: not today"):
            await member.next("error")


SERVER = """
import asyncio

from anywire import Anywire, Left, Limits, Member, Phoenix

app = Anywire(wires=[Phoenix()], limits=Limits(stop=1))
room = app.channel("room")


@room.leave
async def leave(member: Member, why: Left) -> None:
    print("left", repr(why.code), repr(why.text), why.clean, flush=True)


@room.on("do")
async def do(member: Member, what: str) -> None:
    room, id = member.room, member.user.id
    await eval(what)


@room.on("wait")
async def wait() -> None:
    await asyncio.sleep(0.02)
"""
CLIENT = """
import { Socket } from "phoenix";
import WebSocket from "ws";
const [url, way] = process.argv.slice(2);
const later = () => 60_000;
const options = { transport: WebSocket, reconnectAfterMs: later, rejoinAfterMs: later };
const socket = new Socket(`${url.replace("http", "ws")}/socket`, options);
const channel = socket.channel("room");
const again = { topic: "room", event: "phx_join", payload: {}, ref: "9", join_ref: "9" };
const ways = {
  "channel.leave()": () => channel.leave(),
  "a second join of its topic": () => socket.push(again),
  "socket.disconnect()": () => socket.disconnect(),
  "the connection is cut": () => socket.conn.terminate(),
  "far more pushes at once than may wait": () => {
    for (let pushes = 0; pushes < 400; pushes += 1) channel.push("wait", {});
  },
  "the server stops": () => console.log("stop it"),
};
socket.onClose(({ code, reason }) => console.log("heard", "closed", code, reason));
socket.onMessage(({ event }) => event.match(/phx_close|phx_error/) && console.log("heard", event));
const begin = () => (ways[way] ? ways[way]() : channel.push("do", { what: way }));
channel.join().receive("ok", begin);
socket.connect();
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
    left, heard = [cell.replace("*none*", "").replace("`", "") for cell in REASONS[way]]
    code, text, clean = left.split(", ")
    async with ended(tmp_path, SERVER, CLIENT, way) as (told, client):
        assert told == (code, text, clean == "clean")
        assert (await client.line("heard ")).strip() == f"heard {heard}"
