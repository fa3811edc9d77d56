"""The probe: the heartbeat's vectors that every client runs, and pings that are measured."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anywire.client.probe import Kind, Probe
from anywire.errors import Closed
from tests.client.memory import FakeClock, PipeLink, settle

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "client" / "heartbeat.json").read_text("utf-8")
)


class TimedLink(PipeLink):
    """A link that tells of its pings."""

    def __init__(self, pinged: Callable[[], None]) -> None:
        super().__init__(None)
        self.to_server = lambda message: None
        self._pinged = pinged

    def ping(self, data: bytes = b"") -> bool:
        self._pinged()
        return super().ping(data)


class Desk:
    """A probe on a link in memory, and what it came to."""

    def __init__(
        self, kind: Kind = "ping", *, interval: float = 30.0, timeout: float = 5.0
    ) -> None:
        self.clock = FakeClock()
        self.pinged: list[float] = []
        self.link = TimedLink(lambda: self.pinged.append(self.now))
        self.ends: list[tuple[int, float]] = []
        self.is_deaf = False
        self.begin = self.clock.now()
        self.probe = Probe(
            kind,
            interval=interval,
            timeout=timeout,
            clock=self.clock,
            stopwatch=self.clock.now,
            silent=self._silent,
            is_deaf=lambda: self.is_deaf,
        )
        self.probe.attach(self.link)

    def _silent(self, code: int, reason: str) -> None:
        self.ends.append((code, self.now))
        self.probe.detach(Closed(code, reason))

    @property
    def now(self) -> float:
        return self.clock.now() - self.begin


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
async def test_a_probe_beats_as_the_vectors_say(case: dict[str, Any]) -> None:
    desk = Desk(interval=case["interval"] / 1000, timeout=case["timeout"] / 1000)
    for received in case["received"]:
        await desk.clock.pass_(received["at"] / 1000 - desk.now)
        if not desk.ends:
            desk.probe.heard()
    await desk.clock.pass_(case["until"] / 1000 - desk.now)
    assert [round(at * 1000) for at in desk.pinged] == case["pings"]
    silent = [] if case["silent"] is None else [(VECTORS["code"], case["silent"])]
    assert [(code, round(at * 1000)) for code, at in desk.ends] == silent


async def test_a_json_heartbeat_is_a_message() -> None:
    desk = Desk("json", interval=1)
    await desk.clock.pass_(1)
    assert desk.link.sent == ['{"type":"ping"}']
    assert desk.link.pings == []


async def test_silence_means_nothing_while_nothing_is_read() -> None:
    desk = Desk(interval=1, timeout=1)
    await desk.clock.pass_(1)
    desk.is_deaf = True
    await desk.clock.pass_(100)
    assert desk.ends == []
    desk.is_deaf = False
    await desk.clock.pass_(2)
    assert [code for code, _ in desk.ends] == [4410]


async def test_without_an_interval_nobody_is_asked() -> None:
    desk = Desk(interval=0)
    assert desk.clock.waiting == []
    desk.probe.detach(Closed())


async def test_a_ping_is_measured() -> None:
    desk = Desk()
    ping = asyncio.create_task(desk.probe.ping())
    await desk.clock.pass_(0.25)
    desk.probe.ponged(b"somebody else's")
    assert not ping.done()
    desk.probe.ponged(desk.link.pings[0])
    assert await ping == 0.25


async def test_a_pong_to_the_newest_ping_answers_the_older_ones() -> None:
    desk = Desk()
    pings = []
    for _ in range(3):
        pings.append(asyncio.create_task(desk.probe.ping()))
        await desk.clock.pass_(1)
    desk.probe.ponged(desk.link.pings[1])
    await settle()
    assert [ping.done() for ping in pings] == [True, True, False]
    assert [await ping for ping in pings[:2]] == [3, 2]
    desk.probe.ponged(desk.link.pings[1])
    desk.probe.ponged(desk.link.pings[2])
    desk.probe.ponged(desk.link.pings[2])
    assert await pings[2] == 1


async def test_pings_under_way_end_with_their_link() -> None:
    desk = Desk()
    pings = [asyncio.create_task(desk.probe.ping()) for _ in range(2)]
    await settle()
    desk.probe.ponged(desk.link.pings[0])
    desk.probe.detach(Closed(1006, "cut"))
    assert await pings[0] == 0
    with pytest.raises(Closed, match="cut"):
        await pings[1]
    assert desk.clock.waiting == []


async def test_where_no_ping_can_be_sent_there_is_no_answer() -> None:
    desk = Desk()
    desk.link.cut()
    assert await desk.probe.ping() is None
    desk.probe.detach(Closed())
    assert await desk.probe.ping() is None
