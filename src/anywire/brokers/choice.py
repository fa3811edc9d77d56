"""Which broker an app gets: the one it names, or the one its surroundings ask for.

A process that is one of several workers (of `anywire serve --workers`, uvicorn, gunicorn, granian,
hypercorn) must share rooms with the others; nothing has to be said for that.
"""

import hashlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anywire.brokers.local import Folder, LocalBroker
from anywire.brokers.memory import MemoryBroker
from anywire.errors import ConfigurationError

log = logging.getLogger(__name__)

HUB = "ANYWIRE_HUB"
"""The environment variable with the folder in which the workers of one supervisor meet."""
_SCHEME = "local:"


def choose(
    broker: Any, *, shape: str, clock: Callable[[], float] = time.time
) -> tuple[Any, Folder | None]:
    """The backend, and the folder in which its workers meet (None: it has no workers).

    `broker`: "memory", "local" (workers with the same parent process meet), "local:FOLDER", a
    backend of one's own, or None: as the surroundings ask. `shape`: what tells this app from
    another one of the same parent. Raises ConfigurationError.
    """
    if isinstance(broker, LocalBroker):
        return broker, broker.folder
    if broker is not None and not isinstance(broker, str):
        return broker, None
    folder = _folder(broker, shape)
    if folder is None:
        return MemoryBroker(clock=clock), None
    return LocalBroker(folder, clock=clock), folder


def is_worker() -> bool:
    """Whether a server seems to run several processes like this one."""
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        return True  # it may give its processes other titles
    return multiprocessing.parent_process() is not None or _is_forked()


def _folder(broker: str | None, shape: str) -> Folder | None:
    if broker is not None and broker.startswith(_SCHEME) and broker != _SCHEME:
        return Folder(Path(broker[len(_SCHEME) :].removeprefix("//")))
    if broker not in (None, "local", "memory"):
        raise ConfigurationError(
            f'there is no broker "{broker}"; known: memory, local, local:FOLDER'
        )
    given = os.environ.get(HUB)
    if broker == "memory":
        if given or is_worker():
            log.warning('broker="memory": what one worker publishes, the others do not hear')
        return None
    if given:
        return Folder(Path(given))
    if broker == "local" or is_worker():
        return Folder.beside(_name(shape))
    return None


def _name(shape: str) -> str:
    """The same in all workers of one parent and one app, and in nobody else.

    A process id comes again; with the time at which it began it does not.
    """
    parent = os.getppid()
    family = f"{parent} {_began(parent)} {shape}"
    return hashlib.blake2b(family.encode(), digest_size=8).hexdigest()


def _began(process: int) -> str:
    """When a process began, in ticks since the boot (proc(5), field 22 of stat)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _is_forked() -> bool:
    """Whether our parent runs the same command: a server that forks its workers."""
    try:
        ours = Path("/proc/self/cmdline").read_bytes()
        return ours == Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return False
