"""Our client against the `ws` library's server, and against servers that break the rules, over real
sockets (RFC 6455, RFC 7692).

`SocketDialer` is what applications use; `Frames` is its connection with options it does not have.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from anywire.client.dial import Link
from anywire.client.websocket import SocketDialer
from anywire.errors import ProtocolError, Refused
from anywire.net.connection import Ping, Pong
from anywire.net.handshake import HandshakeError
from anywire.net.rfc6455 import FIN, PING, RSV1, TEXT
from anywire.payload import Message, Payload
from anywire.wires.base import Request
from tests.interop.cases import (
    CLOSES,
    EDGES,
    FAULTS,
    LARGEST,
    PROBES,
    TALK,
    TERMS,
    Fault,
    Frame,
    Terms,
    content,
    deflated,
)
from tests.interop.peer import TIMEOUT, End, Peer, running
from tests.interop.raw_peer import Frames, RawPeer, raw_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Peer]:
    async with running("ws", "server") as node:
        yield node


class Heard:
    """A receiver: what our link brought, in order."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.ends: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.log: list[str] = []

    def on_message(self, message: Message) -> None:
        self.log.append("message")
        self.messages.put_nowait(message)

    def on_heard(self) -> None:
        self.log.append("heard")

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        self.log.append("closed")
        self.ends.put_nowait((code, reason))

    async def message(self) -> Message:
        async with asyncio.timeout(TIMEOUT):
            return await self.messages.get()

    async def end(self) -> tuple[int, str]:
        """Code and reason of the end, which comes once and last."""
        async with asyncio.timeout(TIMEOUT):
            end = await self.ends.get()
        assert self.log[-1] == "closed"
        return end


async def listening(node: Peer, *, deflate: object = False, **order: object) -> tuple[str, End]:
    """The URL of a new server of ws that echoes, and its end of our connection."""
    end = node.open(options={"perMessageDeflate": deflate}, echo=True, **order)
    port = (await end.hears("listening")).port
    return f"ws://127.0.0.1:{port}/{end.name}", end


async def dialed(url: str, *, compress: bool = False, **options: Any) -> tuple[Link, Heard]:
    """Our link, started, and what it hears."""
    link = await SocketDialer(compress=compress, **options).dial(url, Request())
    heard = Heard()
    link.start(heard)
    return link, heard


def say(link: Link, *messages: Message) -> None:
    link.write([Payload.of(message) for message in messages])


# --- RFC 6455 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"), [(("a.1", "b.1"), "a.1"), (("a.1", "b.1"), "b.1"), ((), None)]
)
async def test_a_subprotocol_is_offered_and_the_choice_is_taken(
    node: Peer, offered: tuple[str, ...], chosen: str | None
) -> None:
    url, end = await listening(node, protocol=chosen or False)
    link = await SocketDialer().dial(url, Request(subprotocols=offered))
    assert link.subprotocol == chosen
    assert (await end.hears("open")).protocol == (chosen or "")
    heard = Heard()
    link.start(heard)
    link.close(1000, "")
    await end.is_closed(1000)
    assert await heard.end() == (1000, "")


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
async def test_messages_of_any_length_go_there_and_back(node: Peer, is_text: bool) -> None:
    url, end = await listening(node)
    link, heard = await dialed(url)
    await end.hears("open")
    for size in EDGES:
        message = content(size, is_text=is_text)
        say(link, message)
        await end.hears_message(message)
        assert await heard.message() == message
    link.close(1000, "")
    await end.is_closed(1000)
    assert await heard.end() == (1000, "")


async def test_fragments_of_ws_are_joined_and_its_ping_between_them_is_answered(
    node: Peer,
) -> None:
    url, end = await listening(node)
    link, heard = await dialed(url)
    await end.hears("open")
    for whole in ("grüße, γειά, 👋", b"\x00\xff\xfe"):
        data = whole.encode() if isinstance(whole, str) else whole
        is_binary = isinstance(whole, bytes)
        for at in range(len(data)):
            end.order("send", data=data[at : at + 1], binary=is_binary, fin=False)
            if at == 1:
                end.order("ping", data=b"between")
                assert (await end.hears("pong")).data == b"between"
        end.order("send", data=b"", binary=is_binary, fin=True)
        assert await heard.message() == whole
    link.close(1000, "")
    await end.is_closed(1000)
    assert await heard.end() == (1000, "")


