"""Long polls of the client: against our own server, through a network that cuts them, and against
servers that misbehave.
"""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from anywire import Anywire, Hello, Limits, Member, User
from anywire.client import Client, PollDialer, connect
from anywire.client.dial import Opener
from anywire.errors import Closed, ProtocolError, Refused
from anywire.payload import Message, Payload
from anywire.servers.tcp import Server
from anywire.wires.anywire import PlainClient
from anywire.wires.base import Request
from tests.client.test_http import Serve, serving

pytestmark = pytest.mark.net

FORMATS = pytest.mark.parametrize("format", ["json", "msgpack"])


# --- our own server -------------------------------------------------------------------------------


def shop(**options: Any) -> Anywire:
    """An app that answers, asks, streams, publishes and throws out."""
    app = Anywire(**options)
    chat = app.channel("chat", history=1000)

    @chat.on("say")
    async def say(member: Member, text: object) -> object:
        await member.room.publish("said", text)
        return text

    @chat.on("ask-me")
    async def ask_me(member: Member) -> object:
        return [await member.call("confirm", n) for n in range(3)]

    @chat.on("count")
    async def count(most: int) -> AsyncIterator[int]:
        for n in range(most):
            yield n

    @chat.on("out")
    async def out(member: Member) -> None:
        member.session.close(4003, "thrown out é", retry=None)

    return app


@asynccontextmanager
async def running(app: Anywire, **options: Any) -> AsyncIterator[str]:
    """The URL of the app, served."""
    async with app.lifespan():
        node = app.node
        server = Server(node=node, wires=app.wires, port=0, **options)
        await server.start()
        try:
            scheme = "https" if "ssl" in options else "http"
            yield f"{scheme}://127.0.0.1:{server.addresses[0].port}/ws"
        finally:
            await server.stop()


def polled(url: str, dialer: PollDialer | None = None, **options: Any) -> Client:
    return connect(url, dialer=dialer or PollDialer(), random=lambda: 0.0, **options)


async def no_tasks() -> None:
    """Nothing of the client runs any more."""
    await until(
        lambda: (
            not [
                task
                for task in asyncio.all_tasks()
                if task.get_name() in ("anywire poll", "anywire post")
            ]
        )
    )


async def until(condition: Callable[[], bool]) -> None:
    """Give everybody turns until it holds; five seconds are too many."""
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)


@FORMATS
@pytest.mark.parametrize("fresh", [False, True])
async def test_calls_publications_and_streams_go_over_polls(format: Any, fresh: bool) -> None:
    async with running(shop()) as url:
        async with polled(url, PollDialer(fresh=fresh), format=format) as client:
            chat = client.channel("chat")
            heard: list[object] = []
            chat.on("said", heard.append)

            @chat.answer("confirm")
            def confirm(number: int) -> int:
                return number * 2

            await chat.join()
            assert [await chat.call("say", n) for n in range(10)] == list(range(10))
            answers = await asyncio.gather(*(chat.call("say", n) for n in range(10, 40)))
            assert answers == list(range(10, 40))
            assert heard == list(range(40))
            assert await chat.call("ask-me") == [0, 2, 4]
            assert [n async for n in chat.stream("count", 100)] == list(range(100))
            assert client.state == "open"
        await no_tasks()


async def test_bytes_stay_bytes_in_messagepack() -> None:
    async with running(shop()) as url, polled(url, format="msgpack") as client:
        chat = client.channel("chat")
        await chat.join()
        assert await chat.call("say", b"\x00\x1e\xff" * 100) == b"\x00\x1e\xff" * 100


async def test_the_url_may_be_one_of_a_websocket_and_have_a_query() -> None:
    seen: list[Hello] = []

    async def authenticate(hello: Hello) -> User:
        seen.append(hello)
        return User("ana")

    app = shop()
    app.authenticate(authenticate)
    async with running(app) as url:
        url = url.replace("http", "ws") + "/?name=ana"
        dialer = PollDialer(headers={"Cookie": "a=1", "X-Ours": "dialer"})
        async with polled(url, dialer, headers={"x-ours": "client"}, token="secret"):
            pass
    (hello,) = seen
    assert (hello.path, hello.query["name"], hello.token) == ("/ws/poll", "ana", "secret")
    assert (hello.cookies["a"], hello.headers["x-ours"]) == ("1", "client")


async def test_the_client_says_goodbye_and_the_session_ends_at_once() -> None:
    app = shop()
    async with running(app) as url:
        async with polled(url) as client:
            chat = client.channel("chat")
            await chat.join()
            await chat.send("say", "last")
            assert len(app.node.sessions) == 1
        assert not app.node.sessions
        await no_tasks()


