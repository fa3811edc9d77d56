"""What the documentation shows is run: apps, programs, tests, commands, conversations."""

import asyncio
import json
import shlex
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.asyncio.client import connect as dial

from anywire import Anywire, Closed, Limits, Refused
from anywire.client import Client, connect
from anywire.demo.chat import make_app
from anywire.payload import Message, Payload
from anywire.testing import Clock, MemoryDialer, running
from anywire.testing import connect as connect_in_memory
from anywire.wires.anywire.codec import JSON
from anywire.wires.base import Request
from tests.cli.commands import environment, run, serving
from tests.docs.pages import PAGES as ALL_PAGES
from tests.docs.pages import ROOT, SHOWN, Block, all_blocks, app_of, blocks, commands, spoken

PYTHON = all_blocks("python")
FIRST_STEPS = ROOT / "docs" / "intro" / "first-steps.md"
HOME_MADE = ROOT / "docs" / "howto" / "home-made-client.md"
PROTOCOL = ROOT / "docs" / "reference" / "protocol.md"
HANDLERS = ROOT / "docs" / "topics" / "handlers.md"
APP = ROOT / "docs" / "reference" / "app.md"
PYTHON_CLIENT = ROOT / "docs" / "howto" / "python-client.md"

WITH_APPS = [page for page in ALL_PAGES if app_of(page)]
WITH_TESTS = sorted({block.page for block in PYTHON if block.is_test})
WITH_COMMANDS = [page for page in ALL_PAGES if commands(page)]
PROGRAMS = [block for block in PYTHON if block.is_program]


def named(thing: Path | Block) -> str:
    return thing.name if isinstance(thing, Block) else str(thing.relative_to(ROOT))


@pytest.fixture
def page_module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All Python of a page that makes an app, in one module, in the page's order."""
    page: Path = request.param
    module = ModuleType(f"snippets_of_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # annotations are looked up there
    for block in blocks(page, "python"):
        if not (block.is_test or block.is_program or block.is_fragment):
            exec(compile(block.code, block.name, "exec", dont_inherit=True), module.__dict__)
    return module


def folder_of(page: Path, folder: Path) -> Path:
    """A reader's folder: `hello.py` of the first steps, and the page's own app as `app.py`."""
    (folder / "hello.py").write_text(app_of(FIRST_STEPS), encoding="utf-8")
    if app_of(page):
        (folder / "app.py").write_text(app_of(page), encoding="utf-8")
    return folder


@pytest.mark.parametrize("block", PYTHON, ids=named)
def test_every_python_snippet_compiles(block: Block) -> None:
    block.check()


@pytest.mark.parametrize("page_module", WITH_APPS, ids=named, indirect=True)
async def test_the_apps_of_a_page_have_channels_and_run(page_module: ModuleType) -> None:
    apps = [value for value in vars(page_module).values() if isinstance(value, Anywire)]
    assert apps
    for app in apps:
        channels = list(app.channels)
        assert channels or app.fallback
        for channel in channels:
            assert channel.handlers or channel.joining or channel.catch_all
        async with running(app):
            assert app.is_running


@pytest.mark.parametrize("page_module", [HANDLERS], ids=named, indirect=True)
async def test_handlers_take_what_the_page_says_they_take(page_module: ModuleType) -> None:
    async with connect_in_memory(page_module.app, user="ana") as client:
        chat, table = await client.join("chat:lobby"), await client.join("table:7")
        assert await chat.call("say", "hi", 2) == 2
        assert await chat.call("say", text="hi", times=2) == 2
        assert await chat.call("say", "hi") == 1
        assert await chat.call("buy", symbol="ACME") == "1 ACME"
        assert await chat.call("note", order={"symbol": "ACME"}, text="soon") == "ACME: soon"
        assert await chat.call("note", symbol="ACME") == "ACME: "
        with pytest.raises(Refused) as refused:
            await chat.call("rate", stars=9)
        assert refused.value.code == "invalid"
        assert refused.value.text in HANDLERS.read_text(encoding="utf-8")
        assert await table.call("sit", seat=2) == await table.call("sit", seat=2, number=7)
        with pytest.raises(Refused):
            await table.call("sit", seat=2, number=8)
        assert [item async for item in chat.stream("count", to=3)] == [0, 1, 2]
        assert await chat.call("bulk", uploads=[[{"symbol": "ACME", "amount": 4}]]) == 4
        await chat.push("never heard of", 1, 2)
        assert await chat.next("unknown") == ["never heard of", 2]
        assert await chat.call("save", text="hi") == {"status": "ok"}


@pytest.mark.parametrize("page_module", [APP], ids=named, indirect=True)
async def test_an_app_does_what_its_page_says(page_module: ModuleType) -> None:
    app = page_module.app
    with pytest.raises(Closed, match="the token is not right"):
        async with connect_in_memory(app, query="token=wrong") as client:
            await client.join("desk")
    async with (
        connect_in_memory(app, query="token=secret&name=ana") as ana,
        connect_in_memory(app, query="name=bo") as bo,
    ):
        chat, desk, guest = await ana.join("chat:staff"), await ana.join("desk"), bo
        with pytest.raises(Refused, match="staff_only"):
            await guest.join("chat:staff")
        lobby = await guest.join("chat:lobby")
        with pytest.raises(Refused):
            await lobby.call("announce", name="bo")
        await chat.call("announce", name="ana")
        assert (await chat.next("user-joined"))["name"] == "ana"
        await lobby.push("never heard of", 1)
        assert await lobby.next("unknown") == ["never heard of", 1]
        with pytest.raises(Refused, match="too_much"):
            await desk.call("approve", amount=101)
        assert await desk.call("approve", amount=7) == {"status": "ok"}
        assert await desk.call("work", team="night") == "desk/night"
        desk.answer("confirm", lambda price: price < 10)
        assert await desk.call("buy", price=5.0) is True
        with pytest.raises(Refused, match="declined"):
            await desk.call("buy", price=50.0)
        desk.answer("ask", lambda question: question == "more tea?")
        assert await desk.call("vote", "more tea?") == {"yes": 1, "silent": 0}
        assert await desk.call("recap") == []
    await page_module.announce("closing time")


async def test_the_ways_to_connect_that_a_page_lists_are_ways_to_connect() -> None:
    (block,) = [block for block in blocks(PYTHON_CLIENT, "python") if "wss://" in block.code]
    made: list[Client] = []

    def remembered(*args: Any, **options: Any) -> Client:
        made.append(connect(*args, **options))
        return made[-1]

    exec(block.code, {"connect": remembered, "context": ssl.create_default_context()})
    assert len(made) == block.code.count("connect(")
    for client in made:
        await client.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_TESTS, ids=named)
