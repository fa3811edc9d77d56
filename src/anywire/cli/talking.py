"""Talking: the asyncio edge of `anywire talk`: one connection, from dialing to its exit code."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from anywire.cli.conversation import Conversation
from anywire.cli.entry import Entry, Exit, closed, exit_for, failed, opened, probed
from anywire.cli.pings import Pings
from anywire.cli.slash import Goodbye, parse
from anywire.cli.why import without_secrets, words_of
from anywire.client.dial import Link
from anywire.errors import AnywireError, Closed, ProtocolError, Refused
from anywire.payload import Message
from anywire.wires.base import Request

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PingLink(Link, Protocol):
    """A link that is a WebSocket, at either end of it."""

    def ping(self, data: bytes = b"") -> bool: ...

    def pong(self, data: bytes = b"") -> bool: ...


class PingDialer(Protocol):
    """What opens such links; raises as `client.dial.Dialer`."""

    async def dial(self, url: str, request: Request) -> PingLink: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a talk is to do; times are seconds.

    `wait`: from the last thing said until we close, None: for ever. `is_strict`: a line that cannot
    be said ends it, and a message that is refused counts for the exit code; so a script fails where
    a person tries again. `has_slash`: lines that begin with a slash are commands. `shows_pings`:
    tell of each ping and pong. `ping`: ping so often, None: never. `peer`: who is at the other end.
    """

    url: str
    request: Request
    timeout: float
    wait: float | None
    is_strict: bool
    has_slash: bool = False
    shows_pings: bool = False
    ping: float | None = None
    peer: str = "server"


@contextlib.contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `stop` meanwhile."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