async def test_a_client_thrown_out_hears_the_servers_code() -> None:
    async with running(shop()) as url, polled(url) as client:
        chat = client.channel("chat")
        await chat.join()
        with pytest.raises(Closed) as caught:
            await chat.call("out")
        assert (caught.value.code, caught.value.reason) == (4003, "thrown out é")
        assert client.state == "closed"


async def test_a_client_that_is_refused_hears_why_and_stays_away() -> None:
    async def authenticate(hello: Hello) -> User:
        raise Refused("name_missing", "say ?name=")

    app = shop()
    app.authenticate(authenticate)
    async with running(app) as url:
        client = polled(url)
        with pytest.raises(Refused) as caught:
            await client.open()
        assert (caught.value.code, caught.value.text) == ("name_missing", "say ?name=")
        assert client.state == "closed"
        await no_tasks()


async def test_a_client_detached_by_silence_resumes_and_goes_on() -> None:
    app = shop(limits=Limits(poll=0.02, poll_gap=5.0))
    async with running(app) as url, polled(url) as client:
        chat = client.channel("chat")
        states: list[str] = []
        await chat.join()
        client.on("state", lambda state, previous: states.append(state))
        (session,) = app.node.sessions.values()
        assert session.transport is not None
        session.transport.abort()
        assert await chat.call("say", 1) == 1
        assert (states, list(app.node.sessions.values())) == (
            ["waiting", "resuming", "open"],
            [session],
        )


async def test_empty_polls_keep_an_idle_client_connected() -> None:
    app = shop(limits=Limits(poll=0.01, beat=0))
    async with running(app) as url, polled(url) as client:
        chat = client.channel("chat")
        await chat.join()
        requests = app.node.counters.requests
        await until(lambda: app.node.counters.requests > requests + 4)
        assert client.state == "open"
        assert await chat.call("say", 1) == 1


async def test_the_beat_of_the_server_is_answered() -> None:
    app = shop(limits=Limits(beat=0.02, beat_timeout=0.5))
    async with running(app) as url, polled(url) as client:
        chat = client.channel("chat")
        await chat.join()
        requests = app.node.counters.requests
        await until(lambda: app.node.counters.requests > requests + 5)
        assert client.state == "open"


async def test_large_messages_go_one_by_one_and_small_ones_together() -> None:
    app = shop()
    async with running(app) as url, polled(url, PollDialer(max_body=1000)) as client:
        chat = client.channel("chat")
        await chat.join()
        texts = ["x" * 5000, "a", "b", "y" * 900, "z" * 900]
        assert await asyncio.gather(*(chat.call("say", text) for text in texts)) == texts
        requests = app.node.counters.requests
        await asyncio.gather(*(chat.send("say", "") for _ in range(100)))
        assert await chat.call("say", 1) == 1
        assert app.node.counters.requests - requests < 60


async def test_over_tls_the_servers_name_is_verified() -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server.test").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    async with running(shop(), ssl=theirs) as url:
        dialer = PollDialer(ssl=ours, server_hostname="server.test")
        async with polled(url, dialer) as client:
            chat = client.channel("chat")
            await chat.join()
            assert await chat.call("say", 1) == 1
        with pytest.raises(ssl.SSLError):
            await PollDialer(ssl=ours).dial(url, Request(subprotocols=["anywire.json.1"]))


# --- a network that cuts --------------------------------------------------------------------------


