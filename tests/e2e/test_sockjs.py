"""The conformance app and the official SockJS client, by each transport, in Node and Chromium."""

import pytest

from tests.e2e.stage import MARKS, Stage, all_went_well, scenes

pytestmark = MARKS
LEAST = 20
IN_NODE = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
FROM_ANOTHER_ORIGIN = [
    *IN_NODE,
    "iframe-eventsource",
    "iframe-htmlfile",
    "iframe-xhr-polling",
    "jsonp-polling",
]
"""Of the client's eleven XDR's two are missing, which no browser has any more, and `htmlfile`."""


@pytest.mark.parametrize("transport", IN_NODE)
async def test_the_client_does_all_scenes_in_node(transport: str, stage: Stage) -> None:
    found = await stage.in_node("sockjs/run.mjs", stage.url, transport)
    all_went_well(found, scenes("sockjs"), LEAST)


@pytest.mark.browser
@pytest.mark.parametrize("transport", FROM_ANOTHER_ORIGIN)
async def test_the_client_does_all_scenes_on_a_page(transport: str, stage: Stage) -> None:
    # Who is closed may leave a poll behind, by a script always; it ends with its page. A host is
    # given six connections.
    parts = {"jsonp-polling": LEAST, "xhr-polling": 8, "iframe-xhr-polling": 8}.get(transport, 4)
    found = await stage.in_page("sockjs", f'SockJS, transport: "{transport}"', parts=parts)
    all_went_well(found, scenes("sockjs"), LEAST)


@pytest.mark.browser
async def test_the_client_does_all_scenes_on_a_page_of_the_server(stage: Stage) -> None:
    client = f'SockJS: await scenes.load("{stage.client}"), transport: "htmlfile"'
    found = await stage.in_page("sockjs", client, url=f"{stage.url}/health")
    all_went_well(found, scenes("sockjs"), LEAST)
