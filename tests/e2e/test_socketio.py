"""The conformance app and Socket.IO's official client, in Node and Chromium, and the Python one."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import socketio  # type: ignore[import-untyped]

from tests.e2e.proxy import proxied
from tests.e2e.stage import MARKS, Stage, all_went_well, scenes, serve

pytestmark = MARKS
LEAST = 60
TRANSPORTS = ["polling", "websocket", "default"]
CLIENTS = int(os.environ.get("CUT_CLIENTS", "8"))
SECONDS = float(os.environ.get("CUT_SECONDS", "5"))
"""50 and 60 in the run of bench/README.md."""
BYTES = bytes(range(256))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_in_node(transport: str, stage: Stage) -> None:
    found = await stage.in_node("socketio/run.mjs", stage.url, stage.origin, transport)
    all_went_well(found, scenes("socketio"), LEAST)


@pytest.mark.browser
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_does_all_scenes_on_a_page(transport: str, stage: Stage) -> None:
    # A page has six connections to a host at most, and each poll takes one.
    together = 6 if transport == "websocket" else 1
    options = f'io, transport: "{transport}", together: {together}'
    found = await stage.in_page("socketio", options)
    all_went_well(found, scenes("socketio"), LEAST)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_client_comes_back_by_itself_when_the_server_does(
    transport: str, stage: Stage
) -> None:
    server, url = await serve(stage.processes, stage.origin)
    client = await stage.processes.node("client", "socketio/comeback.mjs", url, transport)
    for namespace in ("/", "/chat"):
        await client.line(f'{{"nsp":"{namespace}","connect":')
    before = [json.loads(line) for line in client.lines]
    server.signal(signal.SIGTERM)
    await server.ended()
    # A poll that is not there when the server goes is refused when it comes.
    reasons = ["transport close"] + ["transport error"] * (transport == "polling")
    for namespace in ("/", "/chat"):
        said = await client.line(f'{{"nsp":"{namespace}","disconnect":')
        assert json.loads(said)["disconnect"] in reasons
    told = len(client.lines)
    await serve(stage.processes, stage.origin, port=int(url.rpartition(":")[2]))
    for namespace in ("/", "/chat"):
        await client.line(lambda _: _again(client.lines[told:], namespace, "connect"))  # noqa: B023
        await client.line(lambda _: _again(client.lines[told:], namespace, "echo"))  # noqa: B023
    after = [json.loads(line) for line in client.lines[told:]]
    connects = [one for one in after if "connect" in one]
    assert {one["answer"] for one in connects} == {"here"}
    assert {one["recovered"] for one in connects} == {False}
    assert not {one["connect"] for one in connects} & {one.get("connect") for one in before}
    assert [one["echo"] for one in after if "echo" in one] == ["kept", "kept"]
    assert await client.finish() == 0


def _again(lines: list[str], namespace: str, what: str) -> bool:
    start = f'{{"nsp":"{namespace}","{what}":'
    return any(line.startswith(start) for line in lines)


class Heard:
    """What the Python client hears of one event, in its order, without the recovery's offset."""

    def __init__(self, client: socketio.AsyncClient, event: str, namespace: str = "/") -> None:
        self._queue: asyncio.Queue[list[Any]] = asyncio.Queue()
        client.on(event, self._take, namespace=namespace)

    def _take(self, *args: Any) -> None:
        self._queue.put_nowait(list(args))

    async def raw(self) -> list[Any]:
        async with asyncio.timeout(10):
            return await self._queue.get()

    async def next(self) -> list[Any]:
        *args, offset = await self.raw()
        assert isinstance(offset, str)
        return args


class Python:
    """Makes Python clients of one transport, and ends them."""

    def __init__(self, transport: str, url: str) -> None:
        self.url = url
        self.carrier = "polling" if transport == "polling" else "websocket"
        self._transports = None if transport == "default" else [transport]
        self._clients: list[socketio.AsyncClient] = []

    def make(self) -> socketio.AsyncClient:
        client = socketio.AsyncClient(
            handle_sigint=False, reconnection_delay=0.05, randomization_factor=0
        )
        self._clients.append(client)
        return client

    async def connect(
        self, client: socketio.AsyncClient, *namespaces: str, url: str = "", auth: object = None
    ) -> None:
        await client.connect(
            url or self.url,
            auth=auth,
            transports=self._transports,
            namespaces=list(namespaces) or ["/"],
            socketio_path="socket.io-app",
            wait_timeout=10,
        )

    async def open(self, *namespaces: str, **options: Any) -> socketio.AsyncClient:
        client = self.make()
        await self.connect(client, *namespaces, **options)
        return client

    async def end(self) -> None:
        for client in self._clients:
            await client.shutdown()


@pytest_asyncio.fixture(params=TRANSPORTS, loop_scope="module")
async def python(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Python]:
    python = Python(request.param, stage.url)
    yield python
    await python.end()


