"""Client: a test's hands on one client of any wire, with a log and a time-out on every wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from anywire.app import Anywire
from anywire.client.dial import Dialer
from anywire.client.websocket import SocketDialer
from anywire.core.node import Node
from anywire.errors import CallFailed, Closed
from anywire.frames import Since
from anywire.testing.clock import settled
from anywire.testing.conversation import Conversation
from anywire.testing.member import TestMember, body_of
from anywire.testing.pipe import MemoryDialer
from anywire.testing.running import held
from anywire.wires.actioncable import ActionCableClient
from anywire.wires.anywire import OwnClient
from anywire.wires.base import Client, User
from anywire.wires.phoenix import PhoenixClient
from anywire.wires.raw import RawClient
from anywire.wires.signalr import SignalRClient
from anywire.wires.socketio import SocketIoClient
from anywire.wires.sockjs import SockJsClient

WIRES = (
    "anywire",
    "anywire.msgpack",
    "raw",
    "socketio",
    "sockjs",
    "signalr",
    "signalr.msgpack",
    "phoenix",
    "actioncable",
)
"""Every wire a test can be parametrised over: names for `connect(wire=…)`."""
TIMEOUT = 2.0
"""Seconds a wait may take before the test fails with the log of messages."""

_MACHINES: dict[str, tuple[str, Callable[[str], Client]]] = {
    "anywire": ("/ws", lambda _: OwnClient("anywire.json.1")),
    "anywire.msgpack": ("/ws", lambda _: OwnClient("anywire.msgpack.1")),
    "raw": ("/raw/{address}", RawClient),
    "signalr": ("/signalr/{address}", SignalRClient),
    "signalr.msgpack": (
        "/signalr/{address}",
        lambda address: SignalRClient(address, protocol="messagepack"),
    ),
    "socketio": ("/socket.io/", lambda _: SocketIoClient()),
    "sockjs": ("/sockjs/{address}/000/test/websocket", SockJsClient),
    "phoenix": ("/socket/websocket", lambda _: PhoenixClient()),
    "actioncable": ("/cable", lambda _: ActionCableClient()),
}


@asynccontextmanager
async def connect(
    target: Anywire | str,
    *,
    user: str | User | None = None,
    wire: str = "anywire",
    path: str | None = None,
    query: str = "",
    timeout: float = TIMEOUT,  # noqa: ASYNC109
) -> AsyncIterator["TestClient"]:
    """A client of an app in memory, or (`ws://host:port`) of a live server.

    `user`: who it is, without asking `authenticate`; None asks it, with `query`
    (`name=ana&token=…`). `path`: where the wire is mounted, if not at its default. `timeout`:
    seconds every wait may take.
    """
    if wire not in _MACHINES:
        raise ValueError(f'there is no wire "{wire}"; known: {", ".join(WIRES)}')
    default, machine = _MACHINES[wire]
    async with AsyncExitStack() as stack:
        node: Node | None = None
        dialer: Dialer
        if isinstance(target, str):
            base = target.rstrip("/")
            dialer = SocketDialer()
        else:
            node = await stack.enter_async_context(held(target))
            base = "ws://memory"
            dialer = MemoryDialer(node, target.wires, user=user)
        url = base + (path or default) + (f"?{query}" if query else "")
        client = TestClient(url, dialer, machine, timeout=timeout, node=node)
        try:
            yield client
        except TimeoutError as error:
            raise AssertionError(f"nothing came within {timeout} s\n{client.shown()}") from error
        except (AssertionError, CallFailed, Closed) as error:
            error.add_note(client.shown())
            raise
        finally:
            client.close()
            await asyncio.sleep(0)


class TestClient:
    """One client; several on wires without a session of many addresses, where each join is a
    connection.
    """

    __test__ = False  # for pytest: not a class of tests

    def __init__(
        self,
        url: str,
        dialer: Dialer,
        machine: Callable[[str], Client],
        *,
        timeout: float,
        node: Node | None,
    ) -> None:
        self._url = url
        self._dialer = dialer
        self._machine = machine
        self._timeout = timeout
        self._node = node
        self._conversations: dict[str, Conversation] = {}
        self.log: list[str] = []
        """What was said, as `C> …` (client) and `S> …` (server)."""

    async def join(
        self, address: str, *args: object, since: Since | None = None, **params: object
    ) -> TestMember:
        """Join an address. Raises Refused when the answer is no, Closed when the connection is."""
        conversation = await self._conversation(address)
        return await conversation.join(address, body_of(args, params), since)

    async def drop(self) -> None:
        """Cut the connection without a goodbye; the server hears of it before this returns."""
        for conversation in self._conversations.values():
            conversation.cut()
        await settled()

    async def resume(self) -> None:
        """Open again: the same session where the wire can, else a new one that joins with its
        positions.
        """
        for conversation in self._conversations.values():
            await conversation.open()

    def stall(self) -> None:
        """Read no more (in memory only)."""
        for conversation in self._conversations.values():
            conversation.memory().pipe.stall()

    def flow(self) -> None:
        """Read again."""
        for conversation in self._conversations.values():
            conversation.memory().pipe.flow()

    def close(self) -> None:
        """Say goodbye; harmless when it is closed."""
        for conversation in self._conversations.values():
            conversation.close()

    def shown(self) -> str:
        """The log, for a failure's output."""
        return "\n".join(["messages of this client:", *(self.log or ["(none)"])])

    async def _conversation(self, address: str) -> Conversation:
        key = address if "{address}" in self._url else ""
        if key not in self._conversations:
            url = self._url.replace("{address}", address)
            conversation = Conversation(
                url, self._dialer, self._machine(address), self._timeout, self.log, self._node
            )
            await conversation.open()
            self._conversations[key] = conversation
        return self._conversations[key]
