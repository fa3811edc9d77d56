"""Tests of anywire.brokers.local.broker: the contracts, several workers, and hubs that die."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from anywire.brokers.base import Ask, Question
from anywire.brokers.local import Folder, Hub, LocalBroker, line
from anywire.brokers.local import broker as module
from anywire.errors import ConfigurationError, Refused
from anywire.frames import Position, Since
from tests.brokers.local.workers import Clock, Workers, kill_hub, workers
from tests.contracts.broker import (
    KEEP,
    BrokerContract,
    DirectoryContract,
    Elapse,
    Heard,
    HistoryContract,
    NodesContract,
    offset,
    said,
    started,
    words,
)
from tests.contracts.presence import HOME, LEASE, PresenceContract, change


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def elapse(clock: Clock) -> Elapse:
    async def elapse(seconds: float) -> None:
        clock.time += seconds

    return elapse


@pytest.fixture
async def team(clock: Clock) -> AsyncIterator[Workers]:
    async with workers(clock) as team:
        yield team


@pytest.fixture
async def broker(team: Workers) -> LocalBroker:
    """A worker that joins a hub of another one."""
    await started(team.broker("hub"))
    return team.broker()


async def surely(broker: LocalBroker, word: object) -> Position | None:
    """Publish in room r, and again if the hub died before it answered."""
    while True:
        try:
            return await broker.publish(said(word), KEEP)
        except Refused as refused:
            assert refused.code == "lost"


class TestBroker(BrokerContract):
    """A worker's broker numbers and carries."""


class TestHistory(HistoryContract):
    """A worker's broker keeps."""


class TestPresence(PresenceContract):
    """A worker's broker knows who is here."""


class TestDirectory(DirectoryContract):
    """A worker's broker knows who owns a session."""

    @pytest.fixture
    async def broker(self, broker: LocalBroker) -> LocalBroker:
        await started(broker)
        return broker


class TestNodes(NodesContract):
    """A worker's broker asks every worker; here it is the only one, and the hub."""

    @pytest.fixture
    async def broker(self, team: Workers) -> LocalBroker:
        return team.broker()


async def test_workers_hear_each_other_in_one_order(team: Workers) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    first, second = await started(one, "r"), await started(two, "r")
    await asyncio.gather(*(b.publish(said(f"{n}"), KEEP) for n in range(50) for b in (one, two)))
    heard = await first.take(100)
    assert [offset(record.position) for record in heard] == list(range(1, 101))
    assert words(heard) == await second.words(100)


async def test_questions_reach_every_worker(team: Workers) -> None:
    one, two = team.broker("n1", lambda question: 1), team.broker("n2", lambda question: 2)
    await started(one)
    await started(two)
    question = Question(ask=Ask.COUNT, room="r")
    found = await two.ask(None, question, 5.0)
    assert (sorted(map(str, found.values)), found.missing) == (["1", "2"], [])
    assert (await one.ask(["n2"], question, 5.0)).values == [2]


async def test_every_worker_knows_the_doors_of_all(team: Workers) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    await started(two)
    await one.owner("/", "any")  # the hub's word about doors came before this answer
    both = {"n1": "n1.door", "n2": "n2.door"}
    assert (one.doors(), two.doors()) == (both, both)
    await two.stop()
    while one.doors() != {"n1": "n1.door"}:
        await one.owner("/", "any")


async def test_when_the_hub_dies_another_takes_over_under_a_new_epoch(team: Workers) -> None:
    one, two, three = team.broker("n1"), team.broker("n2"), team.broker("n3")
    broken: list[tuple[str, Position | None]] = []
    await started(one)
    second = await started(two, "r")
    third = Heard()
    await three.start(third, lambda room, at: broken.append((room, at)))
    await three.subscribe("r")
    before = await two.publish(said("before"), KEEP)
    assert (one.is_hub, two.is_hub, three.is_hub) == (True, False, False)
    await kill_hub(one)
    after_it = await surely(three, "after")
    assert await second.words(2) == await third.words(2) == ["before", "after"]
    assert before is not None
    assert after_it is not None
    assert (before.offset, after_it.offset) == (1, 1)
    assert before.epoch != after_it.epoch
    assert broken == [("r", Position(0, after_it.epoch))]
    assert sum(broker.is_hub for broker in (one, two, three)) == 1
    records, now, lost = await two.since("r", Since(positions={"r": before}), 10)
    assert (words(records), now, lost) == (["after"], after_it, "epoch")


async def test_who_is_present_is_told_to_the_next_hub_without_a_word_to_clients(
    team: Workers,
) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    heard = await started(two, "r")
    await one.enter("r", "n1", "ana", "m1", HOME, LEASE, KEEP)
    await two.enter("r", "n2", "bo", "m2", HOME, LEASE, KEEP)
    await heard.take(2)
    await kill_hub(one)
    await surely(one, "again")
    assert await heard.words(1) == ["again"]
    assert dict(await one.list("r")) == dict(await two.list("r"))
    assert sorted(await two.list("r")) == ["ana", "bo"]
    await one.exit("r", "n1", "ana", "m1", KEEP)
    assert change(await heard.next()) == {"joined": {}, "left": {"ana": [{"on": "home"}]}}


async def test_owners_of_sessions_are_told_to_the_next_hub(team: Workers) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    await started(two)
    assert await two.claim("/", "s1", "n2", "ana", 60) == "n2"
    await kill_hub(one)
    while await one.owner("/", "s1") is None:
        pass  # n2 may not have found the hub yet, and each answer lets it go on
    assert await one.claim("/", "s1", "n1", "ana", 60) == "n2"


