"""What no well-behaved client sends to the two Engine.IO mounts: queries, heads, bodies.

Whatever it is, it has an answer that is no error of the server, or the end of the connection; what
is nobody's fault goes on; and somebody new finds all as it should be. Where the protocol leaves the
answer open, so do the tests.
"""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.conformance.engineio import (
    KIND,
    MOUNTS,
    POLLING,
    WEBSOCKET,
    Client,
    said_at_random,
    status,
)
from tests.conformance.engineio import client as connected
from tests.conformance.served import LARGEST, NAMES, Served
from tests.servers.serving import Dialed, request

pytestmark = [pytest.mark.slow, pytest.mark.net]

LONG = "x" * 4000
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
REVISIONS = [
    "",
    "EIO=",
    "EIO=3",
    "EIO=5",
    "EIO=44",
    "EIO=04",
    "EIO=4.0",
    "EIO=-4",
    "EIO=+4",
    "EIO=4%20",
    "EIO=4%00",
    "EIO=%D9%A4",  # the digit four, in Arabic
    "EIO=%FF",
    "EIO=true",
    "EIO[]=4",
    "eio=4",
    f"EIO={'4' * 4000}",
    *(f"EIO={name}" for name in NAMES),
]
TRANSPORTS = [
    "",
    "transport=",
    "transport=Polling",
    "transport=polling%00",
    "transport=polling%20",
    "transport=polling,websocket",
    "transport=webtransport",
    "transport=flashsocket",
    "transport=%FF",
    "transport[]=polling",
    f"transport={LONG}",
    *(f"transport={name}" for name in NAMES),
]
SESSIONS = [
    "nobody",
    "0",
    "null",
    "%00",
    "%FF%FE",
    "%F0%9F%98%80",
    "%0D%0AX-Injected:%201",
    "..%2F..%2Fhealth",
    LONG,
    *NAMES,
]


@pytest.fixture(params=MOUNTS)
async def client(request: pytest.FixtureRequest, server: Served) -> AsyncIterator[Client]:
    """A client of each mount. Afterwards somebody new is served, and no bug was logged."""
    async with connected(server, request.param) as client:
        yield client
        await client.works()
    assert "Traceback" not in server.said()


# --- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
async def test_no_other_revision_opens_a_session(client: Client, revision: str) -> None:
    await client.refuses(f"{revision}&transport=polling", 5)
    assert await client.refusal(f"{revision}&transport=websocket") in (400, None)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_other_transport_opens_a_session(client: Client, transport: str) -> None:
    await client.refuses(f"EIO=4&{transport}", 0)
    assert await client.refusal(f"EIO=4&{transport}") in (400, None)


@pytest.mark.parametrize("sid", SESSIONS)
async def test_an_unknown_session_is_nobodys(client: Client, sid: str) -> None:
    await client.refuses(f"{POLLING}&sid={sid}", 1)
    await client.refuses(f"{POLLING}&sid={sid}", 1, method="POST")
    assert await client.refusal(f"{WEBSOCKET}&sid={sid}") == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_another_method_opens_no_session(client: Client, method: str) -> None:
    await client.refuses(POLLING, 2, method=method)


async def test_a_socket_is_opened_by_an_upgrade_only(client: Client) -> None:
    await client.refuses(WEBSOCKET, 3)


@pytest.mark.parametrize(
    "query",
    [
        "EIO=3&EIO=4&transport=polling",
        "EIO=4&EIO=3&transport=polling",
        "EIO=4&transport=websocket&transport=polling",
        "EIO=4&transport=polling&transport=websocket",
        f"{POLLING}&sid=",
        f"{POLLING}&sid=nobody&sid=",
        f"{POLLING}&sid=&sid=nobody",
        f"{POLLING}&j=%3Cscript%3E",
        f"{POLLING}&b64=1",
        f"{POLLING}&x=%ZZ%",
        f"{POLLING}&x=%00%0D%0A",
        f"{POLLING}&=&&&=",
        f"{POLLING}&__proto__=1&__proto__[sid]=1",
        f"{POLLING}{'&a=1' * 1500}",
        POLLING.replace("&", ";"),
    ],
)
async def test_an_odd_query_is_understood_or_refused(client: Client, query: str) -> None:
    answer = await client.get(query)
    assert answer.status in (200, 400)
    assert "<script" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_another_method_says_nothing_in_a_session(client: Client, method: str) -> None:
    sid = await client.open()
    answer = await client.request(method, f"{POLLING}&sid={sid}", client.question)
    assert answer.status in (400, 405)  # the official server: 500
    await client.goes_on(sid)


