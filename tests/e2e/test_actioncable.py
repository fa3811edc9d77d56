"""The conformance app and the official clients of Action Cable, in Node and Chromium: that of Rails
and AnyCable's, which speaks two protocols.
"""

import signal
from pathlib import Path

import pytest

from tests.e2e.hosts import APP
from tests.e2e.stage import MARKS, Stage, all_went_well, scenes, serve

pytestmark = MARKS
CLIENTS = ["rails", "anycable", "extended"]
LEAST = 24


def played(client: str) -> int:
    """How many scenes are written down for this client."""
    written = "".join(path.read_text(encoding="utf-8") for path in scenes("actioncable"))
    own = {
        "rails": written.count("\n}, RAILS);"),
        "extended": written.count("\n}, EXTENDED);") + written.count("\nonly("),
    }
    everyone = written.count("\nscenario(") + written.count("\nonly(") - sum(own.values())
    return everyone + own.get(client, 0)


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_client_does_all_scenes_in_node(client: str, url: str, stage: Stage) -> None:
    found = await stage.in_node("actioncable/run.mjs", url, stage.origin, client)
    all_went_well(found, (), 0)
    assert len(found) == played(client) >= LEAST


@pytest.mark.browser
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_client_does_all_scenes_on_a_page(
    client: str, url: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "url", url)
    options = f'ActionCable, AnyCable, client: "{client}", together: 6'
    found = await stage.in_page("actioncable", options, parts=2)
    all_went_well(found, (), 0)
    assert len(found) == played(client) >= LEAST


async def test_the_client_of_rails_comes_back_by_itself_when_the_server_does(stage: Stage) -> None:
    server, url = await serve(stage.processes, stage.origin)
    client = await stage.processes.node("client", "actioncable/comeback.mjs", url)
    for room in ("one", "two"):
        await client.line(f'{{"connected":"{room}","reconnected":false}}')
    server.signal(signal.SIGTERM)
    await server.ended()
    for room in ("one", "two"):
        await client.line(f'{{"disconnected":"{room}","willAttemptReconnect":true}}')
    await serve(stage.processes, stage.origin, port=int(url.rpartition(":")[2]))
    # The client says once that it is a reconnection: to the one that is confirmed first.
    await client.line('{"connected":"one","reconnected":true}', timeout=20.0)
    await client.line('{"connected":"two","reconnected":false}')
    assert await client.finish() == 0


async def test_two_servers_with_one_hub_are_one_cable(stage: Stage, tmp_path: Path) -> None:
    hub = {"ANYWIRE_HUB": str(tmp_path)}
    urls = []
    for name in ("here", "there"):
        server = await stage.processes.anywire(name, "serve", APP, "--port", 0, env=hub)
        urls.append((await server.line("Listening on http://")).split()[2])
    client = await stage.processes.node("client", "actioncable/across.mjs", *urls)
    await client.line('{"heard":"both ways"}')
    await client.line('{"kicked":"at both"}')
    assert await client.finish() == 0
