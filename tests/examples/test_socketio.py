"""The Socket.IO example and its page: official clients, before and after; why somebody is gone."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped]

from anywire import CallFailed, Refused, User
from anywire.testing import connect
from examples.socketio.app import app
from tests.cli.commands import serving
from tests.docs.pages import ROOT, Block, blocks
from tests.e2e.processes import NODE_MODULES, Process
from tests.e2e.proxy import proxied
from tests.examples.played import ended, live, module_of, without_docstrings
from tests.hosts.running import hosting

PAGE = ROOT / "docs" / "howto" / "socketio.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "socketio"
MOVE = "## From python-socketio"
ANSWERING = pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack", "socketio"])


def before() -> Block:
    """The server of python-socketio on the page."""
    (block,) = blocks(PAGE, "py")
    return block


# ---- the example


def test_the_page_shows_the_example() -> None:
    *_, after = blocks(PAGE, "python")
    code = (EXAMPLE / "app.py").read_text(encoding="utf-8")
    assert without_docstrings(after.code) == without_docstrings(code)


@ANSWERING
async def test_members_on_all_wires_meet_in_its_rooms(wire: str) -> None:
    async with (
        connect(app, user="ana", wire=wire) as ana,
        connect(app, user="bo", wire="socketio") as bo,
    ):
        a, b = await ana.join("chat"), await bo.join("/")
        assert await a.call("enter", room="tea") == 1
        assert await b.call("enter", room="tea") == 2
        assert await a.next("entered") == {"room": "tea", "who": "bo"}
        assert await a.call("say", room="tea", text="hi") is None
        for member in (a, b):
            assert await member.next("said") == {"room": "tea", "by": "ana", "text": "hi"}
        with pytest.raises((Refused, CallFailed), match="not_here"):
            await a.call("say", room="cake", text="hi")
        b.answer("sure?", lambda room: room == "tea")
        assert await b.call("quit", room="tea") == "left"
        assert await a.next("gone") == {"room": "tea", "who": "bo"}


async def test_who_does_not_answer_whether_it_is_sure_stays() -> None:
    async with connect(app, user="ana", wire="socketio") as ana:
        chat = await ana.join("/")
        await chat.call("enter", room="tea")
        chat.answer("sure?", lambda room: False)
        assert await chat.call("quit", room="tea") == "stayed"


@asynccontextmanager
async def clients(folder: Path, url: str) -> AsyncIterator[Any]:
    """Makes clients of the example: each with its token, in Node, beside the official package."""
    (folder / "client.mjs").write_bytes((EXAMPLE / "client.mjs").read_bytes())
    (folder / "node_modules").symlink_to(NODE_MODULES)
    made: list[Process] = []

    async def client(token: str, at: str = url) -> Process:
        command = ("node", folder / "client.mjs", at, token)
        made.append(await Process.start(token, command))
        return made[-1]

    try:
        yield client
    finally:
        for process in made:
            await process.kill()


@asynccontextmanager
async def served_before(folder: Path) -> AsyncIterator[str]:
    (folder / "before.py").write_text(before().code, encoding="utf-8")
    command = ("uvicorn", "--app-dir", str(folder), "before:app", "--port", "0")
    with hosting(command, ready="Uvicorn running on") as process:
        yield f"http://127.0.0.1:{process.port()}"


@asynccontextmanager
async def served_after(folder: Path) -> AsyncIterator[str]:
    async with serving("serve", "examples/socketio/app.py:app", "--port", "0") as (_, url):
        yield url


@live
@pytest.mark.parametrize("served", [served_before, served_after])
async def test_a_client_that_is_left_as_it_was_is_served_as_before(
    served: Any, tmp_path: Path
) -> None:
    async with served(tmp_path) as url, clients(tmp_path, url) as client:
        nobody = await client("wrong")
        await nobody.line("refused: show a token")
        ana, bo = await client("ana-secret"), await client("bo-secret")
        for one in (ana, bo):
            await one.line("connected")
        await ana.say("enter tea")
        await ana.line("enter: 1")
        await bo.say("say tea too early")
        await bo.line('say: {"error":{"code":"not_here","text":"enter tea first"}}')
        await bo.say("enter tea")
        await bo.line("enter: 2")
        await ana.line('entered {"room":"tea","who":"bo"}')
        await bo.say("say tea hi there")
        await bo.line("say: null")
        for one in (ana, bo):
            await one.line('said {"room":"tea","by":"bo","text":"hi there"}')
        await ana.say("quit tea")
        await ana.line("quit: left")
        await bo.line('gone {"room":"tea","who":"ana"}')
        assert ana.lines == [
            "connected",
            "enter: 1",
            'entered {"room":"tea","who":"bo"}',
            'said {"room":"tea","by":"bo","text":"hi there"}',
            "asked about tea",
            "quit: left",
        ]
        await ana.say("enter tea")
        await ana.line(lambda line: ana.lines.count("enter: 2") + ana.lines[6:].count(line))
        await bo.say("bye")
        await bo.line("disconnected: io client disconnect")
        await ana.line('gone {"room":"tea","who":"bo"}')
        assert await ana.finish() == 0


@live
async def test_who_is_cut_goes_on_with_its_rooms_and_hears_what_it_missed(tmp_path: Path) -> None:
    async with served_after(tmp_path) as url, clients(tmp_path, url) as client:
        async with proxied(int(url.rpartition(":")[2])) as proxy:
            ana = await client("ana-secret", f"http://127.0.0.1:{proxy.port}")
            bo = await client("bo-secret")
            for one in (ana, bo):
                await one.line("connected")
                await one.say("enter tea")
                await one.line("enter: ")
            proxy.is_refusing = True
            proxy.cut()
            await ana.line("disconnected: transport")
            await bo.line('gone {"room":"tea","who":"ana"}')
            await bo.say("say tea in the meantime")
            await bo.line("say: null")
            proxy.is_refusing = False
            await ana.line("recovered")
            await ana.line('said {"room":"tea","by":"bo","text":"in the meantime"}')
            told = bo.lines.index('gone {"room":"tea","who":"ana"}')
            await bo.line(lambda _: 'entered {"room":"tea","who":"ana"}' in bo.lines[told:])
            await ana.say("say tea back")
            await ana.line("say: null")


@pytest.mark.slow
@pytest.mark.net
async def test_the_python_client_is_at_home_in_it_too() -> None:
    async with serving("serve", "examples/socketio/app.py:app", "--port", "0") as (_, url):
        client = socketio.AsyncClient(handle_sigint=False)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client.on("said", lambda said, *_: heard.put_nowait(said))
        client.on("sure?", lambda room: True)
        await client.connect(url, auth={"token": "ana-secret"}, wait_timeout=10)
        assert await client.call("enter", {"room": "tea"}) == 1
        await client.emit("say", {"room": "tea", "text": "hi"})
        async with asyncio.timeout(5):
            assert await heard.get() == {"room": "tea", "by": "ana", "text": "hi"}
        assert await client.call("quit", {"room": "tea"}) == "left"
        await client.shutdown()


# ---- the page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All Python of the page before the example, in one module."""
    end = TEXT.count("\n", 0, TEXT.index(MOVE))
    before_it = [block for block in blocks(PAGE, "python") if block.line < end]
    return module_of(before_it, "socketio", monkeypatch)


