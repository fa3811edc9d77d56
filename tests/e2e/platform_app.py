"""What the platform's WebSocket cases talk to: an echo, closes to order, subprotocols, and a page.

The sockets are our raw wire. What a wire would not do (never answer, refuse the handshake, tell
how a connection ended) is done by an ASGI app beside it, which serves the page as well.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from anywire import Anywire, Member, Raw

HERE = Path(__file__).parent
CASES = {
    f"/{path.relative_to(HERE)}": path
    for path in (HERE / "platform.mjs", *HERE.glob("platform/*.mjs"))
}
PAGE = b'<!doctype html><meta charset="utf-8"><title>platform</title>'
SCRIPT = b"""<p id="heard"></p>
<script type="module">
  import { RobustSocket } from "/anywire.js";
  const socket = new RobustSocket("/raw/echo");
  socket.onmessage = ({ data }) => (document.querySelector("#heard").textContent = data);
  socket.send("from a plain script");
</script>"""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, object]], Awaitable[None]]


class Watched:
    """All that was heard of the connections of one name."""

    def __init__(self) -> None:
        self.connections = 0
        self.messages: list[str] = []
        self.end: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()


watched: dict[str, Watched] = {}


async def site(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """The page, its cases, and the sockets that a wire would not be."""
    if scope["type"] == "http":
        await serve(scope, send)
    elif scope["type"] == "websocket":
        await converse(scope, receive, send)


async def serve(scope: MutableMapping[str, Any], send: Send) -> None:
    kind, body = "text/html; charset=utf-8", PAGE
    if scope["path"] == "/script":
        body = PAGE + SCRIPT
    elif scope["path"] in CASES:
        kind, body = "text/javascript; charset=utf-8", CASES[scope["path"]].read_bytes()
    elif scope["path"].startswith("/ended/"):
        one = of(scope["path"])
        ended = {**await one.end, "connections": one.connections, "messages": one.messages}
        kind, body = "application/json", json.dumps(ended).encode()
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def converse(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    path = scope["path"]
    await receive()
    if path.startswith("/refuse"):
        return await send({"type": "websocket.close"})
    if path.startswith("/hang"):
        await receive()
        return None
    one = of(path)
    one.connections += 1
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        data = message.get("text")
        one.messages.append(message["bytes"].hex() if data is None else data)
        if data == "hang up":
            await send({"type": "websocket.close", "code": 3210, "reason": "as told"})
    if not one.end.done():
        one.end.set_result({"code": message["code"], "reason": message.get("reason") or ""})
    return None


def of(path: str) -> Watched:
    """What is known of the name at the end of a path."""
    return watched.setdefault(path.rpartition("/")[2], Watched())


app = Anywire(
    wires=[
        Raw("/raw/{address}"),
        Raw(paths={"/protocols": "echo"}, subprotocols=["second", "first"]),
    ],
    fallback=site,
)
echo = app.channel("echo")
closing = app.channel("closing")


@echo.message
async def back(data: str | bytes) -> str | bytes:
    return data


@closing.message
async def close(data: str, member: Member) -> None:
    order = {name: values[0] for name, values in parse_qs(data).items()}
    await member.close(int(order["code"]), order.get("reason", ""))
