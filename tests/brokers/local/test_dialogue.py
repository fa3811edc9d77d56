"""Tests of anywire.brokers.local.dialogue."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from anywire.brokers.local import dialogue as module
from anywire.brokers.local import words
from anywire.brokers.local.dialogue import Dialogue
from anywire.brokers.local.words import FromWorker, frame
from anywire.errors import ProtocolError

Heard = Callable[[FromWorker], bool]


class End:
    """One end of a conversation, and the bare socket of the other."""

    def __init__(self, act: Heard | None) -> None:
        self.heard: list[str] = []
        self.losses = 0
        self.changed = asyncio.Event()
        self.talk: Dialogue[FromWorker] = Dialogue(words.from_worker, self._take, self._lost)
        self.other: socket.socket
        self._act = act

    def _take(self, talk: Dialogue[FromWorker], word: FromWorker) -> bool:
        assert isinstance(word, words.List)
        self.heard.append(word.room)
        self.changed.set()
        return False if self._act is None else self._act(word)

    def _lost(self, talk: Dialogue[FromWorker]) -> None:
        self.losses += 1
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; five seconds are too many."""
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def rest(self) -> bytes:
        """All that is said to the other end, until we hang up."""
        said = b""
        async with asyncio.timeout(5):
            while data := await asyncio.get_running_loop().sock_recv(self.other, 65536):
                said += data
        return said


def word(room: str) -> words.List:
    return words.List(1, room)


@asynccontextmanager
async def talking(act: Heard | None = None) -> AsyncIterator[End]:
    end = End(act)
    ours, end.other = socket.socketpair()
    end.other.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: end.talk, sock=ours)
    try:
        yield end
    finally:
        end.other.close()
        await end.until(lambda: end.losses > 0)
        assert end.losses == 1


async def test_what_is_said_in_one_turn_leaves_as_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with talking() as end:
        writes: list[bytes] = []
        assert end.talk._transport is not None
        write = end.talk._transport.write

        def spy(data: bytes) -> None:
            writes.append(data)
            write(data)

        monkeypatch.setattr(end.talk._transport, "write", spy)
        for room in "abc":
            end.talk.say(word(room))
        assert writes == []
        await asyncio.sleep(0)
        end.talk.say(word("d"))
        end.talk.close()
        end.talk.say(word("after"))
        whole = b"".join(frame(word(room)) for room in "abcd")
        assert writes == [whole[: len(whole) * 3 // 4], whole[len(whole) * 3 // 4 :]]
        assert await end.rest() == whole


async def test_nothing_is_said_to_who_is_gone() -> None:
    async with talking() as end:
        end.other.close()
        await end.until(lambda: end.losses > 0)
        assert end.talk.is_over
        end.talk.say(word("a"))
        end.talk.cut("twice")
        end.talk.close()


async def test_what_was_said_before_the_other_end_went_is_heard_first() -> None:
    seen: list[int] = []

    def act(heard: FromWorker) -> bool:
        seen.append(end.losses)
        return True

    async with talking(act) as end:
        end.other.send(b"".join(frame(word(room)) for room in "abc"))
        end.other.close()
        await end.until(lambda: end.losses > 0)
        assert end.heard == ["a", "b", "c"]
        assert seen == [0, 0, 0]


async def test_a_word_that_must_be_acted_on_keeps_the_next_one_for_the_next_turn() -> None:
    turns: list[str] = []

    def act(heard: FromWorker) -> bool:
        asyncio.get_running_loop().call_soon(turns.append, "acted")
        turns.append("heard")
        return True

    async with talking(act) as end:
        end.talk.data_received(frame(word("a")) + frame(word("b")))
        end.talk.data_received(frame(word("c")))
        assert turns == ["heard"]
        await end.until(lambda: len(end.heard) == 3)
        assert turns[:5] == ["heard", "acted", "heard", "acted", "heard"]


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x08\x92\xa4\n!\xc3\x96\x01\x02",
        b"\x00\x00\x00\x03\x91\xa1\xff",
        (50_008).to_bytes(4, "big") + b"\x94\xa6Answer\x01"[:8] + b"\x91" * 50_000,
    ],
    ids=["too long", "no word", "no tag", "no text", "too deep"],
)
async def test_junk_ends_a_conversation_and_is_not_logged(
    junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with talking() as end:
        end.other.send(frame(word("a")) + junk + frame(word("unheard")))
        await end.until(lambda: end.losses > 0)
        assert end.heard in (["a"], [])
    [record] = [one for one in caplog.records if one.name == module.__name__]
    assert "\n" not in record.getMessage()
    assert "Ö" not in record.getMessage()


async def test_words_that_came_with_one_that_was_refused_are_not_heard() -> None:
    def act(heard: FromWorker) -> bool:
        raise ProtocolError("not here")

    async with talking(act) as end:
        end.other.send(frame(word("a")) + frame(word("unheard")))
        await end.until(lambda: end.losses > 0)
        assert end.heard == ["a"]


@pytest.mark.parametrize("must_wait", [False, True])
async def test_words_behind_a_cut_are_not_heard(must_wait: bool) -> None:
    def act(heard: FromWorker) -> bool:
        end.talk.cut("enough")
        return must_wait

    async with talking(act) as end:
        end.other.send(frame(word("a")) + frame(word("unheard")))
        await end.until(lambda: end.losses > 0)
        assert end.heard == ["a"]


async def test_who_does_not_read_is_cut_when_too_much_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BACKLOG", 1_000_000)
    choked: list[bool] = []
    async with talking() as end:
        end.talk.choked = choked.append
        end.talk.say(word("x" * 900_000))
        await asyncio.sleep(0)
        assert not end.losses
        assert choked == [True]
        end.talk.say(word("x" * 900_000))
        await end.until(lambda: end.losses > 0)
    assert "more than 1000000 bytes wait" in caplog.text


async def test_who_catches_up_is_not_choked_any_more() -> None:
    choked: list[bool] = []
    async with talking() as end:
        end.talk.choked = choked.append
        end.talk.say(word("x" * 900_000))
        await asyncio.sleep(0)
        got = 0
        while choked != [True, False]:
            got += len(await asyncio.get_running_loop().sock_recv(end.other, 65536))
        assert got > 500_000


async def test_who_nobody_listens_to_may_be_slow() -> None:
    async with talking() as end:
        end.talk.pause_writing()
        end.talk.resume_writing()


async def test_who_is_not_trusted_says_short_words_only() -> None:
    async with talking() as end:
        end.talk._framer.longest = 100
        end.other.send(frame(word("short")) + frame(word("x" * 200)))
        await end.until(lambda: end.losses > 0)
        assert "x" * 200 not in end.heard
    async with talking() as end:
        end.talk._framer.longest = 100
        end.talk.trust()
        end.other.send(frame(word("x" * 200)))
        await end.until(lambda: bool(end.heard))


async def test_a_word_that_cannot_travel_is_an_error_of_who_says_it() -> None:
    async with talking() as end:
        with pytest.raises(TypeError):
            end.talk.say(words.Answer(1, object()))