async def test_a_publication_that_a_dying_hub_did_not_answer_is_lost_and_says_so(
    team: Workers,
) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    await started(two)
    publishing = asyncio.ensure_future(two.publish(said("perhaps"), KEEP))
    reading = asyncio.ensure_future(two.owner("/", "s1"))
    await asyncio.sleep(0)  # both are said, neither is heard
    await kill_hub(one)
    with pytest.raises(Refused, match="lost"):
        await publishing
    assert await reading is None  # asked again: twice is as good as once


async def test_what_a_cut_worker_missed_is_delivered_before_anything_newer(team: Workers) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    heard = await started(two, "r")
    await one.publish(said(0), KEEP)
    assert await heard.words(1) == [0]
    talk = two._line._talk
    assert talk is not None
    talk.cut("too slow")
    for number in range(1, 20):
        await one.publish(said(number), KEEP)
    assert await heard.words(19) == list(range(1, 20))
    await one.publish(said(20), KEEP)
    assert await heard.words(1) == [20]


async def test_a_hole_that_history_cannot_fill_is_told(
    team: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REPLAY", 2)
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    heard, broken = Heard(), asyncio.Queue[tuple[str, Position | None]]()
    await two.start(heard, lambda room, at: broken.put_nowait((room, at)))
    await two.subscribe("r")
    hub = one._line.hub
    assert hub is not None
    assert hub._server is not None
    assert two._line._talk is not None
    hub._server.close()  # until more is said than will be read
    two._line._talk.cut("too slow")
    for number in range(9):
        await one.publish(said(number), KEEP)
    loop = asyncio.get_running_loop()
    hub._server = await loop.create_unix_server(hub._connection, hub._folder.hub)
    async with asyncio.timeout(5):
        room, at = await broken.get()
    last = await one.publish(said("last"), KEEP)
    later = await heard.take(offset(last) - offset(at))
    assert room == "r"
    assert [offset(record.position) for record in later] == list(
        range(offset(at) + 1, offset(last) + 1)
    )


async def test_what_another_worker_said_to_the_next_hub_before_we_came_is_heard(
    team: Workers,
) -> None:
    one, two, late = team.broker("n1"), team.broker("n2"), team.broker("n3")
    await started(one)
    await started(two)
    heard = await started(late, "r")
    await two.publish(said("before"), KEEP)
    assert await heard.words(1) == ["before"]
    may_seek = asyncio.Event()
    original = line.HubLine._found
    found = late._line._found

    async def patient() -> bool:
        await may_seek.wait()
        return await found()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            line.HubLine, "_found", lambda one: patient() if one is late._line else original(one)
        )
        await kill_hub(one)
        await surely(two, "while we looked for it")
        may_seek.set()
        assert await heard.words(1) == ["while we looked for it"]


async def test_members_of_a_worker_that_died_are_gone_after_a_grace(
    team: Workers, clock: Clock
) -> None:
    one, two = team.broker("n1"), team.broker("n2")
    heard = await started(one, "r")
    await started(two)
    await two.enter("r", "n2", "bo", "m2", HOME, 45.0, KEEP)
    await heard.next()
    await two.stop()
    while len(one.doors()) > 1:
        await one.list("r")
    assert "bo" in await one.list("r")
    clock.time += 11
    assert await one.list("r") == {}
    assert change(await heard.next()) == {"joined": {}, "left": {"bo": [{"on": "home"}]}}


async def test_a_worker_that_finds_no_hub_says_so_at_start(
    team: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "START", 0.1)
    broker = team.broker("n1")
    lock = Folder(team.folder).lock()  # its holder listens nowhere
    assert lock is not None
    with pytest.raises(ConfigurationError, match="no hub answers"):
        await broker.start(lambda record: None)


async def test_without_a_hub_requests_wait_and_then_say_busy(
    team: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PATIENCE", 0.05)
    broker = team.broker("n1")
    with pytest.raises(Refused, match="no hub"):
        await broker.publish(said("x"), None)
    await started(broker)
    await broker.stop()
    with pytest.raises(Refused, match="stops"):
        await broker.publish(said("x"), None)


async def test_a_hub_of_its_own_is_joined_and_outlives_its_workers(team: Workers) -> None:
    hub = Hub(team.folder)
    await hub.start()
    try:
        with pytest.raises(ConfigurationError, match="another process is the hub"):
            await Hub(team.folder).start()
        first = team.broker("n1")
        await started(first)
        position = await first.publish(said("kept"), KEEP)
        await first.stop()
        second = team.broker("n2")
        await started(second)
        records, now, _ = await second.since("r", Since(last=5), 5)
        assert (words(records), now) == (["kept"], position)
    finally:
        await hub.stop()


async def test_a_hub_that_hangs_is_left_and_who_asked_is_told(
    team: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "SILENCE", 0.05)
    monkeypatch.setattr(line, "PATIENCE", 0.05)
    one, two = team.broker("n1"), team.broker("n2")
    await started(one)
    await started(two)
    hub = one._line.hub
    assert hub is not None
    hub_socket = hub._server
    assert hub_socket is not None
    hub_socket.close()  # whoever looks for it finds nobody, and the lock is held
    for worker in hub._names:
        worker._take = lambda talk, word: False  # and who has it hears nothing
    with pytest.raises(Refused, match="lost"):
        await two.publish(said("x"), None)
    with pytest.raises(Refused, match="busy"):
        await two.publish(said("x"), None)
