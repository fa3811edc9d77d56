"""What no well-behaved client says on `/socket`: messages, lengths, topics, joins, bodies of polls.

What breaks the rules ends its connection, in the words of the protocol; a push that cannot be done
is answered, and that is all. Who is beside it notices nothing, nothing is kept of who has gone, and
no bug was logged.
"""

import base64
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from io import BytesIO

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conformance.phoenix import (
    BEAT,
    TOPIC,
    Phone,
    asked,
    changed,
    echoes,
    ended,
    pushed,
    told,
)
from tests.conformance.served import NAMES, NOBODY, Served

pytestmark = [pytest.mark.slow, pytest.mark.net]

LARGEST = 1_000_000
LARGEST_BODY = 4_000_000
JOINS, TOPICS, WAITING = 100, 128, 64
"""A second and session; a session; a member."""
LINES = 1000


@pytest.fixture
async def phone(server: Served) -> AsyncIterator[Phone]:
    """A client. Afterwards who was beside it has noticed nothing, somebody new is served, nothing
    is kept, and no bug was logged.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        phone = Phone(server, http, stack)
        beside = await phone.joined("room:beside", user="beside")
        yield phone
        await echoes(beside, "room:beside")
        await phone.works()
    await server.is_as_before()


async def ends(socket: ClientConnection, said: str | bytes, code: int) -> None:
    """This message is its connection's last, and nothing is said to it."""
    await socket.send(said)
    assert await ended(socket) == []
    assert socket.close_code == code


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("", 4400),
        ("junk", 4400),
        ("null", 4400),
        ("{}", 4400),
        ("[]", 4400),
        ("[" * 100_000, 4400),
        (f'["1","2","{TOPIC}","echo"]', 4400),
        (f'["1","2","{TOPIC}","echo",{{"a":', 4400),
        (f'["1","2","{TOPIC}","echo",{{}}', 4400),
        (f'["1","2","{TOPIC}","echo",{{}}]x', 4400),
        (f'["1","2","{TOPIC}","echo",NaN]', 4400),
        (f'["1","2","{TOPIC}","echo",{"[" * 33}{"]" * 33}]', 4400),
        (f'["1","2","{TOPIC}","echo",{"[" * 100_000}{"]" * 100_000}]', 4400),
        (f'["1","2","{TOPIC}","echo",' + '{"a":' * 100_000, 4400),
        ('["1","2",null,"echo",{}]', 4400),
        ('["1","2",["room:lobby"],"echo",{}]', 4400),
        (f'["1","2","{TOPIC}",7,{{}}]', 4400),
        (f'["1",{{}},"{TOPIC}","echo",{{}}]', 4400),
        (f'["1",true,"{TOPIC}","echo",{{}}]', 4400),
        (f'["1",1.5,"{TOPIC}","echo",{{}}]', 4400),
        (f'["1",{2**63},"{TOPIC}","echo",{{}}]', 4400),
        (f'["1",{"9" * 10_000},"{TOPIC}","echo",{{}}]', 4400),
        (f'[{"9" * 10_000},"1","{TOPIC}","echo",{{}}]', 4400),
        (f'["1","{"x" * 256}","{TOPIC}","echo",{{}}]', 4400),
        (f'["{"x" * 256}","1","{TOPIC}","phx_join",{{}}]', 4400),
        ("x" * (LARGEST + 1), 1009),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str) else "",
)
async def test_a_message_that_breaks_the_rules_ends_its_connection(
    phone: Phone, said: str, code: int
) -> None:
    await ends(await phone.joined(), said, code)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", 4400),
        (b"\x00", 4400),
        (b"\x00\xff\xff\xff\xff", 4400),
        (b"\x00\x01\x01\x0a\xff1mroom:lobbyecho_binary", 4400),
        (b"\x00\x01\x01\x0a\x0c1mroom:lobbyecho_binary", 4400),
        (b"\x01\x01\x01\x0a\x0b1mroom:lobbyecho_binary", 4400),
        (b"\x02\x01\x01\x0a\x0b1mroom:lobbyecho_binary", 4400),
        (b"\xff\x01\x01\x0a\x0b1mroom:lobbyecho_binary", 4400),
        (b"\x00\x01\x01\x01\x01\xff\xff\xff\xff", 1007),
        (b"\x00\x01\x01\x0a\x0b1mroom:lobb\xffecho_binary", 1007),
        (bytes(LARGEST + 1), 1009),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
