"""Asking: what the options of `anywire talk` mean for its connection. No socket is opened here."""

import argparse
import base64
import getpass
import re
import ssl
from collections.abc import Callable

from anywire.cli import tls
from anywire.cli.command import UsageError
from anywire.cli.conversation import (
    CLIENTS,
    KNOWN_SUBPROTOCOLS,
    MOST,
    Conversation,
    RawConversation,
    WireConversation,
)
from anywire.cli.talk_options import ASK
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError
from anywire.net.handshake import parse_url, request
from anywire.wires.base import Request

_CONNECTING = {
    "header": "-H",
    "origin": "-o",
    "auth": "--auth",
    "token": "--token",
    "location": "-L",
    "proxy": "--proxy",
    "unix": "--unix",
    "no_check": "-n",
    "join": "--join",
}
"""Options that mean nothing to a listener, and how to name them."""
_SINGLE = ("raw", "sockjs", "signalr")
"""Wires whose URL names the one address there is."""
_HOMES = {"socketio": ["/"]}
"""What is joined without --join, where a wire has such a place."""


def url_of(arguments: argparse.Namespace) -> str | None:
    """Where to connect to; None: listen. Raises UsageError where that is not clear."""
    given = {url for url in (arguments.url, arguments.connect) if url}
    if arguments.listen is not None:
        if given:
            raise UsageError("-l listens and a URL is connected to; leave one out")
        unfit = [name for option, name in _CONNECTING.items() if getattr(arguments, option)]
        if arguments.wire != "raw":
            unfit.append("--wire")
        if unfit:
            raise UsageError(f"{', '.join(unfit)}: for connecting, not for -l")
        return None
    if len(given) != 1:
        raise UsageError(
            "name one URL to talk to: anywire talk ws://127.0.0.1:8000/raw/echo"
            " (or a port to listen on: -l 8080)"
        )
    url: str = given.pop()
    if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) is None:
        url = f"ws://{url}"
    try:
        parse_url(url)
    except AnywireError as error:
        raise UsageError(f"{error}; right: ws://127.0.0.1:8000/raw/echo") from None
    return url


def request_of(arguments: argparse.Namespace, url: str) -> Request:
    """The headers of the request. Raises UsageError for what cannot be asked for."""
    headers: dict[str, str] = {}
    for given in arguments.header:
        name, colon, value = given.partition(":")
        if not colon:
            raise UsageError(f"a header is 'Name: value', not {given!r}")
        headers[name.strip()] = value.strip()
    if arguments.auth is not None and arguments.token is not None:
        raise UsageError("--auth and --token both set the header Authorization; leave one out")
    if arguments.auth is not None:
        encoded = base64.b64encode(arguments.auth.encode()).decode()
        _put(headers, "Authorization", f"Basic {encoded}")
    if arguments.token is not None:
        _put(headers, "Authorization", f"Bearer {arguments.token}")
    if arguments.host is not None:
        _put(headers, "Host", arguments.host)
    if arguments.origin is not None:
        _put(headers, "Origin", arguments.origin)
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


def dialer_of(arguments: argparse.Namespace, url: str) -> SocketDialer:
    """What opens the connection. Raises UsageError or ConfigurationError."""
    context: ssl.SSLContext | None = None
    if parse_url(url).is_secure or arguments.location:
        context = tls.for_client(
            ca=arguments.ca,
            cert=arguments.cert,
            key=arguments.key,
            passphrase=passphrase_of(arguments),
            checks=not arguments.no_check,
        )
    try:
        return SocketDialer(
            ssl=context,
            unix=arguments.unix,
            max_message=MOST,
            proxy=arguments.proxy,
            max_redirects=arguments.max_redirects if arguments.location else 0,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def listener_tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """The listener's TLS; None without --cert."""
    if arguments.cert is None:
        if arguments.key is not None or arguments.ca is not None:
            raise UsageError("--key and --ca need --cert beside them to listen over TLS")
        return None
    return tls.for_server(
        cert=arguments.cert,
        key=arguments.key,
        ca=arguments.ca,
        passphrase=passphrase_of(arguments),
    )


def passphrase_of(arguments: argparse.Namespace) -> Callable[[], str] | None:
    """What knows the passphrase of the key, or asks for it; None where there is none."""
    given: str | None = arguments.passphrase
    if given is None:
        return None
    return _asked if given == ASK else lambda: given


def _asked() -> str:
    try:
        return getpass.getpass("Passphrase: ")
    except EOFError:
        raise UsageError("there is nobody to ask for the passphrase: --passphrase TEXT") from None


def conversation_of(arguments: argparse.Namespace) -> Conversation:
    """What is spoken. Raises UsageError."""
    offered: list[str] = arguments.subprotocol
    if arguments.wire in _SINGLE and arguments.join:
        joining = "anywire, socketio, phoenix or actioncable"
        raise UsageError(f"--join needs a wire that joins: --wire {joining}")
    if arguments.wire == "raw":
        return RawConversation(offered, is_json=arguments.json)
    known = KNOWN_SUBPROTOCOLS[arguments.wire]
    if len(offered) > 1 or not set(offered) <= set(known):
        takes = f"one subprotocol of {', '.join(known)}" if known else "no subprotocol"
        raise UsageError(f"--wire {arguments.wire} takes {takes}")
    client = CLIENTS[arguments.wire](offered[0] if offered else None)
    joins = arguments.join or _HOMES.get(arguments.wire, [])
    return WireConversation(client, joins, is_json=arguments.json)


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header, instead of one that -H wrote in other letters."""
    for given in [given for given in headers if given.lower() == name.lower()]:
        del headers[given]
    headers[name] = value
