"""The SignalR example and its page: the official client, in Node, and one of each other wire."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anywire import Refused
from anywire.testing import connect
from examples.signalr.app import app
from tests.cli.commands import serving
from tests.docs.pages import ROOT, blocks
from tests.e2e.processes import NODE_MODULES, Process
from tests.e2e.proxy import proxied
from tests.examples.played import ended, live, module_of, without_docstrings

PAGE = ROOT / "docs" / "howto" / "signalr.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "signalr"
MOVE = "## From a C# hub"
STREAMING = pytest.mark.parametrize("wire", ["anywire", "signalr", "signalr.msgpack"])


# ---- the example


def test_the_page_shows_the_example() -> None:
    *_, after = blocks(PAGE, "python")
    code = (EXAMPLE / "app.py").read_text(encoding="utf-8")
    assert without_docstrings(after.code) == without_docstrings(code)


def test_the_hub_of_the_page_and_the_example_have_the_same_methods() -> None:
    (hub,) = blocks(PAGE, "csharp")
    methods = re.findall(r"^    public async [\w<>]+ (\w+)\(", hub.code, re.MULTILINE)
    (chat,) = app.channels
    assert methods == [*chat.handlers]
    for method in ("entered", "said", "gone", "sure"):
        assert f'"{method}"' in hub.code


@asynccontextmanager
async def joined(wire: str, user: str) -> AsyncIterator[Any]:
    path = {"path": "/chathub"} if wire.startswith("signalr") else {}
    async with connect(app, user=user, wire=wire, **path) as client:  # type: ignore[arg-type]
        yield await client.join("chat")


@STREAMING
async def test_members_on_all_wires_meet_in_its_rooms(wire: str) -> None:
    async with joined(wire, "ana") as ana, joined("signalr", "bo") as bo:
        for member in (ana, bo):
            await member.call("Enter", "tea")
        assert await ana.next("entered") == ["tea", "bo"]
        await ana.call("Say", "tea", "hi")
        for member in (ana, bo):
            assert await member.next("said") == {"room": "tea", "by": "ana", "text": "hi"}
        with pytest.raises(Refused, match="enter cake first"):
            await ana.call("Say", "cake", "hi")
        assert await ana.call("Dictate", "tea", uploads=[["one", "two"]]) == 2
        for text in ("one", "two"):
            assert (await bo.next("said"))["text"] == text
        assert [number async for number in ana.stream("Countdown", 3)] == [3, 2, 1]
        bo.answer("sure", lambda room: room == "tea")
        assert await bo.call("Quit", "tea") is True
        assert await ana.next("gone") == ["tea", "bo"]


async def test_who_is_not_sure_stays() -> None:
    async with joined("signalr", "ana") as ana:
        await ana.call("Enter", "tea")
        ana.answer("sure", lambda room: False)
        assert await ana.call("Quit", "tea") is False
        await ana.call("Say", "tea", "still here")


@asynccontextmanager
async def clients(folder: Path, url: str) -> AsyncIterator[Any]:
    """Makes clients of the example: each with its token, in Node, beside the official package."""
    (folder / "client.mjs").write_bytes((EXAMPLE / "client.mjs").read_bytes())
    (folder / "node_modules").symlink_to(NODE_MODULES)
    made: list[Process] = []

    async def client(token: str, at: str = url) -> Process:
        made.append(await Process.start(token, ("node", folder / "client.mjs", at, token)))
        return made[-1]

    try:
        yield client
    finally:
        for process in made:
            await process.kill()


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    async with serving("serve", "examples/signalr/app.py:app", "--port", "0") as (_, url):
        yield url


@live
async def test_the_official_client_plays_the_conversation_of_the_page(tmp_path: Path) -> None:
    async with served() as url, clients(tmp_path, url) as client:
        nobody = await client("wrong")
        await nobody.line("refused: ")
        ana, bo = await client("ana-secret"), await client("bo-secret")
        for one in (ana, bo):
            await one.line("connected")
        await ana.say("Enter tea")
        await ana.line("Enter: null")
        await bo.say("Say tea too early")
        assert "enter tea first" in await bo.line("Say! ")
        await bo.say("Enter tea")
        await bo.line("Enter: null")
        await ana.line("entered tea bo")
        await bo.say("Say tea hi there")
        for one in (ana, bo):
            await one.line('said {"room":"tea","by":"bo","text":"hi there"}')
        await ana.say("Countdown 3")
        await ana.line("Countdown: [3,2,1]")
        await ana.say("Dictate tea one two")
        await ana.line("Dictate: 2")
        await bo.line('said {"room":"tea","by":"ana","text":"two"}')
        await ana.say("Quit tea")
        await ana.line("Quit: true")
        await ana.line("asked about tea")
        await bo.line("gone tea ana")
        await ana.say("Enter tea")
        await bo.line("entered tea ana")
        await bo.say("bye")
        await ana.line("gone tea bo")
        assert await ana.finish() == 0


@live
async def test_who_is_cut_goes_on_with_its_rooms_and_hears_what_it_missed(tmp_path: Path) -> None:
    async with (
        served() as url,
        clients(tmp_path, url) as client,
        proxied(int(url.rpartition(":")[2])) as proxy,
    ):
        ana = await client("ana-secret", f"http://127.0.0.1:{proxy.port}")
        bo = await client("bo-secret")
        for one in (ana, bo):
            await one.line("connected")
            await one.say("Enter tea")
            await one.line("Enter: null")
        proxy.cut()
        await bo.say("Say tea in the meantime")
        await ana.line('said {"room":"tea","by":"bo","text":"in the meantime"}')
        await ana.say("Say tea back")
        await bo.line('said {"room":"tea","by":"ana","text":"back"}')
        assert "lost" not in ana.lines
        assert "gone tea ana" not in bo.lines


# ---- the page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All Python of the page before the example, in one module."""
    end = TEXT.count("\n", 0, TEXT.index(MOVE))
    before_it = [block for block in blocks(PAGE, "python") if block.line < end]
    return module_of(before_it, "signalr", monkeypatch)


