"""What every host of an app does for its clients: our own server, an ASGI host, a framework.

A test module gives a `Host` (a base URL, and what this host can do), and runs each of `CASES` on
it. What some host cannot do is a `Can`: where a host lacks it, the case asserts what happens there
instead. docs/howto/asgi-hosts.md has the same table for people, and a test compares the two.
"""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from anywire import Refused
from anywire.client import Client, HttpDialer
from anywire.client import connect as dial
from anywire.client.channel import Channel
from tests.e2e.proxy import proxied
from tests.hosts.app import FLOOD, LIMITS

LARGE = 60_000
MANY = 500
WAIT = 8.0


class Can(Enum):
    """What some hosts do and others do not; the value is the row's title in the docs' table."""

    PINGS = "Pings of ours to silent peers"
    DEFLATE = "Compression"
    STATUS = "Refusals with an HTTP status and words"
    CODE = "Your app hears the close code of its client"
    REASON = "Your app hears the reason of its client"
    SLOW = "Slow readers are found and closed with 4408"
    FAREWELL = "1001 to everybody at a stop"


@dataclass(frozen=True, slots=True)
class Host:
    """One running server. `url`: where the app is, without a slash at its end."""

    url: str
    can: frozenset[Can]

    @property
    def ws(self) -> str:
        """The same for WebSockets."""
        return self.url.replace("http", "ws", 1)

    @property
    def port(self) -> int:
        """For who connects by other means."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    async def socket(self, path: str, **options: Any) -> ClientConnection:
        """A WebSocket of the library `websockets`."""
        return await websockets.connect(f"{self.ws}{path}", proxy=None, **options)

    def client(self, name: str, **options: Any) -> Client:
        """Our Python client."""
        return dial(f"{self.ws}/ws?name={name}", reconnect_interval=0.05, **options)


Case = Callable[[Host], Awaitable[None]]


async def heard(client: ClientConnection) -> str | bytes:
    """The next message, in time."""
    async with asyncio.timeout(WAIT):
        return await client.recv()


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the end; messages before it are dropped."""
    async with asyncio.timeout(WAIT):
        with suppress(websockets.ConnectionClosed):
            while True:
                await client.recv()
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""


async def member(client: Client, room: str) -> Channel:
    """Joined to a room of the app."""
    channel = client.channel(f"room:{room}", recover=True)
    await channel.join()
    return channel


async def event(events: Any, name: str) -> Any:
    """The data of the next event of this name."""
    async with asyncio.timeout(WAIT):
        while True:
            found = await anext(events)
            if found.name == name:
                return found.data