async def test_bytes_whose_lengths_lie_end_their_connection(
    phone: Phone, said: bytes, code: int
) -> None:
    await ends(await phone.joined(), said, code)


@pytest.mark.parametrize(
    ("said", "code"), [("[]", 4400), (BEAT, 4400), ('{"topic":"phoenix"}', 4400), (b"\x00", 1003)]
)
async def test_the_first_serializer_has_its_own_rules(
    phone: Phone, said: str | bytes, code: int
) -> None:
    await ends(await phone.socket(version=1), said, code)


async def test_noise_ends_its_own_connection_at_most(phone: Phone) -> None:
    chance = random.Random(7)
    text = f'["1","2","{TOPIC}","echo",{{"a":[1]}}]'.encode()
    whole = pushed(TOPIC, "echo_binary", b"\x01")
    for _ in range(10):
        for said, is_text in ((text, True), (whole, False)):
            socket = await phone.joined()
            with suppress(ConnectionClosed):
                for _ in range(5):
                    at = chance.randrange(len(said))
                    noise = chance.randbytes(chance.randrange(9))
                    await socket.send(said[:at] + noise + said[at:], text=is_text)
            await socket.close()


# --- pushes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        *NAMES,
        "",
        "Echo",
        "\x00",
        "echo.cancel",
        "message",
        "x" * 5000,
        # what a server says
        "phx_reply",
        "phx_error",
        "phx_close",
        "presence_state",
        "presence_diff",
    ],
)
async def test_an_event_that_nobody_takes_fails_alone(phone: Phone, event: str) -> None:
    socket, other = await phone.joined(), await phone.joined(user="bo")
    answer = await asked(socket, event, {})
    assert answer["status"] == "error"
    assert answer["response"]["reason"] == "unknown_event"
    await echoes(socket)
    await echoes(other)


async def test_payloads_that_do_not_fit_fail_their_push_alone(phone: Phone) -> None:
    socket = await phone.joined()
    for event, payload in (
        ("binary_bytes", {}),
        ("binary_bytes", None),
        ("echo_binary", [1, 2]),
        ("shout_binary", {"data": {}}),
    ):
        answer = await asked(socket, event, payload)
        assert (answer["status"], answer["response"]["reason"]) == ("error", "invalid")
    odds: list[object] = [None, 5, "", [], [[]], {"status": "ok"}, dict.fromkeys(NAMES, 1)]
    for odd in odds:
        answer = await asked(socket, "fail", odd)
        assert answer == {"status": "error", "response": {"reason": "failed", "got": odd}}
    await socket.send(pushed(TOPIC, "nowhere", b"\x00"))
    assert (await told(socket))[4]["response"]["reason"] == "unknown_event"
    await echoes(socket)


async def test_what_is_said_where_nobody_is_is_unmatched(phone: Phone) -> None:
    socket = await phone.joined()
    failure = {"status": "error", "response": {"reason": "unmatched topic"}}
    for topic in (*NAMES, "", "room", "room:", "room:elsewhere", "phoenix", "x" * 5000):
        for n in range(20):
            await socket.send(json.dumps([f"{n}", "7", topic, "echo", {}]))
            assert await told(socket) == [None, "7", topic, "phx_reply", failure]
    for n in range(300):  # a leave of nothing is a leave that is done
        await socket.send(json.dumps([f"{n}", "7", f"room:{n}", "phx_leave", {}]))
        answer = [f"room:{n}", "phx_reply", {"status": "ok", "response": {}}]
        assert (await told(socket))[2:] == answer
    await echoes(socket)


async def test_who_pushes_faster_than_it_is_done_is_told_and_then_ended(phone: Phone) -> None:
    socket = await phone.joined()
    await socket.send('["s","s","room:slow_join","phx_join",{}]')
    with suppress(ConnectionClosed):
        for n in range(500):
            await socket.send(json.dumps(["s", f"{n}", "room:slow_join", "echo", {}]))
    said = [json.loads(one) for one in await ended(socket)]
    assert {one[4]["response"]["reason"] for one in said} == {"busy"}
    assert 0 < len(said) < 500 - WAITING
    assert [one[1] for one in said] == [f"{WAITING + n}" for n in range(len(said))]
    assert socket.close_code == 4429