async def test_hub_methods_are_as_the_page_says(page: ModuleType) -> None:
    async with connect(page.app, wire="signalr", path="/chathub", user="ana") as client:
        chat = await client.join("chat")
        await chat.call("SendMessage", "ana", "hello")
        assert await chat.next("ReceiveMessage") == ["ana", "hello"]
        assert [number async for number in chat.stream("Counter", 3, 0)] == [0, 1, 2]
        assert await chat.call("Total", "EUR", uploads=[[1.5, 2.5]]) == "4.0 EUR"
        chat.answer("Confirm", lambda dish: dish == "soup")
        assert await chat.call("Order", "soup") == "ordered"
        assert await chat.call("Order", "rats") == "forgotten"
        with pytest.raises(Refused, match="unknown_event"):
            await chat.call("sendMessage", "ana", "hello")


async def test_groups_users_and_connections_are_as_the_page_says(page: ModuleType) -> None:
    async with (
        connect(page.app, wire="signalr", path="/chathub", user="ana") as ana,
        connect(page.app, wire="signalr.msgpack", path="/chathub", user="bo") as bo,
    ):
        a, b = await ana.join("chat"), await bo.join("chat")
        for member in (a, b):
            await member.call("Join", "tea")
        assert await a.next("Joined") == ["tea", "bo"]
        await a.call("Whisper", "bo", "psst")
        assert await b.next("Whispered") == "psst"


async def test_who_may_come_in_is_as_the_page_says(page: ModuleType) -> None:
    async with connect(
        page.app, wire="signalr", path="/chathub", query="access_token=ana-secret"
    ) as client:
        await client.join("chat")
    with pytest.raises(Refused, match="401: the token is not right"):
        async with connect(
            page.app, wire="signalr", path="/chathub", query="access_token=x"
        ) as client:
            await client.join("chat")


# ---- why somebody is gone

SERVER = """
import asyncio

from anywire import Anywire, Left, Limits, Member, SignalR

app = Anywire(
    wires=[SignalR({"/hub": "chat"}, ping=0.3, timeout=0.9)], limits=Limits(stop=1)
)
chat = app.channel("chat")


@chat.leave
async def leave(member: Member, why: Left) -> None:
    print("left", repr(why.code), repr(why.text), why.clean, flush=True)


@chat.on("do")
async def do(member: Member, what: str) -> None:
    id = member.user.id
    await eval(what)


@chat.on("wait")
async def wait() -> None:
    await asyncio.sleep(0.02)
"""
CLIENT = """
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
const [url, way] = process.argv.slice(2);
const connection = new HubConnectionBuilder()
  .withUrl(`${url}/hub`, { transport: HttpTransportType.WebSockets })
  .withAutomaticReconnect([1000])
  .withKeepAliveInterval(way.startsWith("nothing heard") ? 60_000 : 200)
  .configureLogging(LogLevel.None)
  .build();
const ways = {
  "connection.stop()": () => connection.stop(),
  "the connection is cut": () => connection.connection.transport._webSocket._socket.destroy(),
  "nothing heard for `timeout` seconds": () => {},
  "a message that is too large": () => connection.send("do", "x".repeat(70_000)),
  "far more calls at once than may wait": () => {
    for (let calls = 0; calls < 400; calls += 1) connection.send("wait").catch(() => {});
  },
  "the server stops": () => console.log("stop it"),
};
const heard = (word) => (error) => console.log(word, error?.message ?? "");
connection.onclose(heard("closed"));
connection.onreconnecting(heard("lost"));
await connection.start();
ways[way] ? ways[way]() : connection.send("do", way);
process.stdin.on("end", () => process.exit(0)).resume();
"""
_, _, *ROWS = re.findall(
    r"^\| (.+) \|$", TEXT.split("## Ends, and coming back")[1].split("\n## ")[0], re.MULTILINE
)
REASONS = {
    cells[0].strip("`") if cells[0].count("`") == 2 and cells[0][0] == "`" else cells[0]: cells[1:]
    for cells in [[cell.strip() for cell in row.split(" | ")] for row in ROWS]
}


@live
@pytest.mark.parametrize("way", REASONS)
async def test_why_somebody_is_gone_is_told_to_both_sides_as_the_page_says(
    way: str, tmp_path: Path
) -> None:
    left, heard = REASONS[way]
    code, text, clean = left.split(", ")
    async with ended(tmp_path, SERVER, CLIENT, way) as (told, client):
        assert told == (code, text.replace("*none*", ""), clean == "clean")
        away = "stays away" in heard or "its own close" in heard
        said = await client.line("closed" if away else "lost")
        for words in re.findall(r"`(.+)`", heard):
            assert words in said
