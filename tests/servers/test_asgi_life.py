"""An app under an ASGI host: starts that race or fail, stops that are bounded, long polls."""

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from anywire import Anywire
from anywire.brokers.memory import MemoryBroker
from anywire.core.member import Member
from anywire.frames import Frame, Join
from anywire.limits import Limits
from anywire.servers.guest import Message
from anywire.wires.base import SESSION_ID, Answer, Hello, Opening, User
from anywire.wires.pulse import Pulse
from anywire.wires.raw import Raw, RawMachine
from tests.core.support import turns
from tests.servers.asgihost import Line, Scope, hosted, http, websocket

SHORT = Limits(closing=0.05)
Opened = Callable[[Scope], Line]
Whole = tuple[int, dict[bytes, bytes], bytes]


def chat(**options: Any) -> Anywire:
    """An app that says back what it hears."""
    app = Anywire(**{"limits": SHORT, **options})
    echo = app.channel("echo")

    @echo.message
    async def heard(member: Member, message: str | bytes) -> None:
        await member.send("message", message)

    return app


async def started(opened: Opened) -> Line:
    """The host has run the app's start-up."""
    life = opened({"type": "lifespan", "asgi": {"version": "3.0"}})
    life.tell("lifespan.startup")
    assert await life.next() == {"type": "lifespan.startup.complete"}
    return life


async def stopped(life: Line) -> None:
    """The host has run the app's shut-down."""
    life.tell("lifespan.shutdown")
    assert await life.next(2) == {"type": "lifespan.shutdown.complete"}
    await life.ended()


async def connected(line: Line) -> None:
    """The WebSocket stands."""
    line.tell("websocket.connect")
    assert (await line.next())["type"] == "websocket.accept"


async def said(line: Line) -> Whole:
    """Status, headers and body of the whole answer."""
    await line.ended()
    start, *parts = line.said
    assert parts[-1]["more_body"] is False
    body = b"".join(part["body"] for part in parts)
    return start["status"], dict(start["headers"]), body


async def ready(opened: Opened) -> int:
    """The status of the readiness check."""
    return (await said(opened(http("/readyz"))))[0]


