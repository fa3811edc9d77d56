"""Talk: `anywire talk URL`, a terminal's way to any WebSocket server; options as wscat has them."""

import argparse
import asyncio
import base64
import os
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Sequence

from anywire.cli.command import Parser, UsageError, add_command, complain, has_colors, mute
from anywire.cli.conversation import (
    CLIENTS,
    KNOWN_SUBPROTOCOLS,
    MOST,
    Conversation,
    RawConversation,
    WireConversation,
)
from anywire.cli.entry import Entry
from anywire.cli.talking import Plan, Talk
from anywire.cli.terminal import Terminal
from anywire.cli.view import Style, View
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError, ConfigurationError
from anywire.net.handshake import parse_url, request
from anywire.wires.base import Request

WAIT = 2.0
"""Seconds from the last message of a script until we close, as wscat has them."""
TIMEOUT = 10.0
_EXAMPLES = """\
  anywire talk ws://127.0.0.1:8000/raw/echo                 type, and read what comes back
  anywire talk -c ws://127.0.0.1:8000/raw/echo -x hello -w 1
  printf 'one\\ntwo\\n' | anywire talk ws://127.0.0.1:8000/raw/echo -w 1
  anywire talk "ws://127.0.0.1:8000/ws?name=ana" --wire anywire --join chat:lobby
  anywire talk "ws://127.0.0.1:8000/ws?name=ana" --wire anywire --join chat:lobby \\
      -x 'say {"text": "hi"}' --json

exit codes: 0 closed as meant, 1 could not connect, 2 usage, 3 refused by the server,
  4 cut or timed out
"""


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "talk",
        start,
        summary="talk to a WebSocket server, by hand or from a script",
        examples=_EXAMPLES,
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="ws://… or wss://…")
    parser.add_argument("-c", "--connect", metavar="URL", help="the same")
    _add_connecting(parser)
    _add_talking(parser)


def _add_connecting(parser: Parser) -> None:
    group = parser.add_argument_group("connecting")
    group.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'K: V'",
        help="add a header to the request; may be repeated",
    )
    group.add_argument(
        "-s",
        "--subprotocol",
        action="append",
        default=[],
        metavar="NAME",
        help="offer a subprotocol; may be repeated",
    )
    group.add_argument("-o", "--origin", metavar="URL", help="the Origin header")
    group.add_argument("--auth", metavar="NAME:PASSWORD", help="basic HTTP authentication")
    group.add_argument("--token", help="bearer token, as the header Authorization")
    group.add_argument(
        "-n", "--no-check", action="store_true", help="take any certificate of a wss server"
    )
    group.add_argument("--ca", metavar="FILE", help="certificate authorities to trust, in PEM")
    group.add_argument("--unix", metavar="PATH", help="connect to a Unix socket instead")
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help="for connecting, and again for joining (%(default)g)",
    )


def _add_talking(parser: Parser) -> None:
    group = parser.add_argument_group("talking")
    group.add_argument(
        "-x",
        "--execute",
        action="append",
        default=[],
        metavar="MESSAGE",
        help="send this, read no input, wait and close; may be repeated",
    )
    group.add_argument(
        "-w",
        "--wait",
        type=_wait,
        default=WAIT,
        metavar="SECONDS",
        help="wait so long after -x or the end of piped input; -1: for ever (%(default)g)",
    )
    group.add_argument(
        "--wire",
        choices=("raw", *CLIENTS),
        default="raw",
        help="what is spoken: raw, lines as they are; or events of a wire (%(default)s)",
    )
    group.add_argument(
        "--join",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="join this (with --wire anywire); events go to the first; may be repeated",
    )
    group.add_argument(
        "--json", action="store_true", help="JSON lines, out and in: time, direction, type, data"
    )
    group.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR does the same")


