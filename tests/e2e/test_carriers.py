"""Both clients over every carrier: through networks that cut, eat, stall and hold, and from one
carrier to the next.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
import pytest_asyncio

from anywire.client import Client, connect
from anywire.client.choosing import CARRIERS
from tests.client.served import Gate
from tests.client.test_http import serving
from tests.e2e.processes import HERE, Browser, Processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
]
COUNT = 60
PATIENCE = 1.0
"""Seconds a carrier has."""


class Talker(Protocol):
    """A client that counts with the server."""

    async def talk(self, first: int, last: int) -> list[int]:
        """Say these numbers; the answers to what was asked meanwhile."""
        ...

    async def told(self, count: int) -> dict[str, Any]:
        """What is known at both ends, once so many numbers came back."""
        ...

    async def back(self, carrier: str) -> None:
        """Wait until it is connected over this one."""
        ...


class PythonTalker:
    """The Python client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = client.channel("numbers")
        self._heard: list[int] = []
        self._states: list[str] = []
        self._changed = asyncio.Event()
        self._numbers.on("number", self._hear)
        client.on("state", self._tell)

    async def join(self) -> None:
        await self._numbers.join()

    async def talk(self, first: int, last: int) -> list[int]:
        answers = []
        for n in range(first, last):
            await self._numbers.send("number", n)
            if n % 5 == 4:
                answers.append(await self._numbers.call("double", n))
        return answers

    async def told(self, count: int) -> dict[str, Any]:
        await self._until(lambda: len(self._heard) >= count)
        there = await self._numbers.call("taken")
        here = [there["session"], self._client.carrier]
        return {**there, "heard": self._heard, "states": self._states, "here": here}

    async def back(self, carrier: str) -> None:
        client = self._client
        await self._until(lambda: client.state == "open" and client.carrier == carrier)

    def _hear(self, n: int) -> None:
        self._heard.append(n)
        self._changed.set()

    def _tell(self, state: str, previous: str) -> None:
        self._states.append(state)
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class PageTalker:
    """The browser client, in a page."""

    def __init__(self, browser: Browser, page: str) -> None:
        self._browser = browser
        self._page = page

    async def talk(self, first: int, last: int) -> list[int]:
        answers: list[int] = await self.call("talk", first, last)
        return answers

    async def told(self, count: int) -> dict[str, Any]:
        told: dict[str, Any] = await self.call("told", count)
        return told

    async def back(self, carrier: str) -> None:
        await self.call("back", carrier)

    async def call(self, name: str, *arguments: object) -> Any:
        """A function of the page's script."""
        given = ", ".join(map(json.dumps, arguments))
        code = f'import("/carriers.mjs").then((script) => script.{name}({given}))'
        return await self._browser.do("evaluate", page=self._page, code=code)


@dataclass(slots=True)
class World:
    """A server, a browser, and how many pages it had."""

    port: int
    browser: Browser
    pages: int = 0

    @asynccontextmanager
    async def talker(
        self, kind: str, gate_port: int, carriers: list[str] | None = None
    ) -> AsyncIterator[Talker]:
        """A client of this kind, joined, whose way leads through the gate."""
        if kind == "python":
            options: dict[str, Any] = {"carriers": carriers, "carrier_timeout": PATIENCE}
            options |= {"reconnect_interval": 0.02, "max_reconnect_interval": 0.05}
            async with connect(f"ws://127.0.0.1:{gate_port}/ws", **options) as client:
                talker = PythonTalker(client)
                await talker.join()
                yield talker
            return
        self.pages += 1
        page = f"page {self.pages}"
        await self.browser.do("open", page=page, url=f"http://127.0.0.1:{gate_port}/page")
        talking = PageTalker(self.browser, page)
        chosen = {} if carriers is None else {"carriers": carriers}
        await talking.call("open", {"carrierTimeout": PATIENCE * 1000, **chosen})
        yield talking
        await self.browser.do("close", page=page)

    @asynccontextmanager
    async def gate(self) -> AsyncIterator[tuple[Gate, int]]:
        """A way to the server, and its port."""
        gate = Gate(self.port)
        async with serving(gate.serve) as port:
            yield gate, port
            gate.rule = lambda line: "reset"
            gate.cut()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    processes = Processes()
    try:
        command = ("serve", HERE / "carriers_app.py:app", "--port", 0)
        server = await processes.anywire("server", *command)
        url = (await server.line("Listening on http://")).split()[2]
        browser = await Browser.start(processes)
        yield World(int(url.rpartition(":")[2]), browser)
        await browser.close()
    finally:
        await processes.end()


