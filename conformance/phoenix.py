"""What the conformance app does for Phoenix Channels: its mount and its handlers."""

import asyncio
from typing import Any

from anywire import Anywire, Hello, Later, Limits, Member, Phoenix, Refused, User
from anywire.wires.base import Wire

PATH = "/socket/"
"""Below it `who` is asked."""
LIMITS = Limits(message=1_000_000, body=4_000_000, joins=100)
SLOW, LATER = 1.5, 0.05
"""Seconds that `room:slow_join` and `async_reply` take."""


def mounts() -> list[Wire]:
    """One, whose topics are addresses of its own."""
    return [Phoenix("/socket", prefix="phx-", longpoll=1.0, limits=LIMITS, origins="*")]


def who(hello: Hello) -> User:
    """By token, by name, or anybody."""
    if hello.query.get("token") == "refused":
        raise Refused("refused")
    if isinstance(hello.credentials, dict):
        return User(f"token:{hello.credentials['token']}")
    return User(hello.query.get("user", "anonymous"))


def offer(app: Anywire) -> None:
    """The two channels, and one for who looks for leaks."""
    rooms(app)
    people(app)
    standing(app)


def people(app: Anywire) -> None:
    """Who is there, and how."""
    presence = app.channel("phx-presence:{name}", presence=True)

    @presence.join
    async def join(member: Member, params: dict[str, Any]) -> None:
        await member.track(status=params.get("status", "online"))

    @presence.on("status")
    async def status(member: Member, payload: dict[str, Any]) -> None:
        await member.track(status=payload.get("status"))


def rooms(app: Anywire) -> None:
    """Everything else."""
    room = app.channel("phx-room:{name}")
    tasks: set[asyncio.Task[None]] = set()

    @room.join
    async def join(member: Member, name: str, params: dict[str, Any]) -> dict[str, object]:
        match name:
            case "forbidden":
                raise Refused("unauthorized")
            case "crash_on_join":
                raise RuntimeError("internal detail")
            case "slow_join":
                await asyncio.sleep(SLOW)
        await member.send("welcome", {"user": member.user.id})
        return {"topic": member.alias, "params": params}

    @room.on("echo")
    async def echo(*payload: object) -> object:
        return payload[0]

    @room.on("fail")
    async def fail(*payload: object) -> None:
        raise Refused("failed", data={"got": payload[0]})

    @room.on("ok_only")
    async def ok_only(*payload: object) -> None:
        """Only the answer."""

    @room.on("no_reply")
    async def no_reply(later: Later, *payload: object) -> None:
        """Never answered."""

    @room.on("async_reply")
    async def async_reply(later: Later, *payload: object) -> None:
        async def answer() -> None:
            await asyncio.sleep(LATER)
            later.answer({"later": True})

        task = asyncio.create_task(answer(), name="async_reply")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @room.on("shout")
    async def shout(member: Member, *payload: object) -> None:
        await member.room.publish("shout", *payload)

    @room.on("shout_others")
    async def shout_others(member: Member, *payload: object) -> None:
        await member.room.publish("shout", *payload, but=member)

    @room.on("binary_bytes")
    async def binary_bytes(data: bytes) -> dict[str, list[int]]:
        return {"bytes": list(data)}

    @room.on("echo_binary")
    async def echo_binary(data: bytes) -> bytes:
        return data

    @room.on("push_binary")
    async def push_binary(member: Member, data: bytes) -> None:
        await member.send("binary", data)

    @room.on("shout_binary")
    async def shout_binary(member: Member, data: bytes) -> None:
        await member.room.publish("binary", data)

    @room.on("crash")
    async def crash(member: Member, later: Later, *payload: object) -> None:
        await member.fail("internal detail")

    @room.on("stop")
    async def stop(member: Member, later: Later, *payload: object) -> None:
        later.answer({"stopped": True})
        await member.leave()

    @room.on("disconnect_me")
    async def disconnect_me(member: Member, *payload: object) -> None:
        await app.user(member.user.id).close("disconnect")


def standing(app: Anywire) -> None:
    """`standing`: what this server has of its clients, on all its mounts."""
    channel = app.channel("phx-standing")

    @channel.on("count")
    async def count() -> dict[str, int]:
        node = app.node
        return {
            "sessions": len(node.sessions),
            "members": sum(len(session.members) for session in node.sessions.values()),
            "rooms": len(node.rooms),
            "users": len(node.users),
        }
