"""Tests of anywire.app."""

import asyncio
import importlib.metadata
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anywire import (
    Anywire,
    Hello,
    Later,
    Left,
    Limits,
    Member,
    Own,
    Policy,
    Raw,
    Refused,
    Room,
    User,
)
from anywire.app import KINDS, Person
from anywire.body import Args, Form
from anywire.core.admission import Admitted, admit
from anywire.core.binding import Scope
from anywire.errors import ConfigurationError
from anywire.wires.actioncable import ActionCable
from anywire.wires.base import Answer, Wire
from anywire.wires.phoenix import Phoenix
from anywire.wires.signalr import SignalR
from anywire.wires.socketio import SocketIO
from anywire.wires.sockjs import SockJS
from tests.core.support import Clock, Peer, TestTransport, TestWire, turns


class Client:
    """A client of an app that runs, on the wire of the core's tests."""

    def __init__(self, app: Anywire, wire: TestWire) -> None:
        self.app = app
        self.wire = wire
        self._hellos = 0

    async def admit(self, **query: str) -> Admitted | Answer:
        self._hellos += 1
        seed = self._hellos.to_bytes(32, "big")
        self.hello = Hello(query=query, seed=seed, limits=self.app.limits)
        admission = await admit(self.app.node, self.wire, self.hello)
        assert isinstance(admission, Admitted | Answer)
        return admission

    async def open(self, **query: str) -> Peer:
        admitted = await self.admit(**query)
        assert isinstance(admitted, Admitted)
        transport = TestTransport()
        session = self.app.node.open(
            self.wire,
            self.hello,
            admitted.opening,
            admitted.machine,
            admitted.user,
            transport,
        )
        return Peer(_Clocked(self.app), session, transport)  # type: ignore[arg-type]


class _Clocked:
    """What a peer needs of a bench."""

    def __init__(self, app: Anywire) -> None:
        self.clock = self.node = app.node

    def flush(self) -> None:
        while self.node.dirty:
            self.node.flush()


def made(**options: Any) -> tuple[Anywire, Client]:
    wire = TestWire()
    app = Anywire(wires=[wire], **options)
    return app, Client(app, wire)


# --- wires ----------------------------------------------------------------------------------------


def test_the_default_wires_are_all_of_ours() -> None:
    wires = Anywire().wires
    names = [type(wire) for wire in wires]
    assert names == [Own, Raw, SignalR, SocketIO, SockJS, Phoenix, ActionCable]
    paths = [[route.path for route in wire.routes()] for wire in wires]
    own, raw, signalr, socketio, sockjs, phoenix, actioncable = paths
    assert actioncable == ["/cable"]
    requests = [f"/ws/{carrier}" for carrier in ("events", "stream", "poll") for _ in "GP"]
    assert own + raw == ["/ws", *requests, "/raw/{address}"]
    hub = "/signalr/{address}"
    assert set(signalr) == {hub, f"{hub}/", f"{hub}/negotiate"}
    assert set(socketio) == {"/socket.io", "/socket.io/"}
    assert all(path.startswith("/sockjs/{address}") for path in sockjs)
    assert set(phoenix) == {"/socket/longpoll", "/socket/websocket"}


def test_wires_are_given_as_they_are_or_by_name() -> None:
    mine = Own("/rt")
    app = Anywire(wires=["raw", mine, "anywire"])
    assert [wire.name for wire in app.wires] == ["raw", "anywire", "anywire"]
    assert app.wires[1] is mine
    with pytest.raises(ConfigurationError, match=r'"morse"; known: .*anywire, .*raw'):
        Anywire(wires=["morse"])


def test_a_package_may_offer_a_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "anywire.wires"
    point = importlib.metadata.EntryPoint("morse", "tests.core.support:TestWire", group)
    asked: list[str] = []

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return [point]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    [wire] = Anywire(wires=["morse"]).wires
    assert wire.name == "test"
    assert asked == [group]
    with pytest.raises(ConfigurationError, match=r"known: .*anywire, .*morse, .*raw"):
        Anywire(wires=["smoke"])


def test_options_are_kept_for_whoever_serves_the_app() -> None:
    def fallback() -> None: ...

    limits = Limits(message=10)
    app = Anywire(limits=limits, origins=["https://a.example"], fallback=fallback)
    assert (app.limits, app.origins, app.fallback) == (limits, ("https://a.example",), fallback)
    assert Anywire().limits == Limits()


