"""Tests of anywire.brokers.local.hub: what it does to who is not a worker of its own."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anywire.brokers.base import Ask, Question
from anywire.brokers.local import Folder, Hub, LocalBroker, words
from tests.brokers.local.workers import Clock, workers
from tests.contracts.broker import KEEP, said, started


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


def test_the_folder_of_a_hub_may_be_given_as_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hub")
    assert Hub(folder)._folder is folder
