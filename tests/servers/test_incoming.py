"""Tests of anywire.servers.incoming."""

import asyncio

import pytest

from anywire.errors import Closed
from anywire.servers.incoming import Incoming


async def test_what_came_is_read_together_and_the_end_is_empty() -> None:
    incoming = Incoming()
    incoming.feed(b"a")
    incoming.feed(b"bc")
    assert (incoming.size, incoming.unread) == (3, 3)
    assert await incoming.read() == b"abc"
    assert (incoming.size, incoming.unread) == (3, 0)
    reading = asyncio.ensure_future(incoming.read())
    await asyncio.sleep(0)
    incoming.finish()
    assert await reading == b""


async def test_what_will_never_be_whole_is_closed_after_what_is_here() -> None:
    incoming = Incoming()
    incoming.feed(b"a")
    incoming.stop()
    assert await incoming.read() == b"a"
    with pytest.raises(Closed):
        await incoming.read()


async def test_who_waits_hears_that_nothing_follows_and_what_is_dropped_is_not_read() -> None:
    incoming = Incoming()
    reading = asyncio.ensure_future(incoming.read())
    await asyncio.sleep(0)
    incoming.stop()
    with pytest.raises(Closed):
        await reading
    incoming.feed(b"late")
    incoming.stop(drop=True)
    with pytest.raises(Closed):
        await incoming.read()


async def test_a_watcher_is_called_at_each_change_and_a_last_time_at_the_end() -> None:
    incoming = Incoming()
    seen: list[tuple[int, bool, bool]] = []
    incoming.watcher = lambda: seen.append((incoming.size, incoming.is_whole, incoming.is_over))
    incoming.feed(b"a")
    incoming.wake()
    incoming.finish()
    incoming.stop()
    incoming.wake()
    incoming.stop()
    one, two = (1, False, False), (1, True, False)
    assert seen == [one, one, two, (1, True, True)]
    assert incoming.watcher is None  # it holds on to nobody


async def test_a_change_wakes_everyone_and_forgives_who_gave_up() -> None:
    incoming = Incoming()
    waiting = [asyncio.ensure_future(incoming.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    incoming.wake()
    await asyncio.gather(*waiting[1:])
    assert waiting[0].cancelled()
