"""The client as a whole: against a script that plays the server, and against a real app in
memory.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from anywire import Anywire, Limits, Member, Own
from anywire.client import Client, connect
from anywire.errors import CallFailed, Closed, Refused, Unsupported
from anywire.frames import Event, Frame
from anywire.net.handshake import BadUrl
from anywire.wires.anywire import PlainClient
from anywire.wires.base import Cap
from tests.client.memory import AppDialer, FakeClock, ScriptDialer, settle

HEARTBEAT = json.loads(
    (Path(__file__).parents[1] / "vectors" / "client" / "heartbeat.json").read_text("utf-8")
)


def scripted(*failures: Exception, **options: Any) -> tuple[Client, ScriptDialer, FakeClock]:
    """A client, the script it dials, and its clock; every random number is 0.5."""
    dialer, clock = ScriptDialer(*failures), FakeClock()
    client = connect(
        "ws://server/ws?room=1", dialer=dialer, clock=clock, random=lambda: 0.5, **options
    )
    return client, dialer, clock


async def opened(**options: Any) -> tuple[Client, ScriptDialer, FakeClock]:
    client, dialer, clock = scripted(**options)
    client.start()
    await settle()
    dialer.welcome()
    return client, dialer, clock


def shop() -> Anywire:
    """An app with one channel that answers, streams, asks and publishes."""
    app = Anywire(wires=[Own("/ws", home="chat:lobby"), "raw"], limits=Limits(resume=60))
    chat = app.channel("chat:{room}", history=50, presence=True)

    @chat.join
    async def join(member: Member, room: str, secret: str = "") -> dict[str, str]:
        if room == "staff" and secret != "xyzzy":
            raise Refused("staff_only", "this room is for staff", data={"room": room})
        await member.track(by=member.id[-1])
        return {"welcome": room}

    @chat.on("say")
    async def say(member: Member, text: str) -> int:
        position = await member.room.publish("said", text)
        assert position is not None
        return position.offset

    return app


@pytest.fixture
async def app() -> AsyncIterator[Anywire]:
    app = shop()
    async with app.lifespan():
        yield app


def to(app: Anywire, **options: Any) -> tuple[Client, AppDialer, FakeClock]:
    dialer, clock = AppDialer(app), FakeClock()
    client = connect("ws://server/ws", dialer=dialer, clock=clock, random=lambda: 0.5, **options)
    return client, dialer, clock


# --- opening ------------------------------------------------------------------------------------


async def test_the_first_connection_is_retried_like_later_ones() -> None:
    client, dialer, clock = scripted(OSError("no"), OSError("no"), heartbeat_interval=0)
    states: list[str] = []
    client.on("state", lambda state, previous: states.append(state))
    client.start()
    await settle()
    assert client.state == "waiting"
    assert clock.waiting == [0.5]
    await clock.pass_(0.5)
    assert clock.waiting == [0.75]
    await clock.pass_(0.75)
    assert client.state == "connecting"
    dialer.welcome()
    assert client.state == "open"
    assert states == ["connecting", "waiting", "connecting", "waiting", "connecting", "open"]
    await client.close()


async def test_open_gives_up_after_its_timeout_and_says_why() -> None:
    client, _, clock = scripted(*[OSError("connection refused")] * 9)
    waiting = client._tasks.start(expect_closed(client, 3), "test")
    await clock.pass_(3)
    await waiting
    assert client.state == "closed"


async def expect_closed(client: Client, seconds: float) -> None:
    with pytest.raises(Closed, match=r"no connection to ws://server/ws within 3 s: connection re"):
        await client.open(timeout=seconds)


async def test_open_returns_when_there_is_a_session_and_again_at_once(app: Anywire) -> None:
    client, dialer, _ = to(app, first_timeout=5)
    await client.open()
    await client.open()
    assert len(dialer.links) == 1
    assert client.limits["message"] == 65536
    await client.close()
    with pytest.raises(Closed):
        await client.open()


async def test_an_attempt_without_a_welcome_ends_in_time() -> None:
    client, dialer, clock = scripted(heartbeat_interval=0)
    client.start()
    await clock.pass_(9.9)
    assert client.state == "connecting"
    await clock.pass_(0.1)
    assert client.state == "waiting"
    assert dialer.link.closed_with == (4400, "no welcome in time")
    dialer.is_stuck = True
    await clock.pass_(0.5)
    assert client.state == "connecting"
    await clock.pass_(10)
    assert client.state == "waiting"
    await client.close()
    assert not client._tasks


async def test_a_subprotocol_that_was_not_asked_for_ends_the_attempt() -> None:
    client, dialer, _ = scripted()
    real = dialer.dial

    async def other(url: str, request: Any) -> Any:
        link = await real(url, request)
        link.subprotocol = None
        return link

    dialer.dial = other  # type: ignore[method-assign]
    client.start()
    await settle()
    assert client.state == "waiting"
    await client.close()


@pytest.mark.parametrize("token", ["secret", lambda: "secret"])
async def test_the_token_travels_in_a_header_and_not_in_the_url(token: Any) -> None:
    client, dialer, _ = scripted(token=token, headers={"X-App": "1"})
    client.start()
    await settle()
    request = dialer.requests[0]
    assert request.headers == {"X-App": "1", "Authorization": "Bearer secret"}
    assert not request.query
    await client.close()


async def test_a_token_function_is_asked_before_each_attempt_and_may_refuse() -> None:
    tokens = ["one", "two"]

    async def token() -> str:
        if not tokens:
            raise Refused("signed_out", "sign in again")
        return tokens.pop(0)

    client, dialer, clock = scripted(OSError("no"), OSError("no"), token=token)
    client.start()
    await clock.pass_(0.5)
    assert [one.headers["Authorization"] for one in dialer.requests] == ["Bearer one", "Bearer two"]
    await clock.pass_(0.75)
    assert client.state == "closed"
    with pytest.raises(Refused, match="signed_out: sign in again"):
        await client.channel("chat").join()


async def test_a_bug_in_the_token_function_is_logged_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, _, _ = scripted(token=lambda: str(1 // 0))
    client.start()
    await settle()
    assert client.state == "waiting"
    assert "ZeroDivisionError" in caplog.text
    await client.close()


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("ftp://server", {}, "ws://"),
        ("ws://server", {"format": "xml"}, "json or msgpack"),
        ("ws://server", {"token": "a", "headers": {"authorization": "b"}}, "one of the two"),
        ("ws://server", {"reconnect_decay": 0.5}, "reconnect_decay"),
    ],
)
def test_what_cannot_be_is_refused_at_once(url: str, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connect(url, **options)
    assert issubclass(BadUrl, ValueError)


def test_a_client_shows_no_secret_of_its_url() -> None:
    client = connect("wss://ana:pass@server/ws?token=secret")
    assert repr(client) == "Client('wss://server/ws', idle)"


def test_an_event_the_client_does_not_have_is_refused_with_the_known_ones() -> None:
    client = connect("ws://server/ws")
    with pytest.raises(ValueError, match="known: state, overflow, error"):
        client.on("stat", print)


# --- coming back --------------------------------------------------------------------------------


async def test_a_cut_is_resumed_and_what_was_under_way_arrives(app: Anywire) -> None:
    client, dialer, clock = to(app)
    async with client:
        chat = client.channel("chat:lobby")
        await chat.join()
        heard: list[Any] = []
        chat.on("said", heard.append)
        dialer.link.is_frozen = True
        call = client._calls.call(chat._membership, said("lost on the way"))
        answer = client._tasks.start(into(call, heard), "test")
        await settle()
        dialer.link.is_frozen = False
        dialer.link.cut()
        await settle()
        assert await chat.send("say", text="typed meanwhile")
        assert heard == []
        states: list[str] = []
        client.on("state", lambda state, previous: states.append(state))
        await clock.pass_(0.5)
        await answer
        assert states == ["resuming", "open"]
        assert heard == ["lost on the way", "typed meanwhile", {"answer": 2}]
        assert len(dialer.sessions) == 2
        assert dialer.sessions[0] is dialer.sessions[1]


def said(text: str) -> Event:
    from anywire.body import Body
    from anywire.frames import Want

    return Event("chat:lobby", "say", Body.of({"text": text}), want=Want.REPLY)


async def into(call: Any, heard: list[Any]) -> None:
    heard.append({"answer": await call})


async def test_a_session_that_is_gone_means_joining_again_and_calls_are_lost(app: Anywire) -> None:
    client, dialer, clock = to(app)
    async with client:
        chat = client.channel("chat:lobby", recover=True)
        await chat.join()
        other, other_dialer, _ = to(app)
        async with other:
            writer = other.channel("chat:lobby")
            await writer.join()
            await writer.call("say", text="first")
            heard: list[str] = []
            happened: list[str] = []
            chat.on("said", heard.append)
            chat.membership.on("recovered", lambda: happened.append("recovered"))
            dialer.link.is_frozen = True
            lost = client._tasks.start(expect(chat.call("say", text="?"), CallFailed, "lost"), "t")
            await settle()
            dialer.sessions[0].end(1006, "", is_clean=False)
            dialer.link.cut()
            await writer.call("say", text="meanwhile")
            await chat.send("say", text="queued")
            await clock.pass_(0.5)
            await lost
            assert client.state == "open"
            assert chat.state == "joined"
            assert heard == ["meanwhile", "queued"]
            assert happened == ["recovered"]
            assert other_dialer.link is not dialer.link


async def expect(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        await call


async def test_a_server_that_lacks_what_we_do_not_have_any_more_gets_a_new_session() -> None:
    client, dialer, clock = await opened()
    chat = client.channel("chat")
    join = client._tasks.start(join_quietly(chat.join), "test")
    await settle()
    dialer.say(type="joined", ref=1, address="chat", outcome="fresh")
    await join
    dialer.say(type="ack", received=1)
    dialer.link.cut()
    await clock.pass_(0.5)
    assert client.state == "resuming"
    assert dialer.requests[-1].query == {
        "session": "s1",
        "resume": "secret of s1",
        "received": "1",
    }
    dialer.welcome(resumed=True, received=0)
    await clock.pass_(0)
    assert client.state == "connecting"
    assert dialer.requests[-1].query == {}
    dialer.welcome("s2")
    await settle()
    assert [message["type"] for message in dialer.sent] == ["join"]
    await client.close()


async def join_quietly(join: Callable[[], Any]) -> None:
    await join()


async def test_the_servers_retry_wins_over_our_schedule() -> None:
    client, dialer, clock = await opened()
    dialer.say(type="bye", code=1001, text="restart", retry=7.5)
    assert client.state == "waiting"
    assert clock.waiting == [7.5]
    await clock.pass_(7.5)
    dialer.link.cut()
    await settle()
    assert clock.waiting == [0.75]
    await client.close()


async def test_a_bye_without_retry_is_final_and_tells_everyone() -> None:
    client, dialer, _ = await opened()
    chat = client.channel("chat")
    errors: list[Exception] = []
    client.on("error", errors.append)
    tasks = [
        client._tasks.start(expect(chat.join(), Closed, "4408.*too slow"), "join"),
        client._tasks.start(expect(chat.call("say"), Closed, "4408.*too slow"), "call"),
    ]
    await settle()
    dialer.say(type="bye", code=4408, text="too slow")
    for task in tasks:
        await task
    assert client.state == "closed"
    assert isinstance(client.ended, Closed)
    assert errors == [client.ended]
    with pytest.raises(Closed):
        await chat.send("say")
    await client.close()


@pytest.mark.parametrize("code", [4401, 4403])
async def test_a_refusal_of_the_session_is_final(code: int) -> None:
    client, dialer, clock = scripted()
    waiting = client._tasks.start(expect(client.open(), Refused, "bad_token: who are you"), "open")
    await settle()
    dialer.say(type="refused", code="bad_token", text="who are you", data={"hint": 1})
    dialer.link.cut(code, "no")
    await settle()
    assert waiting.done()
    assert isinstance(client.ended, Refused)
    assert client.ended.data == {"hint": 1}
    assert clock.waiting == []


async def test_a_final_code_without_a_reason_is_a_refusal_too() -> None:
    client, dialer, _ = await opened()
    dialer.link.cut(4403, "banned")
    assert isinstance(client.ended, Refused)
    assert client.ended.text == "banned"


async def test_authentication_is_refused_by_a_real_app(app: Anywire) -> None:
    @app.authenticate
    def who(hello: Any) -> None:
        raise Refused("bad_token", "that token is not ours")

    async with shop().lifespan():
        app._node._authenticate = refuse  # type: ignore[union-attr]
        client, _, _ = to(app)
        with pytest.raises(Refused, match="that token is not ours"):
            await client.open()


async def refuse(hello: Any) -> None:
    raise Refused("bad_token", "that token is not ours")


@pytest.mark.parametrize("code", [1002, 1009, 4400])
async def test_after_a_fault_of_the_session_a_new_one_begins(code: int) -> None:
    client, dialer, clock = await opened()
    dialer.link.cut(code, "broken")
    await clock.pass_(0.5)
    assert client.state == "connecting"
    assert dialer.requests[-1].query == {}
    await client.close()


@pytest.mark.parametrize(
    "message",
    ["junk", '{"type":"nope"}', '{"type":"ack","received":9}', '{"type":"event"}', b"binary"],
)
async def test_a_server_that_breaks_the_rules_is_left(message: str | bytes) -> None:
    client, dialer, _ = await opened()
    dialer.link.deliver(message)
    assert client.state == "waiting"
    assert dialer.link.closed_with is not None
    assert dialer.link.closed_with[0] in (1003, 4400)
    await client.close()


async def test_what_an_older_link_still_brings_means_nothing() -> None:
    client, dialer, clock = await opened()
    old = dialer.link
    receiver = old._receiver
    assert receiver is not None
    dialer.link.cut()
    await clock.pass_(0.5)
    dialer.welcome("s2")
    receiver.on_message('{"type":"bye","code":1000}')
    receiver.on_heard()
    receiver.on_writable()
    receiver.on_closed(4401, "late")
    assert client.state == "open"
    await client.close()


async def test_a_client_whose_session_goes_on_elsewhere_stays_away() -> None:
    client, dialer, clock = await opened()
    dialer.link.cut(4409, "replaced by a newer connection")
    assert client.state == "closed"
    assert isinstance(client.ended, Closed)
    assert (client.ended.code, client.ended.reason) == (4409, "replaced by a newer connection")
    assert clock.waiting == []


async def test_a_client_that_replaced_a_connection_of_its_own_stays_open() -> None:
    client, dialer, clock = await opened()
    receiver = dialer.link._receiver
    assert receiver is not None
    await clock.pass_(36)  # silence, a ping, the end, the next attempt
    assert dialer.requests[-1].query["session"] == "s1"
    dialer.welcome("s1", resumed=True)
    receiver.on_closed(4409, "replaced by a newer connection")
    assert client.state == "open"
    await client.close()


async def test_a_stable_connection_begins_the_delays_anew() -> None:
    client, dialer, clock = scripted(*[OSError("no")] * 3)
    client.start()
    await clock.pass_(0.5 + 0.75 + 1.125)
    dialer.welcome()
    await clock.pass_(5)
    dialer.link.cut()
    assert clock.waiting == [0.5]
    await client.close()


# --- heartbeat ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", HEARTBEAT["cases"], ids=lambda case: str(case["name"]))
async def test_the_heartbeat_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    dialer, clock = ScriptDialer(), FakeClock()
    options = {
        "heartbeat_interval": case["interval"] / 1000,
        "heartbeat_timeout": case["timeout"] / 1000,
    }
    client = connect(
        "ws://x/ws",
        dialer=dialer,
        clock=clock,
        reconnect_interval=1e9,
        max_reconnect_interval=1e9,
        random=lambda: 0.999,
        **options,
    )
    client.start()
    await settle()
    dialer.welcome(beat=0)
    dialer.link.sent.clear()
    begin = clock.now()
    pings: list[int] = []
    silent = None
    times = sorted(
        {*(one["at"] for one in case["received"]), *case["pings"], case["until"]}
        | {case["silent"] or case["until"]}
    )
    for at in times:
        await clock.pass_(begin + at / 1000 - clock.now())
        await settle()
        pings += [at for message in dialer.sent if message["type"] == "ping"]
        if silent is None and dialer.link.closed_with is not None:
            silent = at
            assert dialer.link.closed_with[0] == HEARTBEAT["code"]
        for one in case["received"]:
            if one["at"] == at:
                what = (
                    {"type": "pong", "timestamp": 1}
                    if one["what"] == "pong"
                    else {"type": "event", "address": "chat", "event": "said"}
                )
                dialer.say(**what)
    assert pings == case["pings"]
    assert silent == case["silent"]
    await client.close()


async def test_the_servers_shorter_beat_wins() -> None:
    client, dialer, clock = scripted(heartbeat_interval=30)
    client.start()
    await settle()
    dialer.welcome(beat=2)
    assert min(clock.waiting) == 2
    await clock.pass_(2)
    assert dialer.sent[-1]["type"] == "ping"
    await client.close()


async def test_the_servers_pings_and_beats_are_answered() -> None:
    client, dialer, _ = await opened()
    dialer.say(type="ping", echo="x")
    dialer.say(type="beat")
    await settle()
    assert [(one["type"], one.get("echo")) for one in dialer.sent] == [
        ("pong", "x"),
        ("beat", None),
    ]
    await client.close()


# --- closing ------------------------------------------------------------------------------------


async def test_close_says_goodbye_and_the_server_ends_the_session(app: Anywire) -> None:
    client, dialer, clock = to(app)
    async with client:
        await client.channel("chat:lobby").join()
    assert client.state == "closed"
    assert dialer.sessions[0].has_ended
    assert clock.waiting == []
    assert not client._tasks


async def test_close_is_final_in_every_state() -> None:
    client, dialer, clock = scripted(OSError("no"))
    await client.close()
    with pytest.raises(Closed):
        await client.open()
    client, dialer, clock = scripted(OSError("no"))
    client.start()
    await settle()
    assert client.state == "waiting"
    await client.close()
    await client.close()
    await clock.pass_(100)
    assert len(dialer.requests) == 1
    client, dialer, clock = scripted()
    dialer.is_stuck = True
    client.start()
    await settle()
    await client.close()
    assert not client._tasks


async def test_close_drops_what_waits_and_ends_what_listens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, _, _ = scripted(OSError("no"))
    client.start()
    chat = client.channel("chat")
    await chat.send("say", "never sent")
    heard: list[Any] = []
    loop = client._tasks.start(collect(chat, heard), "loop")
    await settle()
    await client.close()
    assert loop.done()
    assert heard == []
    assert "1 messages were never sent" in caplog.text


async def collect(chat: Any, heard: list[Any]) -> None:
    async for event in chat:
        heard.append(event)  # noqa: PERF401


async def test_a_cancelled_open_closes_the_client() -> None:
    client, dialer, _ = scripted()
    dialer.is_stuck = True
    task = client._tasks.start(join_quietly(client.open), "open")
    await settle()
    task.cancel()
    await settle()
    assert client.state == "closed"
    assert not client._tasks


async def test_a_server_that_never_answers_the_goodbye_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anywire.client.client.GOODBYE", 0.01)
    client, dialer, _ = await opened()
    link = dialer.link
    link.close = lambda code, reason: None  # type: ignore[method-assign]
    await client.close()
    await settle()
    assert link._end == (1006, "")


# --- the rest -----------------------------------------------------------------------------------


async def test_what_the_queue_refuses_is_told() -> None:
    client, _, _ = scripted(OSError("no"), max_queue=1)
    client.start()
    chat = client.channel("chat")
    refused: list[Frame] = []
    client.on("overflow", refused.append)
    assert await chat.send("say", "one")
    assert not await chat.send("say", "two")
    with pytest.raises(CallFailed, match="busy"):
        await chat.call("say", "three")
    assert [one.event for one in refused if isinstance(one, Event)] == ["say", "say"]
    client.off("overflow", refused.append)
    assert not await chat.send("say", "four")
    assert len(refused) == 2
    await client.close()


async def test_a_refused_event_nobody_listens_for_is_logged(
    app: Anywire, caplog: pytest.LogCaptureFixture
) -> None:
    client, _, _ = to(app)
    async with client:
        chat = client.channel("chat:lobby")
        await chat.join()
        await chat.send("nope")
        await settle()
        assert "'nope' was refused: 'unknown_event'" in caplog.text
        seen: list[Any] = []
        chat.membership.on("refused", lambda error, event: seen.append((error.code, event)))
        await chat.send("nope")
        await settle()
        assert seen == [("unknown_event", "nope")]


async def test_a_refusal_for_nobody_is_an_error_of_the_client() -> None:
    client, dialer, _ = await opened()
    errors: list[Exception] = []
    client.on("error", errors.append)
    dialer.say(type="refused", ref=99, address="gone", code="late")
    dialer.say(type="leave", address="gone")
    dialer.say(type="joined", address="gone", outcome="fresh")
    dialer.say(type="gap", address="gone", lost=1)
    dialer.say(type="event", address="gone", event="said")
    dialer.say(type="presence", address="gone", joined={}, left={})
    dialer.say(type="reply", ref=99)
    assert [str(error) for error in errors] == ["late"]
    await client.close()


async def test_a_plain_conversation_needs_no_welcome_and_no_join(app: Anywire) -> None:
    client, dialer, clock = to(app, machine=PlainClient("chat:lobby"))
    async with client:
        chat = client.channel("chat:lobby")
        assert await chat.join() is None
        heard: list[Any] = []
        chat.on("said", heard.append)
        await settle()
        assert await chat.call("say", text="hi", returns=int) == 2
        assert heard == ["hi"]
        with pytest.raises(Unsupported, match="no streams"):
            await anext(chat.stream("ticks"))
        with pytest.raises(Unsupported, match="no history"):
            await chat.history()
        lost = client._tasks.start(expect(chat.call("nope"), CallFailed, "lost"), "t")
        dialer.link.is_frozen = True
        await settle()
        dialer.link.cut()
        await chat.send("say", text="again")
        await clock.pass_(0.5)
        await lost
        await settle()
        assert heard == ["hi", "again"]
        await chat.leave()
        assert chat.state == "left"
    assert Cap.MANY not in PlainClient("").caps


async def test_nothing_is_logged_while_all_is_well(
    app: Anywire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "anywire.client")
    client, _, _ = to(app)
    async with client:
        await client.channel("chat:lobby").join()
    assert caplog.text == ""
