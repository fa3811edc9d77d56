"""The user's own ASGI app beside ours: HTTP and lifespan."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from anywire.errors import ConfigurationError
from anywire.limits import Limits
from anywire.servers.guest import Asgi, Receive, Send
from tests.servers.serving import dial, frame, make_node, request, serving, upgrade

Scope = Any
App = Callable[[Scope, Receive, Send], Any]


def http_only(app: App) -> Asgi:
    """An app that raises on a lifespan, as small apps do."""

    async def guest(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        await app(scope, receive, send)

    return guest


async def reply(send: Send, body: bytes = b"", status: int = 200, *headers: Any) -> None:
    """A whole response."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


@http_only
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says the body back, part by part."""
    await send({"type": "http.response.start", "status": 200})
    while True:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        if not more:
            return


async def test_what_is_not_ours_goes_to_the_guest_and_ours_does_not() -> None:
    async with serving(fallback=echo) as server, dial(server) as client:
        client.send(request("/any", method="POST", body=b"hello"))
        assert (await client.answer()).body == b"hello"
        client.send(request("/healthz"))
        assert (await client.answer()).body == b"ok\n"
        client.send(request("/echo"))
        assert (await client.answer()).status == 426
        client.send(upgrade("/echo"), frame("x"))
        assert (await client.answer(has_body=False)).status == 101
        assert await client.frame() == (0x81, b"x")


async def test_the_scope_says_what_the_request_said() -> None:
    scopes: list[Scope] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send)

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/a%20b/%C3%A9?x=1&y=%20", "X-A: 1", "x-a: 2"))
        await client.answer()
        address = server.addresses[0]
    scope = scopes[0]
    assert scope["type"] == "http"
    assert scope["asgi"]["version"] == "3.0"
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("GET", "1.1", "http")
    assert (scope["path"], scope["raw_path"]) == ("/a b/é", b"/a%20b/%C3%A9")
    assert (scope["query_string"], scope["root_path"]) == (b"x=1&y=%20", "")
    assert scope["headers"] == [(b"host", b"test"), (b"x-a", b"1"), (b"x-a", b"2")]
    assert scope["server"] == (address.host, address.port)
    assert scope["client"][0] == "127.0.0.1"


async def test_a_large_body_is_streamed_both_ways() -> None:
    body = bytes(range(256)) * 20_000
    async with serving(fallback=echo) as server, dial(server) as client:
        client.send(request("/any", method="POST", body=body))
        assert (await client.answer()).body == body
        client.send(request("/again", method="POST", body=b"x"))
        assert (await client.answer()).body == b"x"


async def test_the_client_is_read_only_as_fast_as_the_app_reads() -> None:
    may_go = asyncio.Event()
    held = asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held.set()
        await may_go.wait()
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await reply(send, str(size).encode())

    size = 30_000_000
    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any", method="POST", body=b"x" * size))
        await held.wait()
        drained = asyncio.create_task(client.writer.drain())
        await asyncio.wait([drained], timeout=0.1)
        assert not drained.done()
        may_go.set()
        await drained
        assert (await client.answer()).body == str(size).encode()


async def test_the_app_waits_for_a_client_that_does_not_read() -> None:
    sent = 0

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(300):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        await client.reader.readuntil(b"\r\n\r\n")
        waited = asyncio.Event()
        server.deadlines.at(server.now() + 0.1, waited.set)
        await waited.wait()
        assert 0 < sent < 300
        rest = 0
        while size := int(await client.reader.readline(), 16):
            rest += len(await client.reader.readexactly(size + 2)) - 2
        assert (sent, rest) == (300, 30_000_000)


async def test_head_has_no_body_and_keeps_its_length() -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"12345", 200, (b"content-length", b"5"))

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any", method="HEAD"), request("/any"))
        said = await client.answer(has_body=False)
        assert said.headers["content-length"] == "5"
        said = await client.answer()
        assert (said.body, "transfer-encoding" in said.headers) == (b"12345", False)


async def test_a_client_that_waits_is_told_to_continue_when_the_app_reads() -> None:
    async with serving(fallback=echo) as server, dial(server) as client:
        client.send(request("/any", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        first = await client.answer(has_body=False)
        while first.status == 100:
            client.send(b"ok")
            first = await client.answer()
        assert first.status == 200


async def test_the_app_hears_that_its_client_is_gone() -> None:
    heard: list[Any] = []
    asked, gone = asyncio.Event(), asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        asked.set()
        heard.append(await receive())
        await reply(send, b"to nobody")
        gone.set()

    async with serving(fallback=app) as server:
        async with dial(server) as client:
            client.send(request("/any"))
            await asked.wait()
        async with asyncio.timeout(5):
            await gone.wait()
    assert heard == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_a_client_that_leaves_inside_its_body_is_a_disconnect() -> None:
    heard: list[Any] = []
    asked, gone = asyncio.Event(), asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        while not heard or heard[-1]["type"] != "http.disconnect":
            heard.append(await receive())
        gone.set()

    async with serving(fallback=app) as server:
        async with dial(server) as client:
            client.send(request("/any", "Content-Length: 10", method="POST"), b"123")
            await asked.wait()
        async with asyncio.timeout(5):
            await gone.wait()
    assert heard[-1] == {"type": "http.disconnect"}


@pytest.mark.parametrize("kind", ["raises", "silent", "wrong", "header", "order"])
async def test_a_bug_in_the_app_is_a_500_with_an_id(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        match kind:
            case "raises":
                raise KeyError("secret")
            case "wrong":
                await send({"type": "http.response.nonsense"})
            case "header":
                await reply(send, b"", 200, (b"x", b"a\r\nset-cookie: evil"))
            case "order":
                await send({"type": "http.response.body", "body": b"x"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        with caplog.at_level(logging.ERROR):
            said = await client.answer()
        assert said.status == 500
        assert b"secret" not in said.body
        assert said.body.decode().split()[-1] in caplog.text


async def test_a_bug_in_the_middle_of_a_response_cuts_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        raise KeyError("secret")

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        with pytest.raises((asyncio.IncompleteReadError, ValueError)):
            await client.answer()


async def test_the_head_of_a_stream_leaves_before_its_first_part() -> None:
    may_go = asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await may_go.wait()
        await send({"type": "http.response.body", "body": b"data"})

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        assert (await client.answer(has_body=False)).status == 200
        may_go.set()
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"4\r\ndata\r\n0\r\n\r\n"


async def test_the_lifespan_surrounds_the_requests_and_shares_its_state() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            told.append((await receive())["type"])
            scope["state"]["pool"] = "water"
            await send({"type": "lifespan.startup.complete"})
            told.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        scope["state"]["other"] = "fire"
        await reply(send, repr(scope["state"]).encode())
        told.append("request")

    async with serving(fallback=app) as server, dial(server) as client:
        for _ in range(2):
            client.send(request("/any"))
            assert (await client.answer()).body == b"{'pool': 'water', 'other': 'fire'}"
    assert told == ["lifespan.startup", "request", "request", "lifespan.shutdown"]


async def test_a_start_up_that_fails_stops_the_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(ConfigurationError, match="start-up failed: no database"):
        async with serving(fallback=app):
            pass


async def test_a_shut_down_that_fails_or_lasts_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def make(fails: bool) -> Asgi:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if fails:
                await send({"type": "lifespan.shutdown.failed", "message": "pool is stuck"})
            await asyncio.Event().wait()

        return app

    for fails in (True, False):
        async with serving(node=make_node(limits=Limits(stop=0.1)), fallback=make(fails)):
            pass
    assert "shut-down failed: pool is stuck" in caplog.text
    assert "did not shut down in 0.05 seconds" in caplog.text


async def test_a_lifespan_that_breaks_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise KeyError("later")

    async with serving(fallback=app):
        pass
    assert "the app's lifespan failed" in caplog.text


async def test_a_request_that_runs_is_ended_by_the_stop() -> None:
    asked = asyncio.Event()
    ended: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    node = make_node(limits=Limits(stop=0.1))
    async with serving(node=node, fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        await asked.wait()
        await server.stop()
        assert ended == ["ended"]


async def test_a_request_that_runs_may_end_before_the_stop_does() -> None:
    asked, may_go = asyncio.Event(), asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await may_go.wait()
        await reply(send, b"done")

    async with serving(fallback=app) as server, dial(server) as client:
        client.send(request("/any"))
        await asked.wait()
        stopping = asyncio.create_task(server.stop())
        may_go.set()
        said = await client.answer()
        assert (said.body, said.headers["connection"]) == (b"done", "close")
        await stopping