class Saboteur:
    """A proxy whose connections end after a random number of bytes, in either direction."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self.is_calm = True
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            pumps = (self._pump(reader, ours), self._pump(theirs, writer))
            await asyncio.wait(
                [asyncio.create_task(pump) for pump in pumps], return_when="FIRST_COMPLETED"
            )
        finally:
            for one in (writer, ours):
                one.transport.abort()
        with suppress(OSError):
            await ours.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = int(self._random.expovariate(1 / 1500))
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_calm:
                    left -= len(data)
                if left < 0:
                    writer.write(data[:left])
                    self.cuts += 1
                    return
                writer.write(data)


@FORMATS
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere_nothing_is_lost_and_nothing_comes_twice(
    seed: int, fresh: bool, format: Any
) -> None:
    app = shop()
    taken: list[int] = []
    numbers = app.channel("numbers")

    @numbers.on("number")
    async def number(member: Member, n: int) -> None:
        taken.append(n)
        await member.send("number", n)

    async with running(app) as url:
        saboteur = Saboteur(int(url.split(":")[2].partition("/")[0]), seed)
        async with serving(saboteur.serve) as port:
            dialer = PollDialer(fresh=fresh)
            async with polled(f"http://127.0.0.1:{port}/ws", dialer, format=format) as client:
                channel = client.channel("numbers")
                heard: list[int] = []
                channel.on("number", heard.append)
                await channel.join()
                saboteur.is_calm = False
                for wave in range(0, 90, 15):
                    for n in range(wave, wave + 12):
                        await channel.send("number", n)
                    calls = (channel.call("number", n) for n in range(wave + 12, wave + 15))
                    assert await asyncio.gather(*calls) == [None] * 3
                assert taken == heard == list(range(90))
                assert saboteur.cuts > 0
                saboteur.is_calm = True
    await no_tasks()


# --- servers that misbehave -----------------------------------------------------------------------


WELCOME = json.dumps(
    {
        "type": "welcome",
        "session": "s",
        "token": "t",
        "beat": 0,
        "resumed": False,
        "received": 0,
        "limits": {},
    }
)
OPEN = Request(
    subprotocols=["anywire.json.1"], query={"session": "s", "resume": "t", "received": "3"}
)
ASKED = "/ws/poll?protocol=anywire.json.1&session=s&resume=t"


def said(
    body: bytes = b"",
    *,
    status: int = 200,
    headers: str = "",
    kind: str = "application/octet-stream",
) -> bytes:
    lines = f"{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


@dataclass(slots=True)
class Script:
    """A server that answers as it is told; None: not at all."""

    polls: list[bytes | None]
    """The answers to the first polls; the others wait."""
    posts: list[bytes | None] = field(default_factory=list)
    """The answers to the first posts; the others are 204."""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.StreamWriter | None = None
    """The connection of the last poll."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, resource, _ = head.split(" ", 2)
                size = 0
                if method == "POST":
                    size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                self.asked.append((method, resource, await reader.readexactly(size)))
                self.changed.set()
                answers = self.polls if method == "GET" else self.posts
                answer = answers.pop(0) if answers else None
                if method == "GET":
                    self.waiting = writer
                if answer is None and method == "POST":
                    answer = b"HTTP/1.1 204 X\r\n\r\n"
                if answer is not None:
                    writer.write(answer)
                if answer == b"":
                    return

    async def until(self, count: int) -> None:
        """So many requests came."""
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                self.changed.clear()
                await self.changed.wait()


class Heard:
    """A receiver that remembers, and has a session."""

    def __init__(self, **session: str) -> None:
        self.messages: list[Message] = []
        self.ends: list[tuple[int, str]] = []
        self.signs = 0
        self.writable = 0
        self.session = session or {"session": "s", "resume": "t", "received": "3"}
        self.told: Callable[[Message], None] = lambda message: None
        self._changed = asyncio.Event()

    def opening(self) -> Request:
        return Request(query=self.session)

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        self.told(message)

    def on_heard(self) -> None:
        self.signs += 1
        self._changed.set()

    def on_writable(self) -> None:
        self.writable += 1
        self._changed.set()

    def on_closed(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def closed(self) -> tuple[int, str]:
        await self.until(lambda: self.ends)
        await no_tasks()
        assert len(self.ends) == 1
        return self.ends[0]


opener: type[Opener] = Heard


@asynccontextmanager
async def scripted(
    *polls: bytes | None, posts: list[bytes | None] | None = None
) -> AsyncIterator[tuple[Script, str]]:
    script = Script(list(polls), posts or [])
    serve: Serve = script.serve
    async with serving(serve) as port:
        yield script, f"http://127.0.0.1:{port}/ws"


FIRST = said(WELCOME.encode())


async def test_the_requests_carry_what_they_must() -> None:
    async with scripted(FIRST, said(), said(b"1\x1e2")) as (script, url):
        link = await PollDialer().dial(f"{url}?room=1", OPEN)
        assert link.subprotocol == "anywire.json.1"
        assert not link.beat()
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("too early to be said")])
        await heard.until(lambda: len(heard.messages) == 3)
        await script.until(5)
        assert heard.messages == [WELCOME, "1", "2"]
        assert heard.signs == 1
        link.write([Payload.of("a"), Payload.of("b")])
        await script.until(6)
        link.abort()
        assert (await heard.closed())[0] == 1006
    where = "/ws/poll?room=1&protocol=anywire.json.1&session=s&resume=t"
    assert script.asked[0] == ("GET", f"{where}&received=3", b"")
    polls = [one for one in script.asked if one[0] == "GET"]
    assert polls[1:] == [("GET", where, b"")] * 3
    posts = [one for one in script.asked if one[0] == "POST"]
    assert posts == [("POST", where, b"too early to be said"), ("POST", where, b"a\x1eb")]


