"""What the conformance app does for Engine.IO and Socket.IO: its mounts and their handlers."""

from typing import Any

from anywire import (
    Anywire,
    CallFailed,
    Channel,
    EngineIO,
    Later,
    Left,
    Limits,
    Member,
    Refused,
    Room,
    SocketIO,
)
from anywire.frames import Outcome
from anywire.wires.base import Wire

LIMITS = Limits(message=1_000_000, body=1_000_000, resume=60.0)
PATIENCE = 1.0
"""Seconds that a client has to acknowledge."""
CARRIERS = {"poll": "polling", "websocket": "websocket", "webtransport": "webtransport"}


def mounts() -> list[Wire]:
    """The mounts of the official suites, then those of the clients."""
    return [
        EngineIO("/engine.io", to="echo", ping=0.3, ping_timeout=0.2, limits=LIMITS, origins="*"),
        SocketIO(
            "/socket.io",
            home="suite",
            prefix="suite-",
            ping=0.3,
            ping_timeout=0.2,
            connect_timeout=1.0,
            limits=LIMITS,
            origins="*",
        ),
        SocketIO(
            "/socket.io-app",
            home="io",
            prefix="io-",
            recovery=True,
            ping=5.0,
            ping_timeout=4.0,
            limits=LIMITS,
            origins="*",
        ),
        SocketIO(
            "/socket.io-cluster",
            home="io",
            prefix="io-",
            ping=5.0,
            ping_timeout=4.0,
            limits=LIMITS,
            origins="*",
        ),
    ]


def offer(app: Anywire) -> None:
    """Make the channels of all mounts."""
    for name in ("suite", "suite-custom"):
        suite(app.channel(name))
    for name in ("io", "io-chat", "io-secret"):
        handlers(app, app.channel(name))
    for pattern, join in (("io-custom", greet), ("io-dyn-{number}", dynamic)):
        channel = app.channel(pattern)
        channel.join(join)
        channel.any(unheard)


async def greet(member: Member, auth: dict[str, Any]) -> None:
    """Say what the client said of itself."""
    await member.send("auth", auth)


async def dynamic(member: Member, number: str) -> None:
    """Namespaces by pattern."""
    if not number.isdigit():
        raise Refused("unknown_address")
    await member.send("hello-from", member.alias)


async def unheard(later: Later, event: str, *args: object) -> None:
    """An event that nobody listens to is not acknowledged."""


def suite(channel: Channel) -> None:
    """What the official suite asks for."""
    channel.join(greet)
    channel.any(unheard)
    messages(channel)


def messages(channel: Channel) -> None:
    """What comes back."""

    @channel.on("message")
    async def message(member: Member, *args: object) -> None:
        await member.send("message-back", *args)

    @channel.on("message-with-ack")
    async def message_with_ack(later: Later, *args: object) -> None:
        later.answer(*args)


def handlers(app: Anywire, channel: Channel) -> None:
    """What the clients' scenarios ask for, in one namespace."""
    is_secret = channel.pattern == "io-secret"

    @channel.join
    async def join(member: Member, auth: dict[str, Any]) -> None:
        is_back = member.outcome is Outcome.RECOVERED  # who was let in is not asked again
        if is_secret and not is_back and auth.get("token") != "secret":
            raise Refused("refused", "not authorized", data={"code": 401})
        await member.enter(member.id)  # so that others can name it
        await member.send("auth", auth)

    messages(channel)

    def room(name: str) -> Room:
        return app.room(f"{channel.name}/{name}")

    @channel.on("echo")
    async def echo(member: Member, later: Later, *args: object) -> None:
        if later.is_awaited:
            later.answer(*args)
        else:
            await member.send("echo", *args)

    @channel.on("no-ack")
    async def no_ack(later: Later, *args: object) -> None:
        """Never acknowledged."""

    @channel.on("join")
    async def enter(member: Member, name: str) -> str:
        await member.enter(name)
        return "ok"

    @channel.on("leave")
    async def leave(member: Member, name: str) -> str:
        await member.exit(name)
        return "ok"

    @channel.on("rooms")
    async def rooms(member: Member) -> list[str]:
        names = [name.partition("/")[2] for name in member.rooms]
        return sorted(name for name in names if name not in ("", member.id))

    @channel.on("to-room")
    async def to_room(name: str, event: str, *args: object) -> None:
        await room(name).publish(event, *args)

    @channel.on("to-room-except-me")
    async def to_room_except_me(member: Member, name: str, event: str, *args: object) -> None:
        await room(name).publish(event, *args, but=member)

    @channel.on("to-room-except-room")
    async def to_room_except_room(name: str, but: str, event: str, *args: object) -> None:
        await room(name).publish(event, *args, but=room(but))

    @channel.on("broadcast")
    async def broadcast(member: Member, event: str, *args: object) -> None:
        await member.room.publish(event, *args, but=member)

    @channel.on("volatile")
    async def volatile(member: Member, event: str, *args: object) -> None:
        await member.send(event, *args, volatile=True)

    @channel.on("ask-me")
    async def ask_me(member: Member, value: object) -> object:
        try:
            return await member.call("question", value, timeout=PATIENCE)
        except CallFailed:
            return "timeout"

    @channel.on("ask-room")
    async def ask_room(later: Later, name: str, value: object) -> None:
        answers = await room(name).call("question", value, timeout=PATIENCE)
        later.answer("timeout" if answers.missing else None, answers.values)

    @channel.on("count-room")
    async def count_room(name: str) -> int:
        return await room(name).count()

    @channel.on("join-room-to")
    async def join_room_to(origin: str, target: str) -> str:
        await room(origin).move(room(target), stay=True)
        return "ok"

    @channel.on("kick-room")
    async def kick_room(name: str) -> None:
        await room(name).kick()

    @channel.on("disconnect-me")
    async def disconnect_me(member: Member) -> None:
        await member.leave()

    @channel.on("close-me")
    async def close_me(member: Member) -> None:
        await member.close()

    @channel.on("transport")
    async def transport(member: Member) -> str:
        return CARRIERS.get(member.carrier or "", "none")

    @channel.on("recovered")
    async def recovered(member: Member) -> bool:
        return member.outcome is Outcome.RECOVERED

    @channel.on("name")
    async def name(member: Member, name: object) -> str:
        member.state["name"] = name
        return "ok"

    @channel.any
    async def other(member: Member, later: Later, event: str, *args: object) -> None:
        if event.startswith("any:"):  # what nobody listens to is not acknowledged
            await member.send("any", event, len(args))

    @channel.leave
    async def gone(member: Member, why: Left) -> None:
        watched = [each for name, each in member.rooms.items() if "/watch:" in name]
        for each in watched:
            await each.publish("left", member.state.get("name"), but=member)
