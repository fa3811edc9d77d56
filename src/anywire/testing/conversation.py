"""Conversation: a client machine and its link, in a test: what both say, as frames."""

import asyncio
from collections.abc import Sequence
from typing import Any

from anywire.body import Body
from anywire.client.dial import Dialer, Link
from anywire.core.node import Node
from anywire.errors import CallFailed, Closed, Refused, Unsupported
from anywire.frames import (
    Ack,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Item,
    Join,
    Joined,
    Leave,
    Presence,
    Ref,
    Refusal,
    Reply,
    Since,
    Welcome,
)
from anywire.payload import Message, Payload
from anywire.testing.clock import settled
from anywire.testing.member import TestMember, plain
from anywire.testing.pipe import MemoryLink
from anywire.wires.base import Cap, Client


class Conversation:
    """A client machine and its link: what both say, as frames."""

    def __init__(
        self,
        url: str,
        dialer: Dialer,
        machine: Client,
        timeout: float,
        log: list[str],
        node: Node | None,
    ) -> None:
        self._url = url
        self._dialer = dialer
        self._machine = machine
        self._log = log
        self._node = node
        self._link: Link | None = None
        self._ref = 0
        self._answers: dict[Ref, asyncio.Future[Frame]] = {}
        self._sent: list[Payload] = []
        self._opened: asyncio.Future[Welcome | None] | None = None
        self.timeout = timeout
        self.members: dict[str, TestMember] = {}
        self.streams: dict[Ref, asyncio.Queue[Item | End | Reply]] = {}
        self.uploads: dict[Ref, asyncio.Task[None]] = {}
        self.end: tuple[int, str] | None = None

    async def open(self) -> None:
        """Dial; on a resume say again what the server does not have, else join again with
        positions.
        """
        async with asyncio.timeout(self.timeout):
            link: Link = await self._dialer.dial(self._url, self._machine.opening())
            self._opened = asyncio.get_running_loop().create_future()
            self.end = None
            self._link = link
            frames = self._machine.opened(link.subprotocol, self._now())
            link.start(self)
            for frame in frames:
                self._take(frame)
            self._write(self._machine.due())
            if self._is_single:
                return
            welcome = await self._opened
        if welcome is not None and welcome.resumed:
            link.write(self._sent[welcome.received :])
            return
        self._sent.clear()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(CallFailed("lost", "the session ended before an answer"))
        self._answers.clear()
        for member in list(self.members.values()):
            await self._rejoin(member)

    async def join(self, address: str, body: Body, since: Since | None) -> TestMember:
        """Ask, and wait for the answer."""
        member = TestMember(self, address)
        self.members[address] = member
        await self._ask_join(member, body, since)
        return member

    def ask(self, ref: Ref, frame: Event) -> "asyncio.Future[Frame]":
        """Send a call under this ref; the future of its answer."""
        future = self._answers[ref] = asyncio.get_running_loop().create_future()
        self.send(frame)
        return future

    def require(self, cap: Cap, what: str) -> None:
        """Raises Unsupported when the wire has no words for this."""
        if not self._machine.caps & cap:
            raise Unsupported(f"{type(self._machine).__name__} has no {what}")

    def new_ref(self) -> int:
        """A ref nothing was asked under."""
        self._ref += 1
        return self._ref

    def send(self, frame: Frame) -> None:
        """Say a frame; while the test has cut the connection it waits for the resume.

        Raises Closed when the connection is, or cannot resume.
        """
        if self.end is not None:
            raise Closed(*self.end)
        if self._link is None and not self._machine.caps & Cap.RESUME:
            raise Closed(1006, "the test cut it")
        self._write(self._machine.send(frame))

    def cut(self) -> None:
        """Break the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    def close(self) -> None:
        if self._link is not None:
            self._link.close(1000, "")

    def memory(self) -> MemoryLink:
        """The link, where it is one in memory."""
        assert isinstance(self._link, MemoryLink), "only a client in memory can stall"
        return self._link

    # What the link tells.

    def on_message(self, message: Message) -> None:
        self._log.append(f"S> {message!r:.400}")
        for frame in self._machine.receive(message, self._now()):
            self._take(frame)
        self._write(self._machine.due())

    def on_heard(self) -> None:
        self._machine.heard(self._now())

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        self._log.append(f"S> closed {code} {reason}")
        if self._link is None:
            return  # the test cut it itself, and will resume
        self.end = (code, reason)
        error = Closed(code, reason)
        waiting: list[asyncio.Future[Any]] = list(self._answers.values())
        if self._opened is not None:
            waiting.append(self._opened)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: nobody has to wait for it
        for member in self.members.values():
            member.closed(error)

    # Inside.

    @property
    def _is_single(self) -> bool:
        return self._machine.is_single

    async def _rejoin(self, member: TestMember) -> None:
        since = Since(positions=dict(member.positions)) if member.positions else None
        await self._ask_join(member, Body.of(), since)

    async def _ask_join(self, member: TestMember, body: Body, since: Since | None) -> None:
        if self._is_single:  # the server joins it by itself, and says nothing but a no
            await settled()
            if self.end is not None:
                raise Refused("refused", self.end[1])
            return
        ref = self.new_ref()
        future = self._answers[ref] = asyncio.get_running_loop().create_future()
        self.send(Join(ref, member.address, member.address, body, since))
        async with asyncio.timeout(self.timeout):
            answer = await future
        if isinstance(answer, Refusal):
            self.members.pop(member.address, None)
            raise Refused(answer.code, answer.text, data=plain(answer.data))
        assert isinstance(answer, Joined)
        member.joined = answer
        member.positions.update(answer.positions)

    def _take(self, frame: Frame) -> None:
        match frame:
            case Welcome():
                if self._opened is not None and not self._opened.done():
                    self._opened.set_result(frame)
            case Joined() | Reply() | Refusal() if frame.ref in self._answers:
                future = self._answers.pop(frame.ref)
                if not future.done():
                    future.set_result(frame)
                if isinstance(frame, Joined) and frame.alias in self.members:
                    self.members[frame.alias].positions.update(frame.positions)
            case Item() | End() | Reply() if frame.ref in self.streams:
                self.streams[frame.ref].put_nowait(frame)
            case End() | Cancel() if frame.ref in self.uploads:  # the server has no use for it
                self.uploads.pop(frame.ref).cancel()
            case Event() if frame.alias in self.members:
                self.members[frame.alias].take(frame)
            case Presence() if frame.alias in self.members:
                self.members[frame.alias].present(frame)
            case Leave() if frame.alias in self.members:
                self.members.pop(frame.alias).closed(Refused(frame.code or "left", frame.text))
            case Refusal():
                for member in self.members.values():
                    if frame.alias in (None, member.address):
                        member.refused(frame)
            case Bye():
                self._log.append(f"S> bye {frame.code} {frame.text}")
            case Ack() | _:
                pass

    def _write(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            if payload.counted:
                self._sent.append(payload)
            for message in payload.messages():
                self._log.append(f"C> {message!r:.400}")
        if self._link is not None and payloads:
            self._link.write(payloads)

    def _now(self) -> float:
        return self._node.now() if self._node is not None else asyncio.get_running_loop().time()