def test_a_channel_keeps_the_app_s_limits() -> None:
    chat = Anywire(limits=Limits(nesting=1)).channel("chat")

    @chat.message
    def message(data: list[list[str]]) -> None: ...

    with pytest.raises(Refused, match="nested deeper than 1"):
        deep = Args('[["too deep"]]', Form.TEXT)
        chat.handlers["message"].binder.invoke(Scope(None, {}, "message"), deep)


# --- channels -------------------------------------------------------------------------------------


def test_a_channel_has_its_options_and_a_pattern_is_there_once() -> None:
    app = Anywire()
    chat = app.channel(
        "chat:{room}",
        history=5,
        history_seconds=60,
        presence=True,
        policy=Policy.DROP_OLDEST,
        parallel=2,
        personal=True,
    )
    assert chat.keep is not None
    assert (chat.keep.size, chat.keep.seconds, chat.parallel) == (5, 60, 2)
    assert (chat.presence, chat.policy, chat.personal) == (True, Policy.DROP_OLDEST, True)
    assert app.channels.find("chat:a")[0] is chat
    with pytest.raises(ConfigurationError, match=r'a channel "chat:\{room}" already'):
        app.channel("chat:{room}")
    with pytest.raises(ConfigurationError, match='without "/"'):
        app.channel("a/b")


async def test_a_handler_may_ask_for_what_the_app_knows() -> None:
    app, client = made()
    desk = app.channel("desk")
    seen: list[Any] = []

    @desk.on("all")
    async def everything(m: Member, r: Room, u: User, h: Hello, later: Later, text: str) -> None:
        seen.extend([m, r, u, h, text])
        later.answer("later")

    @desk.leave
    async def leave(w: Left, u: User) -> None:
        seen.extend([w, u])

    assert set(KINDS) == {Member, Room, User, Hello, Later, Left}
    async with app.lifespan():
        peer = await client.open()
        peer.join("desk")
        member = peer.session.members["desk"]
        peer.call("desk", "all", "hi")
        peer.cut(4000, "gone")
        user = peer.session.user
        assert seen == [member, member.room, user, peer.session.hello, "hi", *seen[5:]]
        assert seen[5:] == [Left(4000, "gone", clean=False), user]
        assert isinstance(user, User)
    with pytest.raises(ConfigurationError, match="is asked for as `member: Member`"):

        @desk.on("wrong")
        async def wrong(member: Member | None) -> None: ...


# --- running --------------------------------------------------------------------------------------


async def test_what_needs_a_running_app_says_how_to_run_it() -> None:
    app, _ = made()
    for ask in (lambda: app.node, lambda: app.room("a"), lambda: app.user("ana")):
        with pytest.raises(ConfigurationError, match=r"async with app.lifespan\(\)"):
            ask()
    assert not app.is_running


async def test_an_app_runs_once_at_a_time_and_again_after_its_end() -> None:
    app, _ = made()
    for _ in range(2):
        async with app.lifespan():
            node = app.node
            assert app.node is node
            assert app.is_running
            with pytest.raises(ConfigurationError, match="running already"):
                async with app.lifespan():
                    raise AssertionError
            assert app.is_running
        assert not app.is_running


