"""Long polls: the own wire where WebSockets do not get through (docs/reference/protocol.md,
Long-polling).

A link is two requests at a time: one that waits for what the server says, and one that brings what
was written meanwhile. Neither is ever repeated. When one fails, the link is gone, and the client
resumes over the next one: both ends count, so nothing is lost and nothing comes twice.
"""

import asyncio
import logging
import ssl as tls
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlencode

from anywire.client.dial import Opener, Receiver
from anywire.client.http import Asking, Way
from anywire.client.redirect import pairs
from anywire.errors import AnywireError, ProtocolError, Refused
from anywire.net.handshake import Target, parse_url
from anywire.payload import Payload
from anywire.wires.anywire.polls import pack, unpack
from anywire.wires.base import Answer, Request

log = logging.getLogger(__name__)

CLOSING = 2.0
"""Seconds in which the last words are said, or heard."""
_HIGH = 64 * 1024
"""Bytes that wait to be posted past which senders should wait."""
_BROKEN, _TAKEN, _TOO_LARGE = 1006, 4409, 1009


class PollDialer:
    """Links of the own wire over HTTP requests: `connect("https://host/ws", dialer=PollDialer())`.

    `fresh`: each request on a connection of its own; `max_body`: bytes of messages that one request
    brings, if they are several; `max_answer`: bytes of the largest answer taken; `headers`: sent
    with every request, those of the client win. `ssl`, `server_hostname`, `unix`, `proxy`: see
    `SocketDialer`. Raises ValueError for options that cannot be.
    """

    __slots__ = ("_fresh", "_headers", "_max_answer", "_max_body", "_way")

    def __init__(
        self,
        *,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        unix: str | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        fresh: bool = False,
        max_body: int = 256 * 1024,
        max_answer: int = 8 * 1024 * 1024,
    ) -> None:
        self._way = Way(ssl=ssl, server_hostname=server_hostname, unix=unix, proxy=proxy)
        self._headers = pairs(headers)
        self._fresh = fresh
        self._max_body = max_body
        self._max_answer = max_answer

    async def dial(self, url: str, request: Request) -> "PollLink":
        """The link, once the server has answered the first poll.

        Raises Refused for the statuses 401 and 403 and for a client of another wire; OSError or
        AnywireError for what may pass.
        """
        if not request.subprotocols:
            raise Refused("unsupported", "long polls speak anywire.json.1 or anywire.msgpack.1")
        subprotocol = request.subprotocols[0]
        target = parse_url(url)
        resource = _resource(target, subprotocol)
        named = {name.lower() for name in request.headers}
        more = [header for header in self._headers if header[0].lower() not in named]
        headers = [*more, *request.headers.items()]
        polls, posts = (
            Asking(self._way, target, headers, fresh=self._fresh, max_answer=self._max_answer)
            for _ in range(2)
        )
        query = urlencode(request.query)
        try:
            first = await polls.ask("GET", f"{resource}&{query}" if query else resource)
            if not _is_ours(first):
                raise _refused(first)
        except BaseException:
            polls.abort()
            raise
        return PollLink(
            polls,
            posts,
            resource,
            first,
            subprotocol=subprotocol,
            max_body=self._max_body,
            loop=asyncio.get_running_loop(),
        )


