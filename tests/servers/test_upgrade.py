"""From a request on a wire's path to a session over a WebSocket."""

import asyncio
import logging

import pytest
import websockets

from anywire.core.channel import Channel
from anywire.core.member import Member
from anywire.errors import Refused
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier, Payload
from anywire.wires.base import Answer, Hello, Opening, Route, User
from anywire.wires.raw import Raw
from tests.servers.serving import (
    close_frame,
    dial,
    echo,
    frame,
    make_node,
    request,
    serving,
    upgrade,
)

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
BOTH = ("Upgrade: websocket", "Connection: Upgrade")


async def test_text_and_bytes_come_back_as_they_were() -> None:
    async with serving() as server:
        url = f"{server.addresses[0].url.replace('http', 'ws')}/echo"
        async with websockets.connect(url) as client:
            for message in ("hi", b"\x00\xff", "é" * 30_000, b"", ""):
                await client.send(message)
                assert await client.recv() == message


async def test_frames_sent_behind_the_head_are_the_first_messages() -> None:
    async with serving() as server, dial(server) as client:
        client.send(upgrade(), frame("one"), frame("two"))
        said = await client.answer(has_body=False)
        assert said.status == 101
        assert said.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert [await client.frame(), await client.frame()] == [(0x81, b"one"), (0x81, b"two")]


async def test_the_head_and_the_frames_may_come_byte_by_byte() -> None:
    async with serving() as server, dial(server) as client:
        await client.trickle(upgrade() + frame("slow"))
        assert (await client.answer(has_body=False)).status == 101
        assert await client.frame() == (0x81, b"slow")


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (request("/echo"), 426, b"Upgrade"),
        (request("/echo", *BOTH, KEY), 426, b"13"),
        (request("/echo", *BOTH, KEY, "Sec-WebSocket-Version: 8"), 426, b"13"),
        (request("/echo", *BOTH, VERSION), 400, b"Key"),
        (request("/echo", *BOTH, VERSION, "Sec-WebSocket-Key: short"), 400, b"Key"),
        (request("/echo", *BOTH, VERSION, KEY, method="POST"), 405, b"GET"),
        (request("/echo", *BOTH, VERSION, KEY, "Content-Length: 5"), 400, b"body"),
        (upgrade("/echo", "Sec-WebSocket-Extensions: ;;"), 400, b"extensions"),
        (upgrade("/echo", "Sec-WebSocket-Protocol: a b"), 400, b"subprotocol"),
        (upgrade("/echo", "X: " + "x" * 20_000), 431, b"headers"),
        (upgrade("/" + "x" * 9000), 414, b"target"),
        (upgrade("/nowhere"), 404, b"nothing"),
        (upgrade("/echo/x"), 404, b"nothing"),
        (b"GET /echo HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 426, b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"not an HTTP request"),
    ],
)
async def test_a_wrong_handshake_is_refused_with_a_reason(
    sent: bytes, status: int, word: bytes
) -> None:
    async with serving() as server, dial(server) as client:
        client.send(sent)
        said = await client.answer()
        assert said.status == status
        assert word in said.body
        if status == 426:
            assert said.headers["sec-websocket-version"] == "13"


async def test_a_foreign_page_is_refused_before_anything_of_the_application_runs() -> None:
    ran: list[Hello] = []

    async def authenticate(hello: Hello) -> User | None:
        ran.append(hello)
        return None

    async with serving(node=make_node(authenticate=authenticate)) as server:
        async with dial(server) as client:
            client.send(upgrade("/echo", "Origin: https://evil.example"))
            said = await client.answer()
        assert (said.status, ran) == (403, [])
        assert b'origins=["https://evil.example"]' in said.body
        async with dial(server) as client:
            client.send(upgrade("/echo", "Origin: http://test"))
            assert (await client.answer(has_body=False)).status == 101
        assert len(ran) == 1


async def test_a_listed_page_may_connect() -> None:
    async with (
        serving(origins=["https://app.example"]) as server,
        dial(server) as client,
    ):
        client.send(upgrade("/echo", "Origin: https://app.example"))
        assert (await client.answer(has_body=False)).status == 101


async def test_a_host_name_that_is_not_ours_is_misdirected() -> None:
    async with serving(hosts=["chat.example"]) as server, dial(server) as client:
        client.send(upgrade())
        assert (await client.answer()).status == 421


