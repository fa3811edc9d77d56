"""What no well-behaved client says on `/hub`: handshakes, messages, counts, ids.

What breaks the rules ends its connection, in the words of the protocol; what nobody asked for is
passed over. Somebody new finds all as it should be, and no bug was logged.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anywire.wires.signalr.records import framed
from tests.conformance.served import NAMES, TIMEOUT, Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.net]

LARGEST = 256 * 1024
HAND = '{"protocol":"json","version":1}\x1e'
PACKED = '{"protocol":"messagepack","version":1}\x1e'
pack = msgspec.msgpack.encode


class Hub:
    """A client of the hub, and what it has opened."""

    def __init__(self, server: Served, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.url = f"{server.url}/hub"
        self._http = http
        self._stack = stack

    async def socket(self, token: str = "") -> ClientConnection:
        """A WebSocket that has said nothing."""
        url = f"ws{self.url.removeprefix('http')}" + (f"?id={token}" if token else "")
        async with asyncio.timeout(TIMEOUT):
            socket = await connect(
                url, compression=None, ping_interval=None, max_size=None, proxy=None
            )
        self._stack.push_async_callback(socket.close)
        return socket

    async def opened(self, token: str = "", hand: str = HAND) -> ClientConnection:
        """… and has shaken hands."""
        socket = await self.socket(token)
        await socket.send(hand)
        assert await next_of(socket) in ("{}\x1e", b"{}\x1e")
        return socket

    async def negotiate(self, query: str = "") -> dict[str, Any]:
        async with self._http.post(f"{self.url}/negotiate?negotiateVersion=1{query}") as said:
            assert said.status == 200
            found = await said.json()
            assert isinstance(found, dict)
            return found

    async def request(
        self, method: str, token: str, body: bytes = b"", *, accept: str = "*/*"
    ) -> tuple[int, bytes]:
        async with (
            asyncio.timeout(TIMEOUT),
            self._http.request(
                method, self.url, params={"id": token}, data=body, headers={"Accept": accept}
            ) as said,
        ):
            return said.status, await said.read()

    async def polls(self) -> str:
        """The token of a connection on long polls that has shaken hands."""
        token = (await self.negotiate())["connectionToken"]
        assert isinstance(token, str)
        assert await self.request("GET", token) == (200, b"")
        assert await self.request("POST", token, HAND.encode()) == (200, b"")
        assert await self.request("GET", token) == (200, b"{}\x1e")
        return token

    async def works(self) -> None:
        """All is as it should be for somebody new."""
        await echoes(await self.opened())
        packed = await self.opened(hand=PACKED)
        await packed.send(framed(pack([1, {}, "e", "Echo", [b"\x1e"]])))
        assert await next_of(packed) == framed(pack([3, {}, "e", 3, b"\x1e"]))


async def next_of(socket: ClientConnection) -> str | bytes:
    """The next message that is no ping."""
    async with asyncio.timeout(TIMEOUT):
        while (said := await socket.recv()) in ('{"type":6}\x1e', b"\x02\x91\x06"):
            pass
        return said


async def told(socket: ClientConnection) -> dict[str, Any]:
    """The next message, one alone in its frame."""
    said = await next_of(socket)
    assert isinstance(said, str)
    found = json.loads(said.removesuffix("\x1e"))
    assert isinstance(found, dict)
    return found


async def ended(socket: ClientConnection) -> list[str | bytes]:
    """What was said before the server closed."""
    said: list[str | bytes] = []
    with suppress(ConnectionClosed):
        while True:
            said.append(await next_of(socket))
    return said


async def refuses(socket: ClientConnection, code: int = 4400) -> None:
    """A Close message, and a close code."""
    said = await ended(socket)
    assert len(said) == 1
    if isinstance(said[0], str):
        close = json.loads(said[0].removesuffix("\x1e"))
        assert close["type"] == 7 and close["error"]
    else:
        assert said[0][1:3] == b"\x93\x07"
    assert socket.close_code == code


async def echoes(socket: ClientConnection) -> None:
    """Invocations are completed; what was said before is passed over."""
    told = {"type": 1, "target": "Echo", "arguments": ["mark"], "invocationId": "mark"}
    await socket.send(json.dumps(told) + "\x1e")
    completion = '{"type":3,"invocationId":"mark","result":"mark"}\x1e'
    while await next_of(socket) != completion:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One for all tests: what one of them breaks, the next ones see."""
    with serving() as server:
        yield server


@pytest.fixture
async def hub(server: Served) -> AsyncIterator[Hub]:
    """A client. Afterwards somebody new is served, and no bug was logged."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        hub = Hub(server, http, stack)
        yield hub
        await hub.works()
    assert "Traceback" not in server.said()


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