class PollLink:
    """A link over long polls. `first` answered the request that opened it."""

    __slots__ = (
        "_farewell",
        "_first",
        "_is_over",
        "_is_unheard",
        "_knows_session",
        "_loop",
        "_max_body",
        "_polling",
        "_polls",
        "_posting",
        "_posts",
        "_receiver",
        "_resource",
        "_size",
        "_timer",
        "_waiting",
        "is_blocked",
        "subprotocol",
    )

    def __init__(
        self,
        polls: Asking,
        posts: Asking,
        resource: str,
        first: Answer,
        *,
        subprotocol: str,
        max_body: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._polls = polls
        self._posts = posts
        self._resource = resource
        self._first = first
        self._max_body = max_body
        self._loop = loop
        self._receiver: Receiver | None = None
        self._polling: asyncio.Task[None] | None = None
        self._posting: asyncio.Task[None] | None = None
        self._waiting: list[Payload] = []
        self._size = 0
        """Bytes that wait, and those under way."""
        self._knows_session = False
        self._is_unheard = False
        """The server takes no more of ours; it may have a last word."""
        self._farewell: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.is_blocked = False
        self.subprotocol: str | None = subprotocol

    # --- as a link ------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._is_over:
            self._loop.call_soon(receiver.on_closed, _BROKEN, "it was given up")
        else:
            self._polling = self._loop.create_task(self._poll(receiver), name="anywire poll")

    def write(self, payloads: Sequence[Payload]) -> None:
        if self._is_over or self._is_unheard or self._farewell is not None:
            return
        self._waiting += payloads
        self._size += sum(payload.size for payload in payloads)
        self.is_blocked = self._size > _HIGH
        self._begin_to_post()

    def beat(self) -> bool:
        return False

    def close(self, code: int, reason: str) -> None:
        if self._is_over or self._farewell is not None:
            return
        self._farewell = (code, reason)
        if self._posting is None or self._is_unheard:
            self._end(code, reason)
        else:
            self._end_in_time(code, reason)

    def abort(self) -> None:
        self._end(_BROKEN, "it was given up")

    # --- what the server says -------------------------------------------------------------------

    async def _poll(self, receiver: Receiver) -> None:
        answer = self._first
        try:
            while self._hear(answer, receiver):
                answer = await self._polls.ask("GET", self._resource)
        except (OSError, AnywireError) as error:
            # Of what the network can do to an answer, only its size would be the same again.
            is_too_large = isinstance(error, ProtocolError) and error.code == _TOO_LARGE
            self._end(_TOO_LARGE if is_too_large else _BROKEN, str(error))
        except Exception:
            log.exception("what a poll brought could not be told")
            self._end(_BROKEN, "internal error")

    def _hear(self, answer: Answer, receiver: Receiver) -> bool:
        """Tell what an answer brought; whether to ask for more."""
        if not _is_ours(answer):
            self._end(*_end_of(answer))
            return False
        try:
            messages = unpack(answer.body)
        except ProtocolError as error:
            self._end(error.code, error.reason)
            return False
        for message in messages:
            if self._is_over or self._farewell is not None:
                return False
            receiver.on_message(message)
        if not messages:
            receiver.on_heard()
        if (last := _header(answer, "x-anywire-close")) is not None:
            self._end(*_last_word(last))
            return False
        if not self._knows_session:
            opening = receiver.opening().query if isinstance(receiver, Opener) else {}
            if not opening.get("session") or not opening.get("resume"):
                self._end(_BROKEN, "there is no session to poll for")
                return False
            secret = {name: opening[name] for name in ("session", "resume")}
            self._resource += f"&{urlencode(secret)}"
            self._knows_session = True
            self._begin_to_post()
        return not self._is_over and self._farewell is None

    # --- what we say ----------------------------------------------------------------------------

    def _begin_to_post(self) -> None:
        if self._waiting and self._posting is None and self._knows_session:
            self._posting = self._loop.create_task(self._post(), name="anywire post")

    async def _post(self) -> None:
        assert self._receiver is not None  # it made the session known
        try:
            while self._waiting:
                payloads = self._due()
                answer = await self._posts.ask("POST", self._resource, pack(payloads))
                if not 200 <= answer.status < 300:
                    self._unheard(answer)
                    return
                self._size -= sum(payload.size for payload in payloads)
                if self.is_blocked and self._size <= _HIGH:
                    self.is_blocked = False
                    self._receiver.on_writable()
        except (OSError, AnywireError) as error:
            self._end(_BROKEN, str(error))
        except Exception:
            log.exception("what a post made possible could not be told")
            self._end(_BROKEN, "internal error")
        finally:
            self._posting = None
        if self._farewell is not None:
            self._end(*self._farewell)

    def _due(self) -> list[Payload]:
        """The oldest that wait, as many as one body has room for; one at least."""
        size = count = 0
        for payload in self._waiting:
            size += payload.size
            if count and size > self._max_body:
                break
            count += 1
        due, self._waiting = self._waiting[:count], self._waiting[count:]
        return due

    def _unheard(self, answer: Answer) -> None:
        """A post was refused: the poll under way hears why, if there is more to it."""
        self._is_unheard = True
        self._waiting.clear()
        if answer.status == 413:
            self._end(_TOO_LARGE, _words(answer))
        elif self._farewell is not None:
            self._end(*self._farewell)
        else:
            self._end_in_time(*_end_of(answer))

    # --- the end --------------------------------------------------------------------------------

    def _end_in_time(self, code: int, reason: str) -> None:
        self._timer = self._loop.call_later(CLOSING, self._end, code, reason)

    def _end(self, code: int, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._polling, self._posting):
            if task is not None:
                task.cancel()
        self._polls.abort()
        self._posts.abort()
        if self._receiver is not None:
            self._loop.call_soon(self._receiver.on_closed, code, reason)


def _resource(target: Target, subprotocol: str) -> str:
    """Where the polls of this URL go, with what all of them say."""
    path, _, query = target.resource.partition("?")
    joint = f"{query}&" if query else ""
    return f"{path.rstrip('/')}/poll?{joint}{urlencode({'protocol': subprotocol})}"


def _header(answer: Answer, name: str) -> str | None:
    return next((value for key, value in answer.headers if key == name), None)


def _is_ours(answer: Answer) -> bool:
    """Whether it has messages. A network that wants a login has pages of its own for everything."""
    kind = _header(answer, "content-type") or ""
    return answer.status == 200 and kind.startswith("application/octet-stream")


def _words(answer: Answer) -> str:
    """Status and first line of an answer that is for people."""
    said = answer.body[:200].decode(errors="replace").partition("\n")[0]
    said = "".join(character for character in said if character.isprintable())
    return f"the server answered {answer.status}: {said}".rstrip(": ")


def _refused(answer: Answer) -> Exception:
    """Why there is no link."""
    if answer.status in (401, 403):
        said = answer.body[:1000].decode(errors="replace").strip()
        return Refused(_header(answer, "x-anywire-code") or "refused", said or _words(answer))
    return ConnectionError(_words(answer))


def _end_of(answer: Answer) -> tuple[int, str]:
    """Code and reason where an answer says that there is no session here for us."""
    return _TAKEN if answer.status == 409 else _BROKEN, _words(answer)


def _last_word(header: str) -> tuple[int, str]:
    code, _, reason = header.partition(" ")
    return int(code) if code.isascii() and code.isdigit() else _BROKEN, unquote(reason)
