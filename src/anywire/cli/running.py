"""Running: an app on a server or on several workers, from its start to its last signal."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import ssl as tls
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anywire.app import Anywire
from anywire.brokers.choice import HUB
from anywire.brokers.local import Hub
from anywire.core.node import Node
from anywire.errors import ConfigurationError
from anywire.servers.listening import listen_tcp, listen_unix
from anywire.servers.seat import Seat
from anywire.servers.tcp import Address, Server, address_of
from anywire.servers.workers import Supervisor, private_folder

LOOPS = ("auto", "asyncio", "uvloop")
LEVELS = ("debug", "info", "warning", "error")
LAST_REQUESTS = 0.2
"""Seconds in which a worker that stops answers who was accepted just before, and asks only now."""

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


Announce = Callable[[Sequence[Address]], None]


def run(app: Anywire, place: Place, announce: Announce, *, loop: str = "auto") -> int:
    """Serve until SIGTERM or SIGINT, then stop cleanly; returns the exit code.

    A second signal ends the process. `announce` is told where it listens. Raises ConfigurationError
    when it cannot.
    """
    _prepare_process()
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.run(_serve(app, place, announce))
    return 0


def run_worker(app: Anywire, place: Place, seat: Seat, *, loop: str = "auto") -> int:
    """Serve as one of several, on the sockets of the seat, until SIGTERM; returns the exit code.

    What else stops a process is the supervisor's to hear: SIGINT and SIGHUP are ignored, and so is
    a second SIGTERM, as an init system may signal all processes of a service at once.
    """
    _prepare_process()
    if seat.hub and app.broker in (None, "local"):
        app.broker = f"local:{seat.hub}"
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.run(_serve_seat(app, place, seat))
    return 0


def supervise(
    command: Sequence[str], place: Place, count: int, announce: Announce, *, loop: str = "auto"
) -> int:
    """Keep `count` workers serving until SIGTERM or SIGINT; returns the exit code.

    `command` starts one, in whose environment `Seat.take` finds its sockets. SIGHUP replaces them
    one by one. Raises ConfigurationError when nobody can listen there.
    """
    factory = _loop_factory(loop)
    if place.path is None:
        sockets = listen_tcp(place.host, place.port, count)
    else:
        sockets = [[listen_unix(place.path)]] * count
    addresses = [address_of(one, is_secure=place.ssl is not None) for one in sockets[0]]
    try:
        with asyncio.Runner(loop_factory=factory) as runner, private_folder() as folder:
            supervisor = Supervisor(command, sockets=sockets, environment={HUB: str(folder)})
            code = runner.run(_supervise(supervisor, folder, lambda: announce(addresses)))
    finally:
        if place.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(place.path)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        signal.raise_signal(-code)
    return code


async def _supervise(supervisor: Supervisor, folder: Path, announce: Callable[[], None]) -> int:
    hub = Hub(folder)
    await hub.start()
    try:
        return await supervisor.run(announce, _say_stopping)
    finally:
        await hub.stop()


def log_to_stderr(level: str, *, worker: int = 0) -> None:
    """Have everything of this level and above written to stderr, with the number of a worker."""
    who = f" worker {worker}" if worker else ""
    logging.basicConfig(
        level=level.upper(), format=f"%(asctime)s %(levelname)s{who} %(name)s: %(message)s"
    )


async def _serve(app: Anywire, place: Place, announce: Announce) -> None:
    async with app.lifespan():
        node = app.node
        server = _server(app, node, place)
        stopped = _on_signal()
        if not await _started(server, stopped):
            return
        try:
            announce(server.addresses)
            await stopped.wait()
        finally:
            await server.stop()


async def _serve_seat(app: Anywire, place: Place, seat: Seat) -> None:
    async with app.lifespan():
        node = app.node
        server = _server(app, node, place, seat.sockets)
        stopped = _on_sigterm()
        if not await _started(server, stopped):
            return
        try:
            seat.ready(app.limits.stop + LAST_REQUESTS)
            seat.watch()
            await stopped.wait()
            seat.leave()
            server.stop_listening()
            await asyncio.sleep(LAST_REQUESTS)
        finally:
            await server.stop()


def _server(
    app: Anywire, node: Node, place: Place, sockets: Sequence[socket.socket] = ()
) -> Server:
    return Server(
        node=node,
        wires=app.wires,
        host=place.host,
        port=place.port,
        path=None if sockets else place.path,
        sockets=sockets,
        ssl=place.ssl,
        origins=[*app.origins, *place.origins] or None,
        fallback=app.fallback,
        files=place.files,
        hosting=app.hosting,
    )


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
        _say_stopping()
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopped


def _on_sigterm() -> asyncio.Event:
    """Set by SIGTERM; a signal meant for the supervisor changes nothing."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    for number in (signal.SIGINT, signal.SIGHUP):
        # Not SIG_IGN, which the application's own children would inherit.
        loop.add_signal_handler(number, lambda: None)
    return stopped


def _say_stopping() -> None:
    if sys.stderr.isatty():
        with contextlib.suppress(OSError):
            print("anywire: stopping; once more stops it at once", file=sys.stderr)


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
