"""What no well-behaved client says on `/socket.io/`: packets, attachments, namespaces, names.

A packet that is none ends the connection, and a name is data, whatever it is elsewhere; where the
protocol leaves the answer open, so do the tests. Somebody new finds all as it should be.
"""

import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.conformance.engineio import PING, PONG, Client, Socket
from tests.conformance.engineio import client as connected
from tests.conformance.served import LARGEST, NAMES, Served

pytestmark = [pytest.mark.slow, pytest.mark.net]

MARK, MARKED = '42["message","mark"]', '42["message-back","mark"]'
PLACE = '{"_placeholder":true,"num":0}'
OBJECT = '{"a":'
BYTES = bytes([1, 2, 3])


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    """A client. Afterwards somebody new is served, and no bug was logged."""
    async with connected(server, "/socket.io/") as client:
        yield client
        await client.works()
        await answers(await joined(client))
    assert "Traceback" not in server.said()


@pytest.fixture
async def socket(client: Client) -> Socket:
    """A WebSocket that is in the main namespace."""
    return await joined(client)


async def joined(client: Client) -> Socket:
    """Another one."""
    socket, _ = await client.opened()
    await socket.send("40")
    answer = await socket.hear()
    assert isinstance(answer, str) and answer.startswith('40{"sid":"')
    assert await socket.hear() == '42["auth",{}]'
    return socket


async def answers(socket: Socket) -> None:
    """Events in the main namespace are answered."""
    await socket.send(MARK)
    assert await socket.hear() == MARKED


async def leaves(client: Client, socket: Socket) -> None:
    """The main namespace is left, and that is done: the official server does it a little later."""
    await socket.send("41")
    await client.talks(socket)


# --- packets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packet",
    [
        # no type
        "",
        "7",
        "8",
        "9",
        "a",
        "-1",
        ' 2["message"]',
        '\u06622["message"]',  # the digit two, in Arabic
        # no event
        "2{}",
        "2[]",
        "2[{}]",
        "2[null]",
        "2[true]",
        '2[["message"]]',
        '2"message"',
        "2null",
        # no JSON
        "2[",
        '2["message"',
        '2["message",]',
        '2["message"]x',
        '2["message"][]',
        "2['message']",
        '2["message",NaN]',
        '2["message",Infinity]',
        '2["message",01]',
        '2["message",0x1]',
        '2["message",1_000]',
        '2["message","\\x"]',
        '2["message","\n"]',
        '2["message"]\x00',
        # no number of an event
        '2-1["message-with-ack"]',
        '2+1["message-with-ack"]',
        '21.5["message-with-ack"]',
        '20x1["message-with-ack"]',
        '21_0["message-with-ack"]',
        '2\u0663["message-with-ack"]',
        # no answer
        "31{}",
        '31"x"',
        "31null",
        # what only a server says, and what it has heard already
        "4",
        '4{"message":"no"}',
        # no farewell
        "1[]",
        "1{}",
        # where it is not
        '2/custom,["message"]',
        '2/nowhere,["message"]',
        '2/__proto__,["message"]',
        "1/nowhere,",
        "3/nowhere,1[]",
        # no number of attachments
        "5",
        "5-",
        '5["message"]',
        '5-["message"]',
        '5-1-["message"]',
        '51["message"]',
        '51.5-["message"]',
        '5Infinity-["message"]',
        '5\u0663-["message"]',
        # more than anybody needs
        '5100-["message"]',
        '51e3-["message"]',
        f'5{10**30}-["message"]',
        f"6{10**6}-1[]",
        # no event, no answer
        "51-{}",
        "51-[]",
        "51-null",
        "61-1{}",
        BYTES,
        b"",
    ],
)
async def test_what_is_no_packet_ends_the_session(socket: Socket, packet: str | bytes) -> None:
    await socket.send(f"4{packet}" if isinstance(packet, str) else packet)
    await socket.ends()


@pytest.mark.parametrize(
    "packet",
    [
        "2",
        "2[1]",
        '2[1.5,"x"]',
        '2[""]',
        '2["connect"]',
        '2["connect_error"]',
        '2["disconnect"]',
        '2["disconnecting"]',
        '2["newListener"]',
        '2["removeListener"]',
        '2["error","x"]',
        f'2["{"x" * 5000}"]',
        '2/,["message"]',
        '2 1["message-with-ack"]',
        f'2{10**21}["message-with-ack",1]',
        f'2{"9" * 5000}["message-with-ack",1]',
        '2["message",1e400]',
        '2["message",1e-400,-0]',
        '2["message","\\ud800"]',
        '2["message","\\u0000"]',
        '2["message",{"a":1,"a":2}]',
        '2["message",{"toJSON":1}]',
        f'2["message",{"[" * 100}{"]" * 100}]',
        f'2["message",{"[" * 100_000}{"]" * 100_000}]',
        f'2["message",{OBJECT * 50_000}1{"}" * 50_000}]',
        f'2["message"{",1" * 100_000}]',
        "3",
        "3[]",
        "31",
        '5 1-["message"]',
        "51-",
        "61-1",
    ],
    ids=lambda packet: packet[:24],
)
async def test_an_odd_packet_is_passed_over_or_ends_the_session(
    client: Client, socket: Socket, packet: str
) -> None:
    await socket.send(f"4{packet}")
    await client.is_answered(socket)


