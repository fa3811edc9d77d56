"""What the benchmark asks of anywire: echo at /raw/echo, a room at /raw/room, both at /ws too."""

from __future__ import annotations

from anywire import Anywire, Member

app = Anywire(wires=["raw", "anywire", "signalr", "phoenix", "actioncable"])
echo = app.channel("echo")
room = app.channel("room")


@echo.message
async def message(data: str | bytes) -> str | bytes:
    """Sends a raw message back to its sender."""
    return data


@echo.on("say")
async def say(text: str) -> str:
    """Answers an event of the own wire with its argument."""
    return text


@echo.on("transmit")
async def transmit(member: Member, text: str) -> None:
    """Sends an event's argument back to its sender, where a wire has no answers."""
    await member.send("message", text)


@room.message
async def relay(member: Member, data: str | bytes) -> None:
    """Sends a raw message to all members, the sender too."""
    await member.room.publish("message", data)


@room.on("say")
async def said(member: Member, text: str) -> None:
    """Tells all members, the sender too, what one of them said on the own wire."""
    await member.room.publish("said", text)
