"""What the official suites ask of every Engine.IO mount, whatever is spoken on it.

A test module imports these and has a fixture `client`: a client of its mount.
"""

import json

from tests.conformance.engineio import NOOP, PING, POLLING, PONG, WEBSOCKET, Client
from tests.servers.serving import request

OPTIONS = {"pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}
PINGS = 3


async def test_a_poll_opens_a_session(client: Client) -> None:
    answer = await client.get(POLLING)
    assert (answer.status, answer.text[0]) == (200, "0")
    told = json.loads(answer.text[1:])
    assert isinstance(told.pop("sid"), str)
    assert told == OPTIONS | {"upgrades": ["websocket"]}


async def test_a_poll_with_another_revision_or_none_is_refused(client: Client) -> None:
    assert (await client.get("transport=polling")).status == 400
    assert (await client.get("EIO=abc&transport=polling")).status == 400


async def test_a_poll_with_another_transport_or_none_is_refused(client: Client) -> None:
    assert (await client.get("EIO=4")).status == 400
    assert (await client.get("EIO=4&transport=abc")).status == 400


async def test_a_session_is_opened_by_get_only(client: Client) -> None:
    assert (await client.request("POST", POLLING)).status == 400
    assert (await client.request("PUT", POLLING)).status == 400


async def test_a_socket_opens_a_session(client: Client) -> None:
    _, told = await client.opened()
    assert isinstance(told.pop("sid"), str)
    assert told == OPTIONS | {"upgrades": []}


async def test_a_socket_with_another_revision_or_none_is_refused(client: Client) -> None:
    assert (await client.refusal("transport=websocket")) in (400, None)
    assert (await client.refusal("EIO=abc&transport=websocket")) in (400, None)


async def test_a_socket_with_another_transport_or_none_is_refused(client: Client) -> None:
    assert (await client.refusal("EIO=4")) in (400, None)
    assert (await client.refusal("EIO=4&transport=abc")) in (400, None)


async def test_polls_hear_pings_as_long_as_they_are_answered(client: Client) -> None:
    sid = await client.open()
    for _ in range(PINGS):
        poll = await client.poll(sid)
        assert (poll.status, poll.text) == (200, PING)
        assert (await client.post(sid, PONG)).status == 200


async def test_a_session_on_polls_that_answers_no_ping_ends(client: Client) -> None:
    sid = await client.open()
    # It is as old as the other at least: when that is given up, so is this.
    later, _ = await client.opened()
    await later.is_given_up()
    await client.is_over(sid)


async def test_a_socket_hears_pings_as_long_as_they_are_answered(client: Client) -> None:
    socket, _ = await client.opened()
    for _ in range(PINGS):
        assert await socket.next() == PING
        await socket.send(PONG)


async def test_a_socket_that_answers_no_ping_is_closed(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.is_given_up()


async def test_a_close_on_polls_ends_the_poll_and_the_session(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    await client.reached()
    assert (await client.post(sid, "1")).status == 200
    poll = await line.answer()
    assert (poll.status, poll.body.decode()) == (200, NOOP)
    await client.is_over(sid)


async def test_a_close_on_a_socket_ends_it(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("1")
    await socket.is_given_up()


async def test_a_session_on_polls_goes_on_on_a_socket(client: Client) -> None:
    sid = await client.open()
    socket = await client.probed(sid)
    poll = await client.poll(sid)
    # What waits for the probe's end is told that it may go.
    assert (poll.status, poll.text) == (200, NOOP)
    await socket.send("5")
    await client.talks(socket)


async def test_a_poll_of_a_session_on_a_socket_is_refused(client: Client) -> None:
    sid = await client.open()
    socket = await client.upgraded(sid)
    await client.is_over(sid)
    await client.talks(socket)


async def test_a_second_socket_of_a_session_on_a_socket_is_closed(client: Client) -> None:
    sid = await client.open()
    socket = await client.upgraded(sid)
    second = await client.socket(f"{WEBSOCKET}&sid={sid}")  # accepted, not refused
    await second.is_given_up()
    await client.talks(socket)
