"""Talk options: what may be typed after `anywire talk`; a letter means what it means to wscat.

What wscat has not is our own and has no letter, so that none can ever collide.
"""

import argparse

from anywire.cli.command import Parser, port
from anywire.cli.conversation import CLIENTS

WAIT = 2.0
"""Seconds from the last message of a script until we close, as wscat has them."""
TIMEOUT = 10.0
REDIRECTS = 10
ASK = ""
"""What `--passphrase` without a value stands for: ask at the terminal."""


def add_peer(parser: Parser) -> None:
    """Who is talked to."""
    parser.add_argument("url", nargs="?", metavar="URL", help="ws://… or wss://…")
    parser.add_argument("-c", "--connect", metavar="URL", help="the same")
    parser.add_argument(
        "-l",
        "--listen",
        type=port,
        metavar="PORT",
        help="wait for clients on this port instead; 0: any free one",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the Host header; with -l: the address to listen on (127.0.0.1; 0.0.0.0: all)",
    )


def add_connecting(parser: Parser) -> None:
    """How the connection is opened."""
    group = parser.add_argument_group("connecting")
    _add_repeated(group, "-H", "--header", "'K: V'", "add a header to the request")
    _add_repeated(
        group, "-s", "--subprotocol", "NAME", "offer a subprotocol; with -l: take this one"
    )
    group.add_argument("-o", "--origin", metavar="URL", help="the Origin header")
    group.add_argument("--auth", metavar="NAME:PASSWORD", help="basic HTTP authentication")
    group.add_argument("--token", help="bearer token, as the header Authorization")
    group.add_argument("-L", "--location", action="store_true", help="follow redirects")
    group.add_argument(
        "--max-redirects",
        type=_count,
        nargs="?",
        const=REDIRECTS,
        default=REDIRECTS,
        metavar="NUMBER",
        help="how many redirects -L follows (%(default)s)",
    )
    group.add_argument(
        "--proxy", metavar="URL", help="by way of this proxy: http://host:port or socks5://…"
    )
    group.add_argument("--unix", metavar="PATH", help="connect to a Unix socket instead")
    group.add_argument(
        "-p",
        "--protocol",
        type=_version,
        default=13,
        metavar="VERSION",
        help="version of the WebSocket protocol; there is one left: 13",
    )
    group.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help="for connecting, and again for joining (%(default)g)",
    )


def add_tls(parser: Parser) -> None:
    """Certificates."""
    group = parser.add_argument_group("TLS")
    group.add_argument(
        "-n", "--no-check", action="store_true", help="take any certificate of a wss server"
    )
    group.add_argument(
        "--ca", metavar="FILE", help="authorities to trust, in PEM; with -l: clients must have one"
    )
    group.add_argument(
        "--cert", metavar="FILE", help="our certificate, in PEM; with -l: serve over TLS"
    )
    group.add_argument("--key", metavar="FILE", help="its key, where it is not in the same file")
    group.add_argument(
        "--passphrase",
        nargs="?",
        const=ASK,
        metavar="TEXT",
        help="of the key; without TEXT it is asked for",
    )


def add_talking(parser: Parser) -> None:
    """What is said, and how it looks."""
    group = parser.add_argument_group("talking")
    _add_repeated(group, "-x", "--execute", "MESSAGE", "send this, read no input, wait and close")
    group.add_argument(
        "-w",
        "--wait",
        type=_wait,
        default=WAIT,
        metavar="SECONDS",
        help="wait so long after -x or the end of piped input; -1: for ever (%(default)g)",
    )
    group.add_argument(
        "--slash",
        action="store_true",
        help="lines /ping [DATA], /pong [DATA], /close [CODE [REASON]] are control frames",
    )
    group.add_argument(
        "-P", "--show-ping-pong", action="store_true", help="tell of each ping and pong received"
    )
    group.add_argument(
        "--ping", type=seconds, metavar="SECONDS", help="ping so often, and sum up at the end"
    )
    group.add_argument(
        "--wire",
        choices=("raw", *CLIENTS),
        default="raw",
        help="what is spoken: raw, lines as they are; or events of a wire (%(default)s)",
    )
    _add_repeated(
        group,
        None,
        "--join",
        "ADDRESS",
        "join this (not with raw, sockjs or signalr); events go to the first",
    )
    group.add_argument(
        "--json", action="store_true", help="JSON lines, out and in: time, direction, type, data"
    )
    group.add_argument(
        "--no-history", action="store_true", help="neither bring back nor keep lines typed"
    )
    group.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR does the same")


def seconds(text: str) -> float:
    """The type of a time that must pass."""
    found = _number(text)
    if not 0 < found < 1e9:
        raise argparse.ArgumentTypeError(f"a time is a number of seconds over 0, not {text!r}")
    return found


def _wait(text: str) -> float | None:
    """Seconds; None, for ever, is written -1."""
    found = _number(text)
    if found == -1:
        return None
    if not 0 <= found < 1e9:
        raise argparse.ArgumentTypeError(f"a wait is seconds, or -1 for ever, not {text!r}")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 1000:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1000 is wanted, not {text!r}")
    return int(text)


def _version(text: str) -> int:
    if text != "13":
        raise argparse.ArgumentTypeError(f"only version 13 (RFC 6455) is spoken, not {text!r}")
    return 13


def _add_repeated(
    group: "argparse._ArgumentGroup", letter: str | None, name: str, metavar: str, help: str
) -> None:
    names = (name,) if letter is None else (letter, name)
    group.add_argument(
        *names, action="append", default=[], metavar=metavar, help=f"{help}; may be repeated"
    )
