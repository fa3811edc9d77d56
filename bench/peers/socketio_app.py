"""The peer python-socketio: an ASGI app with events "say", answered, and "shout", to a room."""

from __future__ import annotations

from typing import Any

import socketio  # type: ignore[import-untyped]

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)


async def connect(sid: str, environ: dict[str, Any]) -> None:
    """Puts each client into the room."""
    await sio.enter_room(sid, "bench")


async def say(sid: str, text: str) -> str:
    """Answers an event with its argument."""
    return text


async def shout(sid: str, text: str) -> None:
    """Tells all members of the room, the sender too, what one of them said."""
    await sio.emit("shout", text, room="bench")


sio.on("connect", connect)
sio.on("say", say)
sio.on("shout", shout)
