"""The inbox: bounded by not reading, and nothing is dropped."""

import asyncio

import pytest

from anywire.client.inbox import Inbox
from anywire.errors import Closed
from tests.client.memory import PipeLink, settle


async def read(inbox: Inbox) -> list[str]:
    messages = []
    try:
        while True:
            messages.append(await inbox.next())
    except StopAsyncIteration:
        return messages


async def test_a_full_inbox_pauses_its_link_until_half_of_it_is_read() -> None:
    inbox, link = Inbox(most=4, most_bytes=1000), PipeLink(None)
    inbox.attach(link)
    for number in range(4):
        assert not link.is_paused
        inbox.push(number, 1)
    assert link.is_paused
    inbox.push(4, 1)  # the link had read it already
    assert len(inbox) == 5
    for number in range(3):
        assert await inbox.next() == number
        assert link.is_paused
    assert await inbox.next() == 3
    assert not link.is_paused


async def test_bytes_count_as_messages_do() -> None:
    inbox, link = Inbox(most=1000, most_bytes=10), PipeLink(None)
    inbox.attach(link)
    inbox.push("a", 4)
    inbox.push("b", 6)
    assert link.is_paused
    await inbox.next()
    assert link.is_paused
    await inbox.next()
    assert not link.is_paused


async def test_a_new_link_begins_paused_where_the_inbox_is_full() -> None:
    inbox, first, second = Inbox(most=1, most_bytes=10), PipeLink(None), PipeLink(None)
    inbox.attach(first)
    inbox.push("a", 1)
    inbox.attach(None)
    inbox.attach(second)
    assert second.is_paused
    assert await inbox.next() == "a"
    assert not second.is_paused


async def test_without_a_link_it_is_read_all_the_same() -> None:
    inbox = Inbox(most=1, most_bytes=10)
    reading = asyncio.create_task(read(inbox))
    await settle()
    inbox.push("a", 1)
    inbox.push("b", 1)
    inbox.end(None)
    assert await reading == ["a", "b"]


async def test_an_end_with_an_error_comes_after_what_is_unread() -> None:
    inbox = Inbox(most=9, most_bytes=10)
    inbox.push("a", 1)
    inbox.end(Closed(1006))
    assert await inbox.next() == "a"
    with pytest.raises(Closed):
        await inbox.next()


@pytest.mark.parametrize(("most", "most_bytes"), [(0, 1), (1, 0)])
def test_an_inbox_without_room_cannot_be(most: int, most_bytes: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Inbox(most=most, most_bytes=most_bytes)
