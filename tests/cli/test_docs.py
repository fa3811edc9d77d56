"""Every command of the pages about the command line is run, and prints what they say."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from anywire.cli.main import parser
from tests.cli.commands import ROOT, environment, serving
from tests.cli.person import at_terminal

SHOWN = "127.0.0.1:8000"
PAGES = ("docs/reference/cli.md", "docs/howto/terminal.md")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """A command of a page, and what it prints there; `…` stands for anything."""

    command: str
    output: tuple[str, ...]

    @property
    def serves(self) -> bool:
        return re.match(r"anywire (serve|demo)\b", self.command) is not None

    @property
    def is_typed_to(self) -> bool:
        return any(line.startswith("> ") for line in self.output)


def shown(page: str) -> Iterator[Shown]:
    for block in _BLOCK.findall((ROOT / page).read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip("\n").split("\n")
            yield Shown(command, tuple(output))


def matches(lines: list[str], output: tuple[str, ...]) -> bool:
    pattern = "\n".join(re.escape(line).replace("…", ".*") for line in output)
    return re.fullmatch(pattern, "\n".join(lines), re.DOTALL) is not None


async def run_in_shell(command: str) -> list[str]:
    """What a command prints, stderr included."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env=environment({"PATH": path}),
    )
    out, _ = await process.communicate()
    return out.decode().splitlines()


async def run_at_terminal(command: str, output: tuple[str, ...]) -> None:
    """Type what the page types, and see after each line what it shows."""
    async with at_terminal(*shlex.split(command)[1:]) as person:
        for line in output:
            if line.startswith("> "):
                person.type(f"{line.removeprefix('> ')}\r")
            elif line.startswith("Disconnected"):
                await person.leaves()
                await person.sees(line)
            else:
                await person.sees(line.partition("…")[0])
        assert await person.ends() == 0


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", PAGES)
async def test_every_command_of_a_page_prints_what_the_page_says(page: str) -> None:
    where = SHOWN
    ran = 0
    async with AsyncExitStack() as servers:
        for one in shown(page):
            ran += 1
            command = one.command.replace(SHOWN, where)
            output = tuple(line.replace(SHOWN, where) for line in one.output)
            if one.serves:
                await servers.aclose()
                arguments = shlex.split(one.command)[1:]
                _, url = await servers.enter_async_context(serving(*arguments, "--port", "0"))
                where = url.removeprefix("http://")
                assert matches(
                    [f"Listening on http://{SHOWN} (Ctrl-C to stop)"], one.output or ("…",)
                )
            elif one.is_typed_to:
                await run_at_terminal(command, output)
            else:
                lines = await run_in_shell(command)
                assert matches(lines, output), (command, lines)
    assert ran >= 5


def options(command: str) -> set[str]:
    """The long options that a command has."""
    (commands,) = [
        action
        for action in parser()._actions
        if isinstance(action.choices, dict) and command in action.choices
    ]
    assert isinstance(commands.choices, dict)
    names = {
        name for action in commands.choices[command]._actions for name in action.option_strings
    }
    return {name for name in names if name.startswith("--")} - {"--help"}


@pytest.mark.parametrize("command", ["serve", "demo", "routes", "talk", "doctor"])
def test_the_reference_names_the_options_that_a_command_has(command: str) -> None:
    text = (ROOT / PAGES[0]).read_text()
    section = text.split(f"\n## {command}\n")[1].split("\n## ")[0]
    prose = _BLOCK.sub("", section)
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose))
    if command == "talk":
        assert options(command) == documented
    else:
        assert options(command) <= documented
