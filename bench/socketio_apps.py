"""What the benchmark asks of anywire's Socket.IO wire: an event that is answered, and a room."""

from __future__ import annotations

from anywire import Anywire, Member, SocketIO  # type: ignore[attr-defined, unused-ignore]

app = Anywire(wires=[SocketIO("/socket.io", home="bench")])
bench = app.channel("bench")


@bench.on("say")
async def say(member: Member, text: str) -> str:
    """Answers an event with its argument."""
    return text


@bench.on("shout")
async def shout(member: Member, text: str) -> None:
    """Tells all members of the room, the sender too, what one of them said."""
    await member.room.publish("shout", text)