async def test_any_site_may_ask_what_it_may(client: Client) -> None:
    asks = {
        "Origin": "https://anywhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await client.request("OPTIONS", POLLING, headers=asks)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == asks["Origin"]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"].lower() in ("content-type", "*")


# --- requests that HTTP has trouble with already -----------------------------------------------


def head(client: Client, *lines: bytes, query: bytes = POLLING.encode()) -> bytes:
    """A poll with these lines in its head."""
    target = client.path.encode() + b"?" + query
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: test", *lines, b"", b""])


@pytest.mark.parametrize(
    "query",
    [
        b"EIO=4&transport=polling&sid=\x01\x1f\x7f",
        b"EIO=4&transport=polling&sid=\x00",
        b"EIO=4&transport=polling&sid= \t",
        b"EIO=\xd9\xa4&transport=polling",
        b"EIO=4&transport=\xc3\xa9\xff\xfe",
        b"EIO=4&transport=polling&x=" + b"y" * 200_000,
        b"EIO=4&transport=polling#sid=nobody",
        b"EIO=4&transport=polling HTTP/9.9\r\nX: 1",
    ],
    ids=["controls", "null", "blanks", "digit", "bytes", "long", "fragment", "version"],
)
async def test_an_odd_target_is_no_error_of_the_server(client: Client, query: bytes) -> None:
    line = await client.line()
    line.send(head(client, query=query))
    answer = await status(line)
    assert answer is None or answer < 500 or answer == 505  # of a version that is none


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA",
        b"Upgrade: __proto__\r\nConnection: Upgrade",
        b"Upgrade: websocket, h2c\r\nConnection: Upgrade",
        b"Upgrade: \xff\xfe\r\nConnection: Upgrade",
        b"Connection: close, __proto__, constructor",
        b"Origin:",
        b"Origin: null",
        b"Origin: http://x\x85y\x1cz",
        b"Origin: \xff\xfe\xc3\xa9",
        b"Origin: " + b"x" * 4000,
        b"Cookie: io=; io=__proto__; =; ;;",
        b"User-Agent: ;MSIE Trident/",
        b"Accept-Encoding: gzip;q=__proto__, *;q=0",
        b"Content-Length: 5\r\nX: 1",
        b"Content-Length: -1",
        b"Content-Length: 1e3",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: __proto__",
        b"Expect: 100-continue",
        b"Expect: __proto__",
        b"Bad Name: 1",
        b"No colon",
        b": no name",
        b"Folded: 1\r\n 2",
        b"Host: another",
        b"X: \x00",
    ],
)
async def test_an_odd_header_is_no_error_of_the_server(client: Client, lines: bytes) -> None:
    line = await client.line()
    line.send(head(client, *lines.split(b"\r\n")), b"hello")
    answer = await status(line)
    assert answer is None or answer < 500


@pytest.mark.parametrize("count", [100, 10_000])
async def test_more_headers_than_anybody_needs_are_refused(client: Client, count: int) -> None:
    line = await client.line()
    with suppress(ConnectionError):
        line.send(head(client, *(b"X-%d: __proto__" % number for number in range(count))))
        await line.writer.drain()
    assert await status(line) in (200, 400, 431, None)


def upgrading(client: Client, *lines: str, method: str = "GET") -> bytes:
    """A request for a WebSocket, or what looks like it."""
    return request(f"{client.path}?{WEBSOCKET}", *lines, method=method)


@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: WebSocket", "Connection: keep-alive, Upgrade"),
        ("upgrade: WEBSOCKET", "connection: upgrade"),
        ("Upgrade: websocket", "Connection: Upgrade", "Origin: https://anywhere.example"),
        ("Upgrade: websocket", "Connection: Upgrade", "Cookie: __proto__=1"),
    ],
)
async def test_a_handshake_may_look_different(client: Client, lines: tuple[str, ...]) -> None:
    line = await client.line()
    line.send(upgrading(client, *lines, KEY, VERSION))
    assert await status(line) == 101
    first, said = await line.frame()
    assert (first, said[:1]) == (0x81, b"0")