# --- topics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "x y", "ü😀", "room:room:", "%2F", "*", "{name}"])
async def test_a_name_is_data_whatever_it_is_elsewhere(phone: Phone, name: str) -> None:
    topic = f"room:{name}"
    socket = await phone.joined(topic)
    await echoes(socket, topic)
    odd = {name: {name: [name]}}
    assert await asked(socket, "echo", odd, topic) == {"status": "ok", "response": odd}


@pytest.mark.parametrize("name", [*NAMES, "phx_ref", "metas", "x y"])
async def test_a_key_of_presence_is_data_whatever_it_is_elsewhere(phone: Phone, name: str) -> None:
    topic = f"presence:{name}"
    watcher, socket = await phone.socket(user="watcher"), await phone.socket(user=name)
    status = {name: {name: 1}, "phx_ref": "mine"}
    for one in (watcher, socket):
        await one.send(json.dumps(["1", "1", topic, "phx_join", {"status": status}]))
        assert (await told(one))[4]["status"] == "ok"
    come = await changed(watcher, "joins", name)
    assert come["metas"][0]["status"] == status
    assert come["metas"][0]["phx_ref"] != "mine"
    odds: list[object] = [{"__proto__": None}, [[]], None]
    for odd in odds:
        await socket.send(json.dumps(["1", "7", topic, "status", {"status": odd}]))
        assert (await changed(watcher, "joins", name))["metas"][0]["status"] == odd
    await socket.send(json.dumps(["1", "8", topic, "status", [1]]))
    while (answer := await told(socket))[1] != "8":
        pass
    assert answer[4]["response"]["reason"] == "invalid"
    await socket.close()
    await changed(watcher, "leaves", name)


@pytest.mark.parametrize("params", [None, 5, "", [], [{}]])
async def test_parameters_of_a_join_that_do_not_fit_fail_it_alone(
    phone: Phone, params: object
) -> None:
    socket = await phone.joined()
    for topic in ("room:other", "presence:other"):
        answer = await asked(socket, "phx_join", params, topic)
        assert (answer["status"], answer["response"]["reason"]) == ("error", "invalid")
    await socket.send(pushed("room:other", "phx_join"))
    assert (await told(socket))[4]["response"]["reason"] == "invalid"
    await echoes(socket)
    assert (await phone.server.standing())["members"] == 2 + NOBODY["members"]


async def test_a_topic_that_is_too_long_is_refused_and_not_kept(phone: Phone) -> None:
    socket = await phone.joined()
    for size in (250, 5000, 500_000):
        answer = await asked(socket, "phx_join", {}, f"room:{'x' * size}")
        assert (answer["status"], answer["response"]["reason"]) == ("error", "invalid")
    await echoes(socket)
    assert (await phone.server.standing())["members"] == 2 + NOBODY["members"]


async def test_topics_have_an_end_and_joins_a_pace(phone: Phone) -> None:
    socket = await phone.joined()
    begun = time.monotonic()
    for n in range(400):
        await socket.send(json.dumps([f"{n}", f"{n}", f"room:{n}", "phx_join", {}]))
    answers: dict[str, str] = {}
    while len(answers) < 400:
        _, ref, _, event, said = await told(socket)
        if event == "phx_reply":
            answers[ref] = said["response"].get("reason", "ok")
    found = list(answers.values())
    assert found[: JOINS - 1] == ["ok"] * (JOINS - 1)
    assert found.count("ok") <= JOINS * (1 + time.monotonic() - begun)
    assert {"ok", "rate"} <= set(found) <= {"ok", "rate", "busy"}
    # who goes on asking gets so many, and no more however long it asks
    n, reason, count = 400, "", 1 + found.count("ok")
    while reason != "busy" and count <= TOPICS:
        n += 1
        await socket.send(json.dumps([f"{n}", f"{n}", f"room:{n}", "phx_join", {}]))
        while (said := await told(socket))[3] != "phx_reply":
            pass
        reason = said[4]["response"].get("reason", "")
        assert reason in ("", "rate", "busy")
        count += reason == ""
    assert count == TOPICS
    standing = await phone.server.standing()
    assert standing["members"] == TOPICS + 1 + NOBODY["members"]
    assert standing["rooms"] == TOPICS + 1 + NOBODY["rooms"]
    await echoes(socket)


