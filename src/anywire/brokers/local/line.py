"""HubLine: a worker's line to the hub: it finds one or becomes it, asks it, and is told.

When the hub is gone the line looks for another at once. What was asked and not answered is asked
again where twice is as good as once; of the rest who asked hears `lost`.
"""

import asyncio
import contextlib
import hmac
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from anywire.brokers.local import words
from anywire.brokers.local.dialogue import Dialogue
from anywire.brokers.local.folder import Folder
from anywire.brokers.local.hub import Hub
from anywire.brokers.local.words import FromHub
from anywire.errors import ConfigurationError, ProtocolError, Refused

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that what is asked waits for a hub."""
SILENCE = 10.0
"""Seconds after which a hub that answers nothing is left."""
START = 10.0
"""Seconds in which a worker must find a hub at its start."""
_RETRY = (0.005, 0.05)
"""Seconds between two tries to find a hub, from … to."""

HubDialogue = Dialogue[FromHub]


class HubLine:
    """One worker's line. `take` is given every word that is no answer.

    `restore(is_new)` tells a hub what this worker knows, before anybody else may ask it: `is_new`
    is false where it is the one we were cut from. It uses `tell` and `say`, and may raise Refused.
    """

    __slots__ = (
        "_clock",
        "_folder",
        "_greeting",
        "_hub_id",
        "_is_seeking",
        "_is_stopped",
        "_own",
        "_refs",
        "_restore",
        "_seeking",
        "_standing",
        "_take",
        "_talk",
        "_waiting",
        "_why_not",
        "hub",
    )

    def __init__(
        self,
        folder: Folder,
        *,
        clock: Callable[[], float],
        take: Callable[[HubDialogue, FromHub], None],
        restore: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._take = take
        self._restore = restore
        self._greeting = words.Greeting(words.VERSION, folder.key, "", "")
        self.hub: Hub | None = None
        """The hub, where this worker is it."""
        self._hub_id = ""
        self._why_not = ""
        self._talk: HubDialogue | None = None
        self._standing = asyncio.Event()
        """Set while requests are taken."""
        self._seeking: asyncio.Task[None] | None = None
        self._is_seeking = False
        self._is_stopped = False
        self._refs = 0
        self._own: set[int] = set()
        """Refs of what `restore` says."""
        self._waiting: dict[int, tuple[words.Request, asyncio.Future[Any]]] = {}

    async def start(self, node: str, door: str) -> None:
        """Find a hub, or be it. Raises ConfigurationError when there is none and none can be."""
        self._greeting = words.Greeting(words.VERSION, self._folder.key, node, door)
        self._is_stopped = False
        try:
            async with asyncio.timeout(START):
                await self._seek()
        except TimeoutError as error:
            raise ConfigurationError(
                f"no hub answers in {self._folder.path}, and another process holds its lock; "
                f"stop what still runs there, or remove {self._folder.hub}"
            ) from error

    async def stop(self) -> None:
        """Hang up; if this worker is the hub, another one takes over."""
        self._is_stopped = True
        if self._seeking is not None:
            self._seeking.cancel()
            self._seeking = None
        talk, self._talk = self._talk, None
        self._standing.clear()
        if talk is not None:
            talk.close()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(Refused("lost", "the worker stops"))
        hub, self.hub = self.hub, None
        if hub is not None:
            await hub.stop()

    # --- requests -------------------------------------------------------------------------------

    def ref(self, *, is_own: bool = False) -> int:
        """The ref of the next request. `is_own`: `restore` says it, and it goes with its hub."""
        self._refs += 1
        if is_own:
            self._own.add(self._refs)
        return self._refs

    async def ask(self, word: words.Request, kind: Any) -> Any:
        """Say it, and wait for the answer, of this type.

        Raises Refused: the hub's own, `lost` when it died before it answered, `busy` when there is
        none.
        """
        try:
            async with asyncio.timeout(self._patience(word) + PATIENCE):
                return await self._asked(word, kind)
        except TimeoutError as error:
            raise Refused("busy", "there is no hub of the workers; try again") from error

    async def _asked(self, word: words.Request, kind: Any) -> Any:
        if not self._standing.is_set():
            if self._is_stopped:
                raise Refused("lost", "the worker stops")
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._standing.wait()
            except TimeoutError as error:
                raise Refused("busy", "there is no hub of the workers; try again") from error
        return await self.say(word, kind)

    async def say(self, word: words.Request, kind: Any) -> Any:
        """As `ask`, also while requests are not taken."""
        talk, future = self._talk, self.tell(word)
        late = asyncio.get_running_loop().call_later(self._patience(word), self._late, talk)
        try:
            value = await future
        finally:
            late.cancel()
            self._waiting.pop(word.ref, None)
        return None if kind is None else msgspec.msgpack.decode(value, type=kind)

    def tell(self, word: words.Request) -> asyncio.Future[Any]:
        """Say it; the future is its answer, and need not be awaited."""
        if self._talk is None:
            raise Refused("lost", "the hub of the workers is gone")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_heard)
        self._waiting[word.ref] = (word, future)
        self._talk.say(word)
        return future

    def _patience(self, word: words.Request) -> float:
        return SILENCE + (word.timeout if isinstance(word, words.Ask) else 0.0)

    def _late(self, talk: HubDialogue | None) -> None:
        """It answers nothing: it hangs, and another one may take over once it is killed."""
        if talk is not None and talk is self._talk:
            talk.cut(f"the hub did not answer for {SILENCE:g} s")

    # --- what the hub says ----------------------------------------------------------------------

    def _told(self, talk: HubDialogue, word: FromHub) -> bool:
        """One word; true where who awaits it must act before what comes behind it."""
        match word:
            case words.Done():
                request, future = self._waiting.pop(word.ref, (None, None))
                if future is not None and not future.done():
                    future.set_result(word.value)
                return isinstance(request, _ORDERED)
            case words.Failed():
                _, future = self._waiting.pop(word.ref, (None, None))
                if future is not None and not future.done():
                    future.set_exception(Refused(word.code, word.text))
            case words.Welcome():
                raise ProtocolError("a second welcome")
            case _:
                self._take(talk, word)
        return False

    def _lost(self, talk: HubDialogue) -> None:
        """The hub is gone, or has cut us."""
        if talk is not self._talk:
            return
        self._talk = None
        self._standing.clear()
        waiting, self._waiting = self._waiting, {}
        for ref, (word, future) in waiting.items():
            if ref not in self._own and not isinstance(word, words.Publish | words.Ask):
                self._waiting[ref] = (word, future)
            elif not future.done():
                text = "the hub of the workers went away before it answered; some may have heard it"
                future.set_exception(Refused("lost", text))
        if not (self._is_stopped or self._is_seeking):
            log.warning("the hub of the workers is gone; looking for another")
            loop = asyncio.get_running_loop()
            self._seeking = loop.create_task(self._seek(), name="anywire hub")

    # --- finding a hub --------------------------------------------------------------------------

    async def _seek(self) -> None:
        """Find a hub or become it, and tell it what we know."""
        self._is_seeking = True
        try:
            while not await self._found():  # noqa: ASYNC110 (nobody could tell)
                await asyncio.sleep(random.uniform(*_RETRY))
        finally:
            self._is_seeking = False

    async def _found(self) -> bool:
        """Try once."""
        try:
            talk, welcome = await self._connected()
        except OSError:
            with contextlib.suppress(OSError, ConfigurationError):
                self._folder.mend()
            await self._become()
            return False
        self._talk = talk
        self._own = set()
        again = list(self._waiting.values())
        try:
            await self._restore(welcome.hub != self._hub_id)
            for word, future in again:
                if not future.done():
                    self._waiting[word.ref] = (word, future)
                    talk.say(word)
        except Refused as refused:  # it went away in the middle, or will not have what we know
            talk.cut(refused.text)
            return False
        except Exception:
            log.exception("the hub of the workers could not be told what this worker knows")
            talk.cut("it was not understood")
            return False
        if talk.is_over:
            return False
        self._hub_id = welcome.hub
        self._standing.set()
        return True

    async def _connected(self) -> tuple[HubDialogue, words.Welcome]:
        """A conversation that was welcomed. Raises OSError."""
        loop = asyncio.get_running_loop()
        welcomed: asyncio.Future[words.Welcome] = loop.create_future()

        def take(talk: HubDialogue, word: FromHub) -> bool:
            if welcomed.done():
                return self._told(talk, word)
            if not isinstance(word, words.Welcome) or word.version != words.VERSION:
                raise ProtocolError("it is no hub of this version")
            if not hmac.compare_digest(word.key, self._folder.key):
                raise ProtocolError("it does not know the key")
            welcomed.set_result(word)
            return True

        def lost(talk: HubDialogue) -> None:
            if not welcomed.done():
                welcomed.set_exception(ConnectionError("the hub hung up"))
            self._lost(talk)

        _, talk = await loop.create_unix_connection(
            lambda: Dialogue(words.from_hub, take, lost), self._folder.hub
        )
        welcomed.add_done_callback(_heard)
        talk.say(msgspec.structs.replace(self._greeting, key=self._folder.key))
        try:
            async with asyncio.timeout(PATIENCE):
                welcome = await welcomed
        except BaseException:
            talk.close()
            raise
        self._take(talk, words.Doors(welcome.nodes))
        return talk, welcome

    async def _become(self) -> None:
        """Be the hub, if nobody else is."""
        if self.hub is not None:
            await self.hub.stop()  # it was ours, and answers no more
            self.hub = None
        hub = Hub(self._folder, clock=self._clock)
        try:
            if await hub.try_start():
                self.hub = hub
        except OSError as error:
            await hub.stop()
            if str(error) != self._why_not:
                self._why_not = str(error)
                log.warning("no hub can be in %s: %s", self._folder.path, error)


def _heard(future: asyncio.Future[Any]) -> None:
    """An error that nobody asks for is no news."""
    if not future.cancelled():
        future.exception()


_ORDERED = (words.Subscribe, words.List, words.Read)
"""Requests whose answers speak of a moment: who asked acts before what came after it is heard."""