@pytest.mark.parametrize("payload", PROBES, ids=["empty", "bytes", "125"])
async def test_pings_and_pongs_go_both_ways_with_their_payload(node: Peer, payload: bytes) -> None:
    url, end = await listening(node)
    frames = await Frames.dial(url)
    await end.hears("open")
    end.order("ping", data=payload)
    assert await frames.event() == Ping(payload)
    assert (await end.hears("pong")).data == payload
    end.order("pong", data=payload)
    assert await frames.event() == Pong(payload)
    frames.connection.ping(payload)
    assert (await end.hears("ping")).data == payload
    assert await frames.event() == Pong(payload)
    frames.connection.pong(payload)
    assert (await end.hears("pong")).data == payload
    await frames.close()
    await end.is_closed(1000)


async def test_a_links_probe_is_a_ping_to_ws(node: Peer) -> None:
    url, end = await listening(node)
    link, heard = await dialed(url)
    await end.hears("open")
    assert link.beat()
    assert (await end.hears("ping")).data == b""
    say(link, "hello")
    assert await heard.message() == "hello"
    assert heard.log == ["heard", "message"]
    link.abort()
    assert (await heard.end())[0] == 1006


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_by_us_is_read_by_ws_with_its_reason(
    node: Peer, code: int, reason: str
) -> None:
    url, end = await listening(node)
    link, heard = await dialed(url)
    await end.hears("open")
    link.close(code, reason)
    assert (await end.is_closed(code)).reason == reason
    assert (await heard.end())[0] == code


@pytest.mark.parametrize(("code", "reason"), [*CLOSES, (None, "")])
async def test_a_close_by_ws_is_told_with_its_reason_and_answered_with_its_code(
    node: Peer, code: int | None, reason: str
) -> None:
    url, end = await listening(node)
    _, heard = await dialed(url)
    await end.hears("open")
    end.close(code, reason)
    assert await heard.end() == (code or 1005, reason)
    assert (await end.is_closed(code or 1005)).reason == ""


async def test_a_server_that_is_cut_off_is_1006(node: Peer) -> None:
    url, end = await listening(node)
    _, heard = await dialed(url)
    await end.hears("open")
    end.order("terminate")
    assert (await heard.end())[0] == 1006


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_a_broken_rule_is_answered_with_its_close_code(node: Peer, fault: Fault) -> None:
    url, end = await listening(node, deflate={} if fault.deflate else False)
    _, heard = await dialed(url, compress=fault.deflate, max_message=LARGEST)
    assert bool((await end.hears("open")).extensions) is fault.deflate
    end.write(*fault.sent(by_client=False))
    code, reason = await heard.end()
    told = await end.is_closed(fault.code)
    assert (code, reason) == (fault.code, told.reason)
    assert reason


async def test_a_message_of_the_limit_is_taken_and_a_larger_one_refused_while_it_comes(
    node: Peer,
) -> None:
    url, end = await listening(node)
    _, heard = await dialed(url, max_message=LARGEST)
    await end.hears("open")
    end.send(bytes(LARGEST))
    assert await heard.message() == bytes(LARGEST)
    # Refused by its header, with megabytes on their way: they must not take the close frame along.
    end.send(bytes(4 * LARGEST))
    assert (await heard.end())[0] == 1009
    await end.is_closed(1009)


# --- RFC 7692 -----------------------------------------------------------------------------------