async def test_a_topic_that_is_joined_again_and_again_is_joined_once(phone: Phone) -> None:
    socket = await phone.joined()
    for n in range(2, 402):
        await socket.send(json.dumps([f"{n}", f"{n}", TOPIC, "phx_join", {}]))
    joined, closed, answers = ["1"], [], 0
    while answers < 400:
        join_ref, _, _, event, said = await told(socket)
        if event == "phx_close":
            closed.append(join_ref)
        elif event == "phx_reply":
            answers += 1
            if said["status"] == "ok":
                joined.append(join_ref)
            else:
                assert said["response"]["reason"] == "rate"
    assert len(joined) >= JOINS
    assert closed[: len(joined)] == joined  # the last one too: a join that failed came behind it
    assert (await phone.server.standing())["members"] == 1 + NOBODY["members"]
    assert await asked(socket, "phx_leave", {}) == {"status": "ok", "response": {}}


# --- long polls -----------------------------------------------------------------------------------


async def test_a_body_of_more_lines_than_may_be_ends_its_session(phone: Phone) -> None:
    token, other = await phone.polls(), await phone.polls()
    assert await phone.request("POST", token, f"{BEAT}\n" * (LINES - 1) + BEAT) == (
        200,
        {"status": 200},
    )
    heard: list[str] = []
    while len(heard) < LINES:
        _, said = await phone.request("GET", token)
        heard += said["messages"]
    assert len(heard) == LINES
    status, said = await phone.request("POST", token, f"{BEAT}\n" * LINES + BEAT)
    assert (status, said) == (400, f"a body has at most {LINES} lines\n")
    await phone.is_over(token)
    await phone.goes_on(other)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("junk", 200),
        ("!!!", 400),
        ("[]", 200),
        ('["1","2"', 200),
        (f"[]\n{BEAT}", 200),
        (f"{BEAT}\njunk!", 400),
        ("[" * 100_000, 200),
        (base64.b64encode(b"\x00\xff\xff\xff\xff").decode(), 200),
        ("A" * 5, 400),
        (b"\xff", 400),
        ("\n" * (LINES + 1), 400),
        (f'["1","2","{TOPIC}","echo","{"x" * LARGEST}"]', 200),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, str | bytes) else "",
)
async def test_a_body_that_breaks_the_rules_ends_its_session(
    phone: Phone, body: str | bytes, status: int
) -> None:
    token, other = await phone.polls(), await phone.polls()
    said = await phone.request("POST", token, body)
    assert said[0] == status
    assert status == 400 or said[1] == {"status": 410}
    await phone.is_over(token)
    await phone.goes_on(other)


async def test_a_body_over_the_limit_is_not_read_and_nothing_else_is_lost(phone: Phone) -> None:
    token = await phone.polls()
    assert (await phone.request("POST", token, BytesIO(bytes(LARGEST_BODY + 1))))[0] == 413
    assert await phone.request("POST", token, b"") == (200, {"status": 200})
    await phone.goes_on(token)


@pytest.mark.parametrize("token", ["phx.poll.a.b", "phx.poll.__proto__.x", "phx.poll.\x00.", "x"])
async def test_a_token_that_nobody_gave_away_is_none(phone: Phone, token: str) -> None:
    assert await phone.request("POST", token, BEAT) == (200, {"status": 410})
    status, said = await phone.request("GET", token)
    assert (status, said["status"]) == (200, 410)
    if "token" in said:  # it is none of a session's: one begins
        assert said["token"] != token
        await phone.request("POST", said["token"], "junk")


async def test_one_session_s_secret_opens_no_other(phone: Phone) -> None:
    token, other = await phone.polls(), await phone.polls()
    mixed = f"{token.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    await phone.is_over(mixed)
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await phone.request(method, token))[0] == 400
    for one in (token, other):
        await phone.goes_on(one)


async def test_sessions_on_polls_that_nobody_polls_are_gone_in_time(phone: Phone) -> None:
    for _ in range(200):
        await phone.request("GET")
    assert (await phone.server.standing())["sessions"] >= 200
    # Who uses the mount waits until they are gone.
