"""The server that the protocols' own suites and clients are run against: one app, one port.

Started from the root of the repository with `anywire serve conformance.app:app`. Each mount has the
options that its suites ask for.

| path | what | for |
| --- | --- | --- |
| `GET /health` | 200 | whoever waits for the start |
| `/ws/echo` | every message comes back | Autobahn |
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from anywire import Anywire, Raw
from anywire.limits import Deflate, Limits

MEBIBYTE = 1024 * 1024
LARGEST = 16 * MEBIBYTE
"""The largest message that Autobahn sends (9.1.6, 9.2.6)."""

Event = MutableMapping[str, Any]


async def site(
    scope: Event,
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
) -> None:
    """An ASGI app for what is no wire's: `GET /health`."""
    if scope["type"] != "http":
        return
    is_health = scope["path"] == "/health"
    await send({"type": "http.response.start", "status": 200 if is_health else 404, "headers": []})
    await send({"type": "http.response.body", "body": b"ok\n" if is_health else b"nothing here\n"})


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
        )
    ],
    fallback=site,
)
echo = app.channel("echo")


@echo.message
async def heard(data: str | bytes) -> str | bytes:
    """Say it back, text as text and binary as binary."""
    return data
