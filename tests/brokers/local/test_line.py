"""Tests of anywire.brokers.local.line: finding a hub, being one, and being refused by others."""

import asyncio
import logging
import os
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from anywire.brokers.local import Folder, Hub, words
from anywire.brokers.local import line as module
from anywire.brokers.local.line import HubDialogue, HubLine
from anywire.brokers.local.words import FromHub
from anywire.errors import ConfigurationError, Refused
from tests.brokers.local.workers import Clock

STRANGE = (
    words.Welcome(words.VERSION + 1, b"", "h", {}),
    words.Welcome(words.VERSION, b"another key", "h", {}),
    words.Doors({}),
)


@asynccontextmanager
async def a_line(folder: Folder) -> AsyncIterator[tuple[HubLine, list[FromHub]]]:
    """A line that is stopped at the end, and what it was told."""
    told: list[FromHub] = []

    def take(talk: HubDialogue, word: FromHub) -> None:
        told.append(word)

    async def restore(is_new: bool) -> None: ...

    line = HubLine(folder, clock=Clock(), take=take, restore=restore)
    try:
        yield line, told
    finally:
        await line.stop()


@asynccontextmanager
async def posing(folder: Folder, first: FromHub) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Somebody else listens where the hub does, says one word to everybody, and nothing more; who
    came. At the end all have gone.
    """
    came: list[asyncio.Task[None]] = []

    async def pose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        came.append(task)
        writer.write(words.frame(first))
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_unix_server(pose, folder.hub):
        yield came
        reader, writer = await asyncio.open_unix_connection(folder.hub)
        await reader.read(1)  # so that whoever came before us is in the list
        writer.close()
        await asyncio.gather(*came)


async def test_who_finds_nobody_is_the_hub_itself(tmp_path: Path) -> None:
    async with a_line(Folder(tmp_path / "f")) as (line, told):
        await line.start("n1", "door")
        assert line.hub is not None
        assert told == [words.Doors({"n1": "door"})]
        assert await line.ask(words.Owner(line.ref(), "/", "s"), str | None) is None


@pytest.mark.parametrize("strange", STRANGE, ids=["version", "key", "word"])
async def test_a_hub_that_is_not_ours_is_not_believed(
    tmp_path: Path, strange: FromHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START", 0.2)
    folder = Folder(tmp_path / "f")
    lock = folder.lock()
    assert lock is not None

    async with posing(folder, strange), a_line(folder) as (line, told):
        with pytest.raises(ConfigurationError, match="no hub answers"):
            await line.start("n1", "")
        assert told == []


async def test_a_hub_that_hangs_up_while_it_is_told_things_is_left_for_another(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "f")
    lock = folder.lock()
    greeted = asyncio.Event()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack(">I", await reader.readexactly(4))
        words.from_worker(await reader.readexactly(size))
        writer.write(words.frame(words.Welcome(words.VERSION, folder.key, "h", {})))
        await reader.read(1)
        greeted.set()
        writer.close()

    tries: list[bool] = []

    async def restore(is_new: bool) -> None:
        tries.append(is_new)
        await line.say(words.List(line.ref(is_own=True), "r"), dict)

    line = HubLine(folder, clock=Clock(), take=lambda talk, word: None, restore=restore)
    server = await asyncio.start_unix_server(die, folder.hub)
    starting = asyncio.ensure_future(line.start("n1", ""))
    await greeted.wait()
    server.close()
    assert lock is not None
    os.close(lock)
    await starting
    assert line.hub is not None
    assert tries[:1] == [True]
    assert len(tries) >= 2
    await line.stop()
    with pytest.raises(Refused, match="stops"):
        await line.ask(words.List(line.ref(), "r"), dict)
    with pytest.raises(Refused, match="gone"):
        line.tell(words.List(line.ref(), "r"))


async def test_what_is_asked_again_and_again_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every hub it finds welcomes it, and answers nothing."""
    monkeypatch.setattr(module, "SILENCE", 0.05)
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    folder = Folder(tmp_path / "f")
    lock = folder.lock()
    assert lock is not None
    welcome = words.Welcome(words.VERSION, folder.key, "h", {})
    async with posing(folder, welcome) as came, a_line(folder) as (line, _):
        await line.start("n1", "")
        async with asyncio.timeout(5):
            with pytest.raises(Refused, match="no hub"):
                await line.ask(words.Owner(line.ref(), "/", "s"), str | None)
        assert len(came) > 1
    os.close(lock)


async def test_why_no_hub_can_be_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path / "f")
    os.mkdir(folder.hub)  # what stands in the way of its socket
    tries = asyncio.Semaphore(0)
    become = HubLine._become

    async def counted(line: HubLine) -> None:
        await become(line)
        tries.release()

    monkeypatch.setattr(HubLine, "_become", counted)
    async with a_line(folder) as (line, _):
        with caplog.at_level(logging.WARNING):
            starting = asyncio.ensure_future(line.start("n1", ""))
            for _ in range(4):
                await tries.acquire()
            said = [one for one in caplog.records if "no hub can be in" in one.getMessage()]
            assert len(said) == 1
            os.rmdir(folder.hub)
            await starting
        assert line.hub is not None


async def test_a_folder_that_vanished_is_made_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f")
    async with a_line(folder) as (line, _):
        shutil.rmtree(folder.path)
        async with asyncio.timeout(5):
            await line.start("n1", "")
        assert line.hub is not None


async def test_the_key_of_a_folder_that_others_made_again_is_learned(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f")
    async with a_line(folder) as (line, _):
        shutil.rmtree(folder.path)
        hub = Hub(tmp_path / "f")
        await hub.start()
        try:
            async with asyncio.timeout(5):
                await line.start("n1", "")
            assert line.hub is None
            assert await line.ask(words.Owner(line.ref(), "/", "s"), str | None) is None
        finally:
            await hub.stop()
            await line.stop()


async def test_a_hub_that_will_not_have_what_we_know_is_hung_up_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    talks: list[HubDialogue] = []

    async def restore(is_new: bool) -> None:
        if len(talks) == 1:
            raise Refused("invalid", "it says so")

    line = HubLine(
        Folder(tmp_path / "f"),
        clock=Clock(),
        take=lambda talk, word: None if talk in talks else talks.append(talk),
        restore=restore,
    )
    async with asyncio.timeout(5):
        await line.start("n1", "")
    assert [talk.is_over for talk in talks] == [True, False]
    assert "was cut: it says so" in caplog.text  # at once, and not when the hub hears us again
    await line.stop()
