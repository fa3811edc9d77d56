"""Clients behind a load balancer: each numbers what it says, and is told each number back."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from anywire import Anywire, Limits, Member, Own, Phoenix, SignalR, SocketIO, SockJS

Event = MutableMapping[str, Any]


async def counters(
    scope: Event,
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """An ASGI app: what each worker has counted, as JSON."""
    if scope["type"] != "http":
        return
    body = msgspec.json.encode(list(await app.counters()))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


app = Anywire(
    wires=[
        SocketIO("/socket.io", home="spread"),
        SockJS("/sockjs", to="spread"),
        SignalR({"/hub": "spread"}),
        Phoenix("/socket"),
        Own("/ws"),
    ],
    broker=os.environ.get("SPREAD_BROKER"),
    limits=Limits(stop=2.0),
    fallback=counters,
)
spread = app.channel("spread")


@spread.message
async def said(member: Member, data: str) -> None:
    """Tell the number back; and what was wrong with it."""
    number, last = int(data), member.state.get("last", 0)
    if number != last + 1:
        await member.send("message", f"wrong: {number} after {last}")
    member.state["last"] = number
    await member.send("message", data)
