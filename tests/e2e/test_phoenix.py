"""The conformance app and Phoenix's official client, by each transport, in Node and Chromium."""

import json
import signal

import pytest

from tests.e2e.stage import MARKS, Stage, all_went_well, scenes, serve

pytestmark = MARKS
LEAST = 45
TRANSPORTS = ["websocket", "longpoll"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_in_node(transport: str, url: str, stage: Stage) -> None:
    found = await stage.in_node("phoenix/run.mjs", url, stage.origin, transport)
    all_went_well(found, scenes("phoenix"), LEAST)


@pytest.mark.browser
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_on_a_page(
    transport: str, url: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page has six connections to a host at most, and each poll takes one.
    together = 6 if transport == "websocket" else 1
    options = f'Phoenix, transport: "{transport}", together: {together}'
    monkeypatch.setattr(stage, "url", url)
    found = await stage.in_page("phoenix", options)
    all_went_well(found, scenes("phoenix"), LEAST)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_comes_back_by_itself_when_the_server_does(
    transport: str, stage: Stage
) -> None:
    server, url = await serve(stage.processes, stage.origin)
    client = await stage.processes.node("client", "phoenix/comeback.mjs", url, transport)
    for topic in ("room:one", "room:two"):
        await client.line(f'{{"joined":"{topic}"')
        await client.line(f'{{"echo":"{topic}"')
    server.signal(signal.SIGTERM)
    await server.ended()
    code = json.loads(await client.line('{"closed"'))["closed"]
    # A poll that waits is told that its session is gone; one that comes then finds nobody.
    assert code == 1001 if transport == "websocket" else code in (1011, 3410)
    told = len(client.lines)
    await serve(stage.processes, stage.origin, port=int(url.rpartition(":")[2]))
    for topic in ("room:one", "room:two"):
        for start in (f'{{"joined":"{topic}"', f'{{"echo":"{topic}"'):
            await client.line(
                lambda _: any(line.startswith(start) for line in client.lines[told:])  # noqa: B023
            )
    assert await client.finish() == 0