def start(arguments: argparse.Namespace) -> int:
    """Do what the options say; returns the exit code, one of `Exit`."""
    url = _url(arguments)
    is_piped = bool(arguments.execute) or not sys.stdin.isatty()
    plan = Plan(
        url=url,
        request=_request(arguments, url),
        timeout=arguments.timeout,
        wait=arguments.wait if is_piped else 0.0,
        is_strict=is_piped,
    )
    conversation = _conversation(arguments)
    dialer = SocketDialer(ssl=_context(arguments, url), unix=arguments.unix, max_message=MOST)
    is_terminal = not is_piped and sys.stdout.isatty()
    style = Style.JSON if arguments.json else Style.TERMINAL if is_terminal else Style.PIPE
    colors = not arguments.no_color and has_colors(sys.stdout, os.environ)
    view = View(style, has_colors=colors)
    terminal = Terminal(is_typed=is_terminal)

    def show(entry: Entry) -> None:
        shown = view.show(entry, time.time())
        try:
            if shown is not None:
                terminal.write(shown)
        except BrokenPipeError:
            mute(sys.stdout)  # who read our output has gone, as `head` does
            talk.stop()

    talk = Talk(plan, conversation, dialer, show=show, complain=complain)
    lines = _listed(arguments.execute) if arguments.execute else terminal.lines()
    try:
        return asyncio.run(talk.run(lines))
    finally:
        terminal.restore()


async def _listed(lines: Sequence[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line


def _url(arguments: argparse.Namespace) -> str:
    given = {url for url in (arguments.url, arguments.connect) if url}
    if len(given) != 1:
        raise UsageError("name one URL to talk to: anywire talk ws://127.0.0.1:8000/raw/echo")
    url: str = given.pop()
    if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) is None:
        url = f"ws://{url}"
    try:
        parse_url(url)
    except AnywireError as error:
        raise UsageError(f"{error}; right: ws://127.0.0.1:8000/raw/echo") from None
    return url


def _request(arguments: argparse.Namespace, url: str) -> Request:
    headers: dict[str, str] = {}
    for given in arguments.header:
        name, colon, value = given.partition(":")
        if not colon:
            raise UsageError(f"a header is 'Name: value', not {given!r}")
        headers[name.strip()] = value.strip()
    if arguments.origin is not None:
        headers["Origin"] = arguments.origin
    if arguments.auth is not None and arguments.token is not None:
        raise UsageError("--auth and --token both set the header Authorization; leave one out")
    if arguments.auth is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(arguments.auth.encode()).decode()}"
    if arguments.token is not None:
        headers["Authorization"] = f"Bearer {arguments.token}"
    try:
        request(
            parse_url(url),
            bytes(16),
            headers=list(headers.items()),
            subprotocols=arguments.subprotocol,
        )
    except ValueError as error:
        raise UsageError(f"this cannot be asked for: {error}") from None
    return Request(headers=headers)


def _conversation(arguments: argparse.Namespace) -> Conversation:
    offered: list[str] = arguments.subprotocol
    if arguments.wire == "raw":
        if arguments.join:
            raise UsageError("--join needs a wire that joins: --wire anywire")
        return RawConversation(offered, is_json=arguments.json)
    known = KNOWN_SUBPROTOCOLS[arguments.wire]
    if len(offered) > 1 or not set(offered) <= set(known):
        raise UsageError(f"--wire {arguments.wire} takes one subprotocol of {', '.join(known)}")
    client = CLIENTS[arguments.wire](offered[0] if offered else None)
    return WireConversation(client, arguments.join, is_json=arguments.json)


def _context(arguments: argparse.Namespace, url: str) -> ssl.SSLContext | None:
    if not parse_url(url).is_secure:
        return None
    try:
        context = ssl.create_default_context(cafile=arguments.ca)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"{arguments.ca} is no file of certificates in PEM; name another with --ca"
        ) from None
    if arguments.no_check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"a time is a number of seconds over 0, not {text!r}")
    return seconds


def _wait(text: str) -> float | None:
    """Seconds; None, for ever, is written -1."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -2.0
    if seconds == -1:
        return None
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"a wait is seconds, or -1 for ever, not {text!r}")
    return seconds