async def test_what_is_written_while_a_post_is_under_way_goes_into_the_next() -> None:
    async with scripted(FIRST) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("a")])
        await script.until(3)
        for text in "bcd":
            link.write([Payload.of(text)])
        link.write([])
        await script.until(4)
        assert [one[2] for one in script.asked if one[0] == "POST"] == [b"a", b"b\x1ec\x1ed"]
        link.abort()
        await heard.closed()


async def test_a_link_is_blocked_while_too_much_waits() -> None:
    async with scripted(FIRST) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        assert not link.is_blocked
        link.write([Payload.of("x" * 40_000)] * 3)
        assert link.is_blocked
        await heard.until(lambda: heard.writable)
        assert not link.is_blocked
        assert heard.writable == 1
        link.close(1000, "")
        assert (await heard.closed()) == (1000, "")


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (said(b"no such session\n", status=404), 1006, "404: no such session"),
        (said(b"replaced\n", status=409), 4409, "409: replaced"),
        (said(status=503), 1006, "503"),
        (b"", 1006, "hung up"),
        (b"nonsense\r\n\r\n", 1006, "not HTTP"),
        (said(b"x" * 2000), 1009, "over 1000 bytes"),
        (said(b"<h1>Log in</h1>", kind="text/html"), 1006, "200: <h1>Log in"),
        (said(b"\xff"), 1007, "UTF-8"),
        (said(headers="X-Anywire-Close: 4003 out%20now\r\n"), 4003, "out now"),
        (said(headers="X-Anywire-Close: soon\r\n"), 1006, ""),
    ],
)
async def test_a_poll_that_fails_is_the_end_of_the_link(
    answer: bytes, code: int, text: str
) -> None:
    async with scripted(FIRST, answer) as (_, url):
        link = await PollDialer(max_answer=1000).dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        ended = await heard.closed()
        assert ended[0] == code and text in ended[1]
        link.write([Payload.of("too late")])
        link.close(1000, "")
        link.abort()
        assert len(heard.ends) == 1


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (said(b"a body has at most 3 bytes here\n", status=413), 1009, "413: a body"),
        (b"", 1006, "hung up"),
    ],
)
async def test_a_post_that_fails_is_the_end_of_the_link(
    answer: bytes, code: int, text: str
) -> None:
    async with scripted(FIRST, posts=[answer]) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        ended = await heard.closed()
        assert ended[0] == code and text in ended[1]


async def test_a_poll_under_way_hears_why_a_post_was_refused() -> None:
    refused = said(b"no such session\n", status=404)
    async with scripted(FIRST, posts=[refused]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("a")])
        await until(lambda: link._is_unheard)
        assert script.waiting is not None
        script.waiting.write(said(b"bye", headers="X-Anywire-Close: 4003 out\r\n"))
        assert await heard.closed() == (4003, "out")
        assert heard.messages == [WELCOME, "bye"]


