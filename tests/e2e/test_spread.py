"""Official clients, and our own, behind a real nginx and four workers: no request is sticky.

Each client numbers what it says and is told each number back. `SPREAD_CLIENTS` and
`SPREAD_SECONDS` make it the run of bench/README.md (200 of each kind, 60 s).
"""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_asyncio

from tests.e2e import nginx
from tests.e2e.processes import HERE, Processes

CLIENTS = int(os.environ.get("SPREAD_CLIENTS", "12"))
SECONDS = float(os.environ.get("SPREAD_SECONDS", "3"))
WORKERS = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(SECONDS + 120),
]


@dataclass(frozen=True, slots=True)
class House:
    """Workers behind nginx, at `url`."""

    processes: Processes
    url: str

    def counted(self) -> dict[str, int]:
        """What all workers have counted together."""
        with urlopen(f"{self.url}/counters") as answer:
            nodes = json.load(answer)
        return {name: sum(node[name] for node in nodes) for name in nodes[0] if name != "node"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    processes = Processes()
    folder: Path = tmp_path_factory.mktemp("spread")
    env = {"SPREAD_BROKER": f"local:{folder}/hub"}
    try:
        urls = []
        for number in range(WORKERS):
            command = ("serve", HERE / "spread/app.py:app", "--port", 0)
            worker = await processes.anywire(f"worker {number}", *command, env=env)
            urls.append((await worker.line("Listening on http://")).split()[2])
        _, url = await nginx.serve(processes, folder, urls)
        yield House(processes, url)
    finally:
        await processes.end()


async def spoken(house: House, kind: str) -> dict[str, Any]:
    """What clients of one kind said and heard."""
    clients = await house.processes.node(
        kind, "spread/clients.mjs", house.url, kind, CLIENTS, SECONDS
    )
    line = await clients.line('{"kind"', timeout=SECONDS + 90)
    told: dict[str, Any] = json.loads(line)
    await clients.ended()
    return told


@pytest.mark.parametrize(
    ("kind", "carrier"),
    [
        ("socketio:polling", "polling"),
        ("sockjs:xhr-polling", "xhr-polling"),
        ("sockjs:xhr-streaming", "xhr-streaming"),
        ("sockjs:eventsource", "eventsource"),
        ("signalr:ServerSentEvents", "ServerSentEvents"),
        ("signalr:LongPolling", "LongPolling"),
        ("phoenix:longpoll", "longpoll"),
        ("anywire:poll", "poll"),
        ("anywire:stream", "stream"),
        ("anywire:events", "events"),
    ],
)
async def test_requests_of_a_session_may_reach_any_worker(
    kind: str, carrier: str, house: House
) -> None:
    before = house.counted()
    told = await spoken(house, kind)
    after = house.counted()
    assert told["wrong"] == 0, told
    assert told["heard"] == told["said"] > CLIENTS
    assert told["carriers"] == [carrier]
    requests, forwarded = (after[name] - before[name] for name in ("requests", "forwarded"))
    assert forwarded * 2 >= requests > told["said"]


async def test_a_websocket_that_takes_over_goes_to_the_worker_that_has_its_session(
    house: House,
) -> None:
    before = house.counted()
    told = await spoken(house, "socketio:default")
    after = house.counted()
    assert told["wrong"] == 0, told
    assert told["heard"] == told["said"] > CLIENTS
    assert told["carriers"] == ["websocket"]
    assert after["relayed"] == 0
    assert after["handed_over"] > before["handed_over"]
