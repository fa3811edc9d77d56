"""A clock that tests move, and a dialer that reaches an app without sockets."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import msgspec

from anywire import Anywire
from anywire.client import Receiver
from anywire.client.dial import Watcher
from anywire.core.admission import Admitted, admit
from anywire.core.session import Session
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message, Payload
from anywire.transports.base import Sink
from anywire.wires.base import Answer, Hello, Request, Wire


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that stands still until `pass_`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heappush(self._heap, (max(when, self.time), next(self._number), timer))
        return timer

    async def pass_(self, seconds: float) -> None:
        """Let time go by, timer after timer, and everything that follows from each."""
        await settle()
        end = self.time + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, timer = heappop(self._heap)
            if timer.callback is not None:
                self.time = when
                callback, timer.callback = timer.callback, None
                callback()
                await settle()
        self.time = end

    @property
    def waiting(self) -> list[float]:
        """Seconds until each timer that is set."""
        return sorted(when - self.time for when, _, timer in self._heap if timer.callback)


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(25):
        await asyncio.sleep(0)


class PipeLink:
    """A link whose other end is a transport of the app's session; everything arrives a turn
    later.
    """

    def __init__(self, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self.url = "ws://server/ws"
        self.headers: Mapping[str, str] = {}
        self.extensions = ""
        self.was_clean = False
        self.is_blocked = False
        self.is_paused = False
        self.pings: list[bytes] = []
        self.is_frozen = False
        """Nothing gets through any more, in either direction, and nobody is told."""
        self.sent: list[Message] = []
        self.heard: list[Message] = []
        self.closed_with: tuple[int, str] | None = None
        self.to_server: Callable[[Message], None] = self.sent.append
        self.server_gone: Callable[[int, str, bool], None] = lambda code, reason, is_clean: None
        self._receiver: Receiver | None = None
        self._waiting: list[Message] = []
        self._end: tuple[int, str] | None = None
        self._is_told = False

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._drain()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self._drain()

    def _drain(self) -> None:
        while self._waiting and self._receiver is not None and not self.is_paused:
            self._receiver.on_message(self._waiting.pop(0))
        if self._end is not None:
            self._tell_end()

    def ping(self, data: bytes = b"") -> bool:
        self.pings.append(data)
        return self._end is None

    def pong(self, data: bytes = b"") -> bool:
        return self._end is None

    def ponged(self, data: bytes) -> None:
        """A pong comes from the server."""
        assert isinstance(self._receiver, Watcher)
        self._receiver.on_heard()
        self._receiver.on_pong(data)

    def writable(self) -> None:
        """The network takes more again."""
        self.is_blocked = False
        assert self._receiver is not None
        self._receiver.on_writable()

    def write(self, payloads: Sequence[Payload]) -> None:
        messages = [message for payload in payloads for message in payload.messages()]
        self.sent += messages
        if not self.is_frozen and self._end is None:
            asyncio.get_running_loop().call_soon(self._carry, messages)

    def beat(self) -> bool:
        return False

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)
        asyncio.get_running_loop().call_soon(self.cut, code, reason, True)

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.cut, 1006, "", False)

    def deliver(self, message: Message) -> None:
        """Something comes from the server."""
        if self.is_frozen or self._end is not None:
            return
        self.heard.append(message)
        if self._receiver is None or self.is_paused:
            self._waiting.append(message)
        else:
            self._receiver.on_message(message)

    def cut(self, code: int = 1006, reason: str = "cut", is_clean: bool = False) -> None:
        """Both ends lose each other."""
        if self._end is not None:
            return
        self._end = (code, reason)
        self.was_clean = is_clean
        if not self.is_frozen:
            self.server_gone(code, reason, is_clean)
        self._tell_end()

    def _carry(self, messages: list[Message]) -> None:
        for message in messages:
            if not self.is_frozen and self._end is None:
                self.to_server(message)

    def _tell_end(self) -> None:
        if self._receiver is not None and self._end is not None and not self._is_told:
            self._is_told = True
            self._receiver.on_closed(*self._end)

    def unblock(self) -> None:
        self.is_blocked = False
        assert self._receiver is not None
        self._receiver.on_writable()


class _ServerEnd:
    """The session's transport at the other end of a link."""

    carrier = Carrier.WEBSOCKET
    framing: Framing = UNFRAMED
    buffered = 0

    def __init__(self, link: PipeLink) -> None:
        self.link = link

    def attach(self, sink: Sink) -> None:
        raise AssertionError("the link tells the session itself")

    def write(self, framed: Sequence[Framed]) -> None:
        messages = [message for one in framed for message in one.payload.messages()]
        asyncio.get_running_loop().call_soon(self._carry, messages)

    def _carry(self, messages: list[Message]) -> None:
        for message in messages:
            self.link.deliver(message)

    def beat(self) -> bool:
        return True

    def pause(self) -> None:
        """Nothing more comes than what was written."""

    def resume(self) -> None:
        """It comes anyway."""

    def close(self, code: int, reason: str) -> None:
        asyncio.get_running_loop().call_soon(self.link.cut, code, reason, True)

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.link.cut, 1006, "", False)


