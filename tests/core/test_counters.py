"""Tests of anywire.core.counters."""

from anywire.core.counters import Counters
from tests.core.support import running


def test_a_node_begins_at_nothing() -> None:
    counters = Counters()
    assert (counters.requests, counters.forwarded, counters.relayed, counters.handed_over) == (
        0,
        0,
        0,
        0,
    )


async def test_what_a_node_counted_is_told_with_its_id() -> None:
    async with running() as bench:
        bench.node.counters.relayed += 2
        assert await bench.node.questions.counters() == [
            {"node": "n1", "requests": 0, "forwarded": 0, "relayed": 2, "handed_over": 0}
        ]
