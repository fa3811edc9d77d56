"""The cases of Socket.IO's own suite (v5), each as a test of ours, against `/socket.io/`.

`OFFICIAL` says which test stands for which case; `make conformance SUITE=socketio` runs the suite
itself and compares its titles with these. Half of them are about Engine.IO, as on any mount.
"""

import json
from collections.abc import AsyncIterator

import pytest

from tests.conformance.engineio import PING, Client, Socket
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

pytestmark = [pytest.mark.slow, pytest.mark.net]

FIRST, SECOND = bytes([1, 2, 3]), bytes([4, 5, 6])
PLACES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
OFFICIAL: dict[str, str] = {
    "Engine.IO protocol > handshake > HTTP long-polling > should successfully open a session": (
        "test_a_poll_opens_a_session"
    ),
    "Engine.IO protocol > handshake > HTTP long-polling > should fail with an invalid 'EIO' query"
    " parameter": "test_a_poll_with_another_revision_or_none_is_refused",
    "Engine.IO protocol > handshake > HTTP long-polling > should fail with an invalid 'transport'"
    " query parameter": "test_a_poll_with_another_transport_or_none_is_refused",
    "Engine.IO protocol > handshake > HTTP long-polling > should fail with an invalid request"
    " method": "test_a_session_is_opened_by_get_only",
    "Engine.IO protocol > handshake > WebSocket > should successfully open a session": (
        "test_a_socket_opens_a_session"
    ),
    "Engine.IO protocol > handshake > WebSocket > should fail with an invalid 'EIO' query"
    " parameter": "test_a_socket_with_another_revision_or_none_is_refused",
    "Engine.IO protocol > handshake > WebSocket > should fail with an invalid 'transport' query"
    " parameter": "test_a_socket_with_another_transport_or_none_is_refused",
    "Engine.IO protocol > heartbeat > HTTP long-polling > should send ping/pong packets": (
        "test_polls_hear_pings_as_long_as_they_are_answered"
    ),
    "Engine.IO protocol > heartbeat > HTTP long-polling > should close the session upon ping"
    " timeout": "test_a_session_on_polls_that_answers_no_ping_ends",
    "Engine.IO protocol > heartbeat > WebSocket > should send ping/pong packets": (
        "test_a_socket_hears_pings_as_long_as_they_are_answered"
    ),
    "Engine.IO protocol > heartbeat > WebSocket > should close the session upon ping timeout": (
        "test_a_socket_that_answers_no_ping_is_closed"
    ),
    "Engine.IO protocol > close > HTTP long-polling > should forcefully close the session": (
        "test_a_close_on_polls_ends_the_poll_and_the_session"
    ),
    "Engine.IO protocol > close > WebSocket > should forcefully close the session": (
        "test_a_close_on_a_socket_ends_it"
    ),
    "Engine.IO protocol > upgrade > should successfully upgrade from HTTP long-polling to"
    " WebSocket": "test_a_session_on_polls_goes_on_on_a_socket",
    "Engine.IO protocol > upgrade > should ignore HTTP requests with same sid after upgrade": (
        "test_a_poll_of_a_session_on_a_socket_is_refused"
    ),
    "Engine.IO protocol > upgrade > should ignore WebSocket connection with same sid after"
    " upgrade": "test_a_second_socket_of_a_session_on_a_socket_is_closed",
    "Socket.IO protocol > connect > should allow connection to the main namespace": (
        "test_the_main_namespace_lets_anybody_in"
    ),
    "Socket.IO protocol > connect > should allow connection to the main namespace with a payload": (
        "test_the_main_namespace_hears_the_auth_payload"
    ),
    "Socket.IO protocol > connect > should allow connection to a custom namespace": (
        "test_a_custom_namespace_lets_anybody_in"
    ),
    "Socket.IO protocol > connect > should allow connection to a custom namespace with a payload": (
        "test_a_custom_namespace_hears_the_auth_payload"
    ),
    "Socket.IO protocol > connect > should disallow connection to an unknown namespace": (
        "test_an_unknown_namespace_is_refused"
    ),
    "Socket.IO protocol > connect > should disallow connection with an invalid handshake": (
        "test_who_begins_with_no_packet_is_closed"
    ),
    "Socket.IO protocol > connect > should close the connection if no handshake is received": (
        "test_who_says_nothing_is_closed"
    ),
    "Socket.IO protocol > disconnect > should disconnect from the main namespace": (
        "test_who_leaves_the_main_namespace_still_hears_pings"
    ),
    "Socket.IO protocol > disconnect > should connect then disconnect from a custom namespace": (
        "test_who_leaves_a_custom_namespace_stays_in_the_main_one"
    ),
    "Socket.IO protocol > message > should send a plain-text packet": "test_an_event_is_answered",
    "Socket.IO protocol > message > should send a packet with binary attachments": (
        "test_an_event_with_attachments_is_answered_with_them"
    ),
    "Socket.IO protocol > message > should send a plain-text packet with an ack": (
        "test_an_event_is_acknowledged"
    ),
    "Socket.IO protocol > message > should send a packet with binary attachments and an ack": (
        "test_an_event_with_attachments_is_acknowledged_with_them"
    ),
    "Socket.IO protocol > message > should close the connection upon invalid format (unknown packet"
    " type)": "test_a_packet_of_an_unknown_type_closes",
    "Socket.IO protocol > message > should close the connection upon invalid format (invalid"
    " payload format)": "test_an_event_that_is_no_list_closes",
    "Socket.IO protocol > message > should close the connection upon invalid format (invalid ack"
    " id)": "test_an_ack_id_that_is_no_number_closes",
}


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    """A client of the mount."""
    async with connected(server, "/socket.io/") as client:
        yield client


