"""Tests of anywire.core.stream."""

import asyncio

import msgspec
import pytest

from anywire.body import Args, Form
from anywire.core.stream import Inbox, Stream
from anywire.errors import CallFailed, Refused
from tests.core.support import Bench, turns


def inbox(*, items: int = 4, size: int = 100) -> Inbox:
    def decode(args: Args) -> object:
        value = args.value()
        if value == "wrong":
            raise Refused("invalid", "wrong")
        return value

    return Inbox(decode, items=items, size=size, future=asyncio.get_running_loop().create_future)


def item(text: str) -> Args:
    return Args(msgspec.Raw(msgspec.json.encode(text)))


async def read(upload: Inbox) -> list[object]:
    return [value async for value in upload]


async def test_items_are_read_in_the_order_they_came() -> None:
    upload = inbox()
    for text in "abc":
        assert upload.put(item(text))
    upload.end()
    assert await read(upload) == ["a", "b", "c"]


async def test_a_reader_waits_for_what_is_to_come() -> None:
    upload = inbox()
    reading = asyncio.create_task(read(upload))
    await turns(2)
    upload.put(item("a"))
    upload.put(item("b"))
    await turns(2)
    upload.put(item("c"))
    upload.end()
    assert await reading == ["a", "b", "c"]


async def test_one_item_too_many_ends_the_stream_as_busy_after_those_that_came() -> None:
    upload = inbox(items=2)
    assert upload.put(item("a"))
    assert upload.put(item("b"))
    assert not upload.put(item("c"))
    assert upload.put(item("d"))  # told once
    values = []
    with pytest.raises(CallFailed, match="busy"):
        async for value in upload:
            values.append(value)  # noqa: PERF401
    assert values == ["a", "b"]


async def test_bytes_are_bounded_too_and_read_ones_count_no_more() -> None:
    upload = inbox(items=100, size=10)
    assert upload.put(item("12345"))
    assert await anext(aiter(upload)) == "12345"
    assert upload.put(item("123456"))
    assert not upload.put(item("1"))


async def test_text_bytes_and_attachments_count_with_their_size() -> None:
    assert inbox(size=3).put(Args("abc", Form.TEXT))
    assert not inbox(size=3).put(Args("abcd", Form.TEXT))
    assert inbox(size=3).put(Args(b"abc", Form.BYTES))
    assert not inbox(size=3).put(Args(b"abcd", Form.BYTES))
    assert not inbox(size=10).put(Args(msgspec.Raw(b"null"), blobs=((0, b"1234567"),)))
    assert inbox(size=11).put(Args(msgspec.Raw(b"null"), blobs=((0, b"1234567"),)))


async def test_an_end_with_a_code_is_raised_after_what_came() -> None:
    upload = inbox()
    upload.put(item("a"))
    upload.end("lost", "the client is gone")
    upload.end()  # the first end counts
    values = aiter(upload)
    assert await anext(values) == "a"
    for _ in range(2):
        with pytest.raises(CallFailed, match="lost: the client is gone"):
            await anext(values)


async def test_a_waiting_reader_hears_the_end() -> None:
    upload = inbox()
    reading = asyncio.create_task(read(upload))
    await turns(2)
    upload.end()
    assert await reading == []


async def test_an_item_that_does_not_fit_ends_the_stream() -> None:
    upload = inbox()
    for text in ("a", "wrong", "b"):
        upload.put(item(text))
    values = aiter(upload)
    assert await anext(values) == "a"
    with pytest.raises(Refused, match="wrong"):
        await anext(values)
    assert upload.put(item("c"))
    with pytest.raises(CallFailed, match="invalid"):
        await anext(values)


async def test_a_reader_that_was_cancelled_loses_no_item() -> None:
    upload = inbox()
    reading = asyncio.create_task(read(upload))
    await turns(2)
    upload.put(item("a"))
    reading.cancel()
    await asyncio.wait([reading])
    upload.end()
    assert await read(upload) == ["a"]


async def test_an_item_for_a_reader_that_was_cancelled_waits_for_the_next() -> None:
    upload = inbox()
    reading = asyncio.create_task(read(upload))
    await turns(2)
    reading.cancel()
    await asyncio.wait([reading])
    upload.put(item("a"))
    upload.end()
    assert await read(upload) == ["a"]


async def test_a_second_reader_is_told_so_and_does_not_hide_the_first() -> None:
    upload = inbox()
    reading = asyncio.create_task(read(upload))
    await turns(2)
    with pytest.raises(RuntimeError, match="one reader"):
        await read(upload)
    upload.put(item("a"))
    upload.end()
    assert await reading == ["a"]


async def test_a_stream_is_cancelled_with_its_task_or_remembers_that_it_was() -> None:
    bench = Bench()
    bench.channel("desk")
    peer = bench.connect()
    peer.join("desk")
    stream = Stream(peer.session.members["desk"])
    stream.cancel()
    assert stream.is_cancelled

    async def waits() -> None:
        await asyncio.Event().wait()

    running = Stream(peer.session.members["desk"])
    running.task = asyncio.create_task(waits())
    await turns(1)
    running.cancel()
    await asyncio.wait([running.task])
    assert running.is_cancelled
    assert running.task.cancelled()
