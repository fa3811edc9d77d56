"""The signals that stop an ASGI host: ours is told first, and the host is told all the same."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from anywire.core.stepping import Stepper
from anywire.servers.asgistop import SIGNALS, StopSignals
from tests.core.support import turns

TERM, INT = signal.SIGTERM, signal.SIGINT


class Host:
    """A host that handles both signals, and an app that says goodbye when it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.fails = False
        self.stop = StopSignals(self._told, Stepper())

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The host's own handler."""
        self.said.append(f"host {signal.Signals(number).name}")

    async def _told(self) -> None:
        self.said.append("told")
        await self.may_go.wait()
        if self.fails:
            raise OSError("no goodbye")
        self.said.append("gone")

    async def until(self, *said: str) -> None:
        """The loop turns until this was said, and not more."""
        async with asyncio.timeout(5):
            while len(self.said) < len(said):
                await turns(1)
        await turns()
        assert self.said == list(said)


@pytest.fixture
def host() -> Iterator[Host]:
    """Its handlers stand; the signals are as they were at the end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    made = Host()
    try:
        for number in SIGNALS:
            signal.signal(number, made.handle)
        yield made
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (TERM, INT)]


@pytest.mark.parametrize("number", [TERM, INT])
async def test_the_host_is_told_once_everybody_was_sent_away(
    host: Host, number: signal.Signals
) -> None:
    host.may_go.clear()
    host.stop.hear()
    signal.raise_signal(number)
    await host.until("told")
    host.may_go.set()
    await host.until("told", "gone", f"host {number.name}")


async def test_a_second_signal_goes_to_the_host_at_once(host: Host) -> None:
    host.may_go.clear()
    host.stop.hear()
    signal.raise_signal(TERM)
    signal.raise_signal(INT)
    assert host.said == ["host SIGINT"]
    await host.until("host SIGINT", "told")
    host.may_go.set()
    await host.until("host SIGINT", "told", "gone", "host SIGTERM")


async def test_a_farewell_that_fails_does_not_keep_the_host_alive(host: Host) -> None:
    host.fails = True
    host.stop.hear()
    signal.raise_signal(TERM)
    await host.until("told", "host SIGTERM")


async def test_the_hosts_handlers_are_put_back(host: Host) -> None:
    host.stop.hear()
    assert host.handle not in handlers()
    host.stop.forget()
    assert handlers() == [host.handle, host.handle]
    signal.raise_signal(TERM)
    await host.until("host SIGTERM")


async def test_hearing_twice_is_hearing_once(host: Host) -> None:
    host.stop.hear()
    host.stop.hear()
    signal.raise_signal(TERM)
    await host.until("told", "gone", "host SIGTERM")
    host.stop.forget()
    assert handlers() == [host.handle, host.handle]


async def test_a_second_run_is_told_again(host: Host) -> None:
    host.stop.hear()
    signal.raise_signal(TERM)
    await host.until("told", "gone", "host SIGTERM")
    host.stop.forget()
    host.said.clear()
    host.stop.hear()
    signal.raise_signal(TERM)
    await host.until("told", "gone", "host SIGTERM")


async def test_a_handler_that_came_after_ours_is_left_alone(host: Host) -> None:
    def later(number: int, frame: FrameType | None) -> None:
        host.said.append("later")

    host.stop.hear()
    signal.signal(TERM, later)
    host.stop.forget()
    assert handlers() == [later, host.handle]


async def test_two_apps_of_one_host_are_both_told_before_it(host: Host) -> None:
    told: list[str] = []

    async def other() -> None:
        told.append("told")
        assert not any(said.startswith("host") for said in host.said)

    second = StopSignals(other, Stepper())
    host.stop.hear()
    second.hear()
    signal.raise_signal(TERM)
    await host.until("told", "gone", "host SIGTERM")
    assert told == ["told"]
    second.forget()
    host.stop.forget()
    assert handlers() == [host.handle, host.handle]


async def test_a_host_that_handles_no_signals_is_changed_in_nothing(host: Host) -> None:
    signal.signal(TERM, signal.SIG_DFL)
    signal.signal(INT, signal.default_int_handler)
    host.stop.hear()
    assert handlers() == [signal.SIG_DFL, signal.default_int_handler]


async def test_outside_of_the_main_thread_nothing_is_changed(host: Host) -> None:
    async def serve() -> None:
        assert threading.current_thread() is not threading.main_thread()
        host.stop.hear()

    await asyncio.to_thread(asyncio.run, serve())
    assert handlers() == [host.handle, host.handle]
    host.stop.forget()


def in_a_loop(function: Callable[[], None]) -> None:
    """Call it in a loop that is closed afterwards."""

    async def call() -> None:
        function()

    asyncio.run(call())


def test_after_the_end_of_the_loop_the_host_is_told_at_once(host: Host) -> None:
    in_a_loop(host.stop.hear)
    signal.raise_signal(TERM)
    assert host.said == ["host SIGTERM"]
