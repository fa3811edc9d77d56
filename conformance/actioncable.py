"""What the conformance app does for Action Cable: its mount and its channels.

`RoomChannel` streams from any room, as Rails does: its members stand at one address and enter the
rooms, by name. The others are for what AnyCable's client can, and for rooms of one user's own.
"""

from typing import Any

from anywire import ActionCable, Anywire, Hello, Limits, Member, Refused, User
from anywire.wires.base import Wire

PATH = "/cable"
"""There `who` is asked."""
LIMITS = Limits(message=1_000_000, joins=100, waiting_events=1000)


def mounts() -> list[Wire]:
    """One, whose channels have names of their own."""
    return [ActionCable(PATH, prefix="cable-", ping=3.0, limits=LIMITS, origins="*")]


def who(hello: Hello) -> User:
    """The current user: anybody but one."""
    user = hello.query.get("user", "anonymous")
    if user == "refused":
        raise Refused("unauthorized")
    return User(user)


def offer(app: Anywire) -> None:
    """All channels."""
    rooms(app)
    chats(app)
    logs(app)
    notes(app)


def rooms(app: Anywire) -> None:
    """`RoomChannel`."""
    channel = app.channel("cable-room")

    @channel.join
    async def join(member: Member, params: dict[str, Any] | None = None) -> None:
        params = params or {}
        room = str(params.get("room", ""))
        if room == "forbidden":
            raise Refused("forbidden")
        member.state.update(params=params, room=f"room:{room}")
        await member.enter(member.state["room"])
        await member.send("message", {"hello": member.user.id})

    @channel.leave
    async def leave(member: Member) -> None:
        if "room" in member.state:
            room = app.room(f"cable-room/{member.state['room']}")
            await room.publish("message", {"left": member.user.id})

    @channel.message
    async def receive(data: object) -> object:
        return {"received": data}

    @channel.on("echo")
    async def echo(member: Member, data: dict[str, Any]) -> None:
        await member.send("message", {"echo": data})

    @channel.on("speak")
    async def speak(member: Member, data: dict[str, Any]) -> None:
        said = {"from": member.user.id, "text": data.get("text")}
        room = app.room(f"cable-room/{member.state['room']}")
        await room.publish("message", said)

    @channel.on("whoami")
    async def whoami(member: Member, data: dict[str, Any]) -> None:
        about = {"user": member.user.id, "params": member.state["params"]}
        await member.send("message", about)

    @channel.on("switch")
    async def switch(member: Member, data: dict[str, Any]) -> None:
        for room in list(member.rooms.values()):
            if room is not member.room:
                await member.exit(room)
        await member.enter(f"room:{data.get('room')}")
        await member.send("message", {"switched": data.get("room")})

    @channel.on("stream")
    async def stream(member: Member, data: dict[str, Any]) -> None:
        await member.enter(f"room:{data.get('room')}")
        await member.send("message", {"streaming": data.get("room")})

    @channel.on("stop_stream")
    async def stop_stream(member: Member, data: dict[str, Any]) -> None:
        await member.exit(f"room:{data.get('room')}")
        await member.send("message", {"stopped": data.get("room")})

    @channel.on("boom")
    async def boom(data: dict[str, Any]) -> None:
        raise RuntimeError("internal detail")

    @channel.on("kick_me")
    async def kick_me(member: Member, data: dict[str, Any]) -> None:
        await app.user(member.user.id).close("remote", retry=0.0)

    @channel.on("restart_me")
    async def restart_me(member: Member, data: dict[str, Any]) -> None:
        await member.close(text="server_restart", retry=0.0)

    @channel.on("go_away")
    async def go_away(member: Member, data: dict[str, Any]) -> None:
        await member.close(text="remote")


def chats(app: Anywire) -> None:
    """`Chats::WebRoomChannel`, spelt as Rails spells the name of a channel in a module."""
    channel = app.channel("cable-chats:web_room:{room}")

    @channel.message
    async def say(member: Member, room: str, data: object) -> None:
        await member.room.publish("message", {"room": room, "said": data})


def logs(app: Anywire) -> None:
    """`LogChannel`: a room with history and presence; one may be put out of it."""
    channel = app.channel("cable-log:{name}", history=100, presence=True)

    @channel.message
    async def say(member: Member, data: object) -> None:
        await member.room.publish("message", data)

    @channel.on("$presence:join")
    async def here(member: Member, data: dict[str, Any]) -> None:
        info = data.get("info")
        if not isinstance(info, dict):
            raise Refused("invalid", "what is told of who is present, `info`, is an object")
        await member.track(**info)

    @channel.on("$presence:leave")
    async def gone(member: Member) -> None:
        await member.untrack()

    @channel.on("$whisper")
    async def whisper(member: Member, data: object) -> None:
        await member.room.publish("message", data, but=member, volatile=True)

    @channel.on("leave_me")
    async def leave_me(member: Member, data: dict[str, Any]) -> None:
        await member.leave("enough")

    @channel.on("refuse")
    async def refuse(data: dict[str, Any]) -> None:
        raise Refused("no_thanks", "not today", data=data)


def notes(app: Anywire) -> None:
    """`NotesChannel`: one room for each user, whatever identifier their clients use."""
    channel = app.channel("cable-notes", personal=True, history=10)

    @channel.message
    async def note(member: Member, data: object) -> None:
        await member.room.publish("message", data)
