"""An app that counts with its clients, and the page of the browser's."""

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from anywire import Anywire, Member, Own

FILES = {
    "/page": ("text/html", b"<!doctype html><title>carriers</title>"),
    "/carriers.mjs": (
        "text/javascript",
        Path(__file__).with_name("carriers.mjs").read_bytes(),
    ),
}


async def page(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[object]],
    send: Callable[[dict[str, object]], Awaitable[None]],
) -> None:
    """The page and its script."""
    kind, body = FILES.get(scope["path"], ("text/plain", b""))
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    status = 200 if body else 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Anywire(wires=[Own("/ws")], fallback=page)
numbers = app.channel("numbers")
taken: dict[str, list[int]] = {}


@numbers.on("number")
async def number(member: Member, n: int) -> None:
    """Take a number, and say it again."""
    taken.setdefault(member.session.id, []).append(n)
    await member.send("number", n)


@numbers.on("double")
async def double(n: int) -> int:
    return 2 * n


@numbers.on("taken")
async def told(member: Member) -> dict[str, Any]:
    """The session as the server knows it, and what it took."""
    id = member.session.id
    transport = member.session.transport
    return {
        "session": id,
        "taken": taken.get(id, []),
        "carrier": transport.carrier.value if transport is not None else None,
    }