class Broker(MemoryBroker):
    """Starts when it may, fails when it is told to, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 0
        self.may_start = asyncio.Event()
        self.error: Exception | None = None

    async def start(self, *args: Any) -> None:
        self.starts += 1
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        await super().start(*args)


class Stuck(MemoryBroker):
    """Cannot be stopped."""

    async def stop(self) -> None:
        raise OSError("stuck")


# --- who runs it ----------------------------------------------------------------------------------


async def test_a_host_may_run_the_app_again() -> None:
    async with hosted(chat()) as opened:
        for _ in range(2):
            life = await started(opened)
            line = opened(websocket())
            await turns()
            assert line.said == []
            await connected(line)
            line.tell("websocket.receive", text="hi")
            assert (await line.next(2))["text"] == "hi"
            await stopped(life)


async def test_a_stop_that_fails_is_told_to_the_host_and_is_a_stop() -> None:
    app = chat(broker=Stuck())
    async with hosted(app) as opened:
        life = await started(opened)
        life.tell("lifespan.shutdown")
        assert await life.next(2) == {"type": "lifespan.shutdown.failed", "message": "stuck"}
        await life.ended()
        assert not app.is_running


async def test_where_nobody_runs_the_app_requests_that_race_start_it_once() -> None:
    broker = Broker()
    async with hosted(chat(broker=broker)) as opened:
        lines = [opened(http("/readyz")) for _ in range(2)]
        await turns()
        lines.append(opened(http("/readyz")))
        await turns()
        assert [line.said for line in lines] == [[], [], []]
        broker.may_start.set()
        assert [(await said(line))[0] for line in lines] == [200, 200, 200]
        assert await ready(opened) == 200
        assert broker.starts == 1


async def test_a_first_request_that_is_cancelled_takes_the_start_from_no_other() -> None:
    broker = Broker()
    async with hosted(chat(broker=broker)) as opened:
        first, second = opened(http("/readyz")), opened(http("/readyz"))
        await turns()
        first.task.cancel()
        await turns()
        broker.may_start.set()
        assert (await said(second))[0] == 200
        assert broker.starts == 1


async def test_a_first_start_that_fails_is_told_to_each_and_tried_again() -> None:
    broker = Broker()
    broker.error = OSError("no broker there")
    async with hosted(chat(broker=broker)) as opened:
        lines = [opened(http("/readyz")) for _ in range(2)]
        await turns()
        broker.may_start.set()
        for line in lines:
            with pytest.raises(OSError, match="no broker there"):
                await line.ended()
        broker.error = None
        assert await ready(opened) == 200
        assert broker.starts == 2


@pytest.mark.parametrize("fails", [False, True])
def test_an_app_that_nobody_runs_stops_with_its_loop(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    apps: list[Anywire] = []

    async def serve() -> None:
        apps.append(chat(broker=Stuck() if fails else None))
        async with hosted(apps[0]) as opened:
            assert await ready(opened) == 200
        assert apps[0].is_running

    before = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(serve())
    finally:
        signal.signal(signal.SIGINT, before)
    assert not apps[0].is_running
    assert ("the app failed to stop" in caplog.text) == fails


# --- how it stops ---------------------------------------------------------------------------------


async def test_the_shut_down_is_complete_once_the_host_has_taken_each_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hosted(chat(limits=Limits(closing=5))) as opened:
        life = await started(opened)
        line = opened(websocket())
        await connected(line)
        line.takes.clear()
        life.tell("lifespan.shutdown")
        await turns()
        assert len(life.said) == 1
        line.takes.set()
        async with asyncio.timeout(2):
            await life.next(2)
        assert (line.said[-1]["type"], line.said[-1]["code"]) == ("websocket.close", 1001)
        assert "did not end in time" not in caplog.text


async def test_a_signal_sends_everybody_away_before_the_host_hears_it() -> None:
    at_signal: list[list[Message]] = []
    heard = asyncio.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        at_signal.append(list(line.said))
        heard.set()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        async with hosted(chat()) as opened:
            life = await started(opened)
            line = opened(websocket())
            await connected(line)
            signal.raise_signal(signal.SIGTERM)
            assert at_signal == []
            async with asyncio.timeout(5):
                await heard.wait()
            [words] = at_signal
            assert (words[-1]["type"], words[-1]["code"]) == ("websocket.close", 1001)
            assert await ready(opened) == 503
            late = opened(websocket())
            await connected(late)
            assert (await late.next(2))["code"] == 1001
            await stopped(life)
            assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_websocket_whose_host_takes_nothing_does_not_hold_the_stop() -> None:
    async with hosted(chat()) as opened:
        life = await started(opened)
        line = opened(websocket())
        await connected(line)
        line.takes.clear()
        await stopped(life)
        await line.ended()
        assert [message["type"] for message in line.said] == ["websocket.accept"]


@pytest.mark.slow
async def test_an_answer_that_the_host_does_not_take_does_not_hold_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hosted(chat()) as opened:
        life = await started(opened)
        line = opened(http("/healthz"))
        line.takes.clear()
        await turns()
        await stopped(life)
        await line.ended()
        assert line.said == []
        assert "1 connections did not end in time" in caplog.text


async def test_who_is_asked_who_they_are_while_the_app_stops_is_told_so() -> None:
    app = chat()
    asked = asyncio.Event()

    @app.authenticate
    async def authenticate(hello: Hello) -> User:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with hosted(app) as opened:
        life = await started(opened)
        line = opened(websocket())
        line.tell("websocket.connect")
        await asked.wait()
        await stopped(life)
        assert (await said(line))[0] == 503


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "status", "header"),
    [
        (websocket("/nothing"), 404, None),
        (http("/raw/echo", method="POST"), 405, (b"allow", b"GET")),
        (http("/healthz", method="POST"), 405, (b"allow", b"GET, HEAD")),
        (http("/ws/poll", query_string=b"protocol=x"), 400, None),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_the_right_status(
    scope: Scope, status: int, header: tuple[bytes, bytes] | None
) -> None:
    async with hosted(chat()) as opened:
        line = opened(scope)
        line.tell("websocket.connect" if scope["type"] == "websocket" else "http.request")
        code, headers, body = await said(line)
        assert code == status
        assert body
        if header is not None:
            assert header in headers.items()


async def test_a_head_is_answered_without_its_body() -> None:
    async with hosted(chat()) as opened:
        status, headers, body = await said(opened(http("/healthz", method="HEAD")))
        assert (status, headers[b"content-length"], body) == (200, b"3", b"")


async def test_a_place_is_free_again_once_a_connection_has_ended() -> None:
    async with hosted(chat(limits=Limits(closing=0.05, connections=1))) as opened:
        line = opened(websocket())
        await connected(line)
        status, headers, _ = await said(opened(http("/healthz")))
        assert (status, headers[b"retry-after"]) == (503, b"5")
        line.tell("websocket.disconnect", code=1001)
        await line.ended()
        assert (await said(opened(http("/healthz"))))[0] == 200


@pytest.mark.parametrize("path", ["/live/raw/echo", "/raw/echo"])
async def test_under_a_mount_paths_are_taken_below_it(path: str) -> None:
    async with hosted(chat()) as opened:
        line = opened(websocket(path, root_path="/live"))
        await connected(line)
        line.tell("websocket.receive", text="hi")
        assert (await line.next(2))["text"] == "hi"
        other = opened(http("/other/raw/echo", root_path="/live"))
        assert (await said(other))[0] == 404


@pytest.mark.parametrize("can_deny", [True, False])
async def test_a_foreign_page_gets_no_websocket_and_runs_nothing_of_the_app(can_deny: bool) -> None:
    app = chat()
    asked: list[Hello] = []

    @app.authenticate
    def authenticate(hello: Hello) -> None:
        asked.append(hello)

    scope = websocket(headers=[(b"host", b"test"), (b"origin", b"https://evil.example")])
    if not can_deny:
        scope["extensions"] = {}
    async with hosted(app) as opened:
        line = opened(scope)
        line.tell("websocket.connect")
        await line.ended()
        if can_deny:
            assert b"https://evil.example may not connect" in (await said(line))[2]
        else:
            assert [message["type"] for message in line.said] == ["websocket.close"]
        assert asked == []


@pytest.mark.parametrize("origin", [b"http://test", b"https://friend.example"])
async def test_a_page_that_may_connect_does(origin: bytes) -> None:
    async with hosted(chat(origins=["https://friend.example"])) as opened:
        headers = [(b"host", b"test"), (b"origin", origin)]
        await connected(opened(websocket(headers=headers)))


async def test_a_session_that_cannot_be_opened_is_a_close_with_1011() -> None:
    class Lame(RawMachine):
        def opened(self, now: float) -> Sequence[Frame]:
            raise KeyError("secret")

    class Broken(Raw):
        def open(self, hello: Hello) -> Opening | Answer:
            machine = Lame(
                Join(None, "echo", "echo"), hello.limits, Pulse(0, 1), wall=0, beats=False
            )
            return Opening(machine=machine, session=hello.id(SESSION_ID))

    async with hosted(chat(wires=[Broken()])) as opened:
        line = opened(websocket())
        await connected(line)
        close = await line.next(2)
        assert (close["type"], close["code"]) == ("websocket.close", 1011)
        assert "secret" not in close["reason"]
        await line.ended()


# --- long polls -----------------------------------------------------------------------------------

EVENT = b'{"type":"event","address":"echo","event":"message","data":"hi"}'


def poll(opened: Opened, query: str = "") -> Line:
    """A poll that waits."""
    line = opened(http("/ws/poll", query_string=query.encode()))
    line.tell("http.request")
    return line


def messages(answer: Whole) -> list[dict[str, Any]]:
    status, _, body = answer
    assert status == 200, answer
    return [json.loads(text) for text in body.decode().split("\x1e") if text]


async def posted(opened: Opened, query: str, *parts: bytes) -> Whole:
    """The answer to a body in these parts."""
    headers = [(b"host", b"test"), (b"transfer-encoding", b"chunked")]
    line = opened(http("/ws/poll", method="POST", query_string=query.encode(), headers=headers))
    for part in parts:
        line.tell("http.request", body=part, more_body=True)
    line.tell("http.request")
    return await said(line)


async def begun(opened: Opened) -> str:
    """A session on long polls, a member of `echo`: the query that names it."""
    welcome, *_ = messages(await said(poll(opened)))
    query = f"session={welcome['session']}&resume={welcome['token']}"
    join = (b'{"type":"join",', b'"address":"echo",', b'"ref":1}')
    assert (await posted(opened, query, *join))[0] == 204
    assert [said["type"] for said in messages(await said(poll(opened, query)))] == ["joined"]
    return query


async def test_a_poll_waits_for_what_a_post_brings_about() -> None:
    async with hosted(chat()) as opened:
        query = await begun(opened)
        line = poll(opened, query)
        await turns()
        assert line.said == []
        assert (await posted(opened, query, EVENT))[0] == 204
        [event] = messages(await said(line))
        assert (event["type"], event["data"]) == ("event", "hi")


async def test_a_poll_whose_client_left_keeps_nothing_from_the_next() -> None:
    async with hosted(chat()) as opened:
        query = await begun(opened)
        line = poll(opened, query)
        await turns()
        line.tell("http.disconnect")
        await line.ended()
        assert line.said == []
        assert (await posted(opened, query, EVENT))[0] == 204
        [event] = messages(await said(poll(opened, query)))
        assert event["data"] == "hi"


async def test_a_post_whose_client_left_inside_its_body_brings_nothing() -> None:
    async with hosted(chat()) as opened:
        query = await begun(opened)
        headers = [(b"content-length", b"%d" % (len(EVENT) + 9))]
        scope = http("/ws/poll", method="POST", query_string=query.encode(), headers=headers)
        line = opened(scope)
        line.tell("http.request", body=EVENT, more_body=True)
        line.tell("http.disconnect")
        await line.ended()
        assert line.said == []
        assert (await posted(opened, query, EVENT.replace(b"hi", b"again")))[0] == 204
        events = messages(await said(poll(opened, query)))
        assert [event["data"] for event in events] == ["again"]


@pytest.mark.parametrize("has_length", [True, False])
async def test_a_post_over_the_limit_is_refused(has_length: bool) -> None:
    async with hosted(chat(limits=Limits(closing=0.05, body=100))) as opened:
        query = await begun(opened)
        if has_length:
            headers = [(b"content-length", b"101")]
            scope = http("/ws/poll", method="POST", query_string=query.encode(), headers=headers)
            status = (await said(opened(scope)))[0]
        else:
            status = (await posted(opened, query, b"x" * 60, b"x" * 41))[0]
        assert status == 413


async def test_polls_that_wait_are_answered_when_the_app_stops() -> None:
    async with hosted(chat()) as opened:
        life = await started(opened)
        line = poll(opened, await begun(opened))
        await turns()
        await stopped(life)
        status, headers, _ = await said(line)
        assert status == 200
        assert headers[b"x-anywire-close"].startswith(b"1001 ")
