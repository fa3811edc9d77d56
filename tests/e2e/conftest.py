"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e.processes import Browser, Processes


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
