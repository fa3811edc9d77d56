"""Redirects: where they lead, what stays at home, and what is never followed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from anywire.client.redirect import Asked, follow, pairs, too_many
from anywire.client.websocket import SocketDialer
from anywire.errors import Refused
from anywire.net.handshake import HandshakeError, parse_url
from anywire.net.http1 import Response
from anywire.wires.base import Request
from tests.client.test_websocket import bytes_server, oracle

SECRETS = (
    ("Authorization", "Bearer secret"),
    ("cookie", "session=secret"),
    ("X-Api-Key", "secret"),
    ("Host", "inside.example"),
)
HARMLESS = ("User-Agent", "probe/1")


def answer(location: str, status: int = 302) -> Response:
    headers = [(b"location", location.encode())] if location else []
    return Response(status=status, reason="Found", headers=headers)


def asked(url: str) -> Asked:
    return Asked(parse_url(url), (*SECRETS, HARMLESS))


@pytest.mark.parametrize(
    ("location", "resource"),
    [
        ("/other?x=1", "/other?x=1"),
        ("next", "/a/next"),
        ("ws://server:8000/there", "/there"),
        ("http://SERVER:8000/there", "/there"),
        ("//server:8000/", "/"),
        ("?y=2", "/a/b?y=2"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_within_an_origin_everything_travels(location: str, resource: str, status: int) -> None:
    following = follow(asked("ws://ana:pass@server:8000/a/b?q"), answer(location, status))
    assert following is not None
    assert following.target.resource == resource
    assert following.target.userinfo == "ana:pass"
    assert following.headers == (*SECRETS, HARMLESS)
    assert following.is_first_origin


@pytest.mark.parametrize(
    "location",
    [
        "ws://other:8000/",
        "ws://server:8001/",
        "wss://server:8000/",
        "//other/",
        "https://evil:pass@server:8000@other/",
        "ws://user:word@other/",
    ],
)
def test_to_another_origin_nothing_travels_that_says_who_we_are(location: str) -> None:
    try:
        following = follow(asked("ws://ana:pass@server:8000/a"), answer(location))
    except HandshakeError as error:
        assert "cannot be connected to" in str(error)
        return
    assert following is not None
    assert following.headers == (HARMLESS,)
    assert following.target.userinfo is None
    assert not following.is_first_origin


def test_the_way_back_home_restores_nothing() -> None:
    away = follow(asked("ws://server/"), answer("ws://other/"))
    assert away is not None
    home = follow(away, answer("ws://server/"))
    assert home is not None
    assert home.headers == (HARMLESS,)
    assert not home.is_first_origin


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ws://server/", "from an encrypted address"),
        ("http://server/", "from an encrypted address"),
        ("ftp://server/", "cannot be connected to"),
        ("javascript:alert(1)", "cannot be connected to"),
        ("wss://[::1/", "cannot be connected to"),
        ("wss://se\\rver/", "cannot be connected to"),
    ],
)
def test_what_must_not_be_followed_is_an_error(location: str, why: str) -> None:
    with pytest.raises(HandshakeError, match=why) as raised:
        follow(asked("wss://server/"), answer(location))
    assert raised.value.status == 302


def test_what_is_no_redirect_leads_nowhere() -> None:
    assert follow(asked("ws://server/"), answer("")) is None
    assert follow(asked("ws://server/"), answer("/", 300)) is None
    assert follow(asked("ws://server/"), answer("/", 404)) is None


def test_headers_come_in_two_forms() -> None:
    assert pairs({"A": "1"}) == (("A", "1"),)
    assert pairs([("A", "1"), ("A", "2")]) == (("A", "1"), ("A", "2"))
    assert "3 went before it" in str(too_many(answer("/"), 3))


# --- on the network ------------------------------------------------------------------------------

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def leading_to(location: Callable[[], str]) -> Reply:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 307 Go\r\nLocation: {location()}\r\n\r\n".encode())

    return reply


@pytest.mark.net
async def test_a_redirect_is_followed_and_no_credential_reaches_the_other_server() -> None:
    seen: dict[str, str] = {}

    async def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.update(connection.request.headers.items(), path=connection.request.path)
        await connection.send("here")

    async with oracle(look) as there, bytes_server(leading_to(lambda: f"{there}x?y=1")) as url:
        dialer = SocketDialer(max_redirects=1, headers=SECRETS[:3], origin="http://page")
        request = Request(headers={"authorization": "Bearer token"}, query={"token": "secret"})
        link = await dialer.dial(url.replace("ws://", "ws://ana:pass@"), request)
        link.abort()
        assert link.url == f"{there}x?y=1"
        assert seen["path"] == "/x?y=1"
        assert seen["origin"] == "http://page"
        assert not {"authorization", "cookie", "x-api-key"} & set(seen)
        assert "secret" not in str(seen)
        assert "pass" not in str(seen)


@pytest.mark.net
async def test_redirects_are_followed_as_often_as_was_said() -> None:
    async with bytes_server(leading_to(lambda: "/again")) as url:
        with pytest.raises(HandshakeError, match="the server answered 307 Go"):
            await SocketDialer().dial(url, Request())
        with pytest.raises(HandshakeError, match="3 went before it"):
            await SocketDialer(max_redirects=3).dial(url, Request())


@pytest.mark.net
async def test_what_no_redirect_explains_is_said_as_it_is() -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nLocation: /login\r\n\r\n")

    async with bytes_server(reply) as url:
        with pytest.raises(Refused, match="401"):
            await SocketDialer(max_redirects=3).dial(url, Request())


@pytest.mark.net
async def test_a_unix_socket_is_one_server(tmp_path: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: ws://other/\r\n\r\n")
        writer.close()

    path = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(handle, path):
        with pytest.raises(ConnectionError, match="another server than the Unix socket's"):
            await SocketDialer(unix=path, max_redirects=1).dial("ws://server/", Request())
