"""Main: `anywire COMMAND …`, from its arguments to its exit code."""

import argparse
import io
import sys
import traceback
from collections.abc import Sequence

from anywire import __version__
from anywire.cli import demo, doctor, routes, serve, talk
from anywire.cli.command import FAILED, INTERRUPTED, USAGE, Parser, Run, UsageError, complain, mute
from anywire.cli.loading import AppFailed
from anywire.errors import AnywireError

_EXAMPLES = """\
examples:
  anywire demo                                   try it: a chat for the browser and the terminal
  anywire serve chat:app                         serve the app in chat.py
  anywire talk ws://127.0.0.1:8000/raw/echo      talk to any WebSocket server
  anywire doctor                                 what would stop 100,000 connections here

anywire COMMAND --help says more, with examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors are one line on stderr, never raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal has every letter
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except UsageError as error:
        complain(str(error))
        return USAGE
    except AppFailed as error:
        sys.stderr.write("".join(traceback.format_exception(error.cause)))
        complain(str(error))
        return FAILED
    except BrokenPipeError:
        mute(sys.stdout)  # who read our output has gone, as `head` does
        return FAILED
    except (AnywireError, OSError) as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:  # --help and --version have been answered
        return end.code if isinstance(end.code, int) else 0
    run: Run = arguments.run
    return run(arguments)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(
        prog="anywire",
        description="Serve one real-time app on every real-time wire, and talk to it.",
        epilog=_EXAMPLES,
    )
    top.add_argument("-V", "--version", action="version", version=f"anywire {__version__}")
    commands = top.add_subparsers(
        metavar="COMMAND", dest="command", required=True, parser_class=Parser
    )
    for command in (demo, serve, talk, routes, doctor):
        command.add(commands)
    return top
