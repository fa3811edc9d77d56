"""Tests of anywire.core.flushing."""

import asyncio
from typing import Any

import pytest

from anywire.core.flushing import FLUSH_SESSIONS
from anywire.limits import Limits
from anywire.payload import Payload
from tests.core.support import Bench, turns


async def test_a_turn_serves_256_connections_and_then_the_loop_has_its_turn() -> None:
    bench = Bench(limits=Limits(beat=0.0))
    peers = [bench.connect() for _ in range(2 * FLUSH_SESSIONS + 1)]
    order: list[object] = []
    asyncio.get_running_loop().call_soon(order.append, "loop")

    def written() -> int:
        return sum(bool(peer.transport.writes) for peer in peers)

    for expected in (FLUSH_SESSIONS, 2 * FLUSH_SESSIONS, len(peers), len(peers)):
        await asyncio.sleep(0)
        assert written() == expected
    assert order == ["loop"]
    assert all(len(peer.transport.writes) == 1 for peer in peers)


async def test_what_is_marked_while_flushing_waits_for_the_next_turn() -> None:
    bench = Bench()
    one, two = bench.connect(), bench.connect()
    await turns(2)
    write = one.transport.write

    def answering(framed: Any) -> None:
        write(framed)
        if len(one.transport.writes) < 3:
            two.session.enqueue(Payload(b'{"t":"x"}'))

    one.transport.write = answering  # type: ignore[method-assign]
    one.session.enqueue(Payload(b'{"t":"x"}'))
    await asyncio.sleep(0)
    assert (len(one.transport.writes), len(two.transport.writes)) == (2, 1)
    await asyncio.sleep(0)
    assert (len(one.transport.writes), len(two.transport.writes)) == (2, 2)


async def test_a_transport_that_fails_loses_its_own_session_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    one, broken, two = bench.connect(), bench.connect(), bench.connect()
    broken.transport.failure = OSError("broken")
    await turns(2)
    assert broken.session.has_ended
    assert broken.transport.is_aborted
    assert one.welcome
    assert two.welcome
    assert [record.getMessage().split()[0] for record in caplog.records] == ["flushing"]
