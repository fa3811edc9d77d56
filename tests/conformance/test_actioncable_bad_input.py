"""What no well-behaved client says on `/cable`: commands, identifiers, data, the words of AnyCable.

What is no command ends its connection with `invalid_request`; what Rails only writes to its log is
passed over. Who is beside it notices nothing, nothing is kept of who has gone, and no bug was
logged.
"""

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.conformance.actioncable import (
    LOG,
    ROOM,
    Cable,
    asked,
    command,
    echoes,
    ended,
    told,
    writes,
)
from tests.conformance.served import NAMES, NOBODY, Served

pytestmark = [pytest.mark.slow, pytest.mark.net]

LARGEST = 1_000_000
JOINS, SUBSCRIPTIONS = 100, 128
"""A second and session; a session."""
INVALID = {"type": "disconnect", "reason": "invalid_request", "reconnect": True}


@pytest.fixture
async def cable(server: Served) -> AsyncIterator[Cable]:
    """A client. Afterwards who was beside it has noticed nothing, somebody new is served, nothing
    is kept, and no bug was logged.
    """
    async with AsyncExitStack() as stack:
        cable = Cable(server, stack)
        room = ROOM.replace("lobby", "beside")
        beside = await cable.subscribed(room, user="beside")
        yield cable
        await echoes(beside, room)
        await cable.works()
    await server.is_as_before()


# --- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("", 4400),
        ("junk", 4400),
        ("null", 4400),
        ("[]", 4400),
        ("{}{}", 4400),
        ('{"command":5}', 4400),
        ('{"command":"subscribe","identifier":{}}', 4400),
        ('{"command":"subscribe","identifier":"a"', 4400),
        ("[" * 100_000, 4400),
        ('{"command":' * 50_000, 4400),
        ('{"command":"message","data":' + "[" * 100 + "]" * 100 + "}", 4400),
        (command("message"), 4400),
        (command("message", data=""), 4400),
        (command("message", data="junk"), 4400),
        (command("message", data='{"action":"echo"'), 4400),
        (command("message", data='{"action":"echo","n":NaN}'), 4400),
        (command("message", data="[" * 34 + "]" * 34), 4400),
        (command("message", data="[" * 100_000), 4400),
        (command("message", data='{"a":' * 50_000), 4400),
        (command("message")[:-1] + ',"data":{"action":"echo"}}', 4400),
        (b"", 1003),
        (b"{}", 1003),
        (b"\xff\x00", 1003),
        ("x" * (LARGEST + 1), 1009),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str | bytes) else "",
)
@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
async def test_what_is_no_command_ends_its_connection(
    cable: Cable, said: str | bytes, code: int, extended: bool
) -> None:
    socket = await cable.socket(extended=extended)
    await socket.send(command("subscribe"))
    assert [(await told(socket)).get("type") for _ in "ab"] == ["confirm_subscription", None]
    await socket.send(said)
    assert await ended(socket) in ([INVALID], [])
    assert socket.close_code == code


async def test_noise_ends_its_own_connection_at_most(cable: Cable) -> None:
    chance = random.Random(7)
    whole = command("message", data={"action": "echo", "n": [1]}).encode()
    for _ in range(20):
        socket = await cable.subscribed()
        with suppress(ConnectionClosed):
            for _ in range(5):
                at = chance.randrange(len(whole))
                noise = chance.randbytes(chance.randrange(9))
                await socket.send(whole[:at] + noise + whole[at:], text=True)
        await socket.close()


async def test_what_a_server_of_rails_only_logs_is_passed_over(cable: Cable) -> None:
    socket, other = await cable.subscribed(), await cable.subscribed(user="bo")
    for _ in range(50):
        for said in (
            "{}",
            '{"command":"subscribe"}'.replace("subscribe", "Subscribe"),
            command("subscribe"),
            command("explode"),
            command("explode", "nowhere", history=[], presence=[]),
            command("x" * 5000, "nowhere"),
            command("message", "nowhere", "junk"),
            command("unsubscribe", "nowhere"),
            command("unsubscribe", ROOM.replace(":", ": ")),
            # of another protocol than this one's
            command("join", presence={"id": "a", "info": {}}),
            command("whisper", data={"a": 1}),
            command("history", history={"since": 0}),
            command("presence"),
            command("pong"),
        ):
            await socket.send(said)
    await echoes(socket)
    await echoes(other)


