"""The server that the protocols' own suites and clients are run against: one app, one port.

Started from the root of the repository with `anywire serve conformance.app:app`. Each mount has the
options that its suites ask for.

| path | what | for |
| --- | --- | --- |
| `GET /health` | 200 | whoever waits for the start |
| `GET /counters` | how many sessions stand | whoever looks for leaks |
| `/ws/echo` | every message comes back | Autobahn |
| `/engine.io/` | every message comes back | the suite of Engine.IO |
| `/socket.io/` | see `socketio.py` | the suite of Socket.IO |
| `/socket.io-app/`, `/socket.io-cluster/` | with and without recovery | `socket.io-client` |
| `/sockjs/…` | see `sockjs.py` | the suite of SockJS, `sockjs-client` |
| `/socket` | see `phoenix.py` | the npm package `phoenix` |
| `/cable` | see `actioncable.py` | `@rails/actioncable`, `@anycable/core` |
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from anywire import Anywire, Hello, Raw, User
from anywire.limits import Deflate, Limits
from conformance import actioncable, phoenix, signalr, socketio, sockjs

MEBIBYTE = 1024 * 1024
LARGEST = 16 * MEBIBYTE
"""The largest message that Autobahn sends (9.1.6, 9.2.6)."""

Event = MutableMapping[str, Any]


async def site(
    scope: Event,
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """An ASGI app for what is no wire's: `GET /health`, and how many sessions stand."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    if scope["type"] != "http":
        return
    status, kind, body = 404, b"text/plain", b"nothing here\n"
    if scope["path"] == "/health":
        status, body = 200, b"ok\n"
    elif scope["path"] == "/counters":
        sessions = len(app.node.sessions)
        status, kind, body = 200, b"application/json", b'{"sessions":%d}' % sessions
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Anywire(
    wires=[
        Raw(
            "/ws/echo",
            to="echo",
            beat=0.0,
            origins="*",
            deflate=Deflate(keep_server=True, keep_client=True),
            # A message comes in frames of 64 bytes too (9.3.1: 4 MiB of them).
            limits=Limits(message=LARGEST, fragments=LARGEST // 64, outbox=4 * LARGEST),
        ),
        *socketio.mounts(),
        *sockjs.mounts(),
        *phoenix.mounts(),
        *signalr.mounts(),
        *actioncable.mounts(),
    ],
    fallback=site,
)
socketio.offer(app)
sockjs.offer(app)
phoenix.offer(app)
signalr.offer(app)
actioncable.offer(app)
USERS: dict[str, Callable[[Hello], User | None]] = {
    phoenix.PATH: phoenix.who,
    signalr.PATH: signalr.who,
    actioncable.PATH: actioncable.who,
}
"""Who a client is, by what its path begins with; elsewhere nobody is anybody."""


@app.authenticate
def who(hello: Hello) -> User | None:
    """Ask the mount, where that wants to know."""
    for path, ask in USERS.items():
        if hello.path.startswith(path):
            return ask(hello)
    return None


echo = app.channel("echo")


@echo.message
async def heard(data: str | bytes) -> str | bytes:
    """Say it back, text as text and binary as binary."""
    return data