@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: websocket", "Connection: Upgrade", VERSION),
        ("Upgrade: websocket", "Connection: Upgrade", VERSION, "Sec-WebSocket-Key: short"),
        ("Upgrade: websocket", "Connection: Upgrade", KEY),
        ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 12"),
        ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: __proto__"),
        ("Upgrade: h2c", "Connection: Upgrade", KEY, VERSION),
        ("Upgrade: __proto__", "Connection: Upgrade", KEY, VERSION),
        ("Upgrade: websocket", "Connection: close", KEY, VERSION),
        ("Upgrade: websocket", KEY, VERSION),
        ("Connection: Upgrade", KEY, VERSION),
    ],
)
async def test_half_a_handshake_is_refused(client: Client, lines: tuple[str, ...]) -> None:
    line = await client.line()
    line.send(upgrading(client, *lines))
    assert await status(line) in (400, 426)


async def test_a_handshake_is_no_post(client: Client) -> None:
    line = await client.line()
    lines = ("Upgrade: websocket", "Connection: Upgrade", KEY, VERSION)
    line.send(upgrading(client, *lines, method="POST"))
    assert await status(line) in (400, 405)


@pytest.mark.parametrize(
    "extra",
    [
        "Sec-WebSocket-Extensions: constructor, __proto__; hasOwnProperty=1, toString",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=__proto__",
        'Sec-WebSocket-Extensions: ;;,,==, "',
        f"Sec-WebSocket-Extensions: {'a;' * 3000}",
        "Sec-WebSocket-Protocol: __proto__, constructor",
        "Sec-WebSocket-Protocol: \u00ff\u00fe",
        f"Sec-WebSocket-Protocol: {', '.join(['a'] * 2000)}",
        f"Sec-WebSocket-Protocol: {'a' * 65_536}",
        KEY,
        VERSION,
    ],
)
async def test_an_odd_offer_is_no_error_of_the_server(client: Client, extra: str) -> None:
    line = await client.line()
    lines = ("Upgrade: websocket", "Connection: Upgrade", KEY, VERSION)
    with suppress(ConnectionError):
        line.send(upgrading(client, *lines, extra))
        await line.writer.drain()
    assert await status(line) in (101, 400, 413, 426, 431, None)


@pytest.mark.parametrize("has_session", [False, True])
async def test_a_handshake_of_the_polling_transport_is_no_error_of_the_server(
    client: Client, has_session: bool
) -> None:
    sid = await client.open()
    query = f"{POLLING}&sid={sid}" if has_session else POLLING
    line = await client.line()
    lines = ("Upgrade: websocket", "Connection: Upgrade", KEY, VERSION)
    line.send(request(f"{client.path}?{query}", *lines), bytes(8))
    answer = await status(line)
    assert answer is None or answer < 500
    if answer in (101, 400):  # not taken for a poll, which is then one of two
        await client.goes_on(sid)


# --- bodies -------------------------------------------------------------------------------------


async def test_a_body_of_bytes_is_refused_and_ends_the_session(client: Client) -> None:
    sid = await client.open()
    said = await client.post(sid, client.question, kind="application/octet-stream")
    assert said.status == 400
    await client.is_over(sid)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b"9hello",
        b"-1",
        b" 4",
        b"\x00",
        b"\xff\xfe",
        "é".encode(),
        "\u0664hello".encode(),  # begins with the digit four, in Arabic
        b"\x1e",
        b"3\x1e",
        b"\x1e3",
        b"3\x1e\x1e3",
        b"3\x1e8",
        b"2",  # a server pings, a client does not
        b"2probe",
    ],
)
async def test_a_body_with_what_is_no_packet_ends_the_session(client: Client, body: bytes) -> None:
    sid = await client.open()
    assert (await client.post(sid, body)).status == 400
    await client.is_over(sid)


@pytest.mark.parametrize(
    "body",
    [
        b"0",
        b"0{}",
        b"1\x1e4late",
        b"3",
        b"3probe",
        b"4\xff",
        b"5",
        b"5probe",
        b"6",
        b"b",
        b"bAQ",
        b"b====",
        b"b!!!",
        b"b\xc3\xa9",
        b"3" + b"\x1e3" * 100_000,
        b"b" + b"\x1eb" * 100_000,
    ],
    ids=lambda body: body[:8].decode(errors="replace"),
)
async def test_a_body_with_an_odd_packet_is_taken_or_refused(client: Client, body: bytes) -> None:
    sid = await client.open()
    answer = await client.post(sid, body)
    assert answer.status in (200, 400, 413)
    assert answer.status != 200 or answer.text == "ok"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain;charset=UTF-8",
        "text/plain",
        "application/json",
        "",
        "__proto__",
        "a;b=c;d",
        LONG,
    ],
)
async def test_a_body_of_any_other_kind_is_text(client: Client, kind: str) -> None:
    sid = await client.open()
    said = await client.post(sid, client.question, kind=kind)
    assert (said.status, said.text) == (200, "ok")
    await client.hears(sid, client.answer)


