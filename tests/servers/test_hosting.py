"""Tests of anywire.servers.hosting."""

from anywire.payload import Carrier
from anywire.servers.hosting import Hosting
from tests.servers.neighbours.pair import call, left, pair
from tests.servers.serving import make_node, serving


async def test_without_workers_there_is_no_door() -> None:
    node = make_node()
    hosting = Hosting(node, [])
    assert hosting.door is None
    assert set(hosting.carriers) == {
        Carrier.POLL,
        Carrier.EVENTS,
        Carrier.STREAM,
        Carrier.POST,
    }
    hosting.start()
    async with serving(node=node, hosting=hosting):
        pass
    hosting.stop()


async def test_a_door_is_open_from_start_to_stop() -> None:
    async with pair() as (one, two):
        assert one.is_open
        assert one.node.nodes.doors() == two.node.nodes.doors() == {"n0": one.door, "n1": two.door}
        two.hosting.stop()
        two.hosting.stop()
        assert not two.is_open


async def test_a_stop_ends_sessions_before_the_door_is_shut() -> None:
    async with pair(ssl=True) as (one, two), left(one) as away:
        async with call(two, away.resuming()) as caller:
            await caller.hear("welcome")
            one.hosting.stop()
            assert one.node.is_stopping
            assert (await caller.hear("bye"))["code"] == 1001
            assert await caller.end() == (1001, "the server stops")


async def test_a_node_that_stopped_is_known_to_be_gone() -> None:
    async with pair() as (one, two), left(two) as away:
        await two.server.stop()
        await one.until(lambda: set(one.node.nodes.doors()) == {"n0"})
        async with call(one, away.resuming()) as caller:
            assert not (await caller.hear("welcome"))["resumed"]