async def test_namespaces_and_who_may_be_there_are_as_the_page_says(page: ModuleType) -> None:
    async with connect(page.app, wire="socketio") as guest:
        table = await guest.join("/table-7")
        assert await table.call("bet", amount=3) == 3
        with pytest.raises(Refused, match="Invalid namespace"):
            await guest.join("/table-x")
        with pytest.raises(Refused, match="Invalid namespace"):
            await guest.join("/nowhere")
        with pytest.raises(Refused) as refused:
            await guest.join("/admin")
        assert (refused.value.text, refused.value.data) == ("not authorized", {"code": 401})
    async with connect(page.app, user=User("ana", {"is_staff": True}), wire="socketio") as ana:
        assert await (await ana.join("/admin", desk="back")).call("desk") == "back"


async def test_events_are_answered_as_the_page_says(page: ModuleType) -> None:
    async with (
        connect(page.app, wire="socketio") as ana,
        connect(page.app, wire="socketio") as bo,
    ):
        a, b = await ana.join("/"), await bo.join("/")
        assert await a.call("say", "hi") == await a.call("say", text="hi") == "done"
        assert (await b.next("said"))["text"] == "hi"
        assert await a.call("divide", 7, 2) == [3, 1]
        assert await a.call("picture", "me", b"\0\1") == 2
        assert await b.next("picture") == ["me", b"\0\1"]
        a.answer("confirm", lambda dish: dish == "soup")
        assert await a.call("order", "soup") == "ordered"
        assert await a.call("order", "rats") == "forgotten"
        await a.push("never heard of", 1, 2)
        assert await a.next("unknown") == ["never heard of", 2]