async def test_what_comes_while_authenticate_waits_is_read_after_it() -> None:
    may_go = asyncio.Event()
    asked = asyncio.Event()

    async def authenticate(hello: Hello) -> User | None:
        asked.set()
        await may_go.wait()
        return User("ana")

    async with (
        serving(node=make_node(authenticate=authenticate)) as server,
        dial(server) as client,
    ):
        client.send(upgrade(), frame("early"))
        await asked.wait()
        client.send(frame("later"))
        may_go.set()
        assert (await client.answer(has_body=False)).status == 101
        assert [await client.frame(), await client.frame()] == [(0x81, b"early"), (0x81, b"later")]


async def test_a_client_that_leaves_while_authenticate_waits_leaves_nothing() -> None:
    may_go = asyncio.Event()
    asked = asyncio.Event()

    async def authenticate(hello: Hello) -> User | None:
        asked.set()
        await may_go.wait()
        return None

    node = make_node(authenticate=authenticate)
    async with serving(node=node) as server:
        async with dial(server) as client:
            client.send(upgrade())
            await asked.wait()
        may_go.set()
        await server.stop()
        assert (server.connections, len(node.sessions)) == (0, 0)


async def test_a_refused_client_hears_a_close_code() -> None:
    async def authenticate(hello: Hello) -> User | None:
        raise Refused("forbidden", "not you")

    async with (
        serving(node=make_node(authenticate=authenticate)) as server,
        dial(server) as client,
    ):
        client.send(upgrade())
        assert (await client.answer(has_body=False)).status == 101
        assert await client.frame() == (0x88, (4401).to_bytes(2, "big") + b"not you")
        client.send(close_frame(4401))
        assert await client.rest() == b""


async def test_a_bug_in_authenticate_is_told_by_an_id_that_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def authenticate(hello: Hello) -> User | None:
        raise KeyError("secret")

    async with (
        serving(node=make_node(authenticate=authenticate)) as server,
        dial(server) as client,
    ):
        client.send(upgrade())
        with caplog.at_level(logging.ERROR):
            assert (await client.answer(has_body=False)).status == 101
            first, payload = await client.frame()
        assert first == 0x88
        assert b"secret" not in payload
        assert payload.decode(errors="replace").split()[-1] in caplog.text


async def test_a_bug_in_a_wire_is_a_500_with_an_id_that_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Buggy(Speaking):
        def open(self, hello: Hello) -> Opening | Answer:
            raise KeyError("secret")

    async with serving(wires=[Buggy()]) as server, dial(server) as client:
        client.send(upgrade("/speak"))
        with caplog.at_level(logging.ERROR):
            said = await client.answer()
        assert said.status == 500
        assert b"secret" not in said.body
        assert said.body.decode().split()[-1] in caplog.text


class Speaking:
    """A wire that accepts, says two words and closes; on `/plain` it answers without a session."""

    name = "speaking"
    reserved: frozenset[str] = frozenset()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/speak", Carrier.WEBSOCKET),
            Route("GET", "/no", Carrier.WEBSOCKET),
            Route("GET", "/plain", Carrier.REPLY),
            Route("POST", "/plain", Carrier.REPLY),
        ]

    def open(self, hello: Hello) -> Opening | Answer:
        if hello.path == "/no":
            return Answer(status=401, headers=[("X-Why", "because")], body=b"no")
        if hello.path == "/plain":
            return Answer(status=200, body=repr((hello.method, hello.query)).encode())
        words = [Payload(b"so"), Payload(b"long")]
        return Answer.accepted(4000, "r" * 200, payloads=words)

    def refuse(self, hello: Hello, why: object) -> Answer:
        return Answer(status=503)


async def test_an_accepted_answer_is_said_and_closed() -> None:
    async with serving(wires=[Speaking()]) as server, dial(server) as client:
        client.send(upgrade("/speak"))
        assert (await client.answer(has_body=False)).status == 101
        assert await client.frame() == (0x81, b"so")
        assert await client.frame() == (0x81, b"long")
        assert await client.frame() == (0x88, (4000).to_bytes(2, "big") + b"r" * 123)


