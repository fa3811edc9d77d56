"""What no well-behaved client says on `/hub`: handshakes, messages, counts, ids.

What breaks the rules ends its connection, in the words of the protocol; what nobody asked for is
passed over. Somebody new finds all as it should be, nothing is kept, and no bug was logged.
"""

import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anywire.wires.signalr.records import framed
from tests.conformance.served import NAMES, Served
from tests.conformance.signalr import HAND, PACKED, Hub, echoes, ended, next_of, refuses, told

pytestmark = [pytest.mark.slow, pytest.mark.net]

LARGEST = 256 * 1024
pack = msgspec.msgpack.encode


@pytest.fixture
async def hub(server: Served) -> AsyncIterator[Hub]:
    """A client. Afterwards somebody new is served, nothing is kept, and no bug was logged."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        hub = Hub(server, http, stack)
        yield hub
        await hub.works()
    await server.is_as_before()


# --- handshakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk",
    [
        "\x1e",
        "junk\x1e",
        b"\x00\xff\x1e",
        '{"type":6}\x1e',
        '{"protocol":"json"}\x1e',
        '{"protocol":"json","version":99}\x1e',
        '{"protocol":"__proto__","version":1}\x1e',
        f'{{"protocol":"{"x" * 5000}","version":1}}\x1e',
        f'{{"protocol":"json","version":{"9" * 1000}}}\x1e',
        "[" * 4000 + "\x1e",
        "x" * 5000,
        b"\x02\x91\x06" * 2000,
    ],
    ids=lambda junk: repr(junk[:20]),
)
async def test_who_shakes_no_hands_hears_why(hub: Hub, junk: str | bytes) -> None:
    socket = await hub.socket()
    await socket.send(junk)
    (said,) = await ended(socket)
    assert json.loads(said.rstrip("\x1e" if isinstance(said, str) else b"\x1e"))["error"]  # type: ignore[arg-type]
    assert socket.close_code == 4400


@pytest.mark.parametrize(("hand", "again"), [(HAND, HAND), (PACKED, framed(PACKED.encode()))])
async def test_a_second_handshake_ends_the_connection(
    hub: Hub, hand: str, again: str | bytes
) -> None:
    socket = await hub.opened(hand=hand)
    await socket.send(again)
    await refuses(socket)


# --- messages -------------------------------------------------------------------------------------

CALL = '{"type":1,"target":"Echo","invocationId":"1","arguments":'


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("\x1e", 4400),
        ("junk\x1e", 4400),
        ("null\x1e", 4400),
        ('{"type":"1"}\x1e', 4400),
        ('{"type":1,"target":"Echo"}\x1e', 4400),
        (f"{CALL}{{}}}}\x1e", 4400),
        (f"{CALL}[],}}\x1e", 4400),
        (f"{CALL}[NaN]}}\x1e", 4400),
        (f"{CALL}[{'[' * 100}{']' * 100}]}}\x1e", 4400),
        (f"{CALL}[{'[' * 100_000}{']' * 100_000}]}}\x1e", 4400),
        (f"{CALL}[{'{' + chr(34) + 'a' + chr(34) + ':'}" * 200 + "\x1e", 4400),
        (f'{CALL}[],"streamIds":{json.dumps([str(n) for n in range(99)])}}}\x1e', 4400),
        (f'{{"type":5,"invocationId":"{"x" * 100}"}}\x1e', 4400),
        ("x" * (LARGEST + 1), 1009),
        ("x" * 200_000 + "\x1e" + "x" * 200_000, 1009),
        ('{"type":8,"sequenceId":1}\x1e', 4400),
        ('{"type":8,"sequenceId":-1}\x1e', 4400),
        ('{"type":9,"sequenceId":1}\x1e', 4400),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str | bytes) else "",
)
async def test_json_that_breaks_the_rules_ends_the_connection(
    hub: Hub, said: str | bytes, code: int
) -> None:
    socket = await hub.opened()
    await socket.send(said)
    if code == 1009:
        await ended(socket)
        assert socket.close_code == code
    else:
        await refuses(socket, code)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x00", 4400),
        (framed(b"\xc1"), 4400),
        (framed(b"\x90"), 4400),
        (framed(pack({"type": 6})), 4400),
        (framed(b"\x95\x01\x80\xa11\xa4Echo"), 4400),
        (framed(b"\x95\x01\x80\xa11\xa4Echo\x92\xc0"), 4400),
        (framed(b"\x95\x01\x80\xa11\xa4Echo\xdd\xff\xff\xff\xff"), 4400),
        (framed(b"\x95\x01\x80\xa11\xa4Echo" + b"\x91" * 100 + b"\xc0"), 4400),
        (framed(b"\x95\x01\x80\xa11\xa4Echo" + b"\x91" * 200_000 + b"\xc0"), 4400),
        (framed(b"\x95\x01" + b"\x81\xa1a" * 80_000 + b"\xc0"), 4400),
        (b"\xff\xff\xff\xff\x7f", 1009),
        (b"\xff\xff\xff\xff\xff", 4400),
        (b"\x81\x80\x10", 1009),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
async def test_messagepack_that_breaks_the_rules_ends_the_connection(
    hub: Hub, said: bytes, code: int
) -> None:
    socket = await hub.opened(hand=PACKED)
    await socket.send(said)
    await refuses(socket, code)


async def test_what_nobody_asked_for_is_passed_over(hub: Hub) -> None:
    socket = await hub.opened()
    for n in range(300):
        for one in (
            {"type": 42, "target": []},
            {"type": 2, "invocationId": f"x{n}", "item": n},
            {"type": 3, "invocationId": f"x{n}", "result": n},
            {"type": 3, "invocationId": f"~{n}", "error": "no"},
            {"type": 5, "invocationId": f"x{n}"},
        ):
            await socket.send(json.dumps(one) + "\x1e")
    await echoes(socket)


@pytest.mark.parametrize("name", [*NAMES, "", "echo", "Echo ", "\u0000", "x" * 5000, "presence"])
async def test_a_name_is_data_whatever_it_is_elsewhere(hub: Hub, name: str) -> None:
    socket = await hub.opened()
    call = {"type": 1, "target": name, "arguments": [], "invocationId": "1"}
    await socket.send(json.dumps(call) + "\x1e")
    completion = await told(socket)
    assert (completion["type"], completion["invocationId"]) == (3, "1")
    assert completion["error"]
    await echoes(socket)


async def test_values_that_do_not_fit_fail_their_call_alone(hub: Hub) -> None:
    socket = await hub.opened()
    for n, args in enumerate(([], [1], ["a", "b"], [1, 2, 3], [None, {}], [[1], 2])):
        call = {"type": 1, "target": "Add", "arguments": args, "invocationId": str(n)}
        await socket.send(json.dumps(call) + "\x1e")
        completion = await told(socket)
        assert completion["invocationId"] == str(n) and completion["error"]
    await socket.send(f'{CALL}["\ud83d"]}}\x1e'.encode("utf-8", "surrogatepass"))
    assert (await told(socket))["error"]
    packed = await hub.opened(hand=PACKED)
    for odd in ({1: 2}, msgspec.msgpack.Ext(5, b"x")):
        await packed.send(framed(pack([1, {}, "1", "Echo", [odd]])))
        said = await next_of(packed)
        assert isinstance(said, bytes) and b"\xa11\x01" in said
    await echoes(socket)


async def test_noise_ends_its_own_connection_at_most(hub: Hub) -> None:
    chance = random.Random(7)
    whole = f"{CALL}[1]}}\x1e".encode()
    for hand in (HAND, PACKED) * 10:
        socket = await hub.opened(hand=hand)
        with suppress(ConnectionClosed):
            for _ in range(5):
                at = chance.randrange(len(whole))
                await socket.send(whole[:at] + chance.randbytes(chance.randrange(9)) + whole[at:])
        await socket.close()


# --- the client's own pace ------------------------------------------------------------------------


async def test_a_cancel_works_while_many_wait_and_typing_during_a_stream(hub: Hub) -> None:
    socket = await hub.opened()
    stream = {"type": 4, "target": "Endless", "arguments": ["bad input"], "invocationId": "s"}
    await socket.send(json.dumps(stream) + "\x1e")
    assert (await told(socket))["type"] == 2
    await echoes(socket)
    slow = {"type": 1, "target": "Slow", "arguments": [60_000, 1]}
    for n in range(64):
        await socket.send(json.dumps({**slow, "invocationId": str(n)}) + "\x1e")
    for id in ("s", *map(str, range(64))):
        await socket.send(json.dumps({"type": 5, "invocationId": id}) + "\x1e")
    left = {"s", *map(str, range(64))}
    while left:
        said = await told(socket)
        if said["type"] == 3:
            assert "error" not in said
            left.remove(said["invocationId"])
    await echoes(socket)


# --- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["nobody", "a" * 55, "\x00", "../..", "x" * 3000])
async def test_an_id_that_nobody_gave_away_is_unknown(hub: Hub, token: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        for accept in ("*/*", "text/event-stream"):
            assert (await hub.request(method, token, accept=accept))[0] == 404


async def test_the_public_id_is_no_secret_and_a_secret_is_good_once(hub: Hub) -> None:
    said = await hub.negotiate()
    token = said["connectionToken"]
    with pytest.raises(InvalidStatus) as unknown:
        await hub.socket(said["connectionId"])
    assert unknown.value.response.status_code == 404
    socket = await hub.opened(token)
    with pytest.raises(InvalidStatus) as taken:
        await hub.socket(token)
    assert taken.value.response.status_code == 409
    assert (await hub.request("GET", token))[0] == 404
    await echoes(socket)
    await socket.close()
    with pytest.raises(InvalidStatus) as spent:
        await hub.socket(token)
    assert spent.value.response.status_code == 404


async def test_a_post_that_breaks_the_rules_ends_a_connection_on_polls(hub: Hub) -> None:
    token = await hub.polls()
    status, _ = await hub.request("POST", token, b"junk\x1e")
    assert status in (200, 400, 404)
    status, body = await hub.request("GET", token)
    assert (status, json.loads(body[:-1])["type"]) == (200, 7)
    assert (await hub.request("GET", token))[0] == 404
    assert (await hub.request("POST", token, b'{"type":6}\x1e'))[0] == 404


@pytest.mark.parametrize(
    "lie",
    ['{"type":8,"sequenceId":99}', '{"type":9,"sequenceId":99}', '{"type":9,"sequenceId":0}'],
)
async def test_who_lies_about_what_came_is_closed_before_and_after_a_cut(
    hub: Hub, lie: str
) -> None:
    for is_cut in (False, True):
        token = (await hub.negotiate("&useStatefulReconnect=true"))["connectionToken"]
        socket = await hub.opened(token)
        await echoes(socket)
        if is_cut:
            socket.transport.abort()
            socket = await hub.socket(token)
            assert (await told(socket))["type"] == 9
            if '"type":8' in lie:  # it is no word of this transport yet
                await socket.send(f'{lie}\x1e{{"type":9,"sequenceId":1}}\x1e')
        await socket.send(f"{lie}\x1e")
        said = await ended(socket)
        assert isinstance(said[-1], str) and '"type":7' in said[-1]
        assert socket.close_code == 4400
        with pytest.raises(InvalidStatus):
            await hub.socket(token)
