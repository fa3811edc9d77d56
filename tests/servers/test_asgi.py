"""An app under an ASGI host: its life, its paths, its WebSockets."""

import asyncio
import json
import logging
from typing import Any

import pytest

from anywire import Anywire, Hello, Limits, Member, Own, Raw, Refused, User
from anywire.errors import ConfigurationError
from anywire.servers.guest import Message, Receive, Send
from tests.servers.asgihost import Line, Scope, hosted, http, websocket


def echo(**options: Any) -> Anywire:
    """An app with raw echo at `/raw/echo`."""
    app = Anywire(**options)
    channel = app.channel("echo")

    @channel.message
    async def message(data: str | bytes) -> str | bytes:
        return data

    return app


async def opened(line: Line) -> None:
    """The handshake."""
    line.tell("websocket.connect")
    assert (await line.next())["type"] == "websocket.accept"


def lifespan(app: Any, **more: Any) -> Line:
    return Line(app, {"type": "lifespan", "asgi": {"version": "3.0"}, **more})


# --- the app's life -------------------------------------------------------------------------------


async def test_a_lifespan_runs_the_app() -> None:
    app = echo()
    host = lifespan(app)
    host.tell("lifespan.startup")
    assert await host.next() == {"type": "lifespan.startup.complete"}
    assert app.is_running
    async with hosted(app) as open:
        line = open(websocket())
        await opened(line)
        host.tell("lifespan.shutdown")
        assert await line.next(2) == {
            "type": "websocket.close",
            "code": 1001,
            "reason": "the server stops",
        }
        await line.ended()
    assert await host.next(2) == {"type": "lifespan.shutdown.complete"}
    await host.ended()
    assert not app.is_running


async def test_without_a_lifespan_the_first_request_starts_the_app_once() -> None:
    app = echo()
    async with hosted(app) as open:
        lines = [open(websocket()) for _ in range(5)]
        await asyncio.gather(*map(opened, lines))
        assert len(app.node.sessions) == 5
        node = app.node
        line = open(http("/readyz"))
        await line.ended()
        assert line.said[0]["status"] == 200
        assert app.node is node
    assert app._asgi is not None and app._asgi._keeper is not None
    app._asgi._keeper.cancel()
    await asyncio.wait([app._asgi._keeper])
    assert not app.is_running


async def test_an_app_that_cannot_start_says_so_to_every_request() -> None:
    app = echo(broker="nonsense")
    async with hosted(app) as open:
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                await open(http("/healthz")).ended()


async def test_a_lifespan_of_a_site_is_the_apps_too() -> None:
    app = echo()
    async with app.lifespan(object()):
        async with hosted(app) as open:
            line = open(websocket())
            await opened(line)
            line.tell("websocket.receive", text="hi")
            assert await line.next(2) == {"type": "websocket.send", "text": "hi"}


async def test_a_start_that_fails_is_told_to_the_host(caplog: pytest.LogCaptureFixture) -> None:
    app = echo(broker="nonsense")
    host = lifespan(app)
    host.tell("lifespan.startup")
    said = await host.next()
    assert said["type"] == "lifespan.startup.failed"
    assert "nonsense" in said["message"]
    await host.ended()


# --- the user's own app ---------------------------------------------------------------------------


