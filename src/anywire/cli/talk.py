"""Talk: `anywire talk`, a terminal's way to any WebSocket server, or to be one; as wscat is."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

from anywire import __version__
from anywire.cli.asking import conversation_of, dialer_of, listener_tls, request_of, url_of
from anywire.cli.command import Parser, add_command, complain, has_colors, mute
from anywire.cli.conversation import Conversation
from anywire.cli.entry import Entry
from anywire.cli.history import History, place
from anywire.cli.listening import Door, Listening
from anywire.cli.slash import COMMANDS
from anywire.cli.talk_options import add_connecting, add_peer, add_talking, add_tls
from anywire.cli.talking import Plan, Talk
from anywire.cli.terminal import Terminal
from anywire.cli.view import Style, View
from anywire.wires.base import Request

_EXAMPLES = """\
  anywire talk ws://127.0.0.1:8000/raw/echo                 type, and read what comes back
  anywire talk -c ws://127.0.0.1:8000/raw/echo -x hello -w 1
  printf 'one\\ntwo\\n' | anywire talk ws://127.0.0.1:8000/raw/echo -w 1
  anywire talk ws://127.0.0.1:8000/raw/echo --ping 0.2 -x hello -w 1
  anywire talk -l 8080                                      be a server, and talk to who comes
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
        summary="talk to a WebSocket server, or be one, by hand or from a script",
        examples=_EXAMPLES,
    )
    parser.add_argument("-V", "--version", action="version", version=f"anywire {__version__}")
    for more in (add_peer, add_connecting, add_tls, add_talking):
        more(parser)


def start(arguments: argparse.Namespace) -> int:
    """Do what the options say; returns the exit code, one of `Exit`."""
    url = url_of(arguments)
    terminal = _Sitting(arguments)
    try:
        if url is None:
            return asyncio.run(_listen(arguments, terminal))
        talk = terminal.talk(_plan(arguments, url, is_piped=terminal.is_piped))
        return asyncio.run(talk.run(dialer_of(arguments, url), terminal.lines()))
    finally:
        terminal.restore()


async def _listen(arguments: argparse.Namespace, terminal: "_Sitting") -> int:
    context = listener_tls(arguments)
    host = arguments.host or "127.0.0.1"
    plan = _plan(arguments, None, is_piped=terminal.is_piped)
    door = Door(subprotocols=arguments.subprotocol)
    listener = Listening(
        door,
        lambda: terminal.talk(plan),
        terminal.lines,
        show=terminal.show,
        is_typed=not terminal.is_piped,
    )
    try:
        await door.open(host, arguments.listen, context)
        return await listener.run(is_for_ever=plan.wait is None)
    finally:
        await door.close()


def _plan(arguments: argparse.Namespace, url: str | None, *, is_piped: bool) -> Plan:
    return Plan(
        url=url or "",
        request=Request() if url is None else request_of(arguments, url),
        timeout=arguments.timeout,
        wait=arguments.wait if is_piped else 0.0,
        is_strict=is_piped,
        has_slash=arguments.slash and not arguments.execute,
        shows_pings=arguments.show_ping_pong,
        ping=arguments.ping,
        peer="client" if url is None else "server",
    )


class _Sitting:
    """Who sits at this command: a person at a terminal, or a script; and what they are shown."""

    __slots__ = ("_arguments", "_lines", "_talk", "_terminal", "_view", "is_piped")

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.is_piped = bool(arguments.execute) or not sys.stdin.isatty()
        is_typed = not self.is_piped and sys.stdout.isatty()
        style = Style.JSON if arguments.json else Style.TERMINAL if is_typed else Style.PIPE
        colors = not arguments.no_color and has_colors(sys.stdout, os.environ)
        self._view = View(style, has_colors=colors, escapes=sys.stdout.isatty())
        self._talk: tuple[Talk, Conversation] | None = None
        history = None if arguments.no_history else History(place(os.environ))
        self._terminal = Terminal(is_typed=is_typed, history=history, words=self._words)
        self._lines: AsyncIterator[str] | None = None

    def talk(self, plan: Plan) -> Talk:
        """A talk that is shown here."""
        conversation = conversation_of(self._arguments)
        talk = Talk(plan, conversation, show=self.show, complain=self._complain)
        self._talk = talk, conversation
        return talk

    def lines(self) -> AsyncIterator[str]:
        """What is to be said: all of `-x`, every time; or the input, from where it was."""
        if self._arguments.execute:
            return _listed(self._arguments.execute)
        if self._lines is None:
            self._lines = self._terminal.lines()
        return self._lines

    def show(self, entry: Entry) -> None:
        """Show what happened."""
        shown = self._view.show(entry, time.time())
        try:
            if shown is not None:
                self._terminal.write(shown)
        except BrokenPipeError:
            mute(sys.stdout)  # who read our output has gone, as `head` does
            if self._talk is not None:
                self._talk[0].stop()

    def restore(self) -> None:
        """Leave the terminal as it was found."""
        self._terminal.restore()

    def _complain(self, why: str) -> None:
        if self._arguments.listen is None or self.is_piped:
            complain(why)

    def _words(self) -> Sequence[str]:
        """What a line may begin with just now."""
        events = () if self._talk is None else self._talk[1].words()
        return [*(COMMANDS if self._arguments.slash else ()), *events]


async def _listed(lines: Sequence[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line
