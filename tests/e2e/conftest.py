"""Fixtures of the end-to-end tests."""

import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.hosts import HOSTS
from tests.e2e.processes import Browser, Processes
from tests.e2e.stage import Stage, staged


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    """Starts processes; they are ended after the test, however it went."""
    started = Processes()
    try:
        yield started
    finally:
        await started.end()


@pytest.fixture
async def browser(processes: Processes) -> AsyncIterator[Browser]:
    """A browser without pages."""
    started = await Browser.start(processes)
    yield started
    await started.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """One for the tests of a file."""
    async with staged() as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["anywire", *HOSTS])
async def url(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[str]:
    """Where the conformance app listens: the stage's own, then the same under each other host."""
    if request.param not in HOSTS:
        yield stage.url
        return
    server, url = await HOSTS[request.param](stage.processes)
    yield url
    server.signal(signal.SIGTERM)
    await server.ended()
