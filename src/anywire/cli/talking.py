"""Talking: the asyncio edge of `anywire talk`: one connection, from dialing to its exit code."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from anywire.cli.conversation import Conversation
from anywire.cli.entry import Entry, Exit, closed, exit_for, failed, opened
from anywire.client.dial import Dialer, Link
from anywire.errors import AnywireError, Closed, ProtocolError, Refused
from anywire.net.handshake import HandshakeError, parse_url
from anywire.payload import Message
from anywire.wires.base import Request

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a talk is to do; times are seconds.

    `wait`: from the last thing said until we close, None: for ever. `is_strict`: a line that cannot
    be said ends it, and a message that is refused counts for the exit code; so a script fails where
    a person tries again.
    """

    url: str
    request: Request
    timeout: float
    wait: float | None
    is_strict: bool


class Talk:
    """One connection, and the receiver of what it brings.

    `show` gets every entry, `complain` the one line on why the talk failed.
    """

    __slots__ = (
        "_code",
        "_complain",
        "_conversation",
        "_dialer",
        "_is_ours",
        "_link",
        "_main",
        "_over",
        "_plan",
        "_ready",
        "_show",
        "_timer",
        "_writable",
    )

    def __init__(
        self,
        plan: Plan,
        conversation: Conversation,
        dialer: Dialer,
        *,
        show: Callable[[Entry], None],
        complain: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._conversation = conversation
        self._dialer = dialer
        self._show = show
        self._complain = complain
        self._main: asyncio.Task[Exit] | None = None
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()
        self._writable = asyncio.Event()
        self._over = asyncio.Event()
        self._code = Exit.MEANT
        self._is_ours = False
        """We began to close."""

    async def run(self, lines: AsyncIterator[str]) -> Exit:
        """Connect, say the lines, wait, close; returns the exit code. A signal closes it early."""
        loop = asyncio.get_running_loop()
        self._main = main = asyncio.create_task(self._run(lines), name="anywire talk")
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            await asyncio.wait({main})
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        if main.cancelled():
            return Exit.UNREACHED if self._link is None else self._code
        return main.result()

    def stop(self) -> None:
        """Say goodbye; when that is under way, or nobody is there yet, end at once."""
        if self._link is not None and not self._is_ours:
            self._close()
        elif self._main is not None:
            self._main.cancel()

    async def _run(self, lines: AsyncIterator[str]) -> Exit:
        link = await self._dial()
        if link is None:
            return self._code
        try:
            await self._talk(link, lines)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            link.abort()
        if self._code is Exit.MEANT and self._plan.is_strict and self._conversation.refusals:
            return Exit.REFUSED
        return self._code

    async def _dial(self) -> Link | None:
        plan = self._plan
        where = _without_secrets(plan.url)
        asked = self._conversation.opening()
        request = Request(
            subprotocols=asked.subprotocols,
            query=asked.query,
            headers={**asked.headers, **plan.request.headers},
        )
        try:
            async with asyncio.timeout(plan.timeout):
                return await self._dialer.dial(plan.url, request)
        except TimeoutError:
            self._end(Exit.CUT, f"no connection to {where} within {plan.timeout:g} s (--timeout)")
        except Refused as error:
            self._end(Exit.REFUSED, f"{where} refused us: {_why(error)}")
        except (OSError, AnywireError) as error:
            self._end(Exit.UNREACHED, f"cannot connect to {where}: {_why(error)}")
        return None

    async def _talk(self, link: Link, lines: AsyncIterator[str]) -> None:
        self._link = link
        self._show(opened())
        try:
            self._note(self._conversation.opened(link.subprotocol, self._now()))
        except ProtocolError as error:
            self._break(error.code, error.reason)
        link.start(self)
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
            if self._plan.wait is None:
                return
            await asyncio.sleep(self._plan.wait)
        self._close()

    def _say_one(self, line: str) -> None:
        assert self._link is not None
        try:
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

    # --- as a receiver --------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        if self._over.is_set():
            return
        try:
            self._note(self._conversation.receive(message, self._now()))
        except ProtocolError as error:
            self._break(error.code, f"the server broke the protocol: {error.reason}")
        except (ValueError, Closed) as error:
            self._break(4400, f"the server broke the protocol: {error}")

    def on_heard(self) -> None:
        self._conversation.heard(self._now())
        self._watch()

    def on_writable(self) -> None:
        self._writable.set()

    def on_closed(self, code: int, reason: str) -> None:
        if self._over.is_set():
            return
        self._show(closed(code, reason))
        if not self._is_ours:
            about = f" ({reason})" if reason else ""
            self._end(exit_for(code), f"the server closed with code {code}{about}")
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


def _without_secrets(url: str) -> str:
    """A URL fit for a log: no name and password, no query, which may hold a token."""
    target = parse_url(url)
    return f"{target.scheme}://{target.authority}{target.resource.partition('?')[0]}"


def _why(error: BaseException) -> str:
    """What went wrong, with what the server said about it in its answer, if that is short text."""
    cause = error if isinstance(error, HandshakeError) else error.__cause__
    if isinstance(cause, HandshakeError):
        body = cause.response.rest
        said = body.decode(errors="replace").strip().partition("\n")[0]
        return (
            f"{cause.reason}: {said}"
            if said.isprintable() and 0 < len(said) <= 200
            else cause.reason
        )
    if isinstance(error, Refused):
        return error.text or error.code
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "the server speaks no TLS there; use ws:// instead of wss://"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message} (-n takes any)"
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