async def refusal(host: Host, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a handshake that is not answered with 101."""
    url = urlsplit(f"{host.url}{path}")
    lines = [
        f"GET {url.path} HTTP/1.1",
        f"Host: {url.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(WAIT):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            # The body is short: it comes with the head, or right behind it, and then the end.
            body = (
                b""
                if " 403 " in head and "content-length: 0" in head.lower()
                else (await reader.read(4096))
            )
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return int(head.split(" ", 2)[1]), body.decode()


@dataclass(frozen=True, slots=True)
class Said:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(host: Host, path: str, method: str = "GET", **headers: str) -> Said:
    """One request."""
    request = urllib.request.Request(
        f"{host.url}{path}",
        method=method,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )

    def ask() -> Said:
        try:
            with urllib.request.urlopen(request, timeout=WAIT) as response:
                return Said(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Said(error.code, cast(Mapping[str, str], error.headers), error.read())

    return await asyncio.to_thread(ask)


# --- messages -------------------------------------------------------------------------------------


async def messages_come_back_as_they_were(host: Host) -> None:
    """Text and binary, empty, large, of any language."""
    async with await host.socket("/raw/echo") as client:
        for message in ("hi", b"\x00\xff", "", b"", "x" * LARGE, b"\x01" * LARGE, "日本 é 🙂"):
            await client.send(message)
            assert await heard(client) == message


async def many_messages_keep_their_order(host: Host) -> None:
    """Both ways, without waiting in between."""
    async with await host.socket("/raw/echo") as client:
        await client.send("joined?")
        assert await heard(client) == "joined?"
        for number in range(MANY):
            await client.send(f"message {number}")
        assert [await heard(client) for _ in range(MANY)] == [f"message {n}" for n in range(MANY)]


async def a_message_over_the_limit_closes_with_1009(host: Host) -> None:
    """Our limit, not the host's; what is just below it is fine."""
    async with await host.socket("/raw/echo") as client:
        await client.send("x" * LIMITS.message)
        assert len(await heard(client)) == LIMITS.message
        await client.send("é" * (LIMITS.message // 2 + 1))
        assert (await closed(client))[0] == 1009


async def a_fragmented_message_is_one(host: Host) -> None:
    """However it was cut."""
    async with await host.socket("/raw/echo") as client:
        await client.send(["a", "b", "c"])
        assert await heard(client) == "abc"


async def a_ping_of_the_client_is_answered(host: Host) -> None:
    """By whoever has the socket."""
    async with await host.socket("/raw/echo") as client, asyncio.timeout(WAIT):
        await (await client.ping(b"you?"))


async def messages_are_compressed_where_the_host_does(host: Host) -> None:
    """Offered by the client, agreed to by the host or not."""
    async with await host.socket("/raw/echo") as client:
        is_agreed = bool(client.protocol.extensions)
        assert is_agreed == (Can.DEFLATE in host.can)
        await client.send("again and again " * 500)
        assert await heard(client) == "again and again " * 500


# --- the own wire ---------------------------------------------------------------------------------


async def two_clients_meet_call_stream_and_publish(host: Host) -> None:
    """Everything that the own wire has, over this host."""
    async with host.client("ana") as ana, host.client("bo", format="msgpack") as bo:
        a, b = await member(ana, "one"), await member(bo, "one")
        hears = b.events()
        assert await a.call("say", "hi") > 0
        assert await event(hears, "said") == {"by": "ana", "text": "hi"}
        assert [item async for item in a.stream("count", 5)] == [0, 1, 2, 3, 4]
        assert await b.call("sum", uploads=[_hundred()]) == 4950
        a.answer("name", lambda: "ana")
        assert await a.call("ask") == "you are ana"
        await hears.aclose()


async def a_client_that_was_cut_comes_back_and_misses_nothing(host: Host) -> None:
    """The same session, its own replies and the room's publications in order."""
    async with proxied(host.port) as proxy:
        through = host.ws.replace(f":{host.port}", f":{proxy.port}", 1)
        async with (
            host.client("ana") as ana,
            dial(f"{through}/ws?name=cut", reconnect_interval=0.05) as cut,
        ):
            a, c = await member(ana, "resume"), await member(cut, "resume")
            hears = c.events()
            for number in range(60):
                await a.call("say", str(number))
                if number in (20, 40):
                    proxy.cut()
            texts = [(await event(hears, "said"))["text"] for _ in range(60)]
            assert texts == [str(number) for number in range(60)]
            assert await c.call("say", "back") > 0
            await hears.aclose()


async def _hundred() -> AsyncIterator[int]:
    for number in range(100):
        yield number


async def requests_carry_a_session(host: Host) -> None:
    """Without a WebSocket, in the same room as one with it."""
    for carrier in ("poll", "events", "stream"):
        requests = dial(f"{host.url}/ws?name=bo", dialer=HttpDialer(carrier))
        async with host.client("ana") as ana, requests as bo:
            a, b = await member(ana, carrier), await member(bo, carrier)
            hears = b.events()
            for number in range(20):
                await a.call("say", f"ana {number}")
            assert [(await event(hears, "said"))["text"] for _ in range(20)] == [
                f"ana {number}" for number in range(20)
            ]
            assert await b.call("say", f"from {carrier}") > 0
            await hears.aclose()


async def subprotocols_are_chosen_by_the_wire(host: Host) -> None:
    """The client's first known one; unknown ones are refused where the wire says so."""
    async with await host.socket("/picky/echo", subprotocols=["x", "echo.2", "echo.1"]) as client:
        assert client.subprotocol == "echo.2"
    async with await host.socket("/ws", subprotocols=["anywire.json.1"]) as client:
        assert client.subprotocol == "anywire.json.1"
    status, said = await refusal(host, "/ws", Sec_WebSocket_Protocol="unknown.1")
    if Can.STATUS in host.can:
        assert (status, "anywire.json.1" in said) == (400, True)
    else:
        assert status == 403


# --- refusals -------------------------------------------------------------------------------------


async def who_is_not_authenticated_is_refused_with_4401(host: Host) -> None:
    """A browser sees the code and the words, on any wire; the own one has words of its own too."""
    async with await host.socket("/raw/echo?token=wrong") as client:
        assert await closed(client) == (4401, "the token is wrong")
    own = await host.socket("/ws?token=wrong", subprotocols=["anywire.json.1"])
    async with own as client:
        assert "unauthenticated" in str(await heard(client))
        assert await closed(client) == (4401, "the token is wrong")


async def a_join_is_refused_in_the_wires_words(host: Host) -> None:
    """4403 where the connection is the membership, else a refusal of the one join."""
    async with await host.socket("/raw/staff") as client:
        assert (await closed(client))[0] == 4403
    async with host.client("ana") as ana:
        with pytest.raises(Refused, match="staff_only"):
            await ana.channel("staff").join()
        assert await (await member(ana, "other")).call("say", "still here") > 0


async def a_foreign_page_gets_no_socket(host: Host) -> None:
    """And its own origin does."""
    status, said = await refusal(host, "/raw/echo", Origin="https://evil.example")
    assert status == 403
    if Can.STATUS in host.can:
        assert 'origins=["https://evil.example"]' in said
    async with await host.socket("/raw/echo", origin=f"http://127.0.0.1:{host.port}") as client:
        await client.send("home")
        assert await heard(client) == "home"


async def a_path_that_nobody_has_is_refused(host: Host) -> None:
    """Before any upgrade."""
    status, _ = await refusal(host, "/nothing/here")
    assert status == (404 if Can.STATUS in host.can else 403)


# --- the end --------------------------------------------------------------------------------------


async def a_close_of_the_app_reaches_the_client(host: Host) -> None:
    """Code and reason, behind everything that was said before."""
    async with await host.socket("/raw/closing:4321") as client:
        await client.send("that is é-nough")
        assert await heard(client) == "the last word"
        assert await closed(client) == (4321, "that is é-nough")


async def a_goodbye_of_the_client_reaches_the_app(host: Host) -> None:
    """Code and reason, where the host tells them."""
    async with await host.socket("/raw/watch") as watcher:
        client = await host.socket("/raw/echo")
        await client.send("hi")
        assert await heard(client) == "hi"
        await client.close(4999, "see you")
        code, _, rest = str(await heard(watcher)).partition(" ")
        reason = rest.rpartition(" ")[0]
        assert code == ("4999" if Can.CODE in host.can else "1006")
        assert reason == ("see you" if Can.REASON in host.can else "-")


async def a_client_that_vanishes_is_lost(host: Host) -> None:
    """1006, and not its own will."""
    async with await host.socket("/raw/watch") as watcher:
        client = await host.socket("/raw/echo")
        await client.send("hi")
        assert await heard(client) == "hi"
        client.transport.abort()
        assert await heard(watcher) == "1006 - cut"


async def who_listens_in_silence_stays(host: Host) -> None:
    """Asked by our pings where we have them; else its silence says nothing."""
    async with await host.socket("/quiet/watch", ping_interval=None) as client:
        pings: list[bool] = []
        receive = client.protocol.receive_data

        def seen(data: bytes | bytearray) -> None:
            pings.append(data[:1] == b"\x89")
            receive(data)

        client.protocol.receive_data = seen  # type: ignore[method-assign]
        await client.send("still here")
        assert await heard(client) == "still here"
        assert any(pings) == (Can.PINGS in host.can)


async def who_does_not_read_is_closed_and_harms_nobody(host: Host) -> None:
    """4408 once its outbox is over the bound, where the host lets us see that it is slow."""
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", host.port))
        async with host.client("ana", max_message=4 * FLOOD) as ana:
            a = await member(ana, "flood")
            hears = a.events()
            slow = await host.socket("/ws?name=slow", sock=narrow, max_queue=1, compression=None)
            await slow.send('{"type":"join","id":1,"address":"room:flood"}')
            while '"joined"' not in str(await heard(slow)):
                pass
            slow.transport.pause_reading()
            numbers: list[int] = []
            codes: list[object] = []
            async with asyncio.timeout(2 * WAIT):
                for step in range(100):
                    await a.call("flood", step * 4, 4)
                    while len(numbers) < 4 * step + 4:
                        found = await anext(hears)
                        if found.name == "water":
                            numbers.append(int(found.data.split()[0]))
                        elif found.name == "left":
                            codes.append(found.data["code"])
                    if codes:
                        break
            assert numbers == list(range(len(numbers)))
            assert codes == ([4408] if Can.SLOW in host.can else [])
            await hears.aclose()
            slow.transport.abort()


# --- HTTP -----------------------------------------------------------------------------------------


async def plain_requests_are_answered(host: Host) -> None:
    """Health, readiness, the browser client, and what is not there."""
    assert (await fetch(host, "/healthz")).body == b"ok\n"
    assert (await fetch(host, "/readyz")).body == b"ready\n"
    assert (await fetch(host, "/healthz", "POST")).status == 405
    head = await fetch(host, "/healthz", "HEAD")
    assert (head.status, head.body) == (200, b"")
    refused = await fetch(host, "/ws", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET")
    needed = await fetch(host, "/ws")
    assert (needed.status, needed.headers["upgrade"]) == (426, "websocket")
    assert (await fetch(host, "/nothing/here")).status == 404


async def pages_that_may_can_read_the_answers(host: Host) -> None:
    """And are told first what they may send; those that may not are told nothing (Fetch, 3.2)."""
    url = urlsplit(host.url)
    for origin, status in ((f"{url.scheme}://{url.netloc}", 200), ("https://elsewhere.test", 403)):
        allowed = origin if status == 200 else None
        said = await fetch(host, "/ws/poll?name=page", Origin=origin)
        assert (said.status, said.headers.get("access-control-allow-origin")) == (status, allowed)
        asked = await fetch(host, "/ws/poll", "OPTIONS", Origin=origin)
        assert asked.headers.get("access-control-allow-origin") == allowed
        if allowed is not None:
            assert (asked.status, asked.body) == (204, b"")
            assert asked.headers["access-control-allow-methods"] == "OPTIONS, GET, POST"
            assert asked.headers["access-control-allow-credentials"] == "true"


async def the_browser_client_is_served(host: Host) -> None:
    """With its type and its tag; once only to who has it."""
    said = await fetch(host, "/anywire.js")
    assert said.status == 200
    assert said.headers["content-type"] == "text/javascript; charset=utf-8"
    assert said.body
    again = await fetch(host, "/anywire.js", If_None_Match=said.headers["etag"])
    assert (again.status, again.body) == (304, b"")


CASES: list[Case] = [
    messages_come_back_as_they_were,
    many_messages_keep_their_order,
    a_message_over_the_limit_closes_with_1009,
    a_fragmented_message_is_one,
    a_ping_of_the_client_is_answered,
    messages_are_compressed_where_the_host_does,
    two_clients_meet_call_stream_and_publish,
    a_client_that_was_cut_comes_back_and_misses_nothing,
    requests_carry_a_session,
    pages_that_may_can_read_the_answers,
    subprotocols_are_chosen_by_the_wire,
    who_is_not_authenticated_is_refused_with_4401,
    a_join_is_refused_in_the_wires_words,
    a_foreign_page_gets_no_socket,
    a_path_that_nobody_has_is_refused,
    a_close_of_the_app_reaches_the_client,
    a_goodbye_of_the_client_reaches_the_app,
    a_client_that_vanishes_is_lost,
    who_listens_in_silence_stays,
    who_does_not_read_is_closed_and_harms_nobody,
    plain_requests_are_answered,
    the_browser_client_is_served,
]


async def a_stop_says_goodbye(host: Host, stop: Callable[[], int]) -> None:
    """1001 and our words to everybody, or whatever the host says; and it ends in bounded time."""
    clients = [await host.socket("/raw/echo") for _ in range(20)]
    for client in clients:
        await client.send("hi")
        assert await heard(client) == "hi"
    ended = asyncio.gather(*(closed(client) for client in clients))
    stopped = asyncio.create_task(asyncio.to_thread(stop))
    codes = set(await ended)
    await stopped
    if Can.FAREWELL in host.can:
        assert codes == {(1001, "the server stops")}
    else:
        assert {code for code, _ in codes} <= {1001, 1006, 1011, 1012}
