"""The cases of Engine.IO's own suite (v4), each as a test of ours, against `/engine.io/`.

`OFFICIAL` says which test stands for which case; `make conformance SUITE=engineio` runs the suite
itself and compares its titles with these.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.engineio import POLLING, Client, status
from tests.conformance.engineio import client as connected
from tests.conformance.served import Served
from tests.contracts.engineio import (  # noqa: F401
    test_a_close_on_a_socket_ends_it,
    test_a_close_on_polls_ends_the_poll_and_the_session,
    test_a_poll_of_a_session_on_a_socket_is_refused,
    test_a_poll_opens_a_session,
    test_a_poll_with_another_revision_or_none_is_refused,
    test_a_poll_with_another_transport_or_none_is_refused,
    test_a_second_socket_of_a_session_on_a_socket_is_closed,
    test_a_session_is_opened_by_get_only,
    test_a_session_on_polls_goes_on_on_a_socket,
    test_a_session_on_polls_that_answers_no_ping_ends,
    test_a_socket_hears_pings_as_long_as_they_are_answered,
    test_a_socket_opens_a_session,
    test_a_socket_that_answers_no_ping_is_closed,
    test_a_socket_with_another_revision_or_none_is_refused,
    test_a_socket_with_another_transport_or_none_is_refused,
    test_polls_hear_pings_as_long_as_they_are_answered,
)
from tests.servers.serving import request

pytestmark = [pytest.mark.slow, pytest.mark.net]

BINARY = bytes([1, 2, 3, 4])
OFFICIAL: dict[str, str] = {
    "Engine.IO protocol > handshake > HTTP long-polling > successfully opens a session": (
        "test_a_poll_opens_a_session"
    ),
    "Engine.IO protocol > handshake > HTTP long-polling > fails with an invalid 'EIO' query"
    " parameter": "test_a_poll_with_another_revision_or_none_is_refused",
    "Engine.IO protocol > handshake > HTTP long-polling > fails with an invalid 'transport' query"
    " parameter": "test_a_poll_with_another_transport_or_none_is_refused",
    "Engine.IO protocol > handshake > HTTP long-polling > fails with an invalid request method": (
        "test_a_session_is_opened_by_get_only"
    ),
    "Engine.IO protocol > handshake > WebSocket > successfully opens a session": (
        "test_a_socket_opens_a_session"
    ),
    "Engine.IO protocol > handshake > WebSocket > fails with an invalid 'EIO' query parameter": (
        "test_a_socket_with_another_revision_or_none_is_refused"
    ),
    "Engine.IO protocol > handshake > WebSocket > fails with an invalid 'transport' query"
    " parameter": "test_a_socket_with_another_transport_or_none_is_refused",
    "Engine.IO protocol > message > HTTP long-polling > sends and receives a payload containing"
    " one plain text packet": "test_a_text_comes_back_on_polls",
    "Engine.IO protocol > message > HTTP long-polling > sends and receives a payload containing"
    " several plain text packets": "test_several_texts_come_back_on_polls_in_order",
    "Engine.IO protocol > message > HTTP long-polling > sends and receives a payload containing"
    " plain text and binary packets": "test_text_and_binary_come_back_on_polls",
    "Engine.IO protocol > message > HTTP long-polling > closes the session upon invalid packet"
    " format": "test_a_body_that_is_no_packet_ends_the_session",
    "Engine.IO protocol > message > HTTP long-polling > closes the session upon duplicate poll"
    " requests": "test_two_polls_at_once_end_the_session",
    "Engine.IO protocol > message > HTTP long-polling > closes the session upon cancelled polling"
    " request": "test_a_poll_that_its_client_leaves_ends_the_session",
    "Engine.IO protocol > message > WebSocket > sends and receives a plain text packet": (
        "test_a_text_comes_back_on_a_socket"
    ),
    "Engine.IO protocol > message > WebSocket > sends and receives a binary packet": (
        "test_binary_comes_back_on_a_socket"
    ),
    "Engine.IO protocol > message > WebSocket > closes the session upon invalid packet format": (
        "test_a_message_that_is_no_packet_closes_the_socket"
    ),
    "Engine.IO protocol > heartbeat > HTTP long-polling > sends ping/pong packets": (
        "test_polls_hear_pings_as_long_as_they_are_answered"
    ),
    "Engine.IO protocol > heartbeat > HTTP long-polling > closes the session upon ping timeout": (
        "test_a_session_on_polls_that_answers_no_ping_ends"
    ),
    "Engine.IO protocol > heartbeat > WebSocket > sends ping/pong packets": (
        "test_a_socket_hears_pings_as_long_as_they_are_answered"
    ),
    "Engine.IO protocol > heartbeat > WebSocket > closes the session upon ping timeout": (
        "test_a_socket_that_answers_no_ping_is_closed"
    ),
    "Engine.IO protocol > close > HTTP long-polling > forcefully closes the session": (
        "test_a_close_on_polls_ends_the_poll_and_the_session"
    ),
    "Engine.IO protocol > close > WebSocket > forcefully closes the session": (
        "test_a_close_on_a_socket_ends_it"
    ),
    "Engine.IO protocol > upgrade > successfully upgrades from HTTP long-polling to WebSocket": (
        "test_a_session_on_polls_goes_on_on_a_socket"
    ),
    "Engine.IO protocol > upgrade > ignores HTTP requests with same sid after upgrade": (
        "test_a_poll_of_a_session_on_a_socket_is_refused"
    ),
    "Engine.IO protocol > upgrade > ignores WebSocket connection with same sid after upgrade": (
        "test_a_second_socket_of_a_session_on_a_socket_is_closed"
    ),
}


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    """A client of the mount."""
    async with connected(server, "/engine.io/") as client:
        yield client


def test_each_official_case_has_its_test() -> None:
    assert len(OFFICIAL) == len(set(OFFICIAL.values())) == 25
    assert [name for name in OFFICIAL.values() if not callable(globals().get(name))] == []


async def echoes(client: Client, payload: str) -> None:
    """What is posted is the answer to the next poll."""
    sid = await client.open()
    said = await client.post(sid, payload)
    assert (said.status, said.text) == (200, "ok")
    heard = await client.poll(sid)
    assert (heard.status, heard.text) == (200, payload)


async def test_a_text_comes_back_on_polls(client: Client) -> None:
    await echoes(client, "4hello")


async def test_several_texts_come_back_on_polls_in_order(client: Client) -> None:
    await echoes(client, "4test1\x1e4test2\x1e4test3")


async def test_text_and_binary_come_back_on_polls(client: Client) -> None:
    await echoes(client, "4hello\x1ebAQIDBA==")


async def test_a_body_that_is_no_packet_ends_the_session(client: Client) -> None:
    sid = await client.open()
    # The official server may answer 200, or hang up; its suite takes both.
    assert (await client.post(sid, "abc")).status == 400
    await client.is_over(sid)


async def test_two_polls_at_once_end_the_session(client: Client) -> None:
    sid = await client.open()
    first, second = await client.line(), await client.line()
    poll = request(f"{client.path}?{POLLING}&sid={sid}")
    first.send(poll)
    await client.reached()
    second.send(poll)
    answer = await first.answer()
    assert (answer.status, answer.body) == (200, b"1")
    assert await status(second) in (400, 500)
    await client.is_over(sid)


async def test_a_poll_that_its_client_leaves_ends_the_session(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    line.writer.write_eof()
    await line.rest()  # the server has seen that, and hangs up too
    await client.is_over(sid)


async def test_a_text_comes_back_on_a_socket(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("4hello")
    assert await socket.hear() == "4hello"


async def test_binary_comes_back_on_a_socket(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send(BINARY)
    assert await socket.hear() == BINARY


async def test_a_message_that_is_no_packet_closes_the_socket(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("abc")
    await socket.ends()
