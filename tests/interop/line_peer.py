"""What peers written in Python share: orders in, what happened out, a line of JSON each way, as
`end.mjs` does. Knows nothing of anywire, and no WebSocket library.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Order = dict[str, Any]


class Socket(Protocol):
    """One end, as its library has it."""

    async def send(self, data: bytes, *, binary: bool, fin: bool) -> None: ...

    async def ping(self, data: bytes) -> None: ...

    async def pong(self, data: bytes) -> None: ...

    async def close(self, code: int | None, reason: str) -> None: ...

    def terminate(self) -> None: ...


ends: dict[str, Socket] = {}
waiting: dict[str, Order] = {}
"""Orders of servers that no client has come to yet, by the name of their end."""
_tasks: set[asyncio.Task[None]] = set()


def tell(end: str, event: str, **fields: object) -> None:
    """Write down what happened; bytes as base64."""
    line = {name: _shown(value) for name, value in fields.items()}
    sys.stdout.write(json.dumps({"end": end, "event": event, **line}) + "\n")
    sys.stdout.flush()


async def obey(open: Callable[[str, Order], Awaitable[None]]) -> None:
    """Do what each line of the input orders, until it ends. Those of one end keep their order."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        order = json.loads(line)
        name, kind = order.pop("end"), order.pop("do")
        if kind == "open":
            await open(name, order)
        else:
            await _do(ends[name], kind, order)


async def _do(socket: Socket, kind: str, order: Order) -> None:
    data = base64.b64decode(order.get("data", ""))
    if kind == "send":
        await socket.send(data, binary=order["binary"], fin=order["fin"])
    elif kind == "ping":
        await socket.ping(data)
    elif kind == "pong":
        await socket.pong(data)
    elif kind == "terminate":
        socket.terminate()
    else:
        # A close waits for its answer, which may be another order's doing.
        closing = asyncio.ensure_future(socket.close(order.get("code"), order.get("reason", "")))
        _tasks.add(closing)
        closing.add_done_callback(_tasks.discard)


def _shown(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
