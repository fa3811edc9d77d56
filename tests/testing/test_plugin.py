"""The pytest plugin: installed with anywire, it gives a test its clock."""

from importlib.metadata import entry_points

from anywire import Anywire
from anywire.testing import Clock, connect, running
from anywire.testing.plugin import clock as fixture


def test_the_clock_stands_still_until_it_is_moved(clock: Clock) -> None:
    before = clock.now()
    clock.advance(3.5)
    assert clock.now() == before + 3.5


async def test_an_app_runs_on_the_clock(clock: Clock) -> None:
    app = Anywire()
    channel = app.channel("clock")

    @channel.on("now")
    def now() -> float:
        return app.node.now()

    async with running(app, clock=clock), connect(app) as client:
        member = await client.join("clock")
        await clock.elapse(60)
        assert await member.call("now") == clock.now()


def test_pytest_finds_the_plugin() -> None:
    (found,) = [point for point in entry_points(group="pytest11") if point.name == "anywire"]
    assert found.load().clock is fixture
