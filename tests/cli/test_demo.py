"""`anywire demo`: the page is there, and every way to join can be pasted."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import anywire
from anywire.cli.demo import official_files, page_files, programs_file, welcome
from anywire.client import Channel, connect
from anywire.servers.tcp import Address
from tests.cli.commands import end, environment, run, serving

pytestmark = [pytest.mark.slow, pytest.mark.net]

DEMO = ("demo", "--port", "0", "--token", "s3cret")


@asynccontextmanager
async def in_the_lobby(url: str) -> AsyncIterator[Channel]:
    async with connect(f"{url.replace('http', 'ws')}/ws?name=bo") as client:
        chat = client.channel("chat")
        await chat.join()
        yield chat


async def said_by(chat: Channel, name: str) -> str:
    """What somebody of this name says next."""
    async for event in chat:
        if event.name == "room-message" and event.data["user"] == name:
            return str(event.data["message"])
    raise AssertionError("the channel is over")


async def instructions(process: asyncio.subprocess.Process) -> list[str]:
    """The paragraphs that the demo prints below its address; the last is a whole program."""
    assert process.stdout is not None
    text = b""
    while not text.endswith(b"END\n"):
        text += await process.stdout.readline()
    shell, title, python = text.decode().strip().partition("From Python:\n\n")
    return [*shell.strip().split("\n\n"), title, python]


async def paste(text: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        text,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        start_new_session=True,
        preexec_fn=_as_a_terminal_does,
    )


def _as_a_terminal_does() -> None:
    """Let Ctrl-C end it. A job in a script's background is started with SIGINT ignored, which
    every process below inherits (POSIX, Shell Command Language), and so do tests run there.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def paragraph(said: Sequence[str], title: str) -> str:
    return said[[text.startswith(title) for text in said].index(True) + 1]


async def test_the_lines_for_a_terminal_join_the_chat_as_they_are() -> None:
    async with serving(*DEMO) as (process, url):
        said = await instructions(process)
        command, typed = paragraph(said, "From a terminal, with").splitlines()
        async with in_the_lobby(url) as chat:
            heard = asyncio.create_task(said_by(chat, "ana"))
            ended = await end(await paste(f"{command} -w 0.5"), f"{typed}\n")
            assert await heard == "hello from a terminal"
    assert (ended.code, ended.err) == (0, "")
    assert 'reply to send-message: {"status":"ok"}' in ended.lines
    assert '"verified":true' in ended.lines[0] + ended.lines[1]


async def test_a_plain_line_is_said_in_the_lobby() -> None:
    async with serving(*DEMO) as (process, url):
        said = await instructions(process)
        command = paragraph(said, "From a terminal, knowing").replace("name=bo", "name=cy")
        async with in_the_lobby(url) as chat:
            heard = asyncio.create_task(said_by(chat, "cy"))
            assert (await end(await paste(f"{command} -w 0.5"), "just words\n")).code == 0
            assert await heard == "just words"


async def test_the_lines_for_python_join_the_chat_as_they_are() -> None:
    async with serving(*DEMO) as (process, url):
        said = await instructions(process)
        async with in_the_lobby(url) as chat:
            heard = asyncio.create_task(said_by(chat, "py"))
            python = await paste(paragraph(said, "From Python"))
            try:
                assert await heard == "hello from Python"
                os.killpg(python.pid, signal.SIGINT)
                ended = await end(python)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(python.pid, signal.SIGKILL)
    assert ended.err == ""


async def test_the_page_and_all_it_names_are_served() -> None:
    async with serving(*DEMO) as (process, url):
        await instructions(process)

        def get(path: str) -> tuple[str, str]:
            with urllib.request.urlopen(f"{url}{path}") as answer:
                return answer.headers["Content-Type"], answer.read().decode()

        kind, page = await asyncio.to_thread(get, "/")
        assert kind == "text/html; charset=utf-8"
        named = set(re.findall(r'(?:src|href)="/?([\w.-]+)"', page)) - {"anywire.js"}
        assert {"demo.js", "demo.css"} <= named
        for name in sorted(named):
            assert (await asyncio.to_thread(get, f"/{name}"))[1]
        kind, _ = await asyncio.to_thread(get, "/demo.json")
        assert kind == "application/json"


