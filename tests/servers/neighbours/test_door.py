"""Tests of anywire.servers.neighbours.door: who is let in, and what strangers can do."""

import asyncio
import contextlib
import hmac
import logging
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from anywire.brokers.local.words import LONGEST, frame
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.servers.carry import Exchange
from anywire.servers.carry import whole as whole_body
from anywire.servers.neighbours import door as module
from anywire.servers.neighbours import words
from anywire.servers.neighbours.door import FIRST, Door
from anywire.servers.static import Reply
from anywire.wires.anywire.server import Own
from anywire.wires.base import Hello, Wire
from tests.servers.neighbours.pair import House, descriptors, pair
from tests.servers.serving import request

KEYLESS = words.Brought(words.VERSION, b"", b"")


class Visitor:
    """Somebody at a door."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.setblocking(False)
        self.socket.connect(house.door)

    def give(self, data: bytes, *given: int) -> None:
        """Bytes, and descriptors beside them."""
        socket.send_fds(self.socket, [data], given)

    async def rest(self) -> bytes:
        """Everything until the door is shut."""
        heard = bytearray()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                while data := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
                    heard += data
        return bytes(heard)


@contextlib.contextmanager
def visiting(house: House) -> Iterator[Visitor]:
    visitor = Visitor(house)
    with contextlib.closing(visitor.socket):
        yield visitor


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with pair(limits=Limits(body=1000, closing=0.3)) as (one, _):
        yield one


def handed(house: House, data: bytes = b"", **changes: object) -> bytes:
    fields = {"version": words.VERSION, "key": house.folder.key, "data": data, **changes}
    return frame(words.Handed(**fields))  # type: ignore[arg-type]


def brought(house: House, **hello: object) -> bytes:
    packed = msgspec.msgpack.encode(Hello(**hello))  # type: ignore[arg-type]
    return frame(words.Brought(words.VERSION, house.folder.key, packed))


async def test_doors_and_the_hub_are_for_this_user_only(house: House) -> None:
    assert stat.S_IMODE(os.stat(house.folder.path).st_mode) == 0o700
    for path in (house.door, house.folder.hub):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


async def test_a_door_is_gone_once_it_is_closed_and_replaces_one_that_a_dead_node_left(
    house: House,
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        path = house.folder.door("dead")
        dead.bind(path)
    door = Door(house.node, path, b"key", wires=[], carriers={})
    door.open()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as visitor:
        visitor.connect(path)
        await house.until(lambda: door._reading)
        door.close()
        assert visitor.recv(1) == b""
    assert not [name for name in os.listdir(house.folder.path) if name in path]
    door.close()


@pytest.mark.parametrize(
    "changes", [{"key": b"wrong"}, {"key": b""}, {"version": 0}], ids=["wrong", "none", "version"]
)
async def test_who_does_not_know_the_key_is_sent_away_and_its_descriptor_closed(
    house: House, changes: dict[str, Any]
) -> None:
    before = descriptors()
    with visiting(house) as visitor:
        read, write = os.pipe()
        visitor.give(handed(house, **changes), read)
        assert await visitor.rest() == b""
        os.close(read)
        os.close(write)
    assert descriptors() == before


async def test_keys_are_compared_in_constant_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(one: bytes, two: bytes) -> bool:
        compared.append((one, two))
        return compare(one, two)

    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", spy)
    with visiting(house) as visitor:
        visitor.give(handed(house, key=b"wrong"))
        assert await visitor.rest() == b""
    assert compared == [(b"wrong", house.folder.key)]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x03\x91\xa1\xff",
        b"\x00\x00\x00\x08" + msgspec.msgpack.encode(["Ev\nil!"]),
        (50_006).to_bytes(4, "big") + b"\x92\xa4Said" + b"\x91" * 50_000,
        (LONGEST + 1).to_bytes(4, "big"),
        frame(words.Heard()),
        frame(words.Part(b"secret")),
        frame(KEYLESS) + b"\xff\xff\xff\xff",
    ],
    ids=[
        "nothing",
        "half",
        "no word",
        "no text",
        "line feed",
        "too deep",
        "too long",
        "no first word",
        "part",
        "long behind",
    ],
)
async def test_junk_is_sent_away_and_nothing_of_it_is_logged(
    house: House, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = descriptors()
    with visiting(house) as visitor:
        if junk:
            visitor.give(junk, 0)
        visitor.socket.shutdown(socket.SHUT_WR)
        assert await visitor.rest() == b""
    [record] = [one for one in caplog.records if one.name == module.__name__]
    assert record.levelname == "WARNING"
    assert "\n" not in record.getMessage()
    assert "il!" not in record.getMessage()
    assert record.exc_info is None
    assert descriptors() == before


async def test_a_first_word_that_never_comes_is_waited_for_so_long_only(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    before = descriptors()
    with visiting(house) as visitor:
        visitor.give(b"\x00\x00", 0)
        assert await visitor.rest() == b""
    assert descriptors() == before


async def test_a_first_word_may_come_in_pieces(house: House) -> None:
    with visiting(house) as visitor:
        for byte in brought(house, path="/ws/poll", method="GET", carrier=Carrier.POLL):
            visitor.give(bytes((byte,)))
            await asyncio.sleep(0)
        visitor.give(frame(words.End()))
        await house.until(lambda: house.node.sessions)


async def test_who_has_not_shown_the_key_cannot_make_us_keep_much(house: House) -> None:
    loop = asyncio.get_running_loop()
    with visiting(house) as visitor:
        visitor.give((FIRST - 3).to_bytes(4, "big"))
        assert await visitor.rest() == b""
    with visiting(house) as visitor:
        visitor.give((FIRST - 4).to_bytes(4, "big"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(visitor.socket, b"\xc1" * (FIRST + 100_000))
        assert await visitor.rest() == b""


async def test_many_descriptors_are_not_collected(house: House) -> None:
    before = descriptors()
    with visiting(house) as visitor:
        with contextlib.suppress(BrokenPipeError):
            for _ in range(5):
                visitor.give(b"\x00", 0)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        assert await visitor.rest() == b""
    with visiting(house) as visitor:
        visitor.give(handed(house), 0, 0, 0)
        assert await visitor.rest() == b""
    assert descriptors() == before


async def test_a_descriptor_with_a_word_that_wants_none_is_closed(house: House) -> None:
    before = descriptors()
    with visiting(house) as visitor:
        visitor.give(brought(house, path="/ws/poll", carrier=Carrier.POLL), 0)
        await house.until(lambda: house.node.sessions)
        await house.until(lambda: descriptors() == before + 2)  # both ends of the visit
    await house.until(lambda: descriptors() == before)


@pytest.mark.parametrize("what", ["nothing", "no socket", "nobody"])
async def test_a_hand_over_without_a_socket_or_somebody_to_take_it_is_none(
    house: House, what: str
) -> None:
    before = descriptors()
    door = house.hosting.door
    assert door is not None
    if what == "nobody":
        door.adopt = None
    with visiting(house) as visitor:
        visitor.give(handed(house), *([] if what == "nothing" else [0]))
        assert await visitor.rest() == b""
    assert descriptors() == before


async def test_a_socket_is_taken_with_what_was_read_from_it(house: House) -> None:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), visiting(house) as visitor:
        ours.setblocking(False)
        with contextlib.closing(theirs):
            visitor.give(handed(house, request("/healthz")), theirs.fileno())
            assert await visitor.rest() == b"\x01"
        heard = await asyncio.get_running_loop().sock_recv(ours, 65536)
        assert heard.startswith(b"HTTP/1.1 200 ")
        [transport] = house.server._transports
        taken = transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert not os.get_inheritable(taken.fileno())


async def test_a_socket_that_comes_with_junk_is_answered_as_junk_is(house: House) -> None:
    before = descriptors()
    for data in (b"\x00junk\r\n\r\n", request("/nowhere", "Connection: close")):
        ours, theirs = socket.socketpair()
        with contextlib.closing(ours), visiting(house) as visitor:
            with contextlib.closing(theirs):
                visitor.give(handed(house, data), theirs.fileno())
            assert await visitor.rest() == b"\x01"
            ours.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(ours, 65536)
            assert answer.startswith(b"HTTP/1.1 40")
    await house.until(lambda: descriptors() == before)


async def test_a_socket_of_who_has_given_up_is_not_taken(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[bytes] = []
    door = house.hosting.door
    assert door is not None

    def adopt(sock: socket.socket, data: bytes) -> None:
        taken.append(data)
        sock.close()

    door.adopt = adopt
    before = descriptors()
    ours, theirs = socket.socketpair()
    with visiting(house) as visitor:
        visitor.give(handed(house), theirs.fileno())
        visitor.socket.shutdown(socket.SHUT_RD)
        await house.until(lambda: "it has given up" in caplog.text)
    ours.close()
    theirs.close()
    assert taken == []
    assert descriptors() == before


async def test_what_cannot_be_a_connection_is_closed(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    before = descriptors()
    with visiting(house) as visitor, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        visitor.give(handed(house), datagrams.fileno())
        assert await visitor.rest() == b"\x01"
    await house.until(lambda: descriptors() == before)
    assert "anywire hand-over failed" in caplog.text


async def test_a_path_or_a_hello_that_is_none_here_is_sent_away(house: House) -> None:
    with visiting(house) as visitor:
        visitor.give(brought(house, path="/elsewhere"))
        assert await visitor.rest() == b""
    with visiting(house) as visitor:
        visitor.give(brought(house, path="/ws"))  # a WebSocket is not brought
        assert await visitor.rest() == b""
    for junk in (b"junk", b"\x81\xa6method\xa1\xff"):
        with visiting(house) as visitor:
            visitor.give(frame(words.Brought(words.VERSION, house.folder.key, junk)))
            assert await visitor.rest() == b""


async def test_words_that_belong_to_nothing_end_a_conversation(house: House) -> None:
    with visiting(house) as visitor:
        visitor.give(brought(house, path="/ws/poll", carrier=Carrier.POLL) + frame(words.Heard()))
        assert await visitor.rest() == b""
    packed = msgspec.msgpack.encode(Hello(path="/ws"))
    relayed = frame(words.Relayed(words.VERSION, house.folder.key, packed, True))
    with visiting(house) as visitor:
        visitor.give(relayed + frame(words.End()))
        await visitor.rest()
    with visiting(house) as visitor:
        visitor.give(relayed + frame(words.Heard()) + b"\xff\xff\xff\xff")
        await visitor.rest()
    await house.until(lambda: not house.hosting.door._links)  # type: ignore[union-attr]


async def test_what_follows_the_first_word_is_heard_in_order() -> None:
    async def carry(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.respond(Reply(200, [], await whole_body(exchange)))

    async with pair(wires=[Own("/ws")], carriers={Carrier.POST: carry}) as (one, _):
        parts = [bytes((65 + n,)) * 3 for n in range(5)]
        whole = brought(one, path="/ws/poll", method="POST", carrier=Carrier.POST)
        for cut in range(0, 60, 7):
            with visiting(one) as visitor:
                said = b"".join(frame(words.Part(part)) for part in parts) + frame(words.End())
                visitor.give(whole + said[:cut])
                visitor.give(said[cut:])
                heard = await asyncio.get_running_loop().sock_recv(visitor.socket, 65536)
                assert b"".join(parts) in heard


async def test_a_conversation_that_begins_while_the_door_is_shut_is_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter(self: Door, *args: Any) -> None:
        entered(self, *args)
        self.close()

    entered = Door._enter
    monkeypatch.setattr(Door, "_enter", enter)
    with visiting(house) as visitor:
        visitor.give(brought(house, path="/ws/poll", carrier=Carrier.POLL))
        assert await visitor.rest() == b""
    door = house.hosting.door
    assert door is not None
    door._let_in()
    assert not door._links
    assert not house.node.sessions


async def test_a_node_without_descriptors_lets_nobody_in_for_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    visitor = socket.socket(socket.AF_UNIX)
    visitor.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    spare = [os.dup(0) for _ in range(highest + 1 - descriptors())]  # no gap is left below it
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare, default=highest) + 1, hard))
        visitor.connect(house.door)
        await house.until(lambda: "nobody is let in" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in spare:
            os.close(one)
    door = house.hosting.door
    assert door is not None
    await house.until(lambda: door._reading)
    visitor.close()
    assert caplog.text.count("nobody is let in") < 20