@pytest.mark.parametrize(
    "packet",
    [
        '2["nobody listens"]',
        '217["nobody listens"]',
        '2["message-with-ack",1]',
        "31[]",
        '312["x",1]',
        "3123456789012[]",
        *(f'2["{name}",1]' for name in [*NAMES, "emit", "on", "close", "send", "valueOf"]),
        *(f'21["{name}",{{}}]' for name in NAMES),
    ],
)
async def test_what_nobody_waits_for_is_passed_over(socket: Socket, packet: str) -> None:
    await socket.send(f"4{packet}")
    await answers(socket)


@pytest.mark.parametrize("packet", ["0", '0{"token":"123"}', "60-1[]"])
async def test_who_asks_twice_or_attaches_nothing_is_passed_over(
    socket: Socket, packet: str
) -> None:
    await socket.send(f"4{packet}")
    await answers(socket)


async def test_an_event_that_announces_no_attachment_is_whole(socket: Socket) -> None:
    await socket.send('450-["message",1]')
    assert await socket.hear() == '42["message-back",1]'
    await answers(socket)


@pytest.mark.parametrize("packet", [MARK, "41", '4212["message-with-ack"]', "431[]"])
async def test_who_has_left_a_namespace_says_no_more_in_it(
    client: Client, socket: Socket, packet: str
) -> None:
    await leaves(client, socket)
    await socket.send(packet)
    await socket.ends()


async def test_who_has_left_a_namespace_may_come_back(client: Client, socket: Socket) -> None:
    await leaves(client, socket)
    await socket.send("40")
    answer = await socket.hear()
    assert isinstance(answer, str) and answer.startswith('40{"sid":"')
    assert await socket.hear() == '42["auth",{}]'
    await answers(socket)


@pytest.mark.parametrize(
    "packet",
    [
        '2["message",1]',
        '21["message-with-ack",1]',
        "31[]",
        "1",
        "4",
        "0[]",
        '0"x"',
        "0null",
        "0true",
        "0{",
        "0{}}",
        '0{"a":NaN}',
        "0custom,",
        "0/custom,[]",
        "0/custom,null",
        BYTES,
    ],
)
async def test_nobody_begins_with_anything_but_a_connect(
    client: Client, packet: str | bytes
) -> None:
    socket, _ = await client.opened()
    await socket.send(f"4{packet}" if isinstance(packet, str) else packet)
    await socket.ends()


async def test_who_only_polls_is_ended_too(client: Client) -> None:
    sid = await client.open()
    heard = PING
    while heard == PING:
        answer = await client.poll(sid)
        assert answer.status == 200
        heard = answer.text
        if heard == PING:
            await client.post(sid, PONG)
    assert heard == "1"
    await client.is_over(sid)


# --- names and keys -----------------------------------------------------------------------------

KEYS = '{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}},"__class__":null,"a.b":0}'


async def test_keys_are_data(socket: Socket) -> None:
    await socket.send(f'42["message",{KEYS}]')
    assert await socket.hear() == f'42["message-back",{KEYS}]'
    await socket.send(f'4212["message-with-ack",{KEYS}]')
    assert await socket.hear() == f"4312[{KEYS}]"


async def test_keys_of_an_auth_payload_are_data(client: Client) -> None:
    socket, _ = await client.opened()
    await socket.send(f"40{KEYS}")
    await socket.hear()
    assert await socket.hear() == f'42["auth",{KEYS}]'


@pytest.mark.parametrize(
    "namespace",
    [
        *(f"/{name}" for name in NAMES),
        "/CUSTOM",
        "/custom/",
        "/custom?token=1",
        "/custom%00",
        "//",
        "/ custom",
        "/é\U0001f600",
        "/a/../custom",
        '/custom{"token":1}',
        "/\u202ecustom",
    ],
)
async def test_another_namespace_is_refused_by_its_name(socket: Socket, namespace: str) -> None:
    await socket.send(f"40{namespace},")
    assert await socket.hear() == f'44{namespace},{{"message":"Invalid namespace"}}'
    await answers(socket)


@pytest.mark.parametrize(
    "packets",
    [
        [f"40/{'x' * 100_000},"],
        ["40/\x00,"],
        ["40/\n,"],
        ['40/"],'],
        ["40/custom", "40/custom"],
        [f"40/{number}," for number in range(1000)],
        ["40/custom,", "41/custom,"] * 100,
    ],
    ids=["long", "null", "line", "quote", "twice", "many", "in and out"],
)
async def test_an_odd_namespace_is_refused_or_ends_the_session(
    socket: Socket, packets: list[str]
) -> None:
    with suppress(ConnectionClosed):
        await socket.send(*packets, MARK)
        while await socket.hear() != MARKED:
            pass


