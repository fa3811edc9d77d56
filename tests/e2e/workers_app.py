"""The chat of the demo with its page, for several workers: each can say who it is."""

import os
from collections.abc import Mapping
from typing import Any

from anywire import Anywire, Limits, Member
from anywire.brokers.local import LocalBroker
from anywire.cli.demo import official_files, page_files, programs_file
from anywire.demo.chat import make_app

FILES = {**official_files(), **page_files(), **programs_file("127.0.0.1")}


async def page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The page's files; what else is asked for is not there."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    kind, body = FILES.get(scope["path"], ("text/plain", b""))
    status = 200 if body else 404
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app: Anywire = make_app("secret", limits=Limits(stop=2.0, joins=100))
app.fallback = page
flood = app.channel("flood", history=5000)
control = app.channel("control")


@flood.on("say")
async def say(member: Member, author: int, number: int) -> int:
    """Publish a number of this author; the answer is where it stands."""
    position = await member.room.publish("said", author, number)
    assert position is not None
    return position.offset


@control.on("who")
async def who() -> Mapping[str, object]:
    """The process that answers, and whether it is the hub."""
    broker = app.node.broker
    is_hub = isinstance(broker, LocalBroker) and broker.is_hub
    return {"pid": os.getpid(), "node": app.node.id, "is_hub": is_hub}


@control.on("counters")
async def counters() -> list[dict[str, object]]:
    """What each worker has counted."""
    return [dict(node) for node in await app.counters()]