# --- identifiers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "junk",
        "5",
        "[]",
        "{}",
        '{"channel":5}',
        '{"channel":""}',
        '{"channel":"RoomChannel"',
        '{"channel":"RoomChannel","room":"' + "x" * 300 + '"}',
        '{"channel":"RoomChannel","room":' + "[" * 100 + "]" * 100 + "}",
        '{"channel":"RoomChannel","room":' + "[" * 100_000,
        '{"channel":"LogChannel"}',
        '{"channel":"LogChannel","name":"a/b"}',
        '{"channel":"LogChannel","name":["a"]}',
        '{"channel":"LogChannel","__proto__":{"name":"a"}}',
        '{"channel":"cable-room"}',
        '{"channel":"Chats::WebRoomChannel"}',
        '{"channel":"Chats::::WebRoomChannel","room":"a"}',
        *(json.dumps({"channel": name, "room": "lobby"}) for name in NAMES),
    ],
    ids=lambda identifier: repr(identifier[:50]),
)
async def test_what_names_no_channel_is_rejected_alone(cable: Cable, identifier: str) -> None:
    socket = await cable.subscribed()
    for _ in range(3):
        await socket.send(command("subscribe", identifier))
        assert await told(socket) == {"identifier": identifier, "type": "reject_subscription"}
    await echoes(socket)
    standing = await cable.server.standing()
    assert standing["members"] == 2 + NOBODY["members"]


@pytest.mark.parametrize("name", [*NAMES, "x y", "ü😀", "a/b", "%2F", "{name}"])
async def test_a_name_is_data_whatever_it_is_elsewhere(cable: Cable, name: str) -> None:
    identifier = json.dumps({"channel": "RoomChannel", "room": name, name: {name: 1}})
    socket = await cable.subscribed(identifier)
    await socket.send(command("message", identifier, {"action": "speak", "text": {name: [name]}}))
    said = await told(socket)
    assert said["message"] == {"from": "ana", "text": {name: [name]}}
    about = await asked(socket, identifier, action="whoami")
    assert about["params"][name] == {name: 1}
    await echoes(socket, identifier)


async def test_subscriptions_have_an_end_and_a_pace(cable: Cable) -> None:
    socket = await cable.subscribed()
    wanted = [json.dumps({"channel": "RoomChannel", "room": f"{n}"}) for n in range(200)]
    for identifier in wanted:
        await socket.send(command("subscribe", identifier))
    found: dict[str, str] = {}

    async def hear() -> None:
        """Take answers until an action is done, which is behind them."""
        await socket.send(command("message", data={"action": "echo", "mark": 1}))
        while (said := await told(socket)).get("message") != {"echo": {"mark": 1}}:
            if "type" in said:
                assert found.setdefault(said["identifier"], said["type"]) == said["type"]

    await hear()
    # Who comes too soon is not answered, and asks again: it is rejected when there is no place.
    first = JOINS - 1  # after those, one more for each moment that passes
    assert list(found)[:first] == wanted[:first]
    assert list(found) == [identifier for identifier in wanted if identifier in found]
    assert {found[identifier] for identifier in wanted[:first]} == {"confirm_subscription"}
    assert len(found) < len(wanted)
    while len(found) < len(wanted):
        for identifier in wanted:
            if identifier not in found:
                await socket.send(command("subscribe", identifier))
        await hear()
    confirmed = [one for one, answer in found.items() if answer == "confirm_subscription"]
    assert 1 + len(confirmed) == SUBSCRIPTIONS
    standing = await cable.server.standing()
    assert standing["members"] == SUBSCRIPTIONS + 1 + NOBODY["members"]
    await socket.send(command("unsubscribe", confirmed[0]))
    await echoes(socket)
    assert (await cable.server.standing())["members"] == standing["members"] - 1


async def test_a_subscription_that_comes_and_goes_is_one_at_most(cable: Cable) -> None:
    socket = await cable.subscribed()
    identifier = ROOM.replace("lobby", "again")
    begun = time.monotonic()
    for _ in range(300):
        await socket.send(command("subscribe", identifier))
        await socket.send(command("unsubscribe", identifier))
    await socket.send(command("message", data={"action": "echo", "mark": 1}))
    answers = []
    while (said := await told(socket)).get("message") != {"echo": {"mark": 1}}:
        answers.append(said.get("type"))
    most = JOINS * (1 + time.monotonic() - begun)
    assert set(answers) == {"confirm_subscription", None}  # None: a message, its `hello`
    assert JOINS - 1 <= answers.count("confirm_subscription") <= most
    assert (await cable.server.standing())["members"] == 2 + NOBODY["members"]


