"""Our server for the clients of others: it echoes, and closes when it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anywire.app import Anywire
from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.limits import Deflate, Limits
from anywire.servers.tcp import Server
from anywire.wires.raw import Raw
from tests.interop.cases import LARGEST


@dataclass(frozen=True, slots=True)
class Ours:
    """A server that runs: `/echo` sends back, `/closing` takes `4000 reason` as an order."""

    url: str
    left: list[Left]
    """How the members of `/echo` went."""


@asynccontextmanager
async def serving(
    *,
    deflate: Deflate | None = None,
    subprotocols: tuple[str, ...] = (),
    required: bool = False,
    beat: float | None = None,
) -> AsyncIterator[Ours]:
    """Our server with these options."""
    app = Anywire(
        wires=[
            Raw(
                paths={"/echo": "echo", "/closing": "closing"},
                subprotocols=subprotocols,
                required=required,
                beat=beat,
            )
        ],
        limits=Limits(message=LARGEST, outbox=8 * LARGEST, stop=2.0),
    )
    echo, closing = app.channel("echo"), app.channel("closing")
    left: list[Left] = []

    @echo.message
    async def heard(data: str | bytes) -> str | bytes:
        return data

    @echo.leave
    async def gone(member: Member, why: Left) -> None:
        left.append(why)

    @closing.message
    async def told(member: Member, data: str) -> None:
        code, _, reason = data.partition(" ")
        await member.close(int(code), reason)

    async with app.lifespan():
        node = app.node
        server = Server(node=node, wires=app.wires, port=0, deflate=deflate)
        await server.start()
        try:
            yield Ours(server.addresses[0].url.replace("http", "ws", 1), left)
        finally:
            await server.stop()
