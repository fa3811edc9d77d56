"""The chat of the demo: rooms joined by name, who is online, and a token that makes a name count.

Events in: `join-room` and `leave-room` (a room's name), `send-message` (room, message), and a bare
message, which goes to the room joined last. Events out: `room-message` (room, user, message),
`user-joined` and `user-left` (id, name). All wires lead to one channel: on Socket.IO it stands at
`/` and at `/chat`, on SignalR it is the hub `/hub`, on Phoenix and Action Cable the topic or the
channel `chat`.
"""

import hmac
from typing import cast

import msgspec

from anywire import (
    ActionCable,
    Anywire,
    Hello,
    Left,
    Limits,
    Member,
    Own,
    Phoenix,
    Raw,
    Refused,
    Room,
    SignalR,
    SocketIO,
    SockJS,
    User,
)
from anywire.wires.base import OWN_ID, Wire

LOBBY = "lobby"
"""The room that everybody is in from the start who names no other."""
RECENT = 50
"""Messages a newcomer is shown."""
KEPT = 200
"""What a room keeps for `KEPT_SECONDS`: messages, comings and goings."""
KEPT_SECONDS = 3600
_NAME = 40
_TEXT = 2000


class Asked(msgspec.Struct):
    """What a client may say when it joins; a page that comes back asks for the rooms it was in.

    `token`: each namespace of a Socket.IO connection has an `auth` of its own.
    """

    rooms: list[str] = []
    token: str | None = None


def make_app(token: str, *, limits: Limits | None = None) -> Anywire:
    """The chat app: who shows `token` is verified, who shows another one is refused, all others are
    guests. Clients that say who they are in credentials (Socket.IO's `auth`) have to show it.
    """
    wires: list[Wire] = [
        Own("/ws", home="chat"),
        Raw("/raw/{address}"),
        SocketIO("/socket.io", home="chat"),
        SockJS("/sockjs", to="chat"),
        SockJS("/sockjs/{address}"),
        SignalR({"/hub": "chat", "/signalr/{address}": "{address}"}),
        Phoenix("/socket"),
        ActionCable("/cable"),
    ]
    app = Anywire(wires=wires, limits=limits)
    chat = app.channel("chat", history=KEPT, history_seconds=KEPT_SECONDS, presence=True)

    def check(shown: str) -> None:
        if not hmac.compare_digest(shown.encode(errors="replace"), token.encode()):
            raise Refused("bad_token", "this is not the token that the server printed at its start")

    @app.authenticate
    async def who(hello: Hello) -> User:
        name = _shown(_asked_name(hello))
        if hello.token is not None:
            check(hello.token)
            name = name or "someone"
            return User(f"@{name}", {"name": name, "verified": True})
        if hello.credentials is not None:
            raise Refused("no_token", "show the token that the server printed at its start")
        # Anonymous: so a guest's session goes on after a cut, though its id is made by chance.
        serial = hello.id(OWN_ID)[-12:]
        claims = {"name": name or f"guest-{serial[-4:]}"}
        return User(f"guest-{serial}", claims, is_anonymous=True)

    @chat.emits
    def room_message(room: str, user: str, message: str) -> None: ...

    @chat.emits
    def user_joined(id: str, name: str) -> None: ...

    @chat.emits
    def user_left(id: str, name: str) -> None: ...

    @chat.join
    async def join(member: Member, asked: Asked | None = None) -> dict[str, object]:
        if asked is not None and asked.token is not None:
            check(asked.token)
        names = dict.fromkeys((asked and asked.rooms) or [LOBBY])
        recent = {name: await _recent(await _enter(member, name)) for name in names}
        await member.track(name=_name(member), verified="verified" in member.user.claims)
        return {"id": member.user.id, "name": _name(member), "recent": recent}

    @chat.on("join-room")
    async def join_room(member: Member, room: str) -> dict[str, object]:
        return {"status": "ok", "room": room, "recent": await _recent(await _enter(member, room))}

    @chat.on("leave-room")
    async def leave_room(member: Member, room: str) -> dict[str, str]:
        if left := member.rooms.get(f"chat/{room}"):
            await member.exit(room)
            await left.publish("user-left", _person(member), volatile=True)
            if member.state["room"] == room:
                member.state["room"] = LOBBY
        return {"status": "ok"}

    @chat.on("send-message")
    async def send_message(member: Member, room: str, message: str) -> dict[str, str]:
        text = message.strip()
        if not 0 < len(text) <= _TEXT:
            raise Refused("invalid", f"a message has 1 to {_TEXT} characters")
        # Who speaks in a room is in it: what waited through a cut may come before a `join-room`.
        entered = member.rooms.get(f"chat/{room}") or await _enter(member, room)
        said = {"room": room, "user": _name(member), "message": text}
        await entered.publish("room-message", said)
        return {"status": "ok"}

    @chat.message
    async def message(member: Member, text: str) -> None:
        await send_message(member, member.state["room"], text)

    @chat.leave
    async def leave(member: Member, why: Left) -> None:
        for name, room in member.rooms.items():
            if name != member.room.name:
                await _tell(member, room, "user-left")

    return app


def _asked_name(hello: Hello) -> str:
    """The name that a client wants: of its credentials, or of the query."""
    found = hello.credentials.get("name") if isinstance(hello.credentials, dict) else None
    return found if isinstance(found, str) else hello.query.get("name", "")


def _shown(name: str) -> str:
    """A name as others see it: printable, one space between words."""
    return "".join(filter(str.isprintable, " ".join(name.split())))[:_NAME].strip()


def _name(member: Member) -> str:
    return str(member.user.claims["name"])


def _person(member: Member) -> dict[str, str]:
    return {"id": member.user.id, "name": _name(member)}


async def _tell(member: Member, room: Room, event: str) -> None:
    """Let the others know who came or went; not kept, or visitors would push out what was said."""
    await room.publish(event, _person(member), but=member, volatile=True)


async def _enter(member: Member, name: str) -> Room:
    """Be in a room, the one that bare messages go to, and let the others in it know."""
    if name != name.strip():
        raise Refused("invalid", "a room's name neither begins nor ends with a space")
    is_new = f"chat/{name}" not in member.rooms
    room = await member.enter(name)
    member.state["room"] = name
    if is_new:
        await _tell(member, room, "user-joined")
    return room


async def _recent(room: Room) -> list[dict[str, object]]:
    """The last messages of a room, oldest first; each has its position: it may also come live."""
    messages = [
        {
            **cast(dict[str, object], record.body.one_value),
            "time": record.time,
            "offset": record.position.offset,
            "epoch": record.position.epoch,
        }
        for record in await room.history(limit=KEPT)
        if record.event == "room-message" and record.position is not None
    ]
    return messages[-RECENT:]