async def test_two_apps_of_one_process_with_the_same_paths_meet_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one mount for each tenant: what is said in a room of one is nothing to the other."""
    monkeypatch.delenv("ANYWIRE_HUB", raising=False)
    one, two = (made(broker="local")[0] for _ in range(2))
    for app in (one, two):
        app.channel("desk")
    with tempfile.TemporaryDirectory() as place:  # a socket's path is short
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        async with one.lifespan(), two.lifespan():
            first, second = (Path(app.node._door).parent for app in (one, two))
            assert first.parent == second.parent == Path(place) / "anywire"
            assert first != second
        async with one.lifespan():
            assert Path(one.node._door).parent == first


async def test_an_app_that_fails_to_start_or_inside_is_not_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, _ = made()
    with pytest.raises(OSError, match="inside"):
        async with app.lifespan():
            raise OSError("inside")
    assert not app.is_running

    async def fail(self: object) -> None:
        raise OSError("at the start")

    with monkeypatch.context() as patched:
        patched.setattr("anywire.core.node.Node.start", fail)
        with pytest.raises(OSError, match="at the start"):
            async with app.lifespan():
                raise AssertionError
    assert not app.is_running
    async with app.lifespan():
        assert app.is_running


async def test_the_end_of_an_app_leaves_no_timer_behind() -> None:
    app, _ = made()
    async with app.lifespan():
        node = app.node
        assert len(node.deadlines) > 0
        deadlines = node.deadlines
    assert len(deadlines) == 0


async def test_a_test_may_give_the_clock() -> None:
    app, client = made(limits=Limits(joins=1))
    app.channel("desk")
    clock = Clock()
    async with app.lifespan(now=clock.now, wall=clock.wall, deadlines=clock.deadlines):
        node = app.node
        assert node.now() == clock.now()
        assert node.deadlines is clock.deadlines
        peer = await client.open()
        peer.join("desk")
        peer.join("desk")
        clock.move(1)
        peer.join("desk")
        assert [one["t"] for one in peer.news()] == ["Joined", "Refusal", "Joined"]


async def test_names_that_a_wire_reserves_are_refused_with_its_name() -> None:
    app, _ = made()
    async with app.lifespan():
        with pytest.raises(ValueError, match='"forged" is reserved by "test"'):
            await app.room("a").publish("forged")


async def test_a_room_is_published_to_and_a_user_is_closed_from_anywhere() -> None:
    app, client = made()
    app.channel("desk")

    @app.authenticate
    def who(hello: Hello) -> User:
        return User(hello.query["name"])

    async with app.lifespan():
        ana, again, bo = [await client.open(name=name) for name in ("ana", "ana", "bo")]
        for peer in (ana, again, bo):
            peer.join("desk")
        await app.room("desk").publish("said", "hi")
        person = app.user("ana")
        assert isinstance(person, Person)
        assert person.id == "ana"
        assert await person.close("revoked") == 2
        assert await app.user("nobody").close() == 0
        assert ana.transport.closed == again.transport.closed == (4403, "revoked")
        assert bo.events() == [("said", ["hi"])]


# --- who may come in ------------------------------------------------------------------------------


async def nobody(hello: Hello) -> None:
    return None


async def waiting(hello: Hello) -> User:
    await turns(1)
    return User(hello.query["name"])


def at_once(hello: Hello) -> User:
    return User(hello.query["name"])


class Object:
    async def __call__(self, hello: Hello) -> User:
        return User(hello.query["name"])


@pytest.mark.parametrize("function", [waiting, at_once, Object(), lambda hello: waiting(hello)])
async def test_authenticate_says_who_it_is_sync_or_async(function: Callable[..., Any]) -> None:
    app, client = made()
    assert app.authenticate(function) is function
    with pytest.raises(ConfigurationError, match="has an authenticate function already"):
        app.authenticate(function)
    async with app.lifespan():
        peer = await client.open(name="ana")
        assert peer.session.user == User("ana")


async def test_without_a_name_each_session_is_somebody_else() -> None:
    app, client = made()
    other, guest = made()
    app.authenticate(nobody)
    async with app.lifespan(), other.lifespan():
        users = [(await client.open()).session.user for _ in range(2)]
        users += [(await guest.open()).session.user]
        assert all(user.is_anonymous for user in users)
        assert users[0].id != users[1].id


async def test_who_is_refused_hears_it_in_the_words_of_the_wire() -> None:
    app, client = made()

    @app.authenticate
    async def who(hello: Hello) -> User:
        raise Refused("bad_token", "who are you?")

    async with app.lifespan():
        answer = await client.admit()
        assert isinstance(answer, Answer)
        assert (answer.code, answer.reason) == (4401, "forbidden bad_token who are you?")


async def test_authentication_that_takes_too_long_is_refused() -> None:
    app, client = made(limits=Limits(authentication=0.01))

    @app.authenticate
    async def who(hello: Hello) -> User:
        await asyncio.Event().wait()
        raise AssertionError

    async with app.lifespan():
        answer = await client.admit()
        assert isinstance(answer, Answer)
        assert answer.reason == "forbidden timeout authentication took too long"


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_no_user_is_a_bug_that_lets_nobody_in(is_async: bool) -> None:
    app, client = made()

    async def later(hello: Hello) -> Any:
        return "ana"

    app.authenticate(later if is_async else lambda hello: "ana")
    async with app.lifespan():
        with pytest.raises(TypeError, match="must return a User or None, not str"):
            await app.node.authenticated(Hello())
        answer = await client.admit()
        assert isinstance(answer, Answer)
        assert "the server failed" in answer.reason


def test_authenticate_takes_the_hello() -> None:
    async def none() -> None: ...

    def two(hello: Hello, name: str) -> None: ...

    for function in (none, two):
        with pytest.raises(ConfigurationError, match=r"\(\) must take one argument, the Hello"):
            Anywire().authenticate(function)


def test_a_wire_is_a_protocol() -> None:
    wires: list[Wire] = [Own(), Raw(), TestWire()]
    assert Anywire(wires=wires).wires == tuple(wires)
