"""Tests of anywire.brokers.local.hub: what it does to who is not a worker of its own."""

import asyncio
import os
import shutil
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from anywire.brokers.base import Ask, Question
from anywire.brokers.local import Folder, Hub, LocalBroker, words
from tests.brokers.local.workers import Clock, workers
from tests.contracts.broker import KEEP, after, said, started
from tests.contracts.broker import words as said_in


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path / "hub", clock=Clock())
    await hub.start()
    yield hub
    await hub.stop()


class Stranger:
    """Somebody who has found the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def come(cls, hub: Hub) -> "Stranger":
        return cls(*await asyncio.open_unix_connection(hub._folder.hub))

    async def said(self, data: bytes) -> bytes:
        """Everything that is answered until the hub hangs up."""
        self.writer.write(data)
        try:
            async with asyncio.timeout(5):
                return await self.reader.read()
        except ConnectionResetError:
            return b""
        finally:
            self.writer.close()


def greeting(hub: Hub, **changes: object) -> bytes:
    fields = {"version": words.VERSION, "key": hub._folder.key, "node": "n1", "door": ""}
    return words.frame(words.Greeting(**{**fields, **changes}))  # type: ignore[arg-type]


async def test_who_does_not_know_the_key_is_cut_without_a_word(hub: Hub) -> None:
    for data in (
        greeting(hub, key=b"wrong"),
        greeting(hub, version=0),
        words.frame(words.List(1, "r")),
        b"\xff\xff\xff\xff",
        (5).to_bytes(4, "big") + b"junk!",
    ):
        assert await (await Stranger.come(hub)).said(data) == b""


async def test_who_has_not_shown_the_key_cannot_make_the_hub_keep_much(hub: Hub) -> None:
    size = words.GREETING + 1
    assert await (await Stranger.come(hub)).said(size.to_bytes(4, "big")) == b""


async def test_who_was_welcomed_and_then_talks_nonsense_is_cut(hub: Hub) -> None:
    for data in (greeting(hub), (1).to_bytes(4, "big") + b"\x00"):
        stranger = await Stranger.come(hub)
        stranger.writer.write(greeting(hub))
        (size,) = struct.unpack(">I", await stranger.reader.readexactly(4))
        welcome = words.from_hub(await stranger.reader.readexactly(size))
        assert isinstance(welcome, words.Welcome)
        await stranger.said(data)


async def test_a_record_that_is_none_is_refused_and_the_worker_stays(tmp_path: Path) -> None:
    async with workers() as team:
        one = team.broker("n1")
        heard = await started(one, "r")
        assert one._line._talk is not None
        one._line._talk.say(words.Publish(99_999, b"junk", None))
        await one.publish(said("fine"), KEEP)
        assert await heard.words(1) == ["fine"]


async def test_a_worker_that_comes_again_replaces_its_old_connection(hub: Hub) -> None:
    old = await Stranger.come(hub)
    old.writer.write(greeting(hub))
    await old.reader.readexactly(4)
    again = LocalBroker(hub._folder)
    again.listen("n1", lambda question: question.room)
    await started(again)
    await old.said(b"")
    question = Question(ask=Ask.COUNT, room="x")
    assert (await again.ask(["n1"], question, 5.0)).values == ["x"]
    await again.stop()


async def test_who_leaves_while_it_is_asked_is_missing() -> None:
    async with workers() as team:
        asked = asyncio.Event()

        async def never(question: Question) -> object:
            asked.set()
            await asyncio.Event().wait()
            return None

        one, two = team.broker("n1"), team.broker("n2", never)
        await started(one)
        await started(two)
        asking = asyncio.ensure_future(one.ask(None, Question(ask=Ask.COUNT, room="r"), 30.0))
        await asked.wait()
        await two.stop()
        found = await asking
        assert (found.values, found.missing) == (["r"], ["n2"])


def _lock_alone(folder: Path) -> None:
    (folder / "hub.lock").unlink()


@pytest.mark.parametrize("remove", [shutil.rmtree, _lock_alone], ids=["folder", "lock"])
async def test_a_hub_whose_folder_vanished_gives_way_and_all_meet_again(
    remove: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """As systemd-tmpfiles removes what is old: whoever comes later must not find another hub."""
    async with workers() as team:
        one, two = team.broker("n1"), team.broker("n2")
        first, second = await started(one, "r"), await started(two, "r")
        key = one.folder.key
        gone = one._line.hub
        assert gone is not None
        remove(team.folder)
        gone._sweep()
        assert gone._giving_way is not None
        await gone._giving_way
        assert "gives way" in caplog.text
        late = team.broker("n3")
        third = await started(late, "r")
        for broker in (one, two):
            await broker.subscribe("r")  # answered by a hub that it has found
        assert Folder(team.folder).key == key
        assert {one.folder.key, two.folder.key, late.folder.key} == {key}
        hubs = [broker._line.hub for broker in (one, two, late)]
        assert sum(hub is not None and hub._server is not None for hub in hubs) == 1
        async with asyncio.timeout(5):
            while len(late.doors()) < 3:
                await late.owner("/", "any")
        await late.publish(said("again"), KEEP)
        for heard in (first, second, third):
            assert await heard.words(1) == ["again"]


async def test_a_hub_that_gave_way_leaves_the_next_ones_socket_alone(tmp_path: Path) -> None:
    old, new = Hub(tmp_path / "hub"), Hub(tmp_path / "hub")
    await old.start()
    shutil.rmtree(tmp_path / "hub")
    new._folder.mend()
    await new.start()
    old._sweep()
    assert old._giving_way is not None
    await old._giving_way
    worker = LocalBroker(new._folder)
    worker.listen("n1", lambda question: question.room)
    await started(worker)
    assert not worker.is_hub
    await worker.stop()
    await new.stop()


async def test_a_hub_keeps_its_folder_young(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hub")
    assert folder.key
    os.utime(folder.path / "key", (1, 1))
    hub = Hub(folder)
    await hub.start()
    touched = (folder.path / "key").stat().st_mtime
    await hub.stop()
    assert touched > 1


async def test_a_history_longer_than_a_frame_is_cut_to_its_newest_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "LONGEST", 8_000)
    async with workers() as team:
        one = team.broker("n1")
        await started(one)
        start = await one.publish(said("-"), KEEP)
        for number in range(19):
            await one.publish(said(f"{number} {'x' * 1000}"), KEEP)
        last = await one.publish(said(f"19 {'x' * 1000}"), KEEP)
        records, now, lost = await one.since("r", after(start), 100)
        assert (now, lost) == (last, "limit")
        told = [str(word).split()[0] for word in said_in(records)]
        assert told == ["17", "18", "19"]
        records, _, lost = await one.since("r", after(records[0].position), 100)
        assert (len(records), lost) == (2, "")


def test_the_folder_of_a_hub_may_be_given_as_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hub")
    assert Hub(folder)._folder is folder
