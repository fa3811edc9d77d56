"""Redial: one attempt or link at a time, on time, until the end."""

import asyncio
import logging

import pytest

from anywire.client.backoff import Backoff
from anywire.client.lifecycle import State
from anywire.client.redial import Redial
from anywire.client.tasks import Tasks
from anywire.errors import Closed, Refused
from tests.client.memory import FakeClock, PipeLink, ScriptDialer, settle


class Owner:
    """Who wants a link, takes every link for good, and tries again after every failure."""

    def __init__(self, *failures: Exception) -> None:
        self.clock = FakeClock()
        self.dialer = ScriptDialer(*failures)
        self.told: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self.opened: list[PipeLink] = []
        self.let_go = 0
        self.takes_links = True
        self.tasks = Tasks()
        self.redial: Redial[PipeLink] = Redial(
            lambda request: self.dialer.dial("ws://server/", request),
            opened=self._opened,
            failed=self._failed,
            late=lambda: self.redial.cut(1006, "too late"),
            let_go=self._let_go,
            told=lambda state, previous: self.told.append((previous, state)),
            backoff=Backoff(random=lambda: 0.5),
            clock=self.clock,
            tasks=self.tasks,
            connect_timeout=10,
            where="ws://server/",
        )

    def _opened(self, link: PipeLink) -> None:
        self.opened.append(link)
        if self.takes_links:
            assert self.redial.stands()
            self.redial.announce()

    def _failed(self, error: Exception) -> None:
        self.failures.append(error)
        self.redial.cut(1006, str(error))

    def _let_go(self) -> None:
        self.let_go += 1


async def test_attempts_follow_each_other_until_one_stands() -> None:
    owner = Owner(OSError("down"), Refused("no"))
    opening = asyncio.create_task(owner.redial.opening(None))
    await settle()
    assert owner.redial.state is State.WAITING
    assert owner.clock.waiting == [0.5]
    await owner.clock.pass_(0.5)
    assert owner.clock.waiting == [0.75]
    await owner.clock.pass_(0.75)
    await opening
    assert owner.redial.link is owner.opened[0]
    assert owner.clock.waiting == []
    assert [str(failure) for failure in owner.failures] == ["down", "no"]
    assert [state for _, state in owner.told] == [
        *("connecting", "waiting", "connecting", "waiting", "connecting", "open")
    ]
    await owner.redial.opening(None)
    owner.redial.start()
    assert len(owner.opened) == 1
    assert not owner.redial.stands()


async def test_an_attempt_is_given_up_at_its_deadline_and_so_is_a_link_that_never_stands() -> None:
    owner = Owner()
    owner.dialer.is_stuck = True
    owner.redial.start()
    await owner.clock.pass_(10)
    assert owner.redial.state is State.WAITING
    await settle()
    assert not owner.tasks
    owner.dialer.is_stuck = owner.takes_links = False
    await owner.clock.pass_(0.5)
    assert owner.redial.link is owner.opened[0]
    await owner.clock.pass_(10)
    assert owner.redial.link is None
    assert owner.opened[0].closed_with == (1006, "too late")
    assert owner.let_go == 2


async def test_a_link_that_comes_after_its_attempt_was_given_up_is_hung_up() -> None:
    owner = Owner()
    late = PipeLink(None)
    gate = asyncio.Event()

    async def stubborn(url: str, request: object) -> PipeLink:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            pass
        return late

    owner.dialer.dial = stubborn  # type: ignore[method-assign]
    owner.redial.start()
    await owner.clock.pass_(10)
    await settle()
    assert late._end == (1006, "")
    assert owner.opened == []


async def test_a_failure_after_the_end_is_nobodys() -> None:
    owner = Owner()

    async def stubborn(url: str, request: object) -> PipeLink:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("too late to matter") from None
        raise AssertionError

    owner.dialer.dial = stubborn  # type: ignore[method-assign]
    owner.redial.start()
    await settle()
    assert owner.redial.end(Closed(1000))
    owner.redial.release(1000, "")
    await settle()
    assert owner.failures == []
    assert not owner.tasks


async def test_a_bug_in_an_attempt_is_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner(KeyError("a bug"))
    owner.redial.start()
    await settle()
    assert isinstance(owner.failures[0], KeyError)
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_who_waits_no_longer_says_what_was_in_the_way() -> None:
    owner = Owner(OSError("nobody there"))
    opening = asyncio.create_task(owner.redial.opening(0.25))
    await owner.clock.pass_(0.25)
    with pytest.raises(Closed, match=r"no connection to ws://server/ within 0.25 s: nobody there"):
        await opening
    assert owner.redial.state is State.WAITING
    owner.redial.end(Closed(1000), by_user=True)
    with pytest.raises(Closed, match="1000"):
        await owner.redial.opening(1)


async def test_the_end_is_told_once_and_to_everyone() -> None:
    owner = Owner()
    owner.dialer.is_stuck = True
    openings = [asyncio.create_task(owner.redial.opening(5)) for _ in range(2)]
    await settle()
    openings[1].cancel()
    await settle()
    assert owner.redial.end(Closed(4000, "over"), by_user=True)
    owner.redial.release(4000, "over")
    owner.redial.announce()
    assert not owner.redial.end(Closed(4001))
    owner.redial.announce()
    with pytest.raises(Closed, match="over"):
        await openings[0]
    assert owner.told[-1] == ("connecting", "closed")
    assert not owner.redial.is_connected
    owner.redial.start()
    owner.redial.cut(1006, "")
    assert owner.redial.state is State.CLOSED
    await settle()
    assert owner.clock.waiting == []
    assert not owner.tasks


async def test_a_farewell_waits_until_the_link_is_gone_and_then_hangs_up() -> None:
    owner = Owner()
    assert owner.redial.farewell() is None
    owner.redial.start()
    await settle()
    link = owner.opened[0]
    farewell = owner.redial.farewell()
    assert farewell is not None
    owner.redial.end(Closed(1000), by_user=True)
    owner.redial.release(1000, "bye")
    waiting = asyncio.create_task(farewell.wait())
    assert not owner.redial.lost(PipeLink(None))
    await settle()
    assert not waiting.done()
    assert owner.redial.lost(link)
    assert owner.redial.lost(link)
    await waiting
    assert link.closed_with == (1000, "bye")


async def test_a_farewell_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anywire.client.redial.GOODBYE", 0.01)
    owner = Owner()
    owner.redial.start()
    await settle()
    farewell = owner.redial.farewell()
    assert farewell is not None
    await farewell.wait()
    await settle()
    assert owner.opened[0]._end == (1006, "")


async def test_a_link_that_was_let_go_of_is_hung_up_on_at_the_end() -> None:
    owner = Owner()
    await owner.redial.opening(None)
    (link,) = owner.opened
    aborted: list[PipeLink] = []
    link.abort = lambda: aborted.append(link)  # type: ignore[method-assign]
    owner.redial.end(Closed(4401, "no"))
    owner.redial.release(4401, "no")
    assert aborted == []  # its server has the time of a close handshake
    owner.redial.abandon()
    owner.redial.abandon()
    assert aborted == [link]
