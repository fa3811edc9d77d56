"""One room for the clients of every wire: what one says, all hear; each is listed as present."""

import asyncio
from collections.abc import AsyncIterator

from anywire import Anywire, Limits, Member, Refused

app = Anywire(limits=Limits(stop=2.0))
matrix = app.channel("matrix", presence=lambda member: member.state["name"])
closed = app.channel("closed")


@matrix.join
async def join(member: Member, name: str = "nobody") -> None:
    member.state["name"] = name
    await member.track()


@matrix.on("say")
async def say(member: Member, *args: object) -> None:
    """Whatever it is, everybody hears it."""
    await member.room.publish("said", *args)


@matrix.message
async def message(member: Member, data: str | bytes) -> None:
    """The same for what has no name."""
    await member.room.publish("message", data)


@matrix.on("double")
def double(number: int) -> int:
    return 2 * number


@matrix.on("refuse")
def refuse() -> None:
    raise Refused("full", "nobody fits in")


@matrix.on("count")
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number
        await asyncio.sleep(0)


@closed.join
def keep_out() -> None:
    raise Refused("staff_only", "not for you")
