"""Running: one app on one server, from its start to the signal that stops it."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import ssl as tls
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anywire
from anywire.app import Anywire
from anywire.errors import ConfigurationError
from anywire.servers.tcp import Address, Server

LOOPS = ("auto", "asyncio", "uvloop")
LEVELS = ("debug", "info", "warning", "error")

Files = Mapping[str, tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to serve, and to whom: on a Unix socket if there is a path, else over TCP."""

    host: str = "127.0.0.1"
    port: int = 8000
    path: str | None = None
    ssl: tls.SSLContext | None = None
    origins: Sequence[str] = ()
    files: Files = field(default_factory=dict)


def run(
    app: Anywire, place: Place, announce: Callable[[Sequence[Address]], None], *, loop: str = "auto"
) -> int:
    """Serve until SIGTERM or SIGINT, then stop cleanly; returns the exit code.

    A second signal ends the process. `announce` is told where it listens. Raises ConfigurationError
    when it cannot.
    """
    _prepare_process()
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.run(_serve(app, place, announce))
    return 0


def client_files() -> dict[str, tuple[str, bytes]]:
    """The built browser client by path; empty where it is not built."""
    built = Path(anywire.__file__).parent / "static" / "anywire.js"
    if not built.is_file():
        return {}
    return {"/anywire.js": ("text/javascript; charset=utf-8", built.read_bytes())}


def log_to_stderr(level: str) -> None:
    """Have everything of this level and above written to stderr."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


async def _serve(app: Anywire, place: Place, announce: Callable[[Sequence[Address]], None]) -> None:
    async with app.lifespan() as node:
        server = Server(
            node=node,
            wires=app.wires,
            host=place.host,
            port=place.port,
            path=place.path,
            ssl=place.ssl,
            origins=[*app.origins, *place.origins] or None,
            fallback=app.fallback,
            files=place.files,
        )
        stopped = _on_signal()
        if not await _started(server, stopped):
            return
        try:
            announce(server.addresses)
            await stopped.wait()
        finally:
            await server.stop()


async def _started(server: Server, stopped: asyncio.Event) -> bool:
    """Start, unless a signal comes first: the user's ASGI app may take its time."""
    starting = asyncio.create_task(server.start(), name="anywire start")
    signalled = asyncio.create_task(stopped.wait(), name="anywire signal")
    try:
        await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    finally:
        signalled.cancel()
    if starting.cancelled():
        return False
    starting.result()
    return True


def _prepare_process() -> None:
    """Set this process up to hold many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection is a file
    # What is loaded by now stays; and a busy server makes, and drops, thousands of small objects
    # per loop turn, which the default of 700 would look through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _on_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process, even if the loop hangs."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        if sys.stderr.isatty():
            with contextlib.suppress(OSError):
                print("anywire: stopping; once more stops it at once", file=sys.stderr)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopped


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None: asyncio's own way."""
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ModuleNotFoundError:
        if name == "auto":
            return None
        raise ConfigurationError(
            "uvloop is not installed; pip install 'anywire[fast]', or leave --loop out"
        ) from None
    return uvloop.new_event_loop
