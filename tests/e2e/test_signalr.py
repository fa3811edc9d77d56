"""The conformance app and SignalR's official client in Node."""

import asyncio
import json
import os
import random
import signal
import sys

import pytest

from tests.e2e.proxy import proxied
from tests.e2e.stage import MARKS, Stage, all_went_well, scenes, serve

pytestmark = [*MARKS, pytest.mark.timeout(60)]
LEAST = 89
WAYS = [
    ("websockets", "json"),
    ("websockets", "messagepack"),
    ("events", "json"),
    ("polling", "json"),
    ("polling", "messagepack"),
]
"""What carries a connection, and what it speaks: an event stream has no MessagePack."""
CLIENTS = int(os.environ.get("CUT_CLIENTS", "6"))
SECONDS = float(os.environ.get("CUT_SECONDS", "8"))
"""50 and 60 when it is to be known for sure."""
CUT = 2.0
"""Seconds from one cut to the next."""
PATIENCE = 30.0
"""Seconds more until every client was cut twice."""


@pytest.mark.parametrize(("carrier", "protocol"), WAYS)
async def test_the_client_does_all_scenes_in_node(
    carrier: str, protocol: str, url: str, stage: Stage
) -> None:
    found = await stage.in_node("signalr/run.mjs", url, stage.origin, carrier, protocol)
    all_went_well(found, scenes("signalr"), LEAST)


@pytest.mark.parametrize("carrier", ["websockets", "events", "polling"])
async def test_the_client_comes_back_by_itself_when_the_server_does(
    carrier: str, stage: Stage
) -> None:
    server, url = await serve(stage.processes, stage.origin)
    client = await stage.processes.node(f"client {carrier}", "signalr/comeback.mjs", url, carrier)
    for name in ("plain", "stateful"):
        await client.line(f'{{"connected":"{name}"')
    server.signal(signal.SIGTERM)
    await server.ended()
    for name in ("plain", "stateful"):
        await client.line(f'{{"lost":"{name}"')
    await serve(stage.processes, stage.origin, port=int(url.rpartition(":")[2]))
    for name in ("plain", "stateful"):
        assert json.loads(await client.line(f'{{"back":"{name}"'))["isItself"]
    assert not any('"closed"' in line for line in client.lines)
    assert await client.finish() == 0


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_clients_that_are_cut_every_other_second_miss_nothing(
    protocol: str, stage: Stage
) -> None:
    async with proxied(int(stage.url.rpartition(":")[2])) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        script = ("signalr/cutting.mjs", through, stage.url, protocol, CLIENTS)
        clients = await stage.processes.node(f"cutting {protocol}", *script)
        await clients.line('{"clients"', timeout=20)
        # One that is not back yet when the next cut comes is not cut by it.
        each_was_cut = asyncio.create_task(clients.line('{"least"', timeout=SECONDS + PATIENCE))
        cuts = 0
        while cuts < round(SECONDS / CUT) or not each_was_cut.done():
            await asyncio.sleep(CUT * random.uniform(0.9, 1.1))
            proxy.tear()
            cuts += 1
        await each_was_cut
        await clients.say("enough")
        told = json.loads(await clients.line('{"protocol"', timeout=60))
        await clients.ended()
    sys.stdout.write(f"{json.dumps(told)}\n")
    assert (told["lost"], told["wrong"], told["dead"]) == (0, 0, 0), told
    assert told["clients"] == CLIENTS
    assert told["least"] >= 2
