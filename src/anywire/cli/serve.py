"""Serve: an app on a port, in one process or several, until a signal."""

import argparse
import os
import ssl
import sys
from collections.abc import Sequence

from anywire.cli.command import Parser, UsageError, add_command, port
from anywire.cli.loading import load
from anywire.cli.running import (
    LEVELS,
    LOOPS,
    Place,
    log_to_stderr,
    run,
    run_worker,
    supervise,
)
from anywire.errors import ConfigurationError
from anywire.servers.seat import Seat
from anywire.servers.static import client_files
from anywire.servers.tcp import Address

MOST = 512
"""Workers of one server."""
_EXAMPLES = """\
  anywire serve chat:app                          the app in chat.py, in this folder
  anywire serve examples/chat/app.py:app          the same by file
  anywire serve chat:app --host 0.0.0.0 --port 80
  anywire serve chat:app --workers 4              on four cores
  anywire serve chat:app --unix /run/chat.sock    behind a proxy
  anywire serve chat:app --ssl-certfile cert.pem --ssl-keyfile key.pem
  anywire serve chat:app --origin https://example.com
"""


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "serve",
        serve,
        summary="serve an app on all of its wires, until Ctrl-C or SIGTERM",
        examples=_EXAMPLES,
    )
    parser.add_argument("target", metavar="APP", help="module:app, or path/to/file.py:app")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=port, default=8000, help="port to listen on, 0: any free one (%(default)s)"
    )
    parser.add_argument("--unix", metavar="PATH", help="listen on a Unix socket instead")
    parser.add_argument(
        "--workers",
        type=workers,
        default=1,
        metavar="N",
        help="processes that serve it together; auto: one for each core (%(default)s)",
    )
    parser.add_argument("--ssl-certfile", metavar="FILE", help="certificate, and chain, in PEM")
    parser.add_argument(
        "--ssl-keyfile", metavar="FILE", help="its key in PEM, where it is not in the same file"
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="pages that may connect beside our own, '*': all; may be repeated",
    )
    parser.add_argument(
        "--loop", choices=LOOPS, default="auto", help="event loop; auto: uvloop where installed"
    )
    parser.add_argument(
        "--log-level", choices=LEVELS, default="warning", help="what is logged (%(default)s)"
    )


def serve(arguments: argparse.Namespace) -> int:
    """Load the app and serve it, or have it served by workers; returns the exit code."""
    seat = Seat.take(os.environ)
    if seat is None and arguments.workers > 1:
        return _serve_all(arguments)
    if seat is None:
        log_to_stderr(arguments.log_level)
        place = _place(arguments)
        return run(load(arguments.target), place, _announce, loop=arguments.loop)
    log_to_stderr(arguments.log_level, worker=seat.number)
    try:
        place = _place(arguments)
        return run_worker(load(arguments.target), place, seat, loop=arguments.loop)
    except BaseException:
        seat.failed()
        raise


def workers(text: str) -> int:
    """The type of `--workers`."""
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"workers are auto, or from 1 to {MOST}, not {text!r}")
    return int(text)


def _serve_all(arguments: argparse.Namespace) -> int:
    log_to_stderr(arguments.log_level)
    count: int = arguments.workers

    def announce(addresses: Sequence[Address]) -> None:
        _announce(addresses, f"with {count} workers ")

    # Workers are started as we were, whoever called us and with whatever options of Python's.
    command = [sys.executable, *sys.orig_argv[1:]]
    return supervise(command, _place(arguments), count, announce, loop=arguments.loop)


def _place(arguments: argparse.Namespace) -> Place:
    return Place(
        host=arguments.host,
        port=arguments.port,
        path=arguments.unix,
        ssl=_context(arguments.ssl_certfile, arguments.ssl_keyfile),
        origins=arguments.origin,
        files=client_files(),
    )


def _announce(addresses: Sequence[Address], who: str = "") -> None:
    where = ", ".join(address.url for address in addresses)
    print(f"Listening on {where} {who}(Ctrl-C to stop)", flush=True)


def _context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise UsageError("--ssl-keyfile needs --ssl-certfile beside it")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except FileNotFoundError:
        files = certificate if key is None else f"{certificate} or {key}"
        raise ConfigurationError(f"there is no file {files}") from None
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{certificate} is no certificate with its key, in PEM ({error.reason or error});"
            " name the key with --ssl-keyfile"
        ) from None
    return context
