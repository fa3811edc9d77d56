"""The client's clock is the loop's."""

import asyncio

from anywire.client.clock import LoopClock


async def test_timers_are_those_of_the_running_loop() -> None:
    clock = LoopClock()
    loop = asyncio.get_running_loop()
    called: list[str] = []
    done = asyncio.Event()
    assert abs(clock.now() - loop.time()) < 1
    clock.call_at(clock.now(), lambda: called.append("cancelled")).cancel()
    clock.call_at(clock.now() - 5, done.set)
    assert not done.is_set()
    await done.wait()
    assert called == []
