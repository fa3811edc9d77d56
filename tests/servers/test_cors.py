"""What pages of other origins may read: each answer to who may, and none to who may not."""

from collections.abc import Mapping

import pytest

from anywire.limits import Limits
from anywire.net.head import Request
from anywire.payload import Carrier
from anywire.servers.carry import Exchange
from anywire.servers.cors import YEAR, cors, preflight
from anywire.wires.anywire import Own
from anywire.wires.base import Hello, Mount, Route, Wire
from tests.servers.carrying import TABLE, Strange
from tests.servers.serving import Said, dial, make_node, request, serving, upgrade

FRIEND = "https://friend.example"
EVIL = "https://evil.example"


def asked(method: str = "GET", **headers: str) -> Request:
    return Request(
        method=method,
        target=b"/x",
        path="/x",
        raw_path=b"/x",
        query=b"",
        headers=[(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        version="1.1",
        keep_alive=True,
        upgrade=False,
    )


def is_open(headers: Mapping[str, str], origin: str = FRIEND) -> bool:
    """Whether a page of that origin can read the answer, with what it sent of cookies."""
    assert headers.get("access-control-allow-origin") != "*"
    return (
        headers.get("access-control-allow-origin") == origin
        and headers["access-control-allow-credentials"] == "true"
        and headers["vary"] == "Origin"
    )


def is_closed(said: Said) -> bool:
    return not any(name.startswith("access-control-allow") for name in said.headers)


def test_a_page_is_answered_with_its_own_origin_and_nobody_else_with_any() -> None:
    assert dict(cors(asked(origin=FRIEND))) == {
        "Access-Control-Allow-Origin": FRIEND,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }
    assert list(cors(asked())) == []


def test_a_browser_that_asks_first_is_told_what_a_page_may_send_and_need_not_ask_again() -> None:
    reply = preflight(asked("OPTIONS", origin=FRIEND), ["OPTIONS", "POST"])
    headers = dict(reply.headers)
    assert (reply.status, reply.body) == (204, b"")
    assert headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
    assert headers["Access-Control-Max-Age"] == str(YEAR)
    assert headers["Cache-Control"] == f"public, max-age={YEAR}"
    assert headers["Expires"].endswith("GMT")
    assert "Access-Control-Allow-Headers" not in headers
    reply = preflight(asked("OPTIONS", access_control_request_headers="x-a, x-b"), ["OPTIONS"])
    assert dict(reply.headers)["Access-Control-Allow-Headers"] == "x-a, x-b"


# --- through a server -----------------------------------------------------------------------------


async def buggy(exchange: Exchange, wire: Wire, hello: Hello) -> None:
    raise KeyError("secret")


class Friendly(Strange):
    """The stranger's routes, and one of any method, for pages of one other origin."""

    def routes(self) -> list[Route]:
        mount = Mount(origins=(FRIEND, "null"))
        routes = [*super().routes(), Route("*", "/any", Carrier.POST)]
        return [Route(route.method, route.path, route.carrier, mount) for route in routes]


@pytest.mark.net
async def test_every_answer_to_a_page_that_may_can_be_read_by_it() -> None:
    node = make_node(limits=Limits(body=10))
    carriers = {**TABLE, Carrier.POLL: buggy}
    async with serving(node=node, wires=[Friendly()], carriers=carriers) as server:
        for method, path, body, status in (
            ("GET", "/events", b"", 200),
            ("POST", "/post/a", b"hello", 200),
            ("PATCH", "/any", b"hello", 200),
            ("POST", "/post/a", b"x" * 11, 413),
            ("PUT", "/post/a", b"", 405),
            ("GET", "/poll", b"", 500),
            ("OPTIONS", "/post/a", b"", 204),
            ("OPTIONS", "/any", b"", 204),
        ):
            async with dial(server) as client:
                client.send(request(path, f"Origin: {FRIEND}", method=method, body=body))
                said = await client.answer(has_body=False)
                assert said.status == status, (method, path)
                assert is_open(said.headers), (method, path)


@pytest.mark.net
async def test_no_answer_to_a_page_that_may_not_can_be_read_by_it() -> None:
    async with serving(wires=[Friendly()], carriers=TABLE) as server:
        for method, path, status in (
            ("GET", "/events", 503),  # in the wire's own words
            ("POST", "/post/a", 503),
            ("PUT", "/post/a", 405),
            ("OPTIONS", "/post/a", 403),
            ("OPTIONS", "/any", 403),
        ):
            async with dial(server) as client:
                client.send(request(path, f"Origin: {EVIL}", method=method))
                said = await client.answer(has_body=False)
                assert (said.status, is_closed(said)) == (status, True), (method, path)


@pytest.mark.net
async def test_a_body_that_is_refused_while_it_is_read_can_be_read_about() -> None:
    node = make_node(limits=Limits(body=10))
    async with serving(node=node, wires=[Friendly()], carriers=TABLE) as server:
        async with dial(server) as client:
            lines = (f"Origin: {FRIEND}", "Transfer-Encoding: chunked")
            client.send(request("/post/a", *lines, method="POST"), b"b\r\nhello world\r\n")
            said = await client.answer()
            assert (said.status, is_open(said.headers)) == (413, True)


@pytest.mark.net
async def test_a_preflight_lists_what_the_path_takes() -> None:
    wires: list[Wire] = [Own("/ws"), Friendly()]
    async with serving(wires=wires, carriers=TABLE, origins=[FRIEND]) as server:
        async with dial(server) as client:
            for path, methods in (
                ("/ws/poll", "OPTIONS, GET, POST"),
                ("/ws", "OPTIONS, GET"),
                ("/post/a", "OPTIONS, POST"),
                ("/any", "OPTIONS"),
            ):
                lines = ("Access-Control-Request-Headers: content-type", f"Origin: {FRIEND}")
                client.send(request(path, *lines, method="OPTIONS"))
                said = await client.answer()
                assert (said.status, said.body) == (204, b""), path
                assert is_open(said.headers)
                assert said.headers["access-control-allow-methods"] == methods
                assert said.headers["access-control-allow-headers"] == "content-type"
                assert int(said.headers["access-control-max-age"]) > 86_400
                assert said.headers["cache-control"].startswith("public, max-age=")


@pytest.mark.net
async def test_where_any_page_may_come_each_is_told_its_own_origin() -> None:
    async with serving(wires=[Own("/ws")], origins="*") as server, dial(server) as client:
        for origin in (FRIEND, EVIL, "null", "no origin at all"):
            client.send(request("/ws/poll", f"Origin: {origin}"))
            said = await client.answer()
            assert (said.status, is_open(said.headers, origin)) == (200, True), origin
            assert "X-Anywire-Close" in said.headers["access-control-expose-headers"]
        for lines in ((), ("Origin: https://no-browser.\xff",)):
            client.send(request("/ws/poll", *lines))
            assert is_closed(await client.answer())


@pytest.mark.net
async def test_a_stream_can_be_read_from_its_beginning() -> None:
    async with serving(wires=[Own("/ws")], origins=[FRIEND]) as server:
        for path in ("/ws/events", "/ws/stream"):
            async with dial(server) as client:
                client.send(request(path, f"Origin: {FRIEND}"))
                said = await client.answer(has_body=False)
                assert (said.status, is_open(said.headers)) == (200, True)
            async with dial(server) as client:
                client.send(request(path, f"Origin: {EVIL}"))
                said = await client.answer()
                assert (said.status, is_closed(said)) == (403, True)


@pytest.mark.net
async def test_a_page_cannot_be_answered_more_than_it_asked_for() -> None:
    async with serving(wires=[Own("/ws")], origins="*") as server, dial(server) as client:
        client.send(upgrade("/ws", f"Origin: {EVIL}", "Access-Control-Request-Headers: x"))
        said = await client.answer(has_body=False)
        assert said.status == 101
        assert is_closed(said)  # for a WebSocket there is no such thing