def is_refused(terms: Terms) -> bool:
    """Whether ws answers our offer with 400: it insists on larger windows than were offered."""
    server, client = (terms.ws.get(f"{end}MaxWindowBits") for end in ("server", "client"))
    ours = terms.ours
    return bool(
        (ours.server_bits < 15 and server is not None and server > ours.server_bits)
        or (ours.client_bits < 15 and client and client > ours.client_bits)
    )


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: terms.id)
async def test_any_terms_that_ws_answers_are_kept_both_ways(node: Peer, terms: Terms) -> None:
    url, end = await listening(node, deflate={"threshold": 0, **terms.ws})
    if is_refused(terms):
        with pytest.raises(HandshakeError, match="400"):
            await Frames.dial(url, deflate=terms.ours)
        return
    frames = await Frames.dial(url, deflate=terms.ours)
    answer = (await end.hears("open")).extensions.split("; ")
    assert answer[0] == "permessage-deflate"
    read = [0]
    for message in TALK:
        frames.connection.send(message)
        read.append((await end.hears_message(message)).read)
        assert await frames.event() == message
    costs = [after - before for before, after in pairwise(read[1:])]
    # A window of 8 bits is one that zlib cannot keep: we then send everything as it is.
    packs = "client_max_window_bits=8" not in answer
    assert (costs[0] < 256) is packs
    assert (costs[2] < 5000) is packs
    is_kept = packs and terms.ours.keep_client and "client_no_context_takeover" not in answer
    assert (costs[3] < costs[2]) is is_kept
    end.send("x" * 3000, fin=False)
    end.order("ping", data=b"between")
    assert await frames.event() == Ping(b"between")
    assert (await end.hears("pong")).data == b"between"
    end.send("y" * 3000, fin=False)
    end.send("")
    assert await frames.event() == "x" * 3000 + "y" * 3000
    await frames.close()
    await end.is_closed(1000)


async def test_a_server_that_insists_on_its_window_refuses_us_unless_we_do_not_offer(
    node: Peer,
) -> None:
    url, _ = await listening(node, deflate={"serverNoContextTakeover": False})
    with pytest.raises(HandshakeError, match="400"):
        await dialed(url, compress=True)
    url, end = await listening(node, deflate={"serverNoContextTakeover": False})
    link, heard = await dialed(url)
    assert (await end.hears("open")).extensions == ""
    say(link, "x" * 5000)
    assert (await end.hears_message("x" * 5000)).read > 5000
    assert await heard.message() == "x" * 5000
    link.close(1000, "")
    await end.is_closed(1000)


@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "split"])
async def test_a_bomb_of_ws_is_1009(node: Peer, is_split: bool) -> None:
    url, end = await listening(node, deflate={"threshold": 0})
    _, heard = await dialed(url, compress=True, max_message=LARGEST)
    await end.hears("open")
    end.send(bytes(LARGEST))
    assert await heard.message() == bytes(LARGEST)
    if is_split:
        end.send(bytes(LARGEST), fin=False)
    end.send(bytes(8 * LARGEST))
    assert (await heard.end())[0] == 1009
    await end.is_closed(1009)


# --- servers that break the rules ---------------------------------------------------------------

