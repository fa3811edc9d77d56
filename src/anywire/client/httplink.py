"""A link over HTTP requests (docs/reference/protocol.md, Over HTTP): one that hears what the server
says, and one at a time that brings what was written meanwhile.

An answer that breaks is asked for again with the count of what came (`ack`), and what a request
brought that broke is brought again with the count of what came before it (`from`): nothing is lost,
nothing comes twice, and the session never notices. Where that fails as well the link is gone, and
the client resumes over the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from anywire.client.dial import Opener, Receiver
from anywire.client.http import Asking, Incoming
from anywire.client.proxy import ProxyError
from anywire.errors import AnywireError, Closed, ProtocolError, Refused
from anywire.payload import Carrier, Message, Payload
from anywire.wires.anywire.bodies import pack
from anywire.wires.anywire.reading import Farewell, Reader, Said
from anywire.wires.base import Answer

log = logging.getLogger(__name__)

CLOSING = 2.0
"""Seconds in which the last words are said, or heard."""
REPEATS = 1
"""How often in a row a request is said again that nothing came of."""
_HIGH = 64 * 1024
"""Bytes that wait to be brought past which senders should wait."""
_MOST_WORDS = 64 * 1024
"""Bytes of the largest answer read that has no messages."""
_GARBLED, _BROKEN, _TOO_LARGE, _TAKEN = 1002, 1006, 1009, 4409
_KINDS = {
    Carrier.POLL: "application/octet-stream",
    Carrier.STREAM: "application/octet-stream",
    Carrier.EVENTS: "text/event-stream",
}


class Unwilling(ConnectionError):
    """The server itself said not now; over every other carrier it would say the same."""


class HttpLink:
    """See the module's text; `open` begins it.

    `asks` gets, `posts` brings; `resource`: where, with what all requests say; `reads` makes the
    reader of one answer; `max_body`: bytes that one request brings, if they are several messages.
    """

    __slots__ = (
        "_asks",
        "_brought",
        "_carrier",
        "_early",
        "_ending",
        "_farewell",
        "_heard",
        "_is_unheard",
        "_knows_session",
        "_listening",
        "_loop",
        "_max_body",
        "_posting",
        "_posts",
        "_reads",
        "_receiver",
        "_resource",
        "_session",
        "_size",
        "_spoke",
        "_started",
        "_timer",
        "_waiting",
        "is_blocked",
        "subprotocol",
    )

    def __init__(
        self,
        asks: Asking,
        posts: Asking,
        resource: str,
        reads: Callable[[], Reader],
        *,
        carrier: Carrier,
        subprotocol: str,
        max_body: int,
    ) -> None:
        self._asks = asks
        self._posts = posts
        self._resource = resource
        self._reads = reads
        self._carrier = carrier
        self._max_body = max_body
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._early: list[Message] = []
        """What came before there was a receiver."""
        self._spoke: asyncio.Future[None] = self._loop.create_future()
        """The server has said something."""
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._heard = 0
        self._listening: asyncio.Task[None] | None = None
        self._posting: asyncio.Task[None] | None = None
        self._waiting: list[Payload] = []
        self._size = 0
        """Bytes that wait, and those under way."""
        self._brought = 0
        """Messages that were taken."""
        self._session: dict[str, str] | None = None
        """The secret that all requests show; None before the welcome."""
        self._is_unheard = False
        """The server takes no more of ours; it may have a last word."""
        self._farewell: tuple[int, str] | None = None
        self._ending: tuple[int, str] | None = None
        """How it ended."""
        self._timer: asyncio.TimerHandle | None = None
        self.is_blocked = False
        self.subprotocol: str | None = subprotocol

    async def open(self, query: str) -> None:
        """Ask for a session, and wait for the server's first word.

        Raises Refused for the statuses 401 and 403, OSError or AnywireError for what may pass; then
        nothing is left open.
        """
        self._listening = self._loop.create_task(self._listen(query), name="anywire listen")
        try:
            await self._spoke
        except BaseException:
            self.abort()
            raise

    # --- as a link ------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        ending = self._ending
        try:
            while self._early:
                receiver.on_message(self._early.pop(0))
        except Exception:
            log.exception("what an answer brought could not be told")
            self._end(_BROKEN, "internal error")
        if ending is not None:
            self._loop.call_soon(receiver.on_closed, *ending)
        elif not self._is_over:
            self._learn()

    def write(self, payloads: Sequence[Payload]) -> None:
        if self._is_over or self._is_unheard:
            return
        self._waiting += payloads
        self._size += sum(payload.size for payload in payloads)
        self.is_blocked = self._size > _HIGH
        self._begin_to_post()

    def beat(self) -> bool:
        return False

    def close(self, code: int, reason: str) -> None:
        if self._is_over:
            return
        self._farewell = (code, reason)
        self._early.clear()
        if self._posting is None or self._is_unheard:
            self._end(code, reason)
        else:
            self._end_in_time(code, reason)

    def abort(self) -> None:
        self._early.clear()
        self._end(_BROKEN, "it was given up")

    @property
    def _is_over(self) -> bool:
        """Whether nothing is brought or written any more."""
        return self._ending is not None or self._farewell is not None

    # --- what the server says -------------------------------------------------------------------

    async def _listen(self, query: str) -> None:
        """Hear one answer after the other; what breaks is asked for again from where we are."""
        idle = 0
        try:
            while True:
                before = self._heard
                trouble = await self._hear(query)
                if self._is_over:
                    return
                await self._started
                idle = idle + 1 if trouble and self._heard == before else 0
                if idle > REPEATS:
                    raise ConnectionError(trouble)
                query = self._where_we_are()
        except (OSError, AnywireError) as error:
            if not self._spoke.done():
                self._spoke.set_exception(error)
            elif isinstance(error, Closed | ProtocolError):
                self._end(error.code, error.reason)
            else:
                self._end(_BROKEN, str(error))
        except Exception:
            log.exception("what an answer brought could not be told")
            self._end(_BROKEN, "internal error")

    async def _hear(self, query: str) -> str:
        """One answer. What broke it, if that may pass; raises what will not."""
        try:
            resource = f"{self._resource}&{query}" if query else self._resource
            answer = await self._asks.begin("GET", resource)
            if not self._is_ours(answer):
                raise self._no(await answer.whole(_MOST_WORDS))
            reader = self._reads()
            while part := await answer.part():
                self._bring(reader.feed(part))
                if self._is_over:
                    return ""
            said = list(reader.end())
        except (OSError, ProxyError, ProtocolError) as error:
            is_final = isinstance(error, ProtocolError) and error.code != _GARBLED
            if is_final or not self._spoke.done():
                raise
            return str(error)
        if (last := _header(answer.headers, "x-anywire-close")) is not None:
            said.append(Farewell.of(last))
        self._bring(said)
        if not self._spoke.done():
            raise ConnectionError("the server said nothing")
        # A poll is answered in bounded time; a stream has no end of its own.
        return "" if self._carrier is Carrier.POLL else "the stream ended"

    def _is_ours(self, answer: Incoming) -> bool:
        """Whether it has messages. A network that wants a login has pages of its own for all."""
        kind = _header(answer.headers, "content-type") or ""
        return answer.status == 200 and kind.startswith(_KINDS[self._carrier])

    def _no(self, answer: Answer) -> Exception:
        """What an answer without messages means."""
        if not self._spoke.done():
            return _refusal(answer)
        if answer.status >= 500:
            return ConnectionError(_words(answer))
        return Closed(*_end_of(answer))

    def _bring(self, said: Sequence[Said]) -> None:
        """Tell what came, or keep it until there is somebody to be told."""
        if said and not self._spoke.done():
            self._spoke.set_result(None)
        for one in said:
            if self._is_over:
                return
            if isinstance(one, Farewell):
                self._end(one.code, one.reason)
                return
            self._heard += 1
            if self._receiver is None:
                self._early.append(one)
            else:
                self._receiver.on_message(one)
        if not said and self._receiver is not None:
            self._receiver.on_heard()

    def _learn(self) -> None:
        """The first word was the welcome: now we know the secret of all requests that follow."""
        receiver = self._receiver
        opening: Mapping[str, str] = {}
        if isinstance(receiver, Opener):
            opening = receiver.opening().query
        session, resume = opening.get("session"), opening.get("resume")
        if not session or not resume:
            self._end(_BROKEN, "there is no session to ask for")
            return
        self._session = {"session": session, "resume": resume}
        self._started.set_result(None)
        self._begin_to_post()

    def _where_we_are(self) -> str:
        """The query of a request that goes on: whose, and how many counted messages came."""
        assert self._session is not None and isinstance(self._receiver, Opener)
        received = self._receiver.opening().query.get("received", "0")
        return urlencode({**self._session, "ack": received})

    # --- what we say ----------------------------------------------------------------------------

    def _begin_to_post(self) -> None:
        if self._waiting and self._posting is None and self._session is not None:
            self._posting = self._loop.create_task(self._post(), name="anywire post")

    async def _post(self) -> None:
        try:
            while self._waiting and await self._take(self._due()):
                pass
        except Exception:
            log.exception("what a request made possible could not be told")
            self._end(_BROKEN, "internal error")
        finally:
            self._posting = None
        if self._farewell is not None:
            self._end(*self._farewell)

    async def _take(self, payloads: Sequence[Payload]) -> bool:
        """Bring these messages; False: there is no sense in bringing more."""
        assert self._receiver is not None and self._session is not None
        query = urlencode({**self._session, "from": self._brought})
        try:
            answer = await self._ask_anew(f"{self._resource}&{query}", pack(payloads))
        except (OSError, AnywireError) as error:
            self._end(_BROKEN, str(error))
            return False
        if not 200 <= answer.status < 300:
            self._unheard(answer)
            return False
        self._brought += sum(1 for payload in payloads for _ in payload.messages())
        self._size -= sum(payload.size for payload in payloads)
        if self.is_blocked and self._size <= _HIGH:
            self.is_blocked = False
            self._receiver.on_writable()
        return True

    async def _ask_anew(self, resource: str, body: bytes) -> Answer:
        """The answer; what may have got lost on the way is brought again. Raises as `ask`."""
        for _ in range(REPEATS):
            try:
                answer = await self._posts.ask("POST", resource, body)
            except (OSError, AnywireError):
                continue
            if answer.status < 500:
                return answer
        return await self._posts.ask("POST", resource, body)

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
        """What we brought was refused: the request that listens hears why, if there is more to
        it.
        """
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
        if self._ending is not None:
            return
        self._ending = (code, reason)
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._listening, self._posting):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._asks.abort()
        self._posts.abort()
        if self._receiver is not None:
            self._loop.call_soon(self._receiver.on_closed, code, reason)


def _header(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in headers if key == name), None)


def _words(answer: Answer) -> str:
    """Status and first line of an answer that is for people."""
    said = answer.body[:200].decode(errors="replace").partition("\n")[0]
    said = "".join(character for character in said if character.isprintable())
    return f"the server answered {answer.status}: {said}".rstrip(": ")


def _refusal(answer: Answer) -> Exception:
    """Why there is no link."""
    code = _header(answer.headers, "x-anywire-code")
    if answer.status in (401, 403):
        said = answer.body[:1000].decode(errors="replace").strip()
        return Refused(code or "refused", said or _words(answer))
    return (ConnectionError if code is None else Unwilling)(_words(answer))


def _end_of(answer: Answer) -> tuple[int, str]:
    """Code and reason where an answer says that there is no session here for us."""
    return _TAKEN if answer.status == 409 else _BROKEN, _words(answer)