class Talk:
    """One connection, and the receiver of what it brings.

    `show` gets every entry, `complain` the one line on why the talk failed.
    """

    __slots__ = (
        "_code",
        "_complain",
        "_conversation",
        "_is_ours",
        "_link",
        "_main",
        "_over",
        "_ping_timer",
        "_pings",
        "_plan",
        "_ready",
        "_show",
        "_timer",
        "_writable",
        "has_said_all",
    )

    def __init__(
        self,
        plan: Plan,
        conversation: Conversation,
        *,
        show: Callable[[Entry], None],
        complain: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._conversation = conversation
        self._show = show
        self._complain = complain
        self._main: asyncio.Task[Exit] | None = None
        self._link: PingLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._pings = Pings()
        self._ready = asyncio.Event()
        self._writable = asyncio.Event()
        self._over = asyncio.Event()
        self._code = Exit.MEANT
        self._is_ours = False
        """We began to close."""
        self.has_said_all = False
        """There are no more lines."""

    @property
    def is_closing(self) -> bool:
        """We began to close."""
        return self._is_ours

    async def run(self, dialer: PingDialer, lines: AsyncIterator[str]) -> Exit:
        """Connect, say the lines, wait, close; returns the exit code. A signal closes it early."""
        self._main = main = asyncio.create_task(self._run(dialer, lines), name="anywire talk")
        with on_signals(self.stop):
            await asyncio.wait({main})
        if main.cancelled():
            return Exit.UNREACHED if self._link is None else self._code
        return main.result()

    async def over(self, link: PingLink, lines: AsyncIterator[str]) -> Exit:
        """The same over a link that stands; signals are the caller's."""
        try:
            await self._talk(link, lines)
        finally:
            for timer in (self._timer, self._ping_timer):
                if timer is not None:
                    timer.cancel()
            link.abort()
        if self._plan.ping is not None:
            self._show(Entry(direction="here", type="pings", data=self._pings.summary()))
        if self._code is Exit.MEANT and self._plan.is_strict and self._conversation.refusals:
            return Exit.REFUSED
        return self._code

    def stop(self) -> None:
        """Say goodbye; when that is under way, or nobody is there yet, end at once."""
        if self._link is not None and not self._is_ours:
            self._close()
        elif self._main is not None:
            self._main.cancel()

    async def _run(self, dialer: PingDialer, lines: AsyncIterator[str]) -> Exit:
        link = await self._dial(dialer)
        return self._code if link is None else await self.over(link, lines)

    async def _dial(self, dialer: PingDialer) -> PingLink | None:
        plan = self._plan
        where = without_secrets(plan.url)
        asked = self._conversation.opening()
        request = Request(
            subprotocols=asked.subprotocols,
            query=asked.query,
            headers={**asked.headers, **plan.request.headers},
        )
        try:
            async with asyncio.timeout(plan.timeout):
                return await dialer.dial(plan.url, request)
        except TimeoutError:
            self._end(Exit.CUT, f"no connection to {where} within {plan.timeout:g} s (--timeout)")
        except Refused as error:
            self._end(Exit.REFUSED, f"{where} refused us: {words_of(error)}")
        except (OSError, AnywireError) as error:
            self._end(Exit.UNREACHED, f"cannot connect to {where}: {words_of(error)}")
        return None

    async def _talk(self, link: PingLink, lines: AsyncIterator[str]) -> None:
        self._link = link
        self._show(opened(self._plan.peer))
        try:
            self._note(self._conversation.opened(link.subprotocol, self._now()))
        except ProtocolError as error:
            self._break(error.code, error.reason)
        link.start(self)
        if self._plan.ping is not None:
            self._ping()
        try:
            async with asyncio.timeout(self._plan.timeout):
                await self._ready.wait()
        except TimeoutError:
            self._end(Exit.CUT, f"no answer within {self._plan.timeout:g} s (--timeout)")
            self._close()
        async with asyncio.TaskGroup() as group:
            saying = group.create_task(self._say(lines), name="anywire talk lines")
            await self._over.wait()
            saying.cancel()

    async def _say(self, lines: AsyncIterator[str]) -> None:
        """Say every line, wait, close."""
        assert self._link is not None
        if self._is_ours:
            return
        try:
            async for line in lines:
                while self._link.is_blocked:
                    self._writable.clear()
                    await self._writable.wait()
                self._say_one(line)
                if self._is_ours:
                    return
        except (ValueError, OSError) as error:
            self._end(Exit.USAGE, f"cannot read the input: {error}")
        else:
            self.has_said_all = True
            if self._plan.wait is None:
                return
            await asyncio.sleep(self._plan.wait)
        self._close()

    def _say_one(self, line: str) -> None:
        assert self._link is not None
        try:
            if self._plan.has_slash and line.startswith("/"):
                self._command(self._link, line)
                return
            said = self._conversation.say(line)
        except ValueError as error:
            if not self._plan.is_strict:
                self._show(failed(str(error)))
                return
            self._end(Exit.USAGE, str(error))
            self._close()
            return
        self._show(said.entry)
        self._link.write(said.payloads)
        self._watch()

    def _command(self, link: PingLink, line: str) -> None:
        """Obey a slash command. Raises ValueError for one that cannot be obeyed."""
        command = parse(line)
        if isinstance(command, Goodbye):
            self._is_ours = True
            link.close(command.code, command.reason)
            return
        if command.is_ping:
            link.ping(command.data)
        else:
            link.pong(command.data)
        kind = "ping" if command.is_ping else "pong"
        self._show(probed(kind, command.data, direction="out"))

    # --- as a receiver --------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        if self._over.is_set():
            return
        try:
            self._note(self._conversation.receive(message, self._now()))
        except ProtocolError as error:
            self._break(error.code, f"the {self._plan.peer} broke the protocol: {error.reason}")
        except (ValueError, Closed) as error:
            self._break(4400, f"the {self._plan.peer} broke the protocol: {error}")

    def on_heard(self) -> None:
        self._conversation.heard(self._now())
        self._watch()

    def on_ping(self, data: bytes) -> None:
        if self._plan.shows_pings and not self._over.is_set():
            self._show(probed("ping", data))

    def on_pong(self, data: bytes) -> None:
        took = self._pings.heard(data, self._now())
        if self._plan.shows_pings and not self._over.is_set():
            self._show(probed("pong", data, seconds=took))

    def on_writable(self) -> None:
        self._writable.set()

    def on_closed(self, code: int, reason: str) -> None:
        if self._over.is_set():
            return
        self._show(closed(code, reason))
        if not self._is_ours:
            about = f" ({reason})" if reason else ""
            self._end(exit_for(code), f"the {self._plan.peer} closed with code {code}{about}")
        self._finish()

    # --- inside ---------------------------------------------------------------------------------

    def _note(self, entries: Sequence[Entry]) -> None:
        """Show what happened, and write what follows from it."""
        for entry in entries:
            self._show(entry)
        assert self._link is not None
        if due := self._conversation.due():
            self._link.write(due)
        if self._conversation.is_ready:
            self._ready.set()
        if self._conversation.is_out and not self._is_ours:
            self._code = Exit.REFUSED
            self._close()
        self._watch()

    def _watch(self) -> None:
        """Have the conversation told when its time has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._conversation.deadline()
        if when is not None and not self._over.is_set():
            self._timer = asyncio.get_running_loop().call_at(when, self._tick)

    def _tick(self) -> None:
        try:
            self._conversation.tick(self._now())
        except Closed as error:
            self._break(error.code, error.reason)
            return
        self._note(())

    def _ping(self) -> None:
        """Ping, and again when the next one is due."""
        assert self._link is not None and self._plan.ping is not None
        if self._is_ours or self._over.is_set():
            return
        loop = asyncio.get_running_loop()
        self._link.ping(self._pings.next(self._now()))
        self._ping_timer = loop.call_later(self._plan.ping, self._ping)

    def _break(self, code: int, why: str) -> None:
        """The peer or its protocol is broken: nothing more is heard."""
        assert self._link is not None
        if not self._over.is_set():
            self._end(Exit.CUT, why)
            self._is_ours = True
            self._show(closed(code, why))
            self._link.close(code, why)
            self._finish()

    def _close(self) -> None:
        assert self._link is not None
        self._is_ours = True
        self._link.close(1000, "")

    def _finish(self) -> None:
        self._over.set()
        self._ready.set()

    def _end(self, code: Exit, why: str) -> None:
        """The first thing that goes wrong is the one that counts."""
        if self._code is Exit.MEANT and code is not Exit.MEANT:
            self._code = code
            self._complain(why)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