class Site:
    """A site that remembers what it was asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.life: list[str] = []
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.scopes.append(scope)
        await send({"type": "site", "first": await receive()})

    async def _live(self, scope: Message, receive: Receive, send: Send) -> None:
        while True:
            step = (await receive())["type"]
            self.life.append(step)
            if self.fails:
                await send({"type": f"{step}.failed", "message": "no database"})
                return
            scope["state"]["db"] = "open"
            await send({"type": f"{step}.complete"})
            if step == "lifespan.shutdown":
                return


async def test_what_is_not_ours_reaches_the_site_untouched() -> None:
    site = Site()
    app = echo(fallback=site)
    async with app.lifespan(), hosted(app) as open:
        for scope in (http("/page"), websocket("/chat")):
            line = open(scope)
            line.tell("whatever")
            assert await line.next() == {"type": "site", "first": {"type": "whatever"}}
            assert site.scopes[-1] is scope
        ours = open(http("/healthz"))
        await ours.ended()
        assert ours.said[0]["status"] == 200
        strange = open({"type": "webtransport"})
        strange.tell("whatever")
        assert (await strange.next())["type"] == "site"


async def test_without_a_site_what_is_not_ours_is_404_and_strange_scopes_are_an_error() -> None:
    app = echo()
    async with app.lifespan(), hosted(app) as open:
        line = open(http("/page"))
        await line.ended()
        assert line.said[0]["status"] == 404
        with pytest.raises(ValueError, match='not "webtransport"'):
            await open({"type": "webtransport"}).ended()


async def test_the_sites_lifespan_is_run_with_ours_and_its_state_is_the_hosts() -> None:
    site, state = Site(), {"host": "its own"}
    host = lifespan(echo(fallback=site), state=state)
    host.tell("lifespan.startup")
    assert (await host.next())["type"] == "lifespan.startup.complete"
    assert state == {"host": "its own", "db": "open"}
    host.tell("lifespan.shutdown")
    await host.ended()
    assert site.life == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_site_that_cannot_start_keeps_us_from_starting() -> None:
    app = echo(fallback=Site(fails=True))
    host = lifespan(app, state={})
    host.tell("lifespan.startup")
    said = await host.next()
    assert (said["type"], "no database" in said["message"]) == ("lifespan.startup.failed", True)
    await host.ended()
    assert not app.is_running


# --- WebSockets -----------------------------------------------------------------------------------


async def test_an_idle_connection_costs_no_task_beside_its_hosts() -> None:
    app = echo()
    async with app.lifespan(), hosted(app) as open:
        line = open(websocket())
        await opened(line)
        await line.until(lambda: line.asked == 2)
        others = asyncio.all_tasks() - {line.task, asyncio.current_task()}
        assert not [task for task in others if "asgi" in task.get_name()]


async def test_a_refusal_is_said_and_closed_and_a_foreign_page_gets_a_response() -> None:
    app = echo()

    @app.authenticate
    def who(hello: Hello) -> User:
        raise Refused("unknown", "who are you?")

    async with app.lifespan(), hosted(app) as open:
        line = open(websocket())
        line.tell("websocket.connect")
        await line.ended()
        assert line.said[0]["type"] == "websocket.accept"
        assert line.said[-1] == {"type": "websocket.close", "code": 4401, "reason": "who are you?"}
        line = open(websocket(headers=[(b"host", b"a"), (b"origin", b"https://evil.example")]))
        line.tell("websocket.connect")
        await line.ended()
        assert line.said[0]["status"] == 403


async def test_a_request_that_is_no_upgrade_is_told_to_be_one() -> None:
    app = echo()
    async with app.lifespan(), hosted(app) as open:
        line = open(http("/raw/echo"))
        await line.ended()
        assert line.said[0]["status"] == 426
        assert (b"upgrade", b"websocket") in line.said[0]["headers"]


async def test_the_subprotocol_is_the_wires_choice() -> None:
    app = echo(wires=[Raw(subprotocols=["b"])])
    async with app.lifespan(), hosted(app) as open:
        line = open(websocket(subprotocols=["a", "b"]))
        line.tell("websocket.connect")
        assert (await line.next())["subprotocol"] == "b"


async def test_a_client_that_leaves_while_it_is_judged_is_forgotten() -> None:
    app, judged, may_go = echo(), asyncio.Event(), asyncio.Event()

    @app.authenticate
    async def who(hello: Hello) -> None:
        judged.set()
        await may_go.wait()

    async with app.lifespan(), hosted(app) as open:
        line = open(websocket())
        line.tell("websocket.connect")
        await judged.wait()
        line.tell("websocket.disconnect", code=1006)
        await line.ended()
        may_go.set()
        await asyncio.sleep(0)
        assert (line.said, app.node.sessions) == ([], {})


async def test_past_the_limit_of_connections_the_answer_is_503() -> None:
    app = echo(limits=Limits(connections=1))
    async with app.lifespan(), hosted(app) as open:
        await opened(open(websocket()))
        line = open(websocket())
        line.tell("websocket.connect")
        await line.ended()
        assert line.said[0]["status"] == 503


async def test_a_bug_in_the_opening_is_told_with_an_id(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Raw):
        def open(self, hello: Hello) -> Any:
            raise KeyError("secret")

    app = echo(wires=[Broken()])
    async with app.lifespan(), hosted(app) as open:
        with caplog.at_level(logging.ERROR):
            line = open(websocket())
            line.tell("websocket.connect")
            await line.ended()
        assert line.said[0]["status"] == 500
        assert line.said[1]["body"].decode().split()[-1] in caplog.text


async def test_a_host_that_does_not_take_is_slow_and_closed_with_4408() -> None:
    app = Anywire(limits=Limits(outbox=2000, closing=0.1))
    left: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    room = app.channel("room")

    @room.leave
    async def gone(member: Member) -> None:
        left.set_result(member.id)

    async with app.lifespan(), hosted(app) as open:
        line = open(websocket("/raw/room"))
        await opened(line)
        line.takes.clear()
        for _ in range(100):
            await app.room("room").publish("message", "x" * 500)
            await asyncio.sleep(0)
        await left
        await line.ended()
        assert not app.node.sessions


async def test_a_host_whose_send_fails_is_asked_why() -> None:
    app = echo(wires=[Own(), Raw()], limits=Limits(closing=0.1))
    async with app.lifespan(), hosted(app) as open:
        for tells in (True, False):
            line = open(websocket("/ws", subprotocols=["anywire.json.1"]))
            await opened(line)
            await line.next(2)
            line.breaks = True
            line.tell("websocket.receive", text='{"type":"ping"}')
            if tells:
                line.tell("websocket.disconnect", code=1001, reason="going")
            await line.ended()
            assert len(app.node.sessions) == (0 if tells else 1)


async def test_an_authenticate_function_sees_what_the_host_said() -> None:
    app = echo()
    seen: list[Scope | None] = []

    @app.authenticate
    def who(hello: Hello) -> User:
        seen.append(app._scope_of(hello))  # type: ignore[arg-type]
        assert hello.user is not None
        return hello.user

    async with app.lifespan(), hosted(app) as open:
        scope = websocket(user=type("Known", (), {"id": "ana"})())
        line = open(scope)
        await opened(line)
        assert seen == [scope]
        assert list(app.node.users) == ["ana"]


async def test_long_polls_are_carried() -> None:
    app = echo()
    async with app.lifespan(), hosted(app) as open:
        line = open(http("/ws/poll"))
        line.tell("http.request", body=b"", more_body=False)
        await line.ended()
        first = json.loads(line.said[1]["body"].split(b"\x1e")[0])
        assert first["type"] == "welcome"
        assert app._scope_of(Hello(seed=b"")) is None