# --- actions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [*NAMES, "subscribed", "unsubscribed", "Echo", "\x00", "echo.cancel", "x" * 5000, 5, [], {}],
    ids=lambda action: repr(action)[:30],
)
async def test_an_action_that_is_not_there_is_passed_over(cable: Cable, action: object) -> None:
    socket, other = await cable.subscribed(), await cable.subscribed(user="bo")
    await socket.send(command("message", data={"action": action, "id": 1}))
    await echoes(socket)
    await echoes(other)


async def test_data_that_does_not_fit_fails_its_action_alone(cable: Cable) -> None:
    socket = await cable.subscribed()
    for odd in (5, "", [], [[1]], None):
        await socket.send(command("message", data={"event": "echo", "data": odd}))
        said = (await told(socket))["message"]
        assert (said["event"], said["data"]["code"]) == ("error", "invalid")
        assert await asked(socket, action="speak", text=odd) == {"from": "ana", "text": odd}
    said = await asked(socket, action="stream", room="x" * 300)
    assert (said["event"], said["data"]["code"]) == ("error", "invalid")
    for n in range(SUBSCRIPTIONS):
        said = await asked(socket, action="stream", room=n)
        if said != {"streaming": n}:
            break
    assert said["data"]["code"] == "busy"
    assert (await cable.server.standing())["rooms"] <= SUBSCRIPTIONS + 1 + NOBODY["rooms"]
    await echoes(socket)


# --- the extended protocol ------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [None, 5, "", [], {}, {"id": 5}, {"id": "a", "info": 5}])
async def test_a_presence_that_is_none_is_no_presence(cable: Cable, odd: object) -> None:
    socket = await cable.logs()
    await socket.send(command("join", LOG, presence=odd))
    await socket.send(command("message", LOG, {"action": "$presence:join", "info": odd}))
    await socket.send(command("presence", LOG, presence=odd, data=[]))
    while (said := await told(socket)).get("message", {}).get("type") != "info":
        pass
    # An object, even one that is of no use, is what an application may be told of somebody.
    assert said["message"]["total"] == isinstance(odd, dict)
    await socket.send(command("leave", LOG, presence=odd))
    await writes(socket)


@pytest.mark.parametrize("name", [*NAMES, "x" * 300, ""])
async def test_a_key_of_presence_is_data_whatever_it_is_elsewhere(cable: Cable, name: str) -> None:
    watcher, socket = await cable.logs(), await cable.logs()
    about = {"id": name, "info": {name: {name: 1}}}
    await socket.send(command("join", LOG, presence=about))
    while (said := await told(watcher)).get("message", {}).get("type") != "join":
        pass
    assert said["message"]["info"] == about["info"]
    await writes(socket)


@pytest.mark.parametrize(
    "history",
    [
        None,
        5,
        [],
        {},
        {"since": "yesterday"},
        {"since": -1},
        {"since": 10**30},
        {"streams": 5},
        {"streams": {"log": 5}},
        {"streams": {"__proto__": {"epoch": "x", "offset": -1}}},
        {"streams": {f"{n}": {"epoch": "x", "offset": 10**18} for n in range(5000)}},
    ],
    ids=lambda history: repr(history)[:40],
)
async def test_a_history_that_nobody_has_is_rejected_alone(cable: Cable, history: object) -> None:
    socket = await cable.logs()
    await socket.send(command("history", LOG, history=history))
    said = await told(socket)
    while "type" not in said or said["type"] == "presence":
        said = await told(socket)
    assert said["type"] in ("reject_history", "confirm_history")
    await socket.send(command("unsubscribe", LOG))
    await socket.send(command("subscribe", LOG, history=history, presence=history))
    await writes(socket)


async def test_a_session_that_nobody_gave_away_is_none(cable: Cable) -> None:
    for sid in ("nobody", "__proto__", "a.b.c", "%00", "x" * 3000):
        where = f"ws{cable.server.url.removeprefix('http')}/cable?sid={sid}&user=ana"
        async with connect(
            where, subprotocols=[Subprotocol("actioncable-v1-ext-json")], proxy=None
        ) as socket:
            said = await told(socket)
            assert said["type"] == "welcome" and not said.get("restored")
            assert said["sid"] != sid
            await socket.send(command("pong", LOG))
            await socket.send(command("pong", "x" * 5000))
