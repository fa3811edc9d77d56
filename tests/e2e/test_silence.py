"""A client that falls silent (SIGSTOP): noticed in time, kept for a while if it can come back."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from anywire.client import Channel, connect
from tests.e2e.processes import HERE, Processes
from tests.e2e.small import BEAT, BEAT_TIMEOUT, RESUME

pytestmark = [pytest.mark.slow, pytest.mark.net]
SLACK = 0.9
"""Seconds a busy machine may add."""


@pytest.fixture
async def address(processes: Processes) -> str:
    """Where the small app listens."""
    server = await processes.anywire("server", "serve", HERE / "small.py:app", "--port", 0)
    return (await server.line("Listening on http://")).split()[2].removeprefix("http://")


@pytest.fixture
async def watcher(address: str) -> AsyncIterator[Channel]:
    """Somebody who hears of the others."""
    async with connect(f"ws://{address}/ws?name=watcher", heartbeat_interval=0.2) as client:
        chat = client.channel("chat")
        await chat.join()
        yield chat


async def passes(chat: Channel, name: str, *, attached: bool | None) -> float:
    """Ask until this member is (or is not) attached, or is none; returns when that was."""
    async with asyncio.timeout(10):
        while await chat.call("attached", name) is not attached:
            pass
    return asyncio.get_running_loop().time()


async def test_a_stopped_client_is_detached_then_gone_and_comes_back_when_it_goes_on(
    processes: Processes, address: str, watcher: Channel
) -> None:
    url = f"ws://{address}/ws?name=sleeper"
    sleeper = await processes.start("sleeper", sys.executable, HERE / "sleeper.py", url)
    await sleeper.line("joined")
    gone = asyncio.create_task(watcher.next("gone"))
    stopped = asyncio.get_running_loop().time()
    sleeper.signal(signal.SIGSTOP)
    detached = await passes(watcher, "sleeper", attached=False)
    assert detached - stopped < BEAT + BEAT_TIMEOUT + SLACK
    assert await gone == {"name": "sleeper", "code": "4410"}
    ended = asyncio.get_running_loop().time()
    assert RESUME - 0.1 < ended - detached < RESUME + SLACK

    came = asyncio.create_task(watcher.next("came"))
    sleeper.signal(signal.SIGCONT)
    assert await came == "sleeper"
    await sleeper.line("> open")
    assert await watcher.call("attached", "sleeper") is True


async def test_a_client_stopped_for_less_than_the_window_goes_on_with_its_session(
    processes: Processes, address: str, watcher: Channel
) -> None:
    url = f"ws://{address}/ws?name=sleeper"
    sleeper = await processes.start("sleeper", sys.executable, HERE / "sleeper.py", url)
    await sleeper.line("joined")
    sleeper.signal(signal.SIGSTOP)
    await passes(watcher, "sleeper", attached=False)
    sleeper.signal(signal.SIGCONT)
    await passes(watcher, "sleeper", attached=True)
    await sleeper.line("resuming > open")


@pytest.mark.parametrize("wire", ["raw", "plain"])
async def test_where_nothing_resumes_a_stopped_client_is_gone_at_once(
    wire: str, processes: Processes, address: str, watcher: Channel
) -> None:
    path = "raw/chat" if wire == "raw" else "ws"
    came = asyncio.create_task(watcher.next("came"))
    await asyncio.wait([came], timeout=0)
    talk = await processes.anywire("talk", "talk", f"ws://{address}/{path}?name=sleeper")
    assert await came == "sleeper"
    gone = asyncio.create_task(watcher.next("gone"))
    await asyncio.wait([gone], timeout=0)
    stopped = asyncio.get_running_loop().time()
    talk.signal(signal.SIGSTOP)
    assert await gone == {"name": "sleeper", "code": "4410"}
    elapsed = asyncio.get_running_loop().time() - stopped
    assert elapsed < BEAT + BEAT_TIMEOUT + SLACK < BEAT + BEAT_TIMEOUT + RESUME
    assert await watcher.call("attached", "sleeper") is None
