"""SignalR: the server of a chat whose clients are `@microsoft/signalr` and its like.

anywire serve examples/signalr/app.py:app
node client.mjs http://127.0.0.1:8000 ana-secret    (beside it, after: npm i @microsoft/signalr)

It was a hub of ASP.NET Core before: docs/howto/signalr.md shows both. The client is the same.
"""

import asyncio
from collections.abc import AsyncIterator

from anywire import Anywire, CallFailed, Hello, Left, Member, Refused, Room, SignalR, User

TOKENS = {"ana-secret": "ana", "bo-secret": "bo"}

app = Anywire(wires=["anywire", "raw", SignalR({"/chathub": "chat"})])
chat = app.channel("chat")


@app.authenticate
def who(hello: Hello) -> User:
    """Whose token this is: `accessTokenFactory` shows it."""
    name = TOKENS.get(hello.token or "")
    if name is None:
        raise Refused("unknown", "show a token")
    return User(name)


def entered(member: Member, name: str) -> Room:
    """A room that the member is in."""
    room = member.rooms.get(f"chat/{name}")
    if room is None:
        raise Refused("not_here", f"enter {name} first")
    return room


@chat.on("Enter")
async def enter(member: Member, room: str) -> None:
    """Be in a room, and tell the others."""
    here = await member.enter(room)
    await here.publish("entered", room, member.user.id, but=member)


@chat.on("Say")
async def say(member: Member, room: str, text: str) -> None:
    """Tell all in a room."""
    said = {"room": room, "by": member.user.id, "text": text}
    await entered(member, room).publish("said", said)


@chat.on("Quit")
async def leave_room(member: Member, room: str) -> bool:
    """Leave a room, if the client is sure."""
    here = entered(member, room)
    try:
        is_sure: bool = await member.call("sure", room, returns=bool, timeout=5)
    except CallFailed:
        is_sure = False
    if is_sure:
        await member.exit(here)
        await here.publish("gone", room, member.user.id)
    return is_sure


@chat.on("Countdown")
async def countdown(start: int) -> AsyncIterator[int]:
    """A stream: down to one."""
    for number in range(start, 0, -1):
        yield number
        await asyncio.sleep(0.02)


@chat.on("Dictate")
async def dictate(member: Member, room: str, lines: AsyncIterator[str]) -> int:
    """Say each line of an upload; returns how many there were."""
    count = 0
    async for line in lines:
        await say(member, room, line)
        count += 1
    return count


@chat.leave
async def leave(member: Member, why: Left) -> None:
    """Tell the rooms of somebody who is gone."""
    for name, room in member.rooms.items():
        if room is not member.room:
            await room.publish("gone", name.removeprefix("chat/"), member.user.id)