async def test_a_plain_answer_of_a_wire_is_an_http_response() -> None:
    async with serving(wires=[Speaking()]) as server:
        async with dial(server) as client:
            client.send(upgrade("/no"))
            said = await client.answer()
            assert (said.status, said.headers["x-why"], said.body) == (401, "because", b"no")
        async with dial(server) as client:
            client.send(request("/plain?a=1&a=2&b="))
            assert (await client.answer()).body == b"('GET', {'a': '2', 'b': ''})"
            client.send(request("/plain", method="PUT"))
            said = await client.answer()
            assert (said.status, said.headers["allow"]) == (405, "GET, POST")


async def test_an_address_in_the_path_is_decoded_and_holds_no_slash() -> None:
    async with serving(wires=[Raw()]) as server:
        async with dial(server) as client:
            client.send(upgrade("/raw/%65cho"), frame("x"))
            assert (await client.answer(has_body=False)).status == 101
            assert await client.frame() == (0x81, b"x")
        for path in ("/raw/a%2Fb", "/raw/", "/raw/a/b", "/raw/%00", "/raw/..%2Fstaff"):
            async with dial(server) as client:
                client.send(upgrade(path))
                assert (await client.answer()).status == 404


async def test_compression_is_agreed_and_can_be_off() -> None:
    url = "ws://127.0.0.1:{}/echo"
    text = "the same words " * 100
    for deflate, expected in ((Deflate(), 1), (Deflate(keep_server=True), 1), (None, 0)):
        async with (
            serving(deflate=deflate) as server,
            websockets.connect(url.format(server.addresses[0].port)) as client,
        ):
            assert len(client.protocol.extensions) == expected
            for _ in range(3):
                await client.send(text)
                assert await client.recv() == text


async def test_a_message_over_the_limit_is_refused_while_it_is_read() -> None:
    node = make_node(limits=Limits(message=1000))
    async with serving(node=node) as server, dial(server) as client:
        client.send(upgrade(), frame(b"x" * 2000)[:20])
        await client.answer(has_body=False)
        first, payload = await client.frame()
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
        assert b"1000 bytes" in payload
        assert not node.sessions


async def test_the_reason_arrives_though_the_client_is_still_sending() -> None:
    node = make_node(limits=Limits(message=1000, closing=0.2))
    async with serving(node=node) as server, dial(server) as client:
        client.send(upgrade(), frame(b"x" * 3_000_000))
        await client.answer(has_body=False)
        first, payload = await client.frame()
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x05hello", 1002),
        (frame("x", first=0xC1), 1002),
        (frame("x", first=0x83), 1002),
        (frame("x", first=0x80), 1002),
        (frame(b"\xff", first=0x81), 1007),
        (frame(b"\x03", first=0x88), 1002),
    ],
)
async def test_a_broken_rule_ends_in_the_right_close_code(sent: bytes, code: int) -> None:
    async with serving(deflate=None) as server, dial(server) as client:
        client.send(upgrade(), sent)
        await client.answer(has_body=False)
        first, payload = await client.frame()
        assert (first, int.from_bytes(payload[:2], "big")) == (0x88, code)
        assert len(payload) > 2


async def test_a_client_that_vanishes_ends_its_session() -> None:
    left = asyncio.Event()
    channel: Channel = echo()

    @channel.leave
    async def leave(member: Member) -> None:
        left.set()

    node = make_node(channel)
    async with serving(node=node) as server:
        async with dial(server) as client:
            client.send(upgrade(), frame("x"))
            await client.answer(has_body=False)
            await client.frame()
            assert len(node.sessions) == 1
        async with asyncio.timeout(5):
            await left.wait()
        assert not node.sessions


async def test_each_mount_has_its_own_limits_and_its_own_deflate() -> None:
    wires = [
        Raw("/small", to="echo", limits=Limits(message=10), deflate=None),
        Raw("/large", to="echo", limits=Limits(message=1 << 20), deflate=Deflate(server_bits=9)),
        Raw("/echo", to="echo"),
    ]
    async with serving(wires=wires, deflate=Deflate()) as server:
        url = server.addresses[0].url.replace("http", "ws")
        agreed = []
        for path, size in (("/small", 10), ("/echo", 65_536), ("/large", 1 << 20)):
            async with websockets.connect(url + path) as client:
                assert client.response is not None
                agreed.append(client.response.headers.get("Sec-WebSocket-Extensions"))
                await client.send("x" * size)
                assert await client.recv() == "x" * size
                await client.send("x" * (size + 1))
                with pytest.raises(websockets.ConnectionClosed, match="1009"):
                    await client.recv()
        alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert agreed == [None, alone, f"{alone}; server_max_window_bits=9"]
