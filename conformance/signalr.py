"""What the conformance app does for SignalR: one hub, with every way to speak to it, and a second
one that has the groups alone.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from anywire import Anywire, Channel, Hello, Limits, Member, Refused, SignalR, User
from anywire.wires.base import Wire

PATH = "/hub"
SECOND = "/hub2"
AT_ONCE = 8
"""Invocations of one method that run at the same time for one connection."""


def mounts() -> list[Wire]:
    """The hubs."""
    return [
        SignalR(
            {PATH: "hub", SECOND: "hub2"},
            ping=1.0,
            timeout=5.0,
            poll=2.0,
            limits=Limits(message=256 * 1024, body=512 * 1024),
            origins="*",
        )
    ]


def who(hello: Hello) -> User | None:
    """The query says who somebody is."""
    user = hello.query.get("user")
    return User(user) if user else None


def offer(app: Anywire) -> None:
    """The hubs' methods."""
    hub = app.channel("hub", parallel=AT_ONCE)
    app.channel("cancelled:{key}", history=1)
    groups(app, hub, "hub")
    groups(app, app.channel("hub2"), "hub2")

    @hub.join
    async def join(member: Member) -> None:
        await member.enter(app.room(f"connection/{member.session.id}"))
        await member.enter(app.room(f"user/{member.user.id}"))

    @hub.leave
    async def leave(member: Member) -> None:
        await app.room("hub/watchers").publish("Left", member.session.id)

    # --- calls ----------------------------------------------------------------------------------

    @hub.on("ConnectionId")
    def connection_id(member: Member) -> str:
        return member.session.id

    @hub.on("Add")
    def add(a: int | float, b: int | float) -> int | float:
        return a + b

    @hub.on("Echo")
    def echo(value: Any) -> Any:
        return value

    @hub.on("Void")
    def void() -> None:
        return None

    @hub.on("Slow")
    async def slow(ms: float, value: Any) -> Any:
        await asyncio.sleep(ms / 1000)
        return value

    @hub.on("Fail")
    def fail(text: str) -> None:
        raise Refused("failed", text)

    @hub.on("Crash")
    def crash() -> None:
        raise RuntimeError("internal detail")

    @hub.on("CallMe")
    async def call_me(member: Member, method: str, args: list[Any]) -> None:
        await member.send(method, *args)

    @hub.on("AskMe")
    async def ask_me(member: Member, value: Any) -> Any:
        return await member.call("Question", value)

    @hub.on("AskMeBad")
    async def ask_me_bad(member: Member) -> Any:
        return await member.call("Bad")

    # --- streams --------------------------------------------------------------------------------

    @hub.on("Counter")
    async def counter(n: int, ms: float) -> AsyncIterator[int]:
        for number in range(n):
            yield number
            await asyncio.sleep(ms / 1000)

    @hub.on("StreamFail")
    async def stream_fail(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number
        raise Refused("failed", "ran out")

    @hub.on("Endless")
    async def endless(key: str) -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(0.02)
        finally:
            await cancelled(key)

    @hub.on("WasCancelled")
    async def was_cancelled(key: str) -> bool:
        return bool(await app.room(f"cancelled:{key}").history())

    async def cancelled(key: str) -> None:
        # Who asks may be at another worker: what a room keeps, all of them know.
        await app.room(f"cancelled:{key}").publish("Cancelled")

    @hub.on("Sum")
    async def total(numbers: AsyncIterator[int | float]) -> int | float:
        return sum([number async for number in numbers])

    @hub.on("TellSum")
    async def tell_sum(member: Member, numbers: AsyncIterator[int | float]) -> None:
        # pysignalr hears no result of what it uploads.
        await member.send("Sum", sum([number async for number in numbers]))

    @hub.on("Concat")
    async def concat(a: AsyncIterator[str], separator: str, b: AsyncIterator[str]) -> str:
        first = "".join([text async for text in a])
        return first + separator + "".join([text async for text in b])

    @hub.on("EchoStream")
    async def echo_stream(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for item in items:
            yield item

    @hub.on("EchoUntilCancelled")
    async def echo_until_cancelled(key: str, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for item in items:
                yield item
        finally:
            await cancelled(key)

    # --- users, connections, all ----------------------------------------------------------------

    @hub.on("SendToConnection")
    async def to_connection(id: str, method: str, value: Any) -> None:
        await app.room(f"connection/{id}").publish(method, value)

    @hub.on("SendToUser")
    async def to_user(user: str, method: str, value: Any) -> None:
        await app.room(f"user/{user}").publish(method, value)

    @hub.on("SendToAll")
    async def to_all(member: Member, method: str, value: Any) -> None:
        await member.room.publish(method, value)

    @hub.on("SendToOthers")
    async def to_all_others(member: Member, method: str, value: Any) -> None:
        await member.room.publish(method, value, but=member)

    # --- the connection -------------------------------------------------------------------------

    @hub.on("AccessToken")
    def access_token(hello: Hello) -> str | None:
        return hello.token

    @hub.on("Query")
    def query(hello: Hello, name: str) -> str | None:
        return hello.query.get(name)

    @hub.on("Header")
    def header(hello: Hello, name: str) -> str | None:
        return hello.headers.get(name.lower())

    @hub.on("AbortMe")
    def abort_me(member: Member) -> None:
        member.session.abort(1006, "aborted")

    @hub.on("CloseMe")
    async def close_me(member: Member, error: str, may_return: bool) -> None:
        await member.close(4000, error, retry=0.0 if may_return else None)


def groups(app: Anywire, hub: Channel, address: str) -> None:
    """The methods about the groups of a hub."""

    @hub.on("JoinGroup")
    async def join_group(member: Member, group: str) -> None:
        await member.enter(group)

    @hub.on("LeaveGroup")
    async def leave_group(member: Member, group: str) -> None:
        await member.exit(group)

    @hub.on("SendToGroup")
    async def to_group(group: str, method: str, value: Any) -> None:
        await app.room(f"{address}/{group}").publish(method, value)

    @hub.on("SendToOthersInGroup")
    async def to_others(member: Member, group: str, method: str, value: Any) -> None:
        await app.room(f"{address}/{group}").publish(method, value, but=member)
