"""The peer uvicorn: a bare ASGI app with echo at /echo and one room at /room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

members: dict[Send, None] = {}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers one WebSocket connection; every other scope is refused by returning."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/echo":
        await echo(receive, send)
        return
    members[send] = None
    try:
        await relay(receive)
    finally:
        del members[send]


async def echo(receive: Receive, send: Send) -> None:
    """Sends each message back to its sender."""
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def relay(receive: Receive) -> None:
    """Sends each message of one member to all members."""
    while (message := await receive())["type"] == "websocket.receive":
        told = {"type": "websocket.send", "text": message["text"]}
        for member in tuple(members):
            await member(told)
