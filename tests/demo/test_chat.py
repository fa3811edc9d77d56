"""The demo's chat in memory: every wire, the token's rules, hostile names."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from anywire import Anywire, Closed, Limits, Refused
from anywire.demo.chat import make_app
from anywire.payload import Message
from anywire.testing import Clock, MemoryDialer, connect, running
from anywire.wires.base import Request

TOKEN = "open sesame"
SHOWN = "token=open%20sesame"
WIRES = (
    "anywire",
    "anywire.msgpack",
    "raw",
    "socketio",
    "sockjs",
    "signalr",
    "signalr.msgpack",
    "phoenix",
    "actioncable",
)
"""Those that the demo speaks."""
MANY = ("anywire", "anywire.msgpack", "signalr", "signalr.msgpack")
"""Wires on which the client is told answers."""
GUESTS = [wire for wire in WIRES if wire != "socketio"]
"""Wires on which nobody has to show the token."""
STATUSES = {"signalr": "401", "signalr.msgpack": "401", "phoenix": "403"}
"""Wires that refuse before there is a conversation, and how."""


def named(name: str, wire: str = "anywire") -> str:
    """The query of somebody of this name, with the token where it has to be shown."""
    return f"name={name}" if wire in GUESTS else f"name={name}&{SHOWN}"


class Plain:
    """A client that knows JSON and nothing of anywire."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def on_message(self, message: Message) -> None:
        self.messages.put_nowait(json.loads(message))

    def on_heard(self) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        self.messages.put_nowait({"type": "closed", "code": code})

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are passed over."""
        async with asyncio.timeout(2):
            while True:
                message = await self.messages.get()
                if message["type"] == kind:
                    return message


@asynccontextmanager
async def plain(
    app: Anywire, query: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Plain, "Any"]]:
    """A plain connection to a running app, and the function that sends text over it."""
    link = await MemoryDialer(app.node, app.wires).dial(
        f"ws://memory/ws?{query}", Request(headers=headers or {})
    )
    client = Plain()
    link.start(client)
    try:
        yield client, lambda text: link.pipe.to_server([text])
    finally:
        link.close(1000, "")


# --- talking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_everybody_is_in_the_lobby_and_hears_what_is_said_there(wire: str) -> None:
    app = make_app(TOKEN)
    async with (
        connect(app, query=named("ana", wire), wire=wire) as ana,
        connect(app, query="name=bo") as bo,
    ):
        a, b = await ana.join("chat"), await bo.join("chat", rooms=[])
        await a.push("send-message", room="lobby", message="  hi ")
        message = {"room": "lobby", "user": "ana", "message": "hi"}
        assert await a.next("room-message") == message
        assert await b.next("room-message") == message


@pytest.mark.parametrize("wire", MANY)
async def test_a_message_is_answered_with_ok_by_name_and_by_place(wire: str) -> None:
    async with connect(make_app(TOKEN), query="name=ana", wire=wire) as ana:
        chat = await ana.join("chat")
        assert await chat.call("send-message", room="lobby", message="hi") == {"status": "ok"}
        assert await chat.call("send-message", "lobby", "hi") == {"status": "ok"}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_bare_message_goes_to_the_room_joined_last(wire: str) -> None:
    app = make_app(TOKEN)
    async with connect(app, query=named("ana", wire), wire=wire) as ana:
        chat = await ana.join("chat")
        await chat.push("message", "to the lobby")
        assert (await chat.next("room-message"))["room"] == "lobby"
        await chat.push("join-room", "garden")
        await chat.push("message", "to the garden")
        assert (await chat.next("room-message"))["room"] == "garden"
        await chat.push("leave-room", "garden")
        await chat.push("message", "to the lobby again")
        assert (await chat.next("room-message"))["room"] == "lobby"


@pytest.mark.parametrize("wire", WIRES)
async def test_a_room_is_heard_by_those_in_it_alone(wire: str) -> None:
    app = make_app(TOKEN)
    async with (
        connect(app, query=named("ana", wire), wire=wire) as ana,
        connect(app, query="name=bo") as bo,
        connect(app, query="name=cy") as cy,
    ):
        a, b, c = await ana.join("chat"), await bo.join("chat"), await cy.join("chat")
        await b.call("join-room", "garden")
        await a.push("join-room", "garden")
        joined = await b.next("user-joined")  # cy's, in the lobby
        assert joined["name"] == "cy"
        assert (await b.next("user-joined"))["name"] == "ana"
        await a.push("send-message", room="garden", message="psst")
        assert (await b.next("room-message"))["message"] == "psst"
        await b.call("leave-room", "garden")
        assert (await a.next("user-left"))["name"] == "bo"
        await a.push("send-message", room="garden", message="alone")
        assert (await a.next("room-message"))["message"] == "psst"
        assert (await a.next("room-message"))["message"] == "alone"
        await b.silence()
        await c.silence()


async def test_who_speaks_in_a_room_is_in_it() -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=ana") as ana, connect(app, query="name=bo") as bo:
        a, b = await ana.join("chat"), await bo.join("chat")
        await a.call("send-message", room="garden", message="first")
        await b.call("send-message", room="garden", message="second")
        assert [(await a.next("room-message"))["message"] for _ in range(2)] == ["first", "second"]


async def test_joining_tells_the_last_messages_with_their_positions() -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=ana") as ana, connect(app, query="name=bo") as bo:
        a = await ana.join("chat")
        for number in range(60):
            await a.call("send-message", room="garden", message=str(number))
        first = await a.next_event("room-message")
        b = await bo.join("chat", rooms=["garden"])
        assert isinstance(b.welcome, dict)
        recent = b.welcome["recent"]["garden"]
        assert [said["message"] for said in recent] == [str(number) for number in range(10, 60)]
        assert recent[0].keys() == {"room", "user", "message", "time", "offset", "epoch"}
        assert first.position is not None
        assert recent[0]["epoch"] == first.position.epoch
        assert recent[0]["offset"] == first.position.offset + 10
        assert "lobby" not in b.welcome["recent"]
        again = await b.call("join-room", "garden")
        assert again == {"status": "ok", "room": "garden", "recent": recent}


async def test_who_comes_back_is_in_its_rooms_before_anything_else() -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=ana") as ana:
        chat = await ana.join("chat", rooms=["garden", "shed", "garden"])
        names = list(app.node.rooms)
        assert names == ["chat/garden", "chat/shed", "chat"]
        await chat.push("message", "to the last one")
        assert (await chat.next("room-message"))["room"] == "shed"


async def test_comings_and_goings_are_told_and_shown() -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=ana") as ana:
        a = await ana.join("chat")
        async with connect(app, query=f"name=bo&{SHOWN}") as bo:
            b = await bo.join("chat")
            assert await a.next("user-joined") == {"id": "@bo", "name": "bo"}
            ana_id = next(key for key in a.presence if key != "@bo")
            assert ana_id.startswith("guest-")
            assert a.presence == b.presence
            assert a.presence["@bo"] == [{"name": "bo", "verified": True}]
            assert a.presence[ana_id] == [{"name": "ana", "verified": False}]
        assert await a.next("user-left") == {"id": "@bo", "name": "bo"}
        assert list(a.presence) == [ana_id]


@pytest.mark.parametrize("text", ["", " \n ", "x" * 2001, 5, None])
async def test_a_message_that_is_none_is_refused(text: object) -> None:
    async with connect(make_app(TOKEN), query="name=ana") as ana:
        chat = await ana.join("chat")
        with pytest.raises(Refused, match="invalid"):
            await chat.call("send-message", room="lobby", message=text)
        await chat.silence()


# --- plain clients -------------------------------------------------------------------------------


async def test_a_plain_client_is_a_full_member() -> None:
    app = make_app(TOKEN)
    async with running(app), connect(app, query="name=ana") as ana:
        a = await ana.join("chat")
        async with plain(app, f"name=bo&{SHOWN}") as (bo, say):
            assert "@bo" in (await bo.next("presence"))["joined"]
            say('{"type":"ping"}')
            assert (await bo.next("pong")).keys() == {"type", "timestamp"}
            say('{"type":"join-room","id":1,"room":"garden"}')
            assert (await bo.next("reply"))["status"] == "ok"
            say('{"type":"send-message","id":"x","room":"garden","message":"hi"}')
            message = {"room": "garden", "user": "bo", "message": "hi"}
            assert await bo.next("room-message") == {"type": "room-message", **message}
            assert await bo.next("reply") == {"type": "reply", "id": "x", "status": "ok"}
            await a.call("join-room", "garden")
            say("bare text")
            assert (await a.next("room-message"))["message"] == "bare text"
            await a.call("send-message", room="garden", message="hello bo")
            assert (await bo.next("room-message"))["message"] == "bare text"
            assert (await bo.next("room-message"))["user"] == "ana"
            say('{"type":"say","text":"hi"}')
            error = await bo.next("error")
            assert error["code"] == "unknown_event"
            assert "send-message" in error["text"]


# --- the token -----------------------------------------------------------------------------------


async def test_a_guest_without_a_name_gets_one_and_may_do_all() -> None:
    app = make_app(TOKEN)
    async with connect(app) as one, connect(app) as other:
        a, b = await one.join("chat"), await other.join("chat")
        names = [member.welcome["name"] for member in (a, b) if isinstance(member.welcome, dict)]
        assert len(set(names)) == 2
        assert all(name.startswith("guest-") for name in names)
        assert (await a.call("join-room", "garden"))["status"] == "ok"


@pytest.mark.parametrize("header", ["Bearer open sesame", "bearer  open sesame"])
async def test_the_token_counts_in_the_header(header: str) -> None:
    app = make_app(TOKEN)
    async with running(app), plain(app, "name=bo", {"Authorization": header}) as (bo, _):
        assert "@bo" in (await bo.next("presence"))["joined"]


async def test_a_verified_client_without_a_name_is_someone() -> None:
    async with connect(make_app(TOKEN), query=SHOWN) as client:
        chat = await client.join("chat")
        assert chat.presence == {"@someone": [{"name": "someone", "verified": True}]}


WRONG = ["wrong", "", "open+sesam%C3%A9", "%FF%00", "open+sesame+"]


@pytest.mark.parametrize("wire", [wire for wire in GUESTS if wire not in STATUSES])
@pytest.mark.parametrize("token", WRONG)
async def test_a_wrong_token_is_refused_with_4401(wire: str, token: str) -> None:
    async with connect(make_app(TOKEN), query=f"name=eve&token={token}", wire=wire) as eve:
        with pytest.raises(Closed) as closed:
            await eve.join("chat")
        assert closed.value.code == 4401


@pytest.mark.parametrize("wire", STATUSES)
@pytest.mark.parametrize("token", WRONG)
async def test_a_wrong_token_is_refused_with_the_status_of_the_wire(wire: str, token: str) -> None:
    async with connect(make_app(TOKEN), query=f"name=eve&token={token}", wire=wire) as eve:
        with pytest.raises(Refused, match="the token that the server printed") as refused:
            await eve.join("chat")
        assert refused.value.code == STATUSES[wire]


async def test_a_wrong_token_in_the_header_is_refused_though_the_query_has_the_right_one() -> None:
    app = make_app(TOKEN)
    async with running(app):
        with pytest.raises(Closed) as closed:
            async with plain(app, SHOWN, {"Authorization": "Bearer wrong"}):
                pass
        assert closed.value.code == 4401


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("%20ana%20%20b%20", "ana b"),
        ("x" * 60, "x" * 40),
        ("a%00b%1b%5B31m", "ab[31m"),
        ("%E2%80%AEana", "ana"),
        ("%3Cb%3Eana", "<b>ana"),
    ],
)
async def test_a_name_is_shown_without_what_could_deceive(given: str, shown: str) -> None:
    async with connect(make_app(TOKEN), query=f"name={given}") as ana:
        chat = await ana.join("chat")
        assert isinstance(chat.welcome, dict)
        assert chat.welcome["name"] == shown


# --- Socket.IO and SockJS ------------------------------------------------------------------------


async def test_both_namespaces_of_socketio_are_the_one_chat() -> None:
    app = make_app(TOKEN)
    async with connect(app, wire="socketio") as client, connect(app, query="name=bo") as bo:
        home = await client.join("/", token=TOKEN, name="ana")
        chat = await client.join("/chat", token=TOKEN)
        b = await bo.join("chat")
        await home.push("send-message", room="lobby", message="by /")
        await chat.push("send-message", "lobby", "by /chat")
        await b.push("message", "by bo")
        for text, user in (("by /", "ana"), ("by /chat", "ana"), ("by bo", "bo")):
            message = {"room": "lobby", "user": user, "message": text}
            for member in (home, chat, b):
                assert await member.next("room-message") == message
        assert await home.call("join-room", {"room": "garden"}) == {
            "status": "ok",
            "room": "garden",
            "recent": [],
        }
        assert b.presence["@ana"] == [{"name": "ana", "verified": True}] * 2
        await chat.leave()
        assert (await b.next("user-left")) == {"id": "@ana", "name": "ana"}


@pytest.mark.parametrize("address", ["/", "/chat"])
@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({"token": "wrong"}, "bad_token"),
        ({"token": ""}, "bad_token"),
        ({"token": None}, "no_token"),
        ({"token": [TOKEN]}, "no_token"),
        ({"name": "eve"}, "no_token"),
        ({}, "no_token"),
    ],
)
async def test_a_client_of_socketio_without_the_token_is_told_why(
    address: str, auth: dict[str, Any], code: str
) -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=eve", wire="socketio") as eve:
        with pytest.raises(Refused, match="the token that the server printed") as refused:
            await eve.join(address, **auth)
        assert refused.value.code == code
        assert not app.node.rooms


@pytest.mark.parametrize(("first", "second"), [("/", "/chat"), ("/chat", "/")])
async def test_each_namespace_looks_at_the_token_that_it_is_shown(first: str, second: str) -> None:
    async with connect(make_app(TOKEN), wire="socketio") as client:
        member = await client.join(first, token=TOKEN)
        with pytest.raises(Refused, match="bad_token"):
            await client.join(second, token="wrong")
        assert (await member.call("send-message", "lobby", "still here")) == {"status": "ok"}


@pytest.mark.parametrize("auth", [{"name": "ana"}, {"name": 5}, {}])
async def test_the_name_is_of_the_auth_payload_or_of_the_query(auth: dict[str, Any]) -> None:
    async with connect(make_app(TOKEN), query="name=query", wire="socketio") as client:
        chat = await client.join("chat", token=TOKEN, **auth)
        assert isinstance(chat.welcome, dict)
        assert chat.welcome["id"] == ("@ana" if auth.get("name") == "ana" else "@query")


@pytest.mark.parametrize("path", ["/sockjs", "/sockjs/chat"])
async def test_sockjs_is_in_the_chat_with_and_without_its_address_and_told_what_was_said(
    path: str,
) -> None:
    app = make_app(TOKEN)
    sockjs = f"{path}/000/test/websocket"
    async with (
        connect(app, query="name=ana") as ana,
        connect(app, query=f"name=bo&last=9&{SHOWN}", wire="sockjs", path=sockjs) as bo,
    ):
        a = await ana.join("chat")
        await a.push("message", "before")
        await a.next("room-message")
        b = await bo.join("chat")
        assert (await b.next("room-message"))["message"] == "before"
        await b.push("send-message", room="lobby", message="after")
        assert await a.next("room-message") == {"room": "lobby", "user": "bo", "message": "after"}
        assert a.presence["@bo"] == [{"name": "bo", "verified": True}]


# --- SignalR, Phoenix and Action Cable -----------------------------------------------------------


@pytest.mark.parametrize("path", ["/hub", "/signalr/{address}"])
async def test_the_hub_is_the_chat_and_tells_what_was_said(path: str) -> None:
    app = make_app(TOKEN)
    query = f"name=bo&access_token={TOKEN.replace(' ', '%20')}"
    async with (
        connect(app, query="name=ana") as ana,
        connect(app, query=query, wire="signalr", path=path) as bo,
    ):
        a = await ana.join("chat")
        await a.call("send-message", room="garden", message="before")
        b = await bo.join("chat")
        told = await b.call("join-room", "garden")
        assert [said["message"] for said in told["recent"]] == ["before"]
        assert await b.call("send-message", "lobby", "hi") == {"status": "ok"}
        await a.next("room-message")
        assert await a.next("room-message") == {"room": "lobby", "user": "bo", "message": "hi"}
        assert a.presence["@bo"] == [{"name": "bo", "verified": True}]


@pytest.mark.parametrize("wire", ["phoenix", "actioncable"])
async def test_a_join_asks_for_rooms_and_is_told_what_was_said_there(wire: str) -> None:
    app = make_app(TOKEN)
    async with (
        connect(app, query="name=ana") as ana,
        connect(app, query=f"name=bo&{SHOWN}", wire=wire) as bo,
    ):
        a = await ana.join("chat")
        await a.call("send-message", room="garden", message="before")
        b = await bo.join("chat", rooms=["garden"])
        welcome = b.welcome if wire == "phoenix" else await b.next("message")
        assert isinstance(welcome, dict)
        assert [said["message"] for said in welcome["recent"]["garden"]] == ["before"]
        await a.call("send-message", room="lobby", message="not for the garden")
        await a.call("send-message", room="garden", message="after")
        assert (await b.next("room-message"))["message"] == "after"


# --- cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["name=ana", f"name=ana&{SHOWN}"])
async def test_after_a_cut_the_session_goes_on_unseen(query: str) -> None:
    app = make_app(TOKEN)
    async with connect(app, query=query) as ana, connect(app, query="name=bo") as bo:
        a, b = await ana.join("chat"), await bo.join("chat")
        await a.call("join-room", "garden")
        before = dict(b.presence)
        await a.drop()
        await b.call("send-message", room="garden", message="are you there?")
        await a.resume()
        assert (await a.next("room-message"))["message"] == "are you there?"
        assert b.presence == before
        assert (await b.next())["message"] == "are you there?"


async def test_after_the_resume_window_everybody_is_told_that_it_left() -> None:
    app, clock = make_app(TOKEN, limits=Limits(resume=5.0)), Clock()
    async with running(app, clock=clock):
        async with connect(app, query="name=ana") as ana, connect(app, query="name=bo") as bo:
            a, b = await ana.join("chat"), await bo.join("chat")
            await b.drop()
            clock.advance(4.9)
            assert len(a.presence) == 2
            clock.advance(0.2)
            assert (await a.next("user-left"))["name"] == "bo"
            assert len(a.presence) == 1


# --- hostile names -------------------------------------------------------------------------------


async def test_a_hostile_name_of_a_room_reaches_no_other_room() -> None:
    app = make_app(TOKEN)
    app.channel("user:{name}")
    app.channel("chat:{room}")
    async with connect(app, query="name=eve") as eve, connect(app, query="name=ana") as ana:
        a = await ana.join("chat")
        others = [await ana.join("chat:staff"), await ana.join("user:ana")]
        hostile = ["user:ana", "chat:staff", "../", "../chat", "a/b", "chat", "chat/lobby", "/"]
        e = await eve.join("chat")
        for name in hostile:
            assert (await e.call("join-room", name))["status"] == "ok"
            assert (await e.call("send-message", room=name, message="boo")) == {"status": "ok"}
        assert (await a.next("user-joined"))["name"] == "eve"
        for member in (a, *others):
            await member.silence()
        known = {"chat", "chat/lobby", "chat:staff", "user:ana", *(f"chat/{n}" for n in hostile)}
        assert set(app.node.rooms) == known


@pytest.mark.parametrize("name", ["", " ", "lobby ", "x" * 300, "a\0b", "a\nb", "\u202ea", 5, None])
async def test_a_name_that_no_room_can_have_is_refused(name: object) -> None:
    app = make_app(TOKEN)
    async with connect(app, query="name=eve") as eve:
        chat = await eve.join("chat")
        with pytest.raises(Refused, match="invalid"):
            await chat.call("join-room", name)
        with pytest.raises(Refused, match="invalid"):
            await chat.call("send-message", room=name, message="boo")
        assert set(app.node.rooms) == {"chat", "chat/lobby"}


async def test_leaving_a_room_one_is_not_in_is_harmless() -> None:
    async with connect(make_app(TOKEN), query="name=ana") as ana:
        chat = await ana.join("chat")
        assert await chat.call("leave-room", "nowhere") == {"status": "ok"}
        await chat.silence()
