"""The Action Cable example and its page: the official clients; why somebody is gone."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from anywire import Anywire, Member, Refused, Unsupported
from anywire.testing import connect
from examples.actioncable import app as example
from tests.cli.commands import serving
from tests.docs.pages import ROOT, blocks
from tests.e2e.processes import NODE_MODULES, Process
from tests.examples.played import ended, live, module_of

PAGE = ROOT / "docs" / "howto" / "actioncable.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "actioncable"


# ---- the example


@pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack", "actioncable"])
async def test_all_talk_whatever_wire_they_are_on(wire: str) -> None:
    async with connect(example.app, query="user=bo", wire="actioncable") as bo:
        b = await bo.join('{"channel":"ChatChannel","room":"lobby"}')
        assert await b.next("message") == {"topic": "what is on in lobby"}
        async with connect(example.app, query="user=ana", wire=wire) as ana:
            a = await ana.join("chat:lobby")
            assert await b.next("message") == {"came": "ana"}
            if wire == "actioncable":
                assert await a.next("message") == {"topic": "what is on in lobby"}
            await a.push("speak", text="hello")
            for member in (a, b):
                assert await member.next("message") == {"from": "ana", "text": "hello"}
        assert await b.next("message") == {"left": "ana"}


async def test_who_has_no_name_is_refused_and_nobody_is_let_into_the_private_room() -> None:
    with pytest.raises(Exception, match="unauthorized"):
        async with connect(example.app, wire="actioncable") as nobody:
            await nobody.join("chat:lobby")
    async with connect(example.app, query="user=ana", wire="actioncable") as ana:
        with pytest.raises(Refused, match="rejected"):
            await ana.join("chat:private")


@live
async def test_the_official_client_talks(tmp_path: Path) -> None:
    (tmp_path / "client.mjs").write_bytes((EXAMPLE / "client.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    async with serving("serve", "examples/actioncable/app.py:app", "--port", "0") as (_, url):
        command = ("node", tmp_path / "client.mjs", f"{url.replace('http', 'ws')}/cable")
        bo = await Process.start("bo", (*command, "bo"))
        await bo.line("what is on in lobby")
        ana = await Process.start("ana", (*command, "ana"))
        eve = await Process.start("eve", (*command, "eve", "private"))
        try:
            await eve.line("rejected")
            await bo.line("ana came")
            await ana.line("what is on in lobby")
            await ana.say("hello")
            for one in (ana, bo):
                await one.line("ana: hello")
            assert await ana.finish() == 0
            await bo.line("ana left")
        finally:
            for process in (ana, bo, eve):
                await process.kill()


# ---- the page


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Anywire:
    """The app of the page: all its blocks, one after the other."""
    made: Anywire = module_of(blocks(PAGE, "python"), "actioncable", monkeypatch).app
    return made


async def test_an_action_reaches_all_in_the_room(app: Anywire) -> None:
    async with (
        connect(app, query="user=ana", wire="actioncable") as ana,
        connect(app, query="user=bo", wire="anywire") as bo,
    ):
        a = await ana.join('{"channel":"ChatChannel","room":"lobby"}')
        b = await bo.join("chat:lobby")
        await a.push("speak", text="hello")
        for member in (a, b):
            assert await member.next("message") == {"from": "ana", "text": "hello"}


def support(desk: str) -> str:
    return f'{{"channel":"SupportChannel","desk":"{desk}"}}'


async def test_a_channel_of_rails_has_become_one_of_ours(app: Anywire) -> None:
    async with (
        connect(app, query="user=ana", wire="actioncable") as ana,
        connect(app, query="user=bo", wire="actioncable") as bo,
    ):
        a, b = await ana.join(support("tea")), await bo.join(support("tea"))
        for member in (a, b):
            assert await member.next("message") == {"topic": "ask away"}
        await a.push("speak", text="hi")
        for member in (a, b):
            assert await member.next("message") == {"by": "ana", "text": "hi"}
        await b.push("follow", desk="coffee")
        assert await b.next("message") == {"following": "coffee"}
        await a.push("speak", text="gone?")
        assert await a.next("message") == {"by": "ana", "text": "gone?"}
        await b.silence()
        await b.push("message", a=1)
        assert await b.next("message") == {"got": {"a": 1}}
        await b.push("follow", desk="tea")
        assert await b.next("message") == {"following": "tea"}
        await a.leave()
        assert await b.next("message") == {"left": "ana"}


async def test_staff_is_let_in_by_its_token(app: Anywire) -> None:
    async with connect(app, query="user=ana", wire="actioncable") as ana:
        with pytest.raises(Refused, match="rejected"):
            await ana.join(support("staff"))
    async with connect(app, query="jid=staff-secret", wire="actioncable") as eve:
        await eve.join(support("staff"))


async def test_what_a_client_says_of_its_presence_is_for_the_application(app: Anywire) -> None:
    async with (
        connect(app, query="user=ana", wire="actioncable") as ana,
        connect(app, query="user=bo", wire="anywire") as bo,
    ):
        b = await bo.join("rooms:tea")
        a = await ana.join("rooms:tea")
        await a.push("$presence:join", id="eve", info={"on": "phone"})
        await b.silence()
        assert b.presence == {"ana": [{"on": "phone"}]}
        await a.push("$whisper", typing=True)
        assert await b.next("message") == {"typing": True}


async def test_a_call_of_the_server_is_not_in_the_protocol(app: Anywire) -> None:
    said: list[str] = []
    desk = app.channel("desk")

    @desk.on("ask_me")
    async def ask_me(member: Member) -> None:
        try:
            await member.call("question")
        except Unsupported as error:
            said.append(str(error))

    async with connect(app, wire="actioncable") as ana:
        member = await ana.join("desk")
        await member.push("ask_me")
        await member.silence()
    assert len(said) == 1 and '"actioncable" cannot carry the call' in said[0]


SERVER = """
import asyncio

from anywire import ActionCable, Anywire, Left, Limits, Member

app = Anywire(wires=[ActionCable()], limits=Limits(stop=1))
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
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const { WebSocket } = require("ws");
Object.assign(globalThis, { WebSocket, addEventListener() {}, removeEventListener() {} });
const { createConsumer } = require("@rails/actioncable");

const [url, way] = process.argv.slice(2);
const consumer = createConsumer(`${url.replace("http", "ws")}/cable`);
const ways = {
  "subscription.unsubscribe()": () => room.unsubscribe() && console.log("heard *nothing*"),
  "consumer.disconnect()": () => consumer.disconnect(),
  "the connection is cut": () => consumer.connection.webSocket._socket.destroy(),
  "a message that is too large": () => room.send({ text: "x".repeat(100_000) }),
  "far more actions at once than may wait": () => {
    for (let actions = 0; actions < 400; actions += 1) room.perform("wait");
  },
  "the server stops": () => console.log("stop it"),
};
const room = consumer.subscriptions.create("RoomChannel", {
  connected: () => (ways[way] ? ways[way]() : room.perform("do", { what: way })),
  rejected: () => console.log("heard rejected"),
  disconnected: ({ willAttemptReconnect }) =>
    console.log(`heard disconnected, ${willAttemptReconnect ? "comes back" : "stays away"}`),
});
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
    left, heard = REASONS[way]
    code, text, clean = left.replace("*none*", "").split(", ")
    async with ended(tmp_path, SERVER, CLIENT, way) as (told, client):
        assert told == (code.strip("`"), text, clean == "clean")
        assert await client.line("heard ") == f"heard {heard}"