@pytest.mark.parametrize(("status", "code"), [(404, 1006), (409, 4409), (500, 1006)])
async def test_a_post_that_is_refused_for_no_better_reason_ends_the_link_in_time(
    status: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anywire.client.polling.CLOSING", 0.01)
    async with scripted(FIRST, posts=[said(b"no\n", status=status)]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        await script.until(3)
        link.write([Payload.of("never")])
        assert await heard.closed() == (code, f"the server answered {status}: no")
        assert len(script.asked) == 3


async def test_a_goodbye_that_is_refused_is_the_end_at_once() -> None:
    async with scripted(FIRST, posts=[said(status=404)]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("bye")])
        link.close(1000, "enough")
        assert await heard.closed() == (1000, "enough")


async def test_a_goodbye_after_a_refused_post_is_the_end_at_once() -> None:
    async with scripted(FIRST, posts=[said(status=404)]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        await script.until(3)
        await until(lambda: link._is_unheard)
        link.close(1000, "enough")
        assert await heard.closed() == (1000, "enough")


async def test_a_goodbye_that_nobody_answers_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anywire.client.polling.CLOSING", 0.01)
    half = b"HTTP/1.1 204 X\r\n"
    async with scripted(FIRST, posts=[half]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("bye")])
        link.close(1000, "enough")
        link.close(1001, "again")
        link.write([Payload.of("never")])
        assert await heard.closed() == (1000, "enough")
        assert [one[2] for one in script.asked if one[0] == "POST"] == [b"bye"]


async def test_nothing_is_brought_after_a_close() -> None:
    async with scripted(said(WELCOME.encode() + b"\x1e1\x1e2")) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()
        heard.told = lambda message: link.close(4000, "enough") if message == "1" else None
        link.start(heard)
        assert await heard.closed() == (4000, "enough")
        assert heard.messages == [WELCOME, "1"]


async def test_a_poll_that_comes_back_during_the_goodbye_is_not_told() -> None:
    async with scripted(FIRST, said(b"late"), posts=[b"HTTP/1.1 204 X\r\n"]) as (script, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()

        def told(message: Message) -> None:
            asyncio.get_running_loop().call_soon(close)

        def close() -> None:
            link.write([Payload.of("bye")])
            link.close(1000, "")

        heard.told = told
        link.start(heard)
        await script.until(3)
        await until(lambda: link._polling is not None and link._polling.done())
        assert heard.messages == [WELCOME]
        link.abort()
        assert (await heard.closed())[0] == 1006


async def test_a_receiver_that_fails_ends_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(FIRST) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard()

        def fail(message: Message) -> None:
            raise KeyError(message)

        heard.told = fail
        link.start(heard)
        assert await heard.closed() == (1006, "internal error")
        assert "could not be told" in caplog.text


async def test_a_receiver_that_fails_at_writing_ends_the_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Heard):
        def on_writable(self) -> None:
            raise KeyError

    async with scripted(FIRST) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Failing()
        link.start(heard)
        link.write([Payload.of("x" * 70_000)])
        assert await heard.closed() == (1006, "internal error")
        assert "could not be told" in caplog.text


@pytest.mark.parametrize("session", [{"session": "s"}, {"resume": "t"}])
async def test_a_server_that_gives_no_session_is_left(session: dict[str, str]) -> None:
    async with scripted(FIRST) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        heard = Heard(**session)
        link.start(heard)
        assert await heard.closed() == (1006, "there is no session to poll for")


async def test_a_link_given_up_before_it_was_started_tells_its_end() -> None:
    async with scripted(FIRST) as (_, url):
        link = await PollDialer().dial(url, OPEN)
        link.close(1000, "")
        link.abort()
        heard = Heard()
        link.start(heard)
        assert (await heard.closed())[0] == 1006
        assert heard.messages == []


# --- dialing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (
            said(b"wrong token\n", status=403, headers="X-Anywire-Code: bad_token\r\n"),
            "bad_token",
            "wrong token",
        ),
        (said(b"this origin may not connect\n", status=403), "refused", "this origin"),
        (said(status=401), "refused", "401"),
    ],
)
async def test_a_refusal_is_for_good(answer: bytes, code: str, text: str) -> None:
    async with scripted(answer) as (_, url):
        with pytest.raises(Refused) as caught:
            await PollDialer().dial(url, OPEN)
        assert caught.value.code == code and text in caught.value.text


@pytest.mark.parametrize("status", [204, 302, 400, 404, 429, 500, 503])
async def test_any_other_status_may_pass(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    async with scripted(answer) as (_, url):
        with pytest.raises(ConnectionError, match=f"answered {status}$"):
            await PollDialer().dial(url, OPEN)


async def test_a_page_of_somebody_else_may_pass() -> None:
    async with scripted(said(b"<h1>Log in</h1>", kind="text/html")) as (_, url):
        with pytest.raises(ConnectionError, match="Log in"):
            await PollDialer().dial(url, OPEN)


async def test_an_answer_that_is_too_large_is_not_taken() -> None:
    async with scripted(FIRST) as (_, url):
        with pytest.raises(ProtocolError, match="over 10 bytes"):
            await PollDialer(max_answer=10).dial(url, OPEN)


async def test_a_cancelled_dial_leaves_nothing_open() -> None:
    async with scripted(None) as (script, url):
        dialing = asyncio.create_task(PollDialer().dial(url, OPEN))
        await script.until(1)
        dialing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialing


async def test_only_the_own_wire_goes_over_polls() -> None:
    client = polled("http://127.0.0.1:1/ws", machine=PlainClient("chat"))
    with pytest.raises(Refused, match="long polls speak"):
        await client.open()


async def test_nobody_there_is_tried_again() -> None:
    async with scripted() as (_, url):
        pass
    client = polled(url, first_timeout=0.05)
    with pytest.raises(Closed, match="no connection"):
        await client.open()


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        PollDialer(unix="/run/x", proxy="http://p:1")