class AppDialer:
    """Dials an app that runs; `is_down` refuses every attempt."""

    def __init__(self, app: Anywire, wire: int = 0) -> None:
        self.app = app
        self.wire: Wire = app.wires[wire]
        self.is_down = False
        self.links: list[PipeLink] = []
        self.requests: list[Request] = []
        self.sessions: list[Session] = []

    @property
    def link(self) -> PipeLink:
        return self.links[-1]

    async def dial(self, url: str, request: Request) -> PipeLink:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionRefusedError("the server is down")
        node = self.app.node
        headers = {name.lower(): value for name, value in request.headers.items()}
        hello = Hello(
            path="/ws",
            query=request.query,
            headers=headers,
            subprotocols=request.subprotocols,
            seed=os.urandom(32),
            limits=self.app.limits,
            clock=node.wall() - node.now(),
            address="echo",
        )
        admitted = await admit(node, self.wire, hello)
        if isinstance(admitted, Answer):
            return self._refused(admitted)
        assert isinstance(admitted, Admitted)  # a WebSocket begins a session where it is
        link = PipeLink(admitted.opening.subprotocol)
        self.links.append(link)
        end = _ServerEnd(link)
        session = node.open(
            self.wire, hello, admitted.opening, admitted.machine, admitted.user, end
        )
        self.sessions.append(session)
        link.to_server = lambda message: session.receive(message, node.now())
        link.server_gone = lambda code, reason, is_clean: session.detached(
            end, code, reason, is_clean=is_clean
        )
        return link

    def _refused(self, answer: Answer) -> PipeLink:
        link = PipeLink(answer.subprotocol)
        self.links.append(link)
        for payload in answer.payloads:
            for message in payload.messages():
                link.deliver(message)
        link.cut(answer.code or 1006, answer.reason, True)
        return link


class ScriptDialer:
    """Dials nobody: the test says what the server says. Attempts take from `failures` first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.links: list[PipeLink] = []
        self.requests: list[Request] = []
        self.is_stuck = False
        """Attempts come to no end."""

    @property
    def link(self) -> PipeLink:
        return self.links[-1]

    async def dial(self, url: str, request: Request) -> PipeLink:
        self.requests.append(request)
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.failures:
            raise self.failures.pop(0)
        link = PipeLink(request.subprotocols[0] if request.subprotocols else None)
        link.to_server = lambda message: None
        self.links.append(link)
        return link

    def say(self, **members: Any) -> None:
        """One message from the server to the newest link."""
        self.link.deliver(msgspec.json.encode(members).decode())

    def welcome(self, session: str = "s1", **members: Any) -> None:
        said = {"token": f"secret of {session}", "beat": 30, "limits": {}, **members}
        self.say(type="welcome", session=session, **said)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What the newest link carried to the server, less what it carried when last asked."""
        messages, self.link.sent[:] = list(self.link.sent), []
        return [msgspec.json.decode(message) for message in messages]