async def test_what_comes_back_is_no_page(server: Served) -> None:
    async with connected(server, "/engine.io/") as client:
        sid = await client.open()
        await client.post(sid, "4<script>alert(1)</script>", kind="text/html")
        answer = await client.poll(sid)
        assert answer.text == "4<script>alert(1)</script>"
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.headers["Cache-Control"].startswith("no-store")


async def test_a_body_that_is_packed_is_not_unpacked(client: Client) -> None:
    sid = await client.open()
    packed = gzip.compress(client.question.encode())
    headers = {"Content-Type": KIND, "Content-Encoding": "gzip"}
    answer = await client.request("POST", f"{POLLING}&sid={sid}", packed, headers=headers)
    assert answer.status in (400, 415)


def posting(client: Client, sid: str, *lines: str) -> bytes:
    """The head of a POST."""
    return request(f"{client.path}?{POLLING}&sid={sid}", *lines, method="POST")


async def test_a_body_may_come_in_chunks(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(posting(client, sid, "Transfer-Encoding: chunked"))
    for character in client.question:
        line.send(f"1\r\n{character}\r\n".encode())
        await client.reached()
    line.send(b"0\r\n\r\n")
    answer = await line.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    await client.hears(sid, client.answer)


async def test_the_largest_body_is_taken(server: Served) -> None:
    async with connected(server, "/engine.io/") as client:
        sid = await client.open()
        largest = "4" + "x" * (LARGEST - 1)
        said = await client.post(sid, largest)
        assert (said.status, said.text) == (200, "ok")
        await client.hears(sid, largest)


@pytest.mark.parametrize("lines", [f"Content-Length: {10 * LARGEST}", "Transfer-Encoding: chunked"])
async def test_a_larger_body_is_refused_while_it_comes(client: Client, lines: str) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(posting(client, sid, lines))
    body = b"4" + b"x" * LARGEST
    sending = asyncio.create_task(
        trickle(line, b"%x\r\n" % (10 * LARGEST) + body if "chunked" in lines else body)
    )
    assert await status(line) == 413  # no more of it will come
    await sending


async def trickle(line: Dialed, data: bytes) -> None:
    """Send as fast as it is read, until nobody reads any more."""
    with suppress(ConnectionError):
        for start in range(0, len(data), 65_536):
            line.send(data[start : start + 65_536])
            await line.writer.drain()


async def test_two_bodies_at_once_end_the_session(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(posting(client, sid, "Content-Length: 100"), b"4hel")
    await client.reached()
    assert (await client.post(sid, client.question)).status == 400
    await client.is_over(sid)
    line.send(b"x" * 96)
    assert await status(line) in (400, None)


async def test_half_a_body_ends_the_session(client: Client) -> None:
    sid = await client.open()
    line = await client.line()
    line.send(posting(client, sid, "Content-Length: 100"), b"4hel")
    line.writer.write_eof()
    await line.rest()
    await client.is_over(sid)


async def test_two_polls_at_once_end_the_session(client: Client) -> None:
    sid = await client.open()
    first, second = await client.line(), await client.line()
    first.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    await client.reached()
    second.send(request(f"{client.path}?{POLLING}&sid={sid}"))
    answer = await first.answer()
    assert (answer.status, answer.body) == (200, b"1")
    assert await status(second) == 400
    await client.is_over(sid)


# --- anything -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_any_bodies_are_taken_or_refused(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(16):
        sid = await client.open()
        parts = [said_at_random(chance) for _ in range(chance.randrange(1, 5))]
        body = b"\x1e".join(one.encode() if isinstance(one, str) else one for one in parts)
        assert (await client.post(sid, body)).status in (200, 400)


@pytest.mark.parametrize("seed", range(12))
async def test_any_heads_are_answered_or_hung_up_on(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        line = await client.line()
        lines = (chance.randbytes(chance.randrange(60)) for _ in range(chance.randrange(5)))
        query = chance.choice([POLLING, WEBSOCKET, "", f"{POLLING}&sid="]).encode()
        line.send(head(client, *lines, query=query + chance.randbytes(chance.randrange(20))))
        line.writer.write_eof()
        answer = await status(line)
        assert answer is None or answer < 500