async def test_the_tests_of_a_page_pass_in_a_readers_folder(page: Path, tmp_path: Path) -> None:
    folder = folder_of(page, tmp_path)
    for number, block in enumerate(block for block in blocks(page, "python") if block.is_test):
        (folder / f"test_{number}.py").write_text(block.code, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"),
        cwd=folder,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


@asynccontextmanager
async def program(code: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program that prints; ended if it does not end by itself."""
    (folder / "program.py").write_text(code, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-u", "program.py"),
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.parametrize("block", PROGRAMS, ids=named)
async def test_a_program_of_a_page_runs_against_what_the_page_serves(
    block: Block, tmp_path: Path
) -> None:
    folder = folder_of(block.page, tmp_path)
    (command,) = [line for line in commands(block.page) if line.split()[1] in ("serve", "demo")]
    arguments = shlex.split(command)[1:]
    async with serving(*arguments, "--port", "0", cwd=folder) as (_, url):
        code = block.code.replace(SHOWN, url.removeprefix("http://"))
        async with program(code, folder) as process:
            assert process.stdout is not None
            assert (await process.stdout.readline()).strip()


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=named)
async def test_the_commands_of_a_page_work_in_its_order(page: Path, tmp_path: Path) -> None:
    folder = folder_of(page, tmp_path)
    asked = commands(page)
    serve = [line for line in asked if line.split()[1] in ("serve", "demo")]
    assert len(serve) <= 1, "one server a page"
    where = SHOWN
    async with _served(serve, folder) as url:
        where = url.removeprefix("http://") if url else SHOWN
        for line in asked:
            if line not in serve:
                arguments = shlex.split(line.replace(SHOWN, where))[1:]
                ended = await run(*arguments, cwd=folder)
                assert (ended.code, ended.err) == (0, ""), line
                assert ended.out, line
        if url and not any(line.split()[1] == "talk" for line in asked):
            async with dial(f"ws://{where}/ws") as client:
                await client.send('{"type": "ping"}')
                while '"pong"' not in str(await client.recv()):
                    pass  # what a member hears first


@asynccontextmanager
async def _served(lines: list[str], folder: Path) -> AsyncIterator[str]:
    if not lines:
        yield ""
        return
    async with serving(*shlex.split(lines[0])[1:], "--port", "0", cwd=folder) as (_, url):
        yield url


class Heard:
    """What a plain client hears."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()

    def on_message(self, message: Message) -> None:
        self.messages.put_nowait(message)

    def on_heard(self) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        self.messages.put_nowait(json.dumps({"closed": code, "reason": reason}))


async def play(app: Anywire, lines: list[tuple[str, str]], *, before: str = "") -> None:
    """Say and hear these lines on a plain connection of ana's, at the time that the pages show."""
    assert lines
    clock, heard = Clock(wall=1_700_000_000.0), Heard()
    async with running(app, clock=clock) as node, asyncio.timeout(5):
        dialer = MemoryDialer(node, app.wires)
        link = await dialer.dial("ws://memory/ws?name=ana", Request())
        link.start(heard)
        if before:
            link.write([Payload.of(before)])
            while '"reply"' not in str(await heard.messages.get()):
                pass
        for arrow, text in lines:
            if arrow == "→":
                link.write([Payload.of(text)])
            else:
                assert json.loads(await heard.messages.get()) == json.loads(text)
        assert heard.messages.empty()
        link.close(1000, "")


@pytest.mark.parametrize("page_module", [HOME_MADE], ids=named, indirect=True)
async def test_a_home_made_client_hears_what_the_page_says(page_module: ModuleType) -> None:
    await play(page_module.app, spoken(HOME_MADE))


async def test_a_plain_connection_hears_what_the_protocol_says() -> None:
    join = '{"type":"join-room","id":0,"room":"engineering"}'
    await play(make_app("secret"), spoken(PROTOCOL, "## Plain connections"), before=join)


@pytest.mark.parametrize(("arrow", "text"), spoken(PROTOCOL, "## Messages"))
def test_each_message_of_the_protocol_page_is_one_of_ours(arrow: str, text: str) -> None:
    said = JSON.from_client(text, Limits()) if arrow == "→" else JSON.from_server(text, Limits())
    assert said.frame(JSON.form, Limits()) is not None
