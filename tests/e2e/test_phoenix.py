"""The conformance app and Phoenix's official client, by each transport, in Node and Chromium."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.stage import Stage, all_went_well, scenes, staged

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]
LEAST = 45
TRANSPORTS = ["websocket", "longpoll"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_in_node(transport: str, stage: Stage) -> None:
    found = await stage.in_node("phoenix/run.mjs", stage.url, stage.origin, transport)
    all_went_well(found, scenes("phoenix"), LEAST)


@pytest.mark.browser
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_on_a_page(transport: str, stage: Stage) -> None:
    # A page has six connections to a host at most, and each poll takes one.
    together = 6 if transport == "websocket" else 1
    options = f'Phoenix, transport: "{transport}", together: {together}'
    found = await stage.in_page("phoenix", options)
    all_went_well(found, scenes("phoenix"), LEAST)