# --- attachments --------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [[MARK], [BYTES, MARK], [BYTES, "41"], [BYTES, f"451-{PLACE}"]])
async def test_an_attachment_that_does_not_come_ends_the_session(
    socket: Socket, rest: list[str | bytes]
) -> None:
    await socket.send(f'452-["message",{PLACE},{PLACE}]', *rest)
    await socket.ends()


async def test_an_attachment_that_nobody_announced_ends_the_session(socket: Socket) -> None:
    await socket.send(f'451-["message",{PLACE}]', BYTES)
    assert await socket.hear() == f'451-["message-back",{PLACE}]'
    assert await socket.hear() == BYTES
    await socket.send(BYTES)
    await socket.ends()


@pytest.mark.parametrize("data", [BYTES, b"", b"\x00" * LARGEST], ids=["few", "none", "largest"])
async def test_an_attachment_may_come_after_a_ping(socket: Socket, data: bytes) -> None:
    await socket.send(f'451-["message",{PLACE}]')
    while await socket.next() != PING:
        pass
    await socket.send(PONG, data)
    assert await socket.hear() == f'451-["message-back",{PLACE}]'
    assert await socket.hear() == data


async def test_an_attachment_may_come_in_another_body(client: Client) -> None:
    sid = await client.open()
    await client.post(sid, f'40\x1e451-12["message-with-ack",{PLACE}]')
    assert (await client.post(sid, "bAQID")).status == 200
    heard = ""
    while "bAQID" not in heard:
        heard += (await client.poll(sid)).text + "\x1e"
    assert f"461-12[{PLACE}]\x1ebAQID\x1e" in heard


@pytest.mark.parametrize(
    "number", ["1", "-1", "1e99", '"0"', "null", "true", "[]", '"__proto__"', '"length"']
)
async def test_a_place_that_is_none_ends_the_session(socket: Socket, number: str) -> None:
    await socket.send(f'451-["message",{{"_placeholder":true,"num":{number}}}]', BYTES)
    await socket.ends()


async def test_a_place_without_a_number_ends_the_session(socket: Socket) -> None:
    await socket.send('451-["message",{"_placeholder":true}]', BYTES)
    await socket.ends()


@pytest.mark.parametrize(
    "packet",
    [
        '451-["message",1]',
        '451-["message",{"_placeholder":1,"num":0}]',
        '451-["message",{"_placeholder":true,"num":0.5}]',
        '451-["message",{"_placeholder":true,"num":-0}]',
        '451-["message",{"_placeholder":true,"num":0,"x":1}]',
        f'451-["message",{",".join([PLACE] * 50)}]',
        f'451-["message",{"[" * 20}{PLACE}{"]" * 20}]',
        f'451-["message",{"[" * 20_000}{PLACE}{"]" * 20_000}]',
        f'451-["message",{{"__proto__":{PLACE}}}]',
        f"451-[{PLACE}]",
        f"461-7[{PLACE}]",
        f'451-["nobody listens",{PLACE}]',
    ],
    ids=lambda packet: packet[:40],
)
async def test_an_odd_place_is_filled_or_ends_the_session(
    client: Client, socket: Socket, packet: str
) -> None:
    with suppress(ConnectionClosed):
        await socket.send(packet, b"\x01" * 100_000)
    await client.is_answered(socket)


async def test_a_place_in_an_event_without_attachments_is_data(socket: Socket) -> None:
    await socket.send(f'42["message",{PLACE}]')
    assert await socket.hear() == f'42["message-back",{PLACE}]'


# --- anything -----------------------------------------------------------------------------------

PACKETS = [
    "0",
    '0/custom,{"token":"x"}',
    "1/custom,",
    '2["message",1,{"a":[null,"é"]}]',
    '212["message-with-ack",true]',
    "312[1]",
    '4{"message":"x"}',
    f'52-["message",{PLACE},{PLACE}]',
    f"61-12[{PLACE}]",
]
ALPHABET = "0123456789-/,[]{}\"'\\:.eE+ \x00\x1eé\u0664\U0001f600_plcnumtrue"


def nearly_right(chance: random.Random) -> str:
    """A packet with up to three mistakes in it."""
    packet = list(chance.choice(PACKETS))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(packet) + 1)
        match chance.randrange(3):
            case 0:
                packet[at : at + 1] = []
            case 1:
                packet[at:at] = chance.choice(ALPHABET)
            case _:
                packet[at : at + 1] = chance.choice(ALPHABET)
    return "".join(packet)


@pytest.mark.parametrize("seed", range(24))
async def test_nearly_right_packets_end_the_session_or_do_not(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        socket = await joined(client)
        with suppress(ConnectionClosed):
            for _ in range(chance.randrange(1, 8)):
                is_binary = chance.random() < 0.2
                await socket.send(BYTES if is_binary else f"4{nearly_right(chance)}")
        await client.is_answered(socket)


@pytest.mark.parametrize("kind", "0123456789")
async def test_each_type_with_anything_after_it_ends_the_session_or_does_not(
    client: Client, kind: str
) -> None:
    chance = random.Random(kind)
    for _ in range(16):
        socket = await joined(client)
        junk = "".join(chance.choices(ALPHABET, k=chance.randrange(20)))
        await socket.send(f"4{kind}{junk}")
        await client.is_answered(socket)