def test_the_page_is_told_how_programs_are_called_on_this_machine_only() -> None:
    kind, text = programs_file("127.0.0.1")["/demo.json"]
    assert kind == "application/json"
    assert json.loads(text)["python"] == shlex.quote(sys.executable)
    _, text = programs_file("0.0.0.0")["/demo.json"]
    assert json.loads(text) == {"anywire": "anywire", "python": "python3"}


async def test_a_wrong_token_is_refused() -> None:
    async with serving(*DEMO) as (process, url):
        said = await instructions(process)
        assert any("s3cret" in text for text in said)
        ws = f"{url.replace('http', 'ws')}/ws"
        talk = ("talk", ws, "--wire", "anywire", "--join", "chat", "-x", "message hi", "-w", "0.5")
        assert (await run(*talk, "--token", "wrong")).code == 3
        assert (await run(*talk)).code == 0


async def test_without_a_token_one_is_made_up() -> None:
    tokens = set()
    for _ in range(2):
        async with serving("demo", "--port", "0") as (process, _url):
            said = await instructions(process)
            found = re.search(r"Token: +([0-9a-f]{16}) ", said[0])
            assert found is not None
            tokens.add(found[1])
    assert len(tokens) == 2


def test_whoever_listens_everywhere_is_reached_here() -> None:
    said = welcome(Address(host="0.0.0.0", port=9), "t", command="anywire")
    assert said.startswith("Listening on http://0.0.0.0:9 (Ctrl-C to stop)\n")
    assert "http://127.0.0.1:9/" in said
    assert "ws://[::1]:9/ws" in welcome(Address(host="::", port=9), "t", command="anywire")


def test_a_token_with_spaces_and_quotes_is_quoted() -> None:
    said = welcome(Address(host="127.0.0.1", port=9), "it's", command="anywire")
    assert """--token 'it'"'"'s' """ in said
    assert 'token="it\'s"' in said


def test_the_official_clients_are_served_where_make_has_put_them(tmp_path: Path) -> None:
    assert official_files(tmp_path) == {}
    (tmp_path / "sockjs.min.js").write_text("let SockJS")
    served = {"/sockjs.min.js": ("text/javascript; charset=utf-8", b"let SockJS")}
    assert official_files(tmp_path) == served
    (tmp_path / "socket.io.min.js").write_text("let io")
    assert official_files(tmp_path).keys() == {"/socket.io.min.js", "/sockjs.min.js"}


def test_the_official_client_of_each_panel_is_served_beside_its_licence() -> None:
    served = official_files()
    for name, (_, source) in page_files().items():
        if name.endswith("-talk.js"):
            script = re.search(r'static script = "(.+?)"', source.decode())
            assert script is not None
            assert script[1] in served
            assert script[1] not in page_files()
    assert len(served) == 5
    built = Path(anywire.__file__).parent / "static"
    assert len(list(built.glob("*.LICENSE"))) == len(served)


def test_the_official_clients_are_those_that_the_tests_run_against() -> None:
    root = Path(__file__).parents[2]
    shipped, tested = (
        json.loads((root / folder / "package.json").read_text())["devDependencies"]
        for folder in ("clients/js", "tests/js")
    )
    both = shipped.keys() & tested.keys()
    assert {"@microsoft/signalr", "phoenix", "@rails/actioncable"} < both
    assert {name: shipped[name] for name in both} == {name: tested[name] for name in both}


def test_every_file_of_the_page_has_a_type_and_a_path() -> None:
    files = page_files()
    assert files["/"][0].startswith("text/html")
    assert files["/demo.js"][0].startswith("text/javascript")