KINDS = pytest.mark.parametrize("kind", ["python", "browser"])


def opened(line: str) -> str | None:
    """The carrier that a request asks for; None: it asks for something else."""
    if line.startswith("UPGRADE"):
        return "websocket"
    path = line.removeprefix("GET ").partition(" ")[0].partition("?")[0]
    return path.removeprefix("/ws/") if path.startswith("/ws/") else None


def asked(gate: Gate) -> list[str]:
    """The carriers that were asked for, in order, each run of one once."""
    names = [name for name in map(opened, gate.asked) if name is not None]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


def only(*passing: str, verdict: str) -> Callable[[str], str | None]:
    """A rule: what this becomes of all openings but these."""

    def rule(line: str) -> str | None:
        name = opened(line)
        return None if name is None or name in passing else verdict

    return rule


async def counts(talker: Talker, first: int = 0, last: int = COUNT) -> dict[str, Any]:
    """Count on; everything came once and in order, both ways."""
    answers = await talker.talk(first, last)
    assert answers == [2 * n for n in range(first, last) if n % 5 == 4]
    told = await talker.told(last)
    assert told["heard"] == list(range(last))
    assert told["taken"] == list(range(last))
    return told


@KINDS
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_forced_carrier_carries_calls_and_events_both_ways(
    kind: str, carrier: str, world: World
) -> None:
    async with world.gate() as (gate, port), world.talker(kind, port, [carrier]) as talker:
        told = await counts(talker)
        assert told["here"] == [told["session"], told["carrier"]] == [told["session"], carrier]
        assert asked(gate) == [carrier]


@KINDS
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_cuts_in_the_middle_lose_nothing_and_double_nothing(
    kind: str, carrier: str, world: World
) -> None:
    async with world.gate() as (gate, port), world.talker(kind, port, [carrier]) as talker:
        before = await counts(talker, 0, 10)
        gate.is_cutting = True
        for first in range(10, 3 * COUNT + 10, COUNT):
            told = await counts(talker, first, first + COUNT)
            assert told["session"] == before["session"]
        gate.is_cutting = False
        assert gate.cuts > 0


@KINDS
@pytest.mark.parametrize("verdict", ["answer 400 Bad Request", "reset", "stall", "mute"])
async def test_a_network_that_eats_upgrades_is_gone_round(
    kind: str, verdict: str, world: World
) -> None:
    async with world.gate() as (gate, port):
        gate.rule = only("events", verdict=verdict)
        async with world.talker(kind, port) as talker:
            told = await counts(talker)
            assert (told["carrier"], asked(gate)) == ("events", ["websocket", "events"])
            assert "waiting" not in told["states"]


@KINDS
async def test_a_network_that_holds_answers_back_ends_with_polls(kind: str, world: World) -> None:
    async with world.gate() as (gate, port):
        hold = only("events", "stream", "poll", verdict="answer 400 Bad Request")
        gate.rule = lambda line: hold(line) or ("hold" if "/ws/" in line else None)
        async with world.talker(kind, port) as talker:
            told = await counts(talker)
            assert told["carrier"] == "poll"
            assert asked(gate) == ["websocket", "events", "stream", "poll"]


@KINDS
async def test_one_session_goes_over_all_carriers_and_back(kind: str, world: World) -> None:
    async with world.gate() as (gate, port), world.talker(kind, port) as talker:
        told = await counts(talker)
        session = told["session"]
        for number, carrier in enumerate(["events", "stream", "poll", "websocket"], 1):
            gate.rule = only(carrier, verdict="answer 400 Bad Request")
            gate.cut()
            saying = asyncio.ensure_future(counts(talker, number * COUNT, (number + 1) * COUNT))
            await within(talker.back(carrier))
            told = await saying
            assert (told["session"], told["here"]) == (session, [session, carrier])


async def within(waiting: Awaitable[None]) -> None:
    async with asyncio.timeout(20):
        await waiting
