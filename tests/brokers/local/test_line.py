"""Tests of anywire.brokers.local.line: finding a hub, being one, and being refused by others."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from anywire.brokers.local import Folder, words
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

    async def pose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words.frame(strange))
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(pose, folder.hub), a_line(folder) as (line, told):
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
