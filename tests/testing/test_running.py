"""Running an app without a server: by hand, or as long as a client holds it."""

import pytest

from anywire import Anywire
from anywire.errors import ConfigurationError
from anywire.testing import Clock, connect, running
from anywire.testing.running import held


async def test_an_app_runs_inside_the_block_and_not_after_it() -> None:
    app = Anywire()
    async with running(app) as node:
        assert app.node is node
    assert not app.is_running


async def test_with_a_clock_the_app_reads_no_other() -> None:
    app, clock = Anywire(), Clock(now=50.0)
    async with running(app, clock=clock) as node:
        seen: list[float] = []
        node.deadlines.at(55.0, lambda: seen.append(clock.now()))
        clock.advance(4.0)
        assert (node.now(), seen) == (54.0, [])
        clock.advance(4.0)
        assert (node.now(), seen) == (58.0, [55.0])


async def test_an_app_that_runs_is_not_started_again() -> None:
    app = Anywire()
    async with running(app):
        with pytest.raises(ConfigurationError, match="running already"):
            async with running(app):
                pass
        assert app.is_running


async def test_the_last_client_stops_what_the_first_one_started() -> None:
    app = Anywire()
    async with connect(app):
        node = app.node
        async with connect(app):
            assert app.node is node
        assert app.is_running
    assert not app.is_running


async def test_an_app_that_somebody_else_runs_outlives_its_clients() -> None:
    app = Anywire()
    async with running(app) as node:
        async with held(app) as same:
            assert same is node
        assert app.is_running
