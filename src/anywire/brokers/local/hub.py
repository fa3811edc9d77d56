"""Hub: the memory broker of one process, served to the workers of one machine.

One hub numbers, keeps, knows who is here and who owns which session, and carries questions. It is
found by its lock: whoever holds `hub.lock` listens on `hub.sock`. When it dies, so does what it
kept; the next one starts a new epoch, and the workers tell it what they know.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from anywire.brokers.base import Found
from anywire.brokers.local import words
from anywire.brokers.local.dialogue import Dialogue
from anywire.brokers.local.folder import Folder
from anywire.brokers.local.words import FromWorker, frame, raw
from anywire.brokers.memory import MemoryBroker
from anywire.errors import ConfigurationError, ProtocolError, Refused
from anywire.frames import Position, Record, pack_record, unpack_record

log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that the members of a worker stay listed after its connection was lost."""
_SWEEP = 5.0
"""Seconds between two looks at what has expired."""
_KEEP = 3600.0
"""Seconds after which the folder is made young again."""

_Worker = Dialogue[FromWorker]


class Hub:
    """The hub of one folder. `clock` gives unix time in seconds."""

    __slots__ = (
        "_asking",
        "_clock",
        "_doors",
        "_folder",
        "_giving_way",
        "_heard",
        "_id",
        "_keep_at",
        "_lock",
        "_memory",
        "_names",
        "_refs",
        "_server",
        "_sweeper",
        "_workers",
    )

    def __init__(self, folder: Path | Folder, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder if isinstance(folder, Folder) else Folder(folder)
        self._clock = clock
        self._id = secrets.token_hex(8)
        self._memory = MemoryBroker(clock=clock)
        self._lock: int | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._workers: dict[str, _Worker] = {}  # by node
        self._names: dict[_Worker, str] = {}  # the other way round; "" before its greeting
        self._doors: dict[str, str] = {}
        self._heard: dict[str, dict[_Worker, None]] = {}  # by room
        self._asking: dict[int, _Asking] = {}
        self._refs = 0
        self._keep_at = 0.0
        self._giving_way: asyncio.Task[None] | None = None

    @property
    def is_serving(self) -> bool:
        """Whether workers can come."""
        return self._server is not None

    async def start(self) -> None:
        """Take the lock and listen. Raises ConfigurationError when another process has the lock."""
        if not await self.try_start():
            raise ConfigurationError(f"another process is the hub of {self._folder.path}")

    async def try_start(self) -> bool:
        """Take the lock and listen; false when another process is the hub."""
        self._lock = self._folder.lock()
        if self._lock is None:
            return False
        await self._memory.start(self._deliver)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._folder.hub)  # who listened there is dead: its lock was free
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._connection, self._folder.hub)
        os.chmod(self._folder.hub, 0o600)
        self._sweep()
        log.info("this process is the hub of %s", self._folder.path)
        return True

    async def stop(self) -> None:
        """Hang up on everybody and give the lock back."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._server is not None:
            self._server.close()
            self._server = None
            if self._lock is not None and self._folder.holds(self._lock):  # else it is another's
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._folder.hub)
        for asking in list(self._asking.values()):
            asking.end()
        for worker in list(self._names):
            worker.close()
        await self._memory.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- workers --------------------------------------------------------------------------------

    def _connection(self) -> _Worker:
        return Dialogue(words.from_worker, self._take, self._lost, first=words.GREETING)

    def _take(self, worker: _Worker, word: FromWorker) -> bool:
        if worker not in self._names:
            self._greet(worker, word)
        elif isinstance(word, words.Answer):
            asking = self._asking.get(word.ref)
            if asking is not None:
                asking.take(self._names[worker], word)
        elif isinstance(word, words.Ask):
            self._ask(worker, word)
        elif isinstance(word, words.Greeting):
            raise ProtocolError("a second greeting")
        else:
            self._serve(worker, word)
        return False

    def _greet(self, worker: _Worker, word: FromWorker) -> None:
        if not isinstance(word, words.Greeting):
            raise ProtocolError("no greeting")
        if word.version != words.VERSION:
            raise ProtocolError(f"it speaks version {word.version}, this hub {words.VERSION}")
        if not hmac.compare_digest(word.key, self._folder.key):
            raise ProtocolError("it does not know the key")
        worker.trust()
        old = self._workers.get(word.node)
        if old is not None:
            old.cut("its worker came again")
            self._names[old] = ""
        self._names[worker] = word.node
        self._workers[word.node] = worker
        self._doors[word.node] = word.door
        worker.say(words.Welcome(words.VERSION, self._folder.key, self._id, self._doors))
        self._tell_doors(but=worker)

    def _lost(self, worker: _Worker) -> None:
        for room, hearers in list(self._heard.items()):
            hearers.pop(worker, None)
            if not hearers:
                self._forget(room)
        node = self._names.pop(worker, "")
        if not node:
            return
        del self._workers[node], self._doors[node]
        for asking in list(self._asking.values()):
            asking.lost(node)
        # It may be back in a moment, and says then what it owns; if not, its members are gone too.
        _now(self._memory.disown(node))
        _now(self._memory.renew(node, GRACE))
        self._tell_doors()

    def _tell_doors(self, *, but: _Worker | None = None) -> None:
        for worker in self._workers.values():
            if worker is not but:
                worker.say(words.Doors(self._doors))

    # --- what they ask of the memory broker -----------------------------------------------------

    def _serve(self, worker: _Worker, word: words.Request) -> None:
        try:
            value = self._done(worker, word)
            worker.say(words.Done(word.ref, raw(value)))
        except Refused as refused:
            worker.say(words.Failed(word.ref, refused.code, refused.text))
        except ValueError as error:
            worker.say(words.Failed(word.ref, "invalid", str(error)[:500]))

    def _done(self, worker: _Worker, word: words.Request) -> object:
        memory = self._memory
        match word:
            case words.Publish():
                return _now(memory.publish(unpack_record(word.record), word.keep))
            case words.Subscribe():
                self._heard.setdefault(word.room, {})[worker] = None
                return _now(memory.subscribe(word.room))
            case words.Unsubscribe():
                hearers = self._heard.get(word.room, {})
                hearers.pop(worker, None)
                if not hearers:
                    self._forget(word.room)
                return None
            case words.Read():
                return _past(*_now(memory.since(word.room, word.since, word.limit)))
            case words.Enter():
                enter = memory.restore if word.quiet else memory.enter
                return _now(
                    enter(
                        word.room,
                        word.node,
                        word.key,
                        word.member,
                        word.meta,
                        word.lease,
                        word.keep,
                    )
                )
            case words.Exit():
                return _now(memory.exit(word.room, word.node, word.key, word.member, word.keep))
            case words.Renew():
                return _now(memory.renew(word.node, word.lease))
            case words.List():
                return _now(memory.list(word.room))
            case words.Claim():
                return _now(
                    memory.claim(word.mount, word.id, word.owner, word.identity, word.lease)
                )
            case words.Owner():
                return _now(memory.owner(word.mount, word.id))
            case words.Release():
                return _now(memory.release(word.mount, word.id))
            case _:
                raise ProtocolError(f"nobody serves {type(word).__name__} here")

    def _deliver(self, record: Record) -> None:
        hearers = self._heard.get(record.room)
        if hearers:
            data = frame(words.Deliver(pack_record(record)))
            for worker in hearers:
                worker.write(data)

    def _forget(self, room: str) -> None:
        self._heard.pop(room, None)
        _now(self._memory.unsubscribe(room))

    def _sweep(self) -> None:
        """Look at leases and quiet rooms, though no worker may call."""
        loop = asyncio.get_running_loop()
        if self._lock is not None and not self._folder.holds(self._lock):
            log.warning("%s was removed: this hub gives way to another one", self._folder.path)
            with contextlib.suppress(OSError, ConfigurationError):
                self._folder.mend()
            self._giving_way = loop.create_task(self.stop(), name="anywire hub")
            return
        if loop.time() >= self._keep_at:
            self._keep_at = loop.time() + _KEEP
            self._folder.keep()
        _now(self._memory.renew("", 2 * _SWEEP))
        self._sweeper = loop.call_later(_SWEEP, self._sweep)

    # --- questions ------------------------------------------------------------------------------

    def _ask(self, worker: _Worker, word: words.Ask) -> None:
        named = list(self._workers) if word.nodes is None else list(dict.fromkeys(word.nodes))
        here = [node for node in named if node in self._workers]
        self._refs += 1
        ref = self._refs

        def ended(found: Found) -> None:
            del self._asking[ref]
            worker.say(words.Done(word.ref, raw(found)))

        asking = _Asking(here, [node for node in named if node not in self._workers], ended)
        self._asking[ref] = asking
        for node in here:
            self._workers[node].say(words.Asked(ref, word.question))
        asking.begin(word.timeout)


class _Asking:
    """One question under way."""

    __slots__ = ("_ended", "_missing", "_timer", "_values", "_waiting")

    def __init__(
        self, nodes: Sequence[str], missing: list[str], ended: Callable[[Found], None]
    ) -> None:
        self._waiting = dict.fromkeys(nodes)
        self._missing = missing
        self._values: list[object] = []
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, timeout: float) -> None:
        """Wait at most so many seconds."""
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(timeout, self.end)
        else:
            self.end()

    def take(self, node: str, answer: words.Answer) -> None:
        """A node has answered."""
        if node not in self._waiting:
            return
        if answer.failed:
            self.lost(node)
            return
        del self._waiting[node]
        self._values.append(answer.value)
        self._look()

    def lost(self, node: str) -> None:
        """A node will not answer."""
        if node in self._waiting:
            del self._waiting[node]
            self._missing.append(node)
            self._look()

    def end(self) -> None:
        """That is all there will be."""
        if self._timer is not None:
            self._timer.cancel()
        self._ended(Found(self._values, [*self._waiting, *self._missing]))

    def _look(self) -> None:
        if not self._waiting:
            self.end()


def _past(
    records: Sequence[Record], position: Position, lost: str
) -> tuple[list[bytes], Position, str]:
    """The newest records that fit into one frame; what was left out is lost."""
    packed: list[bytes] = []
    size = 0
    for record in reversed(records):
        packed.append(pack_record(record))
        size += len(packed[-1])
        if size > words.LONGEST // 2:
            packed.pop()
            lost = lost or "limit"
            break
    return packed[::-1], position, lost


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine of the memory broker returns: it never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError(f"{coroutine} waits")