@pytest.fixture
async def socket(client: Client) -> Socket:
    """A WebSocket that is in the main namespace."""
    socket, _ = await client.opened()
    await enters(socket, "40", "")
    return socket


def test_each_official_case_has_its_test() -> None:
    assert len(OFFICIAL) == len(set(OFFICIAL.values())) == 32
    assert [name for name in OFFICIAL.values() if not callable(globals().get(name))] == []


async def enters(socket: Socket, packet: str, namespace: str, auth: str = "{}") -> str:
    """This packet joins a namespace, which answers with an id and says what it heard; the id."""
    await socket.send(packet)
    answer = await socket.hear()
    assert isinstance(answer, str) and answer.startswith(f"40{namespace}"), answer
    told = json.loads(answer.removeprefix(f"40{namespace}"))
    assert await socket.hear() == f'42{namespace}["auth",{auth}]'
    sid = told.pop("sid")
    assert isinstance(sid, str) and told == {}
    return sid


async def test_the_main_namespace_lets_anybody_in(client: Client) -> None:
    socket, told = await client.opened()
    # Who knows a session's id may post to it: what others may see is another one.
    assert await enters(socket, "40", "") != told["sid"]


async def test_the_main_namespace_hears_the_auth_payload(client: Client) -> None:
    socket, _ = await client.opened()
    await enters(socket, '40{"token":"123"}', "", '{"token":"123"}')


async def test_a_custom_namespace_lets_anybody_in(client: Client) -> None:
    socket, _ = await client.opened()
    await enters(socket, "40/custom,", "/custom,")


async def test_a_custom_namespace_hears_the_auth_payload(client: Client) -> None:
    socket, _ = await client.opened()
    await enters(socket, '40/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}')


async def test_an_unknown_namespace_is_refused(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("40/random")
    assert await socket.hear() == '44/random,{"message":"Invalid namespace"}'


async def test_who_begins_with_no_packet_is_closed(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("4abc")
    await socket.ends()


async def test_who_says_nothing_is_closed(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.ends()  # though it answers pings


async def test_who_leaves_the_main_namespace_still_hears_pings(socket: Socket) -> None:
    await socket.send("41")
    assert await socket.next() == PING


async def test_who_leaves_a_custom_namespace_stays_in_the_main_one(socket: Socket) -> None:
    await enters(socket, "40/custom", "/custom,")
    await socket.send("41/custom", '42["message","message to main namespace"]')
    assert await socket.hear() == '42["message-back","message to main namespace"]'


async def test_an_event_is_answered(socket: Socket) -> None:
    await socket.send('42["message",1,"2",{"3":[true]}]')
    assert await socket.hear() == '42["message-back",1,"2",{"3":[true]}]'


async def test_an_event_with_attachments_is_answered_with_them(socket: Socket) -> None:
    await socket.send(f'452-["message",{PLACES}]', FIRST, SECOND)
    assert await socket.hear() == f'452-["message-back",{PLACES}]'
    assert [await socket.hear(), await socket.hear()] == [FIRST, SECOND]


async def test_an_event_is_acknowledged(socket: Socket) -> None:
    await socket.send('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert await socket.hear() == '43456[1,"2",{"3":[false]}]'


async def test_an_event_with_attachments_is_acknowledged_with_them(socket: Socket) -> None:
    await socket.send(f'452-789["message-with-ack",{PLACES}]', FIRST, SECOND)
    assert await socket.hear() == f"462-789[{PLACES}]"
    assert [await socket.hear(), await socket.hear()] == [FIRST, SECOND]


async def test_a_packet_of_an_unknown_type_closes(socket: Socket) -> None:
    await socket.send("4abc")
    await socket.ends()


async def test_an_event_that_is_no_list_closes(socket: Socket) -> None:
    await socket.send("42{}")
    await socket.ends()


async def test_an_ack_id_that_is_no_number_closes(socket: Socket) -> None:
    await socket.send('42abc["message-with-ack",1,"2",{"3":[false]}]')
    await socket.ends()