async def test_rooms_are_as_the_page_says(page: ModuleType) -> None:
    async with (
        connect(page.app, wire="socketio") as ana,
        connect(page.app, wire="socketio") as bo,
        connect(page.app, wire="socketio") as cy,
    ):
        a, b, c = await ana.join("/"), await bo.join("/"), await cy.join("/")
        for number, member in enumerate((a, b, c)):
            assert await member.call("enter", "tea") == number + 1
        assert await c.call("enter", "deaf") == 1
        await a.call("tell", "tea", "hello")
        assert await b.next("told") == "hello"
        assert isinstance(await a.next("typing"), str)
        for member, says in ((a, "yes"), (b, "no"), (c, "yes")):
            member.answer("vote", lambda question, says=says: says)
        found = await a.call("vote", "tea", "more?")
        assert (sorted(found["votes"]), found["silent"]) == (["no", "yes", "yes"], 0)
        assert await a.call("close-room", "tea") == 3
        await a.call("tell", "tea", "anybody?")
        assert await a.call("vote", "tea", "more?") == {"votes": [], "silent": 0}
        await a.call("say", "still here")
        for member in (b, c):
            assert (await member.next("said"))["text"] == "still here"
        await b.next("entered")
        for member in (b, c):
            await member.next("typing")
        for member in (b, c):  # not "told": `deaf` is left out, and the room is empty by then
            await member.silence()


async def test_what_may_not_be_lost_is_asked_for_by_its_offset(page: ModuleType) -> None:
    async with connect(page.app, wire="socketio") as client:
        orders = await client.join("/orders")
        first = await orders.call("place", "soup")
        await orders.call("place", "bread")
        assert await orders.call("placed-since", first) == ["bread"]


# ---- why somebody is gone

SERVER = """
from anywire import Anywire, Left, Limits, Member, SocketIO

app = Anywire(
    wires=[SocketIO(home="chat", ping=0.3, ping_timeout=0.2)], limits=Limits(stop=1)
)
chat = app.channel("chat")


@chat.join
async def join(member: Member) -> None:
    member.state["room"] = await member.enter("room")


@chat.leave
async def leave(member: Member, why: Left) -> None:
    print("left", repr(why.code), repr(why.text), why.clean, flush=True)


@chat.on("do")
async def do(member: Member, what: str) -> None:
    room, id = member.room, member.user.id
    await eval(what)
"""
CLIENT = """
import { io } from "socket.io-client";
const [url, way] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"], reconnectionDelay: 50 });
const { engine } = socket.io;
const ways = {
  "socket.disconnect()": () => socket.disconnect(),
  "the page goes, `socket.io.engine.close()`": () => socket.io.engine.close(),
  "the connection is cut": () => socket.io.engine.transport.ws._socket.destroy(),
  "no answer to a ping": () => {
    const { engine } = socket.io;
    engine._onPacket = engine._sendPacket = () => {};
  },
  "a packet that is none": () => socket.io.engine.write("42{}"),
  "the server stops": () => console.log("stop it"),
};
socket.once("connect", () => {
  socket.once("disconnect", (reason) => console.log("heard", reason, socket.active));
  ways[way] ? ways[way]() : socket.emit("do", way);
});
process.stdin.on("end", () => process.exit(0)).resume();
"""
ROWS = re.findall(r"^\| (.+) \|$", TEXT.split("## Why somebody is gone")[1].split("\n## ")[0], re.M)
REASONS: Mapping[str, list[str]] = {
    cells[0].strip("`") if cells[0].count("`") == 2 and cells[0][0] == "`" else cells[0]: cells[1:]
    for cells in [[cell.strip() for cell in row.split(" | ")] for row in ROWS[2:]]
}


@live
@pytest.mark.parametrize("way", REASONS)
async def test_why_somebody_is_gone_is_told_to_both_sides_as_the_page_says(
    way: str, tmp_path: Path
) -> None:
    _, left, heard, again = REASONS[way]
    code, text, clean = left.split(", ")
    async with ended(tmp_path, SERVER, CLIENT, way) as (told, client):
        found_code, said, is_clean = told
        assert (found_code, is_clean) == (code.strip("`"), clean == "clean")
        if text == "*what was wrong*":
            assert said
        else:
            assert said == text.replace("*none*", "")
        assert await client.line("heard ") == f"heard {heard} {json.dumps(again == 'yes')}"
