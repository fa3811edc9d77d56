"""Workers: the processes that serve one app together, and the supervisor that keeps them there.

Each is a fresh process with listening sockets of its own, which the supervisor holds open too: who
connects while a worker is replaced waits for its successor. How a worker learns its place is
`seat.py`'s; what they say to each other about rooms is the broker's.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from anywire.brokers.local.folder import run_time_folder
from anywire.limits import Limits
from anywire.servers.listening import close_all
from anywire.servers.seat import READY, SPEAK, VARIABLE, Given

log = logging.getLogger(__name__)

YOUNG = 10.0
"""Who dies within so many seconds is replaced later each time …"""
FIRST_DELAY = 0.1
LAST_DELAY = 5.0
"""… from the one to the other."""
MARGIN = 3.0
"""Seconds a worker may take beyond what it said, before it is killed."""


class Worker:
    """One process, from without."""

    __slots__ = ("_process", "_reader", "_since", "_stop", "_writer", "number")

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.number = number
        self._process = process
        self._reader, self._writer = line
        self._since = asyncio.get_running_loop().time()
        self._stop = Limits().stop

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        number: int,
        sockets: Sequence[socket.socket],
        environment: Mapping[str, str],
    ) -> "Worker":
        """Start one on these sockets. Raises OSError when the machine has no process to give."""
        ours, theirs = socket.socketpair()
        with theirs:
            line = await asyncio.open_unix_connection(sock=ours)
            files = tuple(one.fileno() for one in sockets)
            given = msgspec.json.encode(Given(number, files, theirs.fileno())).decode()
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, **environment, VARIABLE: given},
                    pass_fds=(*files, theirs.fileno()),
                    # What a terminal sends on Ctrl-C is for the supervisor, who tells the workers.
                    start_new_session=True,
                )
            except BaseException:
                line[1].close()
                raise
        return cls(number, process, line)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return asyncio.get_running_loop().time() - self._since

    async def ready(self) -> bool:
        """Wait until it serves; False: it cannot, and has ended or waits to say why."""
        try:
            words = (await self._reader.readline()).split()
            if words[:1] != [READY]:
                return False
            self._stop = float(words[1])
        except (OSError, ValueError, IndexError):
            return False
        return True

    async def speak(self) -> int:
        """Let one that failed say why, until its end; returns its exit code."""
        self._writer.write(SPEAK)
        return await self._ended_within(MARGIN)

    async def stop(self) -> int:
        """Have it end its sessions and itself, in bounded time; returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return await self._ended_within(self._stop + MARGIN)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; returns its exit code, or the negative number of a signal."""
        code = await self._process.wait()
        self._writer.close()
        return code

    async def _ended_within(self, seconds: float) -> int:
        try:
            async with asyncio.timeout(seconds):
                return await self.ended()
        except TimeoutError:
            log.warning("worker %d (pid %d) does not end and is killed", self.number, self.pid)
            self.kill()
            return await self.ended()


@dataclass(slots=True)
class _Slot:
    """One place among the workers; `starting` is held by who looks for a successor."""

    number: int
    sockets: Sequence[socket.socket]
    worker: Worker | None = None
    deaths: int = 0
    """One after another, each too young."""
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Supervisor:
    """Keeps one worker on each set of sockets, until a signal.

    `command` starts a worker, `environment` is added to ours. SIGTERM and SIGINT stop all workers,
    the second time at once; SIGHUP replaces them one by one.
    """

    __slots__ = (
        "_asked",
        "_command",
        "_ending",
        "_environment",
        "_slots",
        "_sockets",
        "_stopping",
        "_terminal",
        "_workers",
    )

    def __init__(
        self,
        command: Sequence[str],
        *,
        sockets: list[list[socket.socket]],
        environment: Mapping[str, str],
    ) -> None:
        self._command = command
        self._sockets = sockets
        self._environment = environment
        self._slots = [_Slot(number, one) for number, one in enumerate(sockets, 1)]
        self._workers: set[Worker] = set()
        """All that run, those included that are replaced."""
        self._asked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ending = 0
        self._terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and _has_terminal()

    async def run(self, announce: Callable[[], None], hurry: Callable[[], None]) -> int:
        """Serve; returns the exit code, or the negative number of the signal that came twice.

        `announce` is called when all workers are ready, `hurry` at the first signal. It closes the
        sockets.
        """
        self._hear(hurry)
        work = asyncio.create_task(self._work(announce), name="anywire workers")
        stopping = asyncio.create_task(self._stopping.wait(), name="anywire signal")
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        stopping.cancel()
        await asyncio.wait({work, stopping})
        close_all(self._sockets)  # nobody is to wait for a successor any more
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        if self._ending:
            return -self._ending
        return 0 if work.cancelled() else work.result()

    # --- signals --------------------------------------------------------------------------------

    def _hear(self, hurry: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if not self._stopping.is_set():
                self._stopping.set()
                hurry()
                return
            self._ending = number
            for worker in self._workers:
                worker.kill()

        def hang_up() -> None:
            if self._terminal and not _has_terminal():
                stop(signal.SIGHUP)
            else:
                self._asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        loop.add_signal_handler(signal.SIGHUP, hang_up)

    # --- workers --------------------------------------------------------------------------------

    async def _work(self, announce: Callable[[], None]) -> int:
        """Start all and keep them; returns only when one cannot start, with its exit code."""
        starts = [asyncio.create_task(self._start(slot)) for slot in self._slots]
        try:
            for start in asyncio.as_completed(starts):
                worker, is_ready = await start
                if not is_ready:
                    return await self._give_up(worker)
                self._slots[worker.number - 1].worker = worker
        finally:
            for task in starts:
                task.cancel()
            await asyncio.wait(starts)
        announce()
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                group.create_task(self._keep(slot))
            group.create_task(self._reload(group))
        return 0

    async def _give_up(self, worker: Worker) -> int:
        code = await worker.speak()
        if code <= 0:
            log.error("worker %d %s before it was ready", worker.number, _end(code))
        return code if code > 0 else 1

    async def _start(self, slot: _Slot) -> tuple[Worker, bool]:
        """A new worker, and whether it is ready; else it waits to say why."""
        worker = await Worker.start(
            self._command,
            number=slot.number,
            sockets=slot.sockets,
            environment=self._environment,
        )
        self._workers.add(worker)
        is_ready = await worker.ready()
        if is_ready:
            log.info("worker %d is ready (pid %d)", slot.number, worker.pid)
        return worker, is_ready

    async def _successor(self, slot: _Slot) -> Worker | None:
        """A new worker that is ready, or None: why is said."""
        try:
            worker, is_ready = await self._start(slot)
        except OSError as error:
            log.warning("worker %d cannot start: %s", slot.number, error)
            return None
        if is_ready:
            return worker
        code = await worker.speak()
        self._workers.discard(worker)
        log.warning("worker %d %s before it was ready", slot.number, _end(code))
        return None

    async def _keep(self, slot: _Slot) -> None:
        """Replace the worker of a slot whenever it ends, unless a reload has done so."""
        worker = slot.worker
        assert worker is not None
        while True:
            code = await worker.ended()
            self._workers.discard(worker)
            async with slot.starting:
                if slot.worker is not worker:
                    return
                log.warning("worker %d (pid %d) %s", slot.number, worker.pid, _end(code))
                slot.deaths = slot.deaths + 1 if worker.age < YOUNG else 0
                worker = slot.worker = await self._replacement(slot)

    async def _replacement(self, slot: _Slot) -> Worker:
        while True:
            await asyncio.sleep(delay(slot.deaths))
            worker = await self._successor(slot)
            if worker is not None:
                return worker
            slot.deaths += 1

    async def _reload(self, group: asyncio.TaskGroup) -> None:
        """Whenever asked, replace all workers, one after the other."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            log.info("reloading")
            for slot in self._slots:
                async with slot.starting:
                    old = slot.worker
                    assert old is not None
                    new = await self._successor(slot)
                    if new is None:
                        log.warning("the reload ends here: the workers before it serve on")
                        break
                    slot.worker = new
                    slot.deaths = 0
                    group.create_task(self._keep(slot))
                await old.stop()
            else:
                log.info("reloaded")


def delay(deaths: int) -> float:
    """Seconds to wait before a worker is replaced, after so many that died too young."""
    return min(LAST_DELAY, FIRST_DELAY * 2.0 ** (min(deaths, 64) - 1)) if deaths else 0.0


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder only this user can enter, removed at the end."""
    folder = tempfile.mkdtemp(prefix="anywire-", dir=run_time_folder())
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"


def _has_terminal() -> bool:
    """Whether this process has a terminal that is still there (tty(4): ENXIO)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
