"""Stage: the conformance app, another origin for pages, and what official clients play there."""

import json
import os
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.processes import HERE, Browser, Process, Processes

SERVER = shlex.split(os.environ.get("ANYWIRE_CONFORMANCE_SERVER", ""))
"""A command to check the scenes on: it serves what `conformance/app.py` does, on the port added."""

MARKS = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]
"""Of each file whose tests play on a stage."""
Outcomes = dict[str, str | None]
"""What went wrong in each scene, or None."""


@dataclass(slots=True)
class Stage:
    """A server, the origin of the pages, and a browser once one is asked for."""

    processes: Processes
    origin: str
    server: Process
    url: str
    _browser: Browser | None = field(default=None, init=False)

    @property
    def client(self) -> str:
        """Where pages get the SockJS client."""
        return _client(self.origin)

    async def in_node(self, script: str, *arguments: object) -> Outcomes:
        """Run a script that says a JSON line for each scene, and how many it played at the end."""
        name = " ".join((script, *map(str, arguments)))
        process = await self.processes.node(name, script, *arguments)
        last = json.loads(await process.line('{"played"', timeout=60.0))
        assert await process.finish() == 0
        told = [json.loads(line) for line in process.lines if line.startswith('{"name"')]
        assert len(told) == last["played"]
        return {one["name"]: one["error"] for one in told}

    async def in_page(
        self, folder: str, options: str, *, url: str | None = None, parts: int = 6
    ) -> Outcomes:
        """Call `run` of a folder's scenarios.mjs on its page.html, each part on its own page."""
        place = f"{self.origin}/{folder}"
        if self._browser is None:
            self._browser = await Browser.start(self.processes)
        found: Outcomes = {}
        for part in range(parts):
            page = f"{options} {part}"
            given = f'{options}, url: "{self.url}", stage: "{self.origin}"'
            call = f"scenes.run({{ {given}, part: {part}, parts: {parts} }})"
            code = f'import("{place}/scenarios.mjs").then(async (scenes) => {call})'
            await self._browser.do("open", page=page, url=url or f"{place}/page.html")
            found |= await self._browser.do("evaluate", page=page, code=code)
            await self._browser.do("close", page=page)
        return found

    async def close(self) -> None:
        if self._browser is not None:
            await self._browser.close()


async def serve(processes: Processes, origin: str, *, port: int = 0) -> tuple[Process, str]:
    """Start the conformance app; returns it and where it listens."""
    env = {"CONF_SOCKJS_URL": _client(origin)}
    if SERVER:
        server = await processes.start("server", *SERVER, port, env=env)
    else:
        command = ("serve", "conformance.app:app", "--port", port)
        server = await processes.anywire("server", *command, env=env)
    return server, (await server.line("Listening on http://")).split()[2]


def _client(origin: str) -> str:
    return f"{origin}/modules/sockjs-client/dist/sockjs.min.js"


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """A stage on which nothing has been played yet."""
    processes = Processes()
    try:
        pages = await processes.node("stage", "stage.mjs")
        origin = (await pages.line("Stage on http://")).split()[2]
        stage = Stage(processes, origin, *await serve(processes, origin))
        yield stage
        await stage.close()
    finally:
        await processes.end()


def all_went_well(found: Outcomes, files: Iterable[Path], least: int) -> None:
    """As many scenes were played as are written down, and none failed."""
    written = "".join(path.read_text(encoding="utf-8") for path in files)
    assert len(found) >= len(re.findall(r"^ *scenario\(", written, re.MULTILINE)) >= least
    wrong = [f"{name}\n    {what}" for name, what in found.items() if what is not None]
    assert not wrong, "\n".join(["", *wrong])


def scenes(folder: str) -> list[Path]:
    """The files in which the scenes of a folder are written down."""
    return sorted((HERE / folder).glob("*.mjs"))
