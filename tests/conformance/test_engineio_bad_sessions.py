"""Sessions of both Engine.IO mounts whose clients do not behave: whose they are, how they move to a
socket or do not, and what is said on it.

As for requests (test_engineio_bad_input.py): what is nobody's fault goes on, and somebody new finds
all as it should be.
"""

import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.conformance.engineio import MOUNTS, POLLING, WEBSOCKET, Client, said_at_random
from tests.conformance.engineio import client as connected
from tests.conformance.served import LARGEST, Served
from tests.servers.serving import request

pytestmark = [pytest.mark.slow, pytest.mark.net]


@pytest.fixture(params=MOUNTS)
async def client(request: pytest.FixtureRequest, server: Served) -> AsyncIterator[Client]:
    """A client of each mount. Afterwards somebody new is served, and no bug was logged."""
    async with connected(server, request.param) as client:
        yield client
        await client.works()
    assert "Traceback" not in server.said()


# --- sessions -----------------------------------------------------------------------------------


async def test_ids_are_long_and_each_is_another(client: Client) -> None:
    ids = [await client.open() for _ in range(100)]
    assert len(set(ids)) == 100
    assert min(map(len, ids)) >= 20
    await client.is_over(ids[-1].swapcase())
    for at in range(-4, 0):
        assert len({sid[at] for sid in ids}) > 8  # what others can guess from their own


async def test_a_session_of_another_mount_is_unknown_and_goes_on(client: Client) -> None:
    (other,) = set(MOUNTS) - {client.path}
    async with connected(client.server, other) as stranger:
        sid = await client.open()
        await stranger.refuses(f"{POLLING}&sid={sid}", 1)
        await stranger.refuses(f"{POLLING}&sid={sid}", 1, method="POST")
        assert await stranger.refusal(f"{WEBSOCKET}&sid={sid}") == 400
        await client.goes_on(sid)


@pytest.mark.parametrize("revision", ["", "EIO=3", "EIO=5", "EIO=abc", "EIO=04", "EIO=%D9%A4"])
async def test_a_session_is_of_one_revision_and_goes_on(client: Client, revision: str) -> None:
    sid = await client.open()
    polling, websocket = (f"{revision}&transport={name}" for name in ("polling", "websocket"))
    assert await client.refusal(f"{websocket}&sid={sid}") == 400
    await client.refuses(f"{polling}&sid={sid}", 3)
    await client.refuses(f"{polling}&sid={sid}", 3, method="POST")
    await client.goes_on(sid)
    await client.upgraded(sid)


async def test_a_session_on_polls_has_no_socket_before_the_upgrade(client: Client) -> None:
    sid = await client.open()
    await client.refuses(f"{WEBSOCKET}&sid={sid}", 3)
    await client.goes_on(sid)


async def test_a_post_to_a_session_on_a_socket_is_refused_and_it_goes_on(client: Client) -> None:
    sid = await client.open()
    socket = await client.upgraded(sid)
    for body in (client.question, "1", "abc", ""):
        assert (await client.post(sid, body)).status == 400
    await client.talks(socket)


async def test_a_session_that_has_ended_is_unknown(client: Client) -> None:
    sid = await client.open()
    await client.post(sid, "1")
    await client.refuses(f"{POLLING}&sid={sid}", 1)
    await client.refuses(f"{POLLING}&sid={sid}", 1, method="POST")
    assert await client.refusal(f"{WEBSOCKET}&sid={sid}") == 400


# --- upgrades that come to nothing --------------------------------------------------------------


@pytest.mark.parametrize("has_probed", [False, True])
async def test_an_upgrade_that_never_ends_is_over_with_its_session(
    client: Client, has_probed: bool
) -> None:
    sid = await client.open()
    socket = await (client.probed(sid) if has_probed else client.socket(f"{WEBSOCKET}&sid={sid}"))
    await client.goes_on(sid)
    await client.post(sid, "1")
    await socket.ends()
    await client.is_over(sid)


async def test_an_upgrade_that_never_ends_is_over_when_the_session_is_given_up(
    client: Client,
) -> None:
    socket = await client.probed(await client.open())
    await socket.is_given_up()


@pytest.mark.parametrize("has_probed", [False, True])
@pytest.mark.parametrize(
    "packet",
    ["", "0", "1", "2", "2other", "3probe", "4hello", "6", "7", "abc", b"", b"2probe", b"5"],
)
async def test_a_wrong_word_ends_the_upgrade_and_not_the_session(
    client: Client, packet: str | bytes, has_probed: bool
) -> None:
    sid = await client.open()
    socket = await (client.probed(sid) if has_probed else client.socket(f"{WEBSOCKET}&sid={sid}"))
    await socket.send(packet)
    await socket.ends()
    await client.goes_on(sid)
    await client.upgraded(sid)


@pytest.mark.parametrize("has_probed", [False, True])
async def test_an_upgrade_that_hangs_up_leaves_the_session_where_it_is(
    client: Client, has_probed: bool
) -> None:
    sid = await client.open()
    socket = await (client.probed(sid) if has_probed else client.socket(f"{WEBSOCKET}&sid={sid}"))
    socket.drop()
    await client.goes_on(sid)


async def test_a_second_upgrade_at_once_is_closed(client: Client) -> None:
    sid = await client.open()
    socket = await client.probed(sid)
    second = await client.socket(f"{WEBSOCKET}&sid={sid}")
    await second.ends()
    await socket.send("5")
    await client.talks(socket)


async def test_a_poll_that_hangs_is_let_go_by_a_probe(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    await client.reached()
    socket = await client.probed(sid)
    answer = await line.answer()
    assert (answer.status, answer.body) == (200, b"6")
    await socket.send("5")
    await client.talks(socket)


# --- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "",
        "1",
        "2",
        "2probe",
        "7",
        "8",
        "9",
        "9hello",
        "a",
        "é",
        "\u0664",
        " 4",
        "-1",
        "\x00",
        "\x1e",
    ],
)
async def test_what_is_no_packet_of_a_client_closes(client: Client, message: str) -> None:
    socket, _ = await client.opened()
    await socket.send(message)
    await socket.ends()  # the official server passes over 1


@pytest.mark.parametrize(
    "message",
    ["0", "0{}", "3probe", "5", "5probe", "6", "6junk", "b", "bAQ", "bAQIDBA==", "b!!!", "bé", b""],
)
async def test_an_odd_packet_is_passed_over_or_closes(client: Client, message: str | bytes) -> None:
    socket, _ = await client.opened()
    await socket.send(message)
    await client.is_answered(socket)


async def test_pongs_that_nobody_asked_for_are_passed_over(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("3", "3", "3")
    assert await client.is_answered(socket)


async def test_text_that_is_none_closes(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send_text(b"4\xff\xfe")
    assert await socket.ends() == 1007


async def test_a_message_that_is_too_large_closes(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send("4" + "x" * LARGEST)
    assert await socket.ends() == 1009


async def test_the_largest_message_is_taken(server: Served) -> None:
    async with connected(server, "/engine.io/") as client:
        socket, _ = await client.opened()
        for largest in ("4" + "x" * (LARGEST - 1), b"x" * LARGEST):
            await socket.send(largest)
            assert await socket.hear() == largest


# --- anything -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_any_messages_close_or_do_not(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        socket, _ = await client.opened()
        with suppress(ConnectionClosed):
            for _ in range(chance.randrange(1, 8)):
                await socket.send(said_at_random(chance))
        await client.is_answered(socket)
