"""Stdin and stdout: typed at a prompt, or piped."""

import asyncio
import io
import os
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from anywire.cli.terminal import Terminal, completions
from anywire.cli.view import Shown
from examples.echo.app import app as echo
from tests.cli.commands import served
from tests.cli.person import at_terminal

CONNECTED = "Connected (press CTRL+C to quit)\n"


@pytest.fixture
def stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Stdin as a regular file; what is written to it here is read there."""
    path = tmp_path / "stdin"
    with path.open("w") as writer, path.open() as reader:
        monkeypatch.setattr("sys.stdin", reader)
        yield writer  # type: ignore[misc]


async def read_all(terminal: Terminal) -> list[str]:
    return [line async for line in terminal.lines()]


async def test_a_file_is_read_line_by_line(stdin: io.StringIO) -> None:
    stdin.write("".join(f"{number}\n" for number in range(1000)) + "last")
    stdin.flush()
    said = await read_all(Terminal(is_typed=False))
    assert said == [*(str(number) for number in range(1000)), "last"]


async def test_a_line_in_many_pieces_is_one_line(stdin: io.StringIO) -> None:
    long = "x" * 200_000
    stdin.write(f"{long}\nshort\n")
    stdin.flush()
    assert await read_all(Terminal(is_typed=False)) == [long, "short"]


async def test_who_waits_for_a_line_may_be_cancelled_and_none_is_lost(
    stdin: io.StringIO,
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        sys.stdin = reader  # the fixture puts it back
        lines = Terminal(is_typed=False).lines()
        waiting = asyncio.create_task(anext(lines))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        writer.write("one\ntwo\n")
        writer.flush()
        assert [await anext(lines), await anext(lines)] == ["one", "two"]
        writer.close()
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(lines)


@pytest.mark.parametrize(
    ("typed", "words", "ways"),
    [
        ("/p", ["/ping", "/pong", "/close"], ["/ping", "/pong"]),
        ("/c", ["/ping", "/pong", "/close"], ["/close "]),
        ("", ["b", "a", "b"], ["a", "b"]),
        ("x", ["a"], []),
    ],
)
def test_a_line_goes_on_with_what_it_begins_like(
    typed: str, words: list[str], ways: list[str]
) -> None:
    assert completions(typed, words) == ways


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(is_typed=False)
    terminal.write(Shown("hi"))
    terminal.write(Shown("anywire: no", is_error=True))
    terminal.restore()
    assert capsys.readouterr() == ("hi\n", "anywire: no\n")


@pytest.mark.slow
@pytest.mark.net
async def test_a_person_types_at_a_prompt_and_reads_answers() -> None:
    async with served(echo) as url, at_terminal("talk", f"{url}/raw/echo") as person:
        await person.sees(CONNECTED)
        await person.sees("> ")
        person.type("hello\r")
        await person.sees("< hello\n> ")
        assert await person.leaves() == 0
        assert person.screen.endswith('Disconnected (code: 1000, reason: "")\n')


@pytest.mark.slow
@pytest.mark.net
async def test_a_line_typed_before_comes_back_with_the_arrow() -> None:
    async with served(echo) as url, at_terminal("talk", f"{url}/raw/echo") as person:
        await person.sees("> ")
        person.type("again\r")
        await person.sees("< again\n")
        person.type("\x1b[A\r")
        await person.sees("< again\n", times=2)


@pytest.mark.slow
@pytest.mark.net
async def test_lines_of_an_earlier_talk_come_back_with_the_arrow(tmp_path: Path) -> None:
    async with served(echo) as url:
        async with at_terminal("talk", f"{url}/raw/echo", state=tmp_path) as person:
            await person.sees("> ")
            person.type("once more\r")
            await person.sees("< once more\n")
            person.type(" a secret\r")
            await person.sees("<  a secret\n")
            await person.leaves()
        async with at_terminal("talk", f"{url}/raw/echo", state=tmp_path) as person:
            await person.sees("> ")
            person.type("\x1b[A\r")
            await person.sees("< once more\n")
        options = ("talk", f"{url}/raw/echo", "--no-history")
        async with at_terminal(*options, state=tmp_path) as person:
            await person.sees("> ")
            person.type("\x1b[Anot kept\r")
            await person.sees("< not kept\n")
    assert (tmp_path / "anywire" / "talk_history").read_text() == "once more\nonce more\n"


@pytest.mark.slow
@pytest.mark.net
async def test_tab_completes_a_command() -> None:
    async with (
        served(echo) as url,
        at_terminal("talk", f"{url}/raw/echo", "--slash", "-P") as person,
    ):
        await person.sees("> ")
        person.type("/pi\tnow\r")
        await person.sees('< Received pong (data: "now")\n')
        person.type("/c\t4001 enough\r")
        await person.sees('Disconnected (code: 4001, reason: "")\n')
        assert await person.ends() == 0


@pytest.mark.slow
@pytest.mark.net
async def test_what_is_being_typed_survives_a_message() -> None:
    async with served(echo) as url, at_terminal("talk", f"{url}/raw/echo") as person:
        await person.sees("> ")
        person.type("one\rha")
        await person.sees("< one\n")
        await person.sees("> ha")
        person.type("lf\r")
        await person.sees("< half\n")


@pytest.mark.slow
@pytest.mark.net
async def test_ctrl_c_says_goodbye_and_leaves_the_terminal_as_it_was() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    async with served(echo) as url, at_terminal("talk", f"{url}/raw/echo") as person:
        await person.sees("> ")
        person.type("\x03")
        assert await person.ends() == 0
        assert 'Disconnected (code: 1000, reason: "")' in person.screen
        assert person.attributes()[3] == before[3]


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.parametrize(
    ("env", "has_colors"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
async def test_colors_are_left_out_where_they_are_not_wanted(
    env: dict[str, str], has_colors: bool
) -> None:
    async with served(echo) as url, at_terminal("talk", f"{url}/raw/echo", env=env) as person:
        await person.sees(CONNECTED)
        assert ("\x1b[32m" in person.raw) is has_colors