async def test_the_python_client_is_let_in_or_refused_by_each_namespace(python: Python) -> None:
    client = python.make()
    spaces = ("/", "/chat", "/custom", "/secret")
    told = [Heard(client, "auth", space) for space in spaces]
    hello = Heard(client, "hello-from", "/dyn-7")
    auth = {"token": "secret", "more": [1, None, {"ü": "👋"}]}
    await python.connect(client, *spaces, "/dyn-7", auth=auth)
    assert client.transport() == python.carrier
    assert [await one.next() for one in told] == [[auth]] * 4
    assert await hello.next() == ["/dyn-7"]
    assert len({client.get_sid(space) for space in (*spaces, "/dyn-7")}) == 5
    for space in ("/", "/chat", "/secret"):
        assert await client.call("echo", space, namespace=space) == space
    for space, error in {
        "/secret": {"message": "not authorized", "data": {"code": 401}},
        "/nowhere": {"message": "Invalid namespace"},
    }.items():
        other = python.make()
        errors = Heard(other, "connect_error", space)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await python.connect(other, space, auth={"token": "wrong"})
        assert await errors.raw() == [error]


async def test_the_python_client_sends_hears_answers_and_is_answered(python: Python) -> None:
    client = python.make()
    back = Heard(client, "message-back")
    client.on("question", lambda value: [value, b"answer"])
    await python.connect(client)
    assert await client.call("transport") == python.carrier
    lists: list[list[Any]] = [
        [],
        ["Grüße 👋🏽 \0\u2028", -1.5, None, True, {"a": [[], {"b": None}]}],
        [BYTES],
        ["text", b"", {"deep": [b"\0\1", {"inner": BYTES}]}, "text"],
    ]
    for args in lists:
        await client.emit("message", tuple(args))
        assert await back.next() == args
    for value in ("ü" * 100_000, {"a": [1, 2]}, BYTES * 1000, [BYTES, "text"], 0):
        assert await client.call("echo", value) == value
    assert await client.call("message-with-ack", (1, "two", b"3")) == (1, "two", b"3")
    assert await client.call("ask-me", "why?") == ["why?", b"answer"]
    assert await client.call("ask-me", b"why?") == [b"why?", b"answer"]
    with pytest.raises(socketio.exceptions.TimeoutError):
        await client.call("no-ack", 1, timeout=0.2)
    # It takes no more than sixteen packets of one poll.
    for group in range(0, 200, 10):
        numbers = range(group, group + 10)
        for number in numbers:
            await client.emit("message", number)
        assert [await back.next() for _ in numbers] == [[number] for number in numbers]


async def test_the_python_client_is_in_rooms(python: Python) -> None:
    room, watched = f"room {id(python)}", f"watch:{id(python)}"
    one, two, three = [python.make() for _ in range(3)]
    said = [Heard(client, "said") for client in (one, two, three)]
    left, ended = Heard(three, "left"), Heard(one, "disconnect")
    for client in (one, two):
        client.on("question", lambda value: value * 2)
    await asyncio.gather(*(python.connect(client) for client in (one, two, three)))
    for client in (one, two):
        assert await client.call("join", room) == "ok"
    assert await one.call("rooms") == [room]
    assert await three.call("count-room", room) == 2
    await three.emit("to-room", (room, "said", "to both", b"\1"))
    await one.emit("to-room-except-me", (room, "said", "to the other"))
    assert await said[0].next() == ["to both", b"\1"]
    assert sorted([await said[1].next(), await said[1].next()], key=len) == [
        ["to the other"],
        ["to both", b"\1"],
    ]
    assert await three.call("ask-room", (room, 21)) == (None, [42, 42])
    for client in (one, three):
        assert await client.call("join", watched) == "ok"
    assert await one.call("name", "one") == "ok"
    assert await two.call("leave", room) == "ok"
    await two.emit("kick-room", room)
    assert await ended.raw() == ["server disconnect"]
    assert await left.next() == ["one"]
    assert await three.call("count-room", room) == 0


async def test_the_python_client_leaves_and_comes_back(python: Python) -> None:
    room = f"watch:{id(python)}"
    client, other = python.make(), await python.open("/chat")
    left = Heard(other, "left", "/chat")
    assert await other.call("join", room, namespace="/chat") == "ok"
    await python.connect(client, "/chat", "/")
    before = client.get_sid("/chat")
    assert await client.call("join", room, namespace="/chat") == "ok"
    await client.disconnect()
    assert await left.next() == [None]
    await python.connect(client, "/", "/chat")
    assert client.get_sid("/chat") != before
    assert await client.call("rooms", namespace="/chat") == []
    assert await client.call("echo", "back") == "back"


async def test_the_python_client_that_is_cut_comes_back_by_itself(python: Python) -> None:
    async with proxied(int(python.url.rpartition(":")[2])) as proxy:
        client = python.make()
        ended, told = Heard(client, "disconnect"), Heard(client, "auth")
        url = f"http://127.0.0.1:{proxy.port}"
        await python.connect(client, url=url, auth={"number": 1})
        assert await told.next() == [{"number": 1}]
        before = client.get_sid()
        proxy.is_refusing = True
        proxy.cut()
        assert await ended.raw() == ["transport error"]
        proxy.is_refusing = False
        assert await told.next() == [{"number": 1}]
        assert await client.call("echo", "back") == "back"
        assert client.get_sid() != before
        await client.disconnect()


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_clients_that_are_cut_every_other_second_miss_nothing(
    transport: str, stage: Stage
) -> None:
    script = ("socketio/cutting.mjs", stage.url, stage.origin, transport, CLIENTS, SECONDS)
    clients = await stage.processes.node("cutting", *script)
    told = json.loads(await clients.line('{"transport"', timeout=SECONDS + 60))
    await clients.ended()
    assert (told["lost"], told["wrong"]) == (0, 0), told
    assert told["clients"] == CLIENTS
    assert told["least"] >= 2
