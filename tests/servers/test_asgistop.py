"""The signals that stop an ASGI host."""

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from anywire.core.stepping import Stepper
from anywire.servers.asgistop import StopSignals


class Bench:
    """A host's handler, and what was told in which order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.is_done = asyncio.Event()
        self.may_end = asyncio.Event()
        self.signals = StopSignals(self.told, Stepper())

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The host's."""
        self.order.append("host")
        self.is_done.set()

    async def told(self) -> None:
        self.order.append("begun")
        await self.may_end.wait()
        self.order.append("ended")


@pytest.fixture
def sigterm() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


async def test_the_host_hears_of_it_when_we_are_done(sigterm: None) -> None:
    bench = Bench()
    signal.signal(signal.SIGTERM, bench.handle)
    bench.signals.hear()
    bench.signals.hear()
    signal.raise_signal(signal.SIGTERM)
    for _ in range(3):
        await asyncio.sleep(0)
    assert bench.order == ["begun"]
    bench.may_end.set()
    await bench.is_done.wait()
    assert bench.order == ["begun", "ended", "host"]
    bench.signals.forget()
    assert signal.getsignal(signal.SIGTERM) == bench.handle


async def test_a_second_signal_goes_to_the_host_at_once(sigterm: None) -> None:
    bench = Bench()
    signal.signal(signal.SIGTERM, bench.handle)
    bench.signals.hear()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert bench.order == ["host"]
    bench.may_end.set()
    for _ in range(5):
        await asyncio.sleep(0)
    bench.signals.forget()


async def test_handlers_that_are_nobodys_and_those_set_later_are_left_alone(sigterm: None) -> None:
    bench = Bench()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    bench.signals.hear()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, bench.handle)
    bench.signals.hear()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    bench.signals.forget()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


async def test_outside_of_the_main_thread_nothing_is_changed(sigterm: None) -> None:
    bench = Bench()
    signal.signal(signal.SIGTERM, bench.handle)
    await asyncio.to_thread(bench.signals.hear)
    assert signal.getsignal(signal.SIGTERM) == bench.handle


async def test_of_two_apps_the_one_that_went_first_lets_the_host_hear() -> None:
    host = asyncio.Event()
    told: list[str] = []

    async def tell(name: str) -> None:
        told.append(name)

    before = signal.signal(signal.SIGTERM, lambda number, frame: host.set())
    try:
        one = StopSignals(lambda: tell("one"), Stepper())
        two = StopSignals(lambda: tell("two"), Stepper())
        one.hear()
        two.hear()
        one.forget()  # two stands before it, and calls it as the one before
        signal.raise_signal(signal.SIGTERM)
        await host.wait()
        assert told == ["two"]
        two.forget()
    finally:
        signal.signal(signal.SIGTERM, before)
