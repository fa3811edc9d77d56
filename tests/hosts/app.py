"""The app that every host serves to the contract of hosts (tests/contracts/host.py)."""

import asyncio
from collections.abc import AsyncIterator

from anywire import Anywire, Hello, Left, Limits, Member, Own, Raw, Refused, User

LIMITS = Limits(outbox=256 * 1024, beat_timeout=0.15, closing=0.5, stop=5.0)
FLOOD = 32 * 1024
WIRES = (
    Own("/ws"),
    Raw(),
    Raw("/quiet/{address}", beat=0.15),
    Raw("/picky/{address}", subprotocols=["echo.1", "echo.2"]),
)


def make_app() -> Anywire:
    """One app with whatever a host could spoil."""
    app = Anywire(wires=WIRES, limits=LIMITS)
    echo = app.channel("echo")
    watch = app.channel("watch")
    closing = app.channel("closing:{code}")
    staff = app.channel("staff")
    room = app.channel("room:{name}", history=200, presence=True)

    @app.authenticate
    async def who(hello: Hello) -> User | None:
        await asyncio.sleep(0)
        if hello.query.get("token") == "wrong":
            raise Refused("unauthenticated", "the token is wrong")
        name = hello.query.get("name")
        return None if name is None else User(name)

    @echo.message
    async def message(data: str | bytes) -> str | bytes:
        return data

    @echo.leave
    async def gone(member: Member, left: Left) -> None:
        clean = "clean" if left.clean else "cut"
        await app.room("watch").publish("message", f"{left.code} {left.text or '-'} {clean}")

    @watch.message
    async def soon(member: Member, data: str) -> None:
        await asyncio.sleep(0.6)  # longer than a silent peer is waited for
        await member.send("message", data)

    @closing.message
    async def close(member: Member, code: int, data: str) -> None:
        await member.send("message", "the last word")
        await member.close(code, data)

    @staff.join
    async def join(member: Member) -> None:
        raise Refused("staff_only", "this is for staff")

    @room.join
    async def enter(member: Member) -> str:
        await member.track()
        return member.user.id

    @room.on("say")
    async def say(member: Member, text: str) -> int:
        position = await member.room.publish("said", {"by": member.user.id, "text": text})
        return position.offset if position else 0

    @room.on("count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @room.on("sum")
    async def add(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @room.on("ask")
    async def ask(member: Member) -> str:
        answer: str = await member.call("name", returns=str, timeout=5)
        return f"you are {answer}"

    @room.on("flood")
    async def flood(member: Member, start: int, count: int) -> None:
        for number in range(start, start + count):
            await member.room.publish("water", f"{number} ".ljust(FLOOD, "x"))

    @room.leave
    async def left(member: Member, left: Left) -> None:
        await member.room.publish("left", {"name": member.user.id, "code": left.code})

    return app


app = make_app()