WRONG_ANSWERS: dict[str, tuple[Callable[[RawPeer], bytes], type[Exception], str]] = {
    "accept": (lambda peer: peer.answer(accept="AAAA"), HandshakeError, "Accept is wrong"),
    "extension": (
        lambda peer: peer.answer("Sec-WebSocket-Extensions: x-made-up"),
        HandshakeError,
        "extension that was not offered",
    ),
    "parameter": (
        lambda peer: peer.answer("Sec-WebSocket-Extensions: permessage-deflate; x=1"),
        HandshakeError,
        "parameters are wrong",
    ),
    "window": (
        lambda peer: peer.answer("Sec-WebSocket-Extensions: permessage-deflate"),
        HandshakeError,
        "ruled out",
    ),
    "subprotocol": (
        lambda peer: peer.answer("Sec-WebSocket-Protocol: x"),
        HandshakeError,
        "subprotocol not offered",
    ),
    "unauthorized": (lambda _: b"HTTP/1.1 401 Unauthorized\r\n\r\n", Refused, "401"),
    "forbidden": (lambda _: b"HTTP/1.1 403 Forbidden\r\n\r\n", Refused, "403"),
    "broken": (
        lambda _: b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        HandshakeError,
        "500 Internal Server Error",
    ),
    "plain": (lambda _: b"HTTP/1.1 200 OK\r\n\r\nhello", HandshakeError, "200 OK"),
    "endless": (lambda _: b"HTTP/1.1 101 " + b"x" * 100_000, ProtocolError, "too long"),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
async def test_a_wrong_answer_to_the_handshake_ends_the_attempt(name: str) -> None:
    answer, error, words = WRONG_ANSWERS[name]

    async def play(peer: RawPeer) -> None:
        peer.say(answer(peer))
        with suppress(ConnectionError):  # what was not read yet resets the connection
            assert await peer.reader.read() == b""

    async with raw_server(play) as url:
        with pytest.raises(error, match=words):
            await dialed(url, compress=True)


async def test_a_redirect_is_not_followed() -> None:
    followed = asyncio.Event()

    async def elsewhere(peer: RawPeer) -> None:
        followed.set()

    async with raw_server(elsewhere) as other:

        async def play(peer: RawPeer) -> None:
            peer.say(f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {other}\r\n\r\n".encode())
            assert await peer.reader.read() == b""

        async with raw_server(play) as url:
            with pytest.raises(HandshakeError, match="307"):
                await dialed(url)
    assert not followed.is_set()


async def test_an_attempt_that_takes_too_long_leaves_no_socket_behind() -> None:
    async def play(peer: RawPeer) -> None:
        peer.say(peer.answer()[:-2])
        assert await peer.reader.read() == b""

    async with raw_server(play) as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dialed(url)


async def test_a_masked_frame_of_a_server_is_1002_and_nothing_after_it_is_heard() -> None:
    async def play(peer: RawPeer) -> None:
        hello = Frame(FIN | TEXT, b"hello").sent(by_client=False)
        masked = Frame(FIN | TEXT, b"hi").sent(by_client=True)
        peer.say(peer.answer(), hello, masked, hello)
        first, payload = await peer.frame()
        assert (first, payload[:2]) == (0x88, b"\x03\xea")
        peer.say(hello)
        assert await peer.reader.read() == b""

    async with raw_server(play) as url:
        _, heard = await dialed(url)
        assert await heard.end() == (1002, "a frame from the server is masked")
        assert await heard.message() == "hello"
    assert heard.log == ["message", "closed"]


async def test_frames_right_behind_the_answer_are_heard_and_the_end_is_told_once() -> None:
    async def play(peer: RawPeer) -> None:
        hello = Frame(FIN | TEXT, b"hello").sent(by_client=False)
        goodbye = Frame(0x88, b"\x03\xe8bye").sent(by_client=False)
        peer.say(peer.answer(), hello, goodbye)
        assert await peer.frame() == (0x88, b"\x03\xe8")
        # What comes after a close frame is nobody's (RFC 6455, 5.5.1).
        peer.say(hello)

    async with raw_server(play) as url:
        link, heard = await dialed(url)
        assert await heard.message() == "hello"
        assert await heard.end() == (1000, "bye")
        link.close(1000, "")
    assert heard.log == ["message", "closed"]


async def test_what_a_server_said_before_it_hung_up_is_heard_however_late() -> None:
    is_lost = asyncio.Event()

    async def play(peer: RawPeer) -> None:
        hello = Frame(FIN | TEXT, b"hello").sent(by_client=False)
        peer.say(peer.answer(), hello, Frame(0x88, b"\x03\xe8").sent(by_client=False))
        peer.say_no_more()
        # Our link hangs up because of that, before anybody has listened to it.
        assert await peer.reader.read() == b""
        is_lost.set()

    async with raw_server(play) as url:
        link = await SocketDialer().dial(url, Request())
        async with asyncio.timeout(TIMEOUT):
            await is_lost.wait()
        heard = Heard()
        link.start(heard)
        assert await heard.end() == (1000, "")
        assert await heard.message() == "hello"
        assert heard.log == ["message", "closed"]


async def test_an_end_without_close_frame_is_1006_in_the_middle_of_a_message_too() -> None:
    async def play(peer: RawPeer) -> None:
        part = Frame(TEXT, b"hel").sent(by_client=False)
        peer.say(peer.answer(), part, Frame(FIN | PING, b"?").sent(by_client=False))
        assert await peer.frame() == (0x8A, b"?")

    async with raw_server(play) as url:
        _, heard = await dialed(url)
        assert await heard.end() == (1006, "the connection was lost")
        assert heard.log == ["heard", "closed"]


async def test_a_compressed_frame_where_none_was_agreed_is_1002() -> None:
    async def play(peer: RawPeer) -> None:
        packed = Frame(FIN | RSV1 | TEXT, deflated(b"hi")).sent(by_client=False)
        peer.say(peer.answer(), packed)
        first, payload = await peer.frame()
        assert (first, payload[:2]) == (0x88, b"\x03\xea")
        assert await peer.reader.read() == b""

    async with raw_server(play) as url:
        _, heard = await dialed(url, compress=True)
        assert (await heard.end())[0] == 1002
