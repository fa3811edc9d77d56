"""Command: what all commands share: their parser, their way to fail, and when to use colours."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn, TextIO

from anywire.errors import AnywireError

FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""

Run = Callable[[argparse.Namespace], int]


class UsageError(AnywireError):
    """The command cannot be understood as it was typed."""


class Parser(argparse.ArgumentParser):
    """An argument parser that fails in one line and keeps the examples of its help as they are."""

    def __init__(self, **options: object) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and ending the process."""
        raise UsageError(f"{message}; see {self.prog} --help")


def add_command(
    commands: "argparse._SubParsersAction[Parser]",
    name: str,
    run: Run,
    *,
    summary: str,
    examples: str,
) -> Parser:
    """The parser of a new command; `run` takes what it parsed and returns the exit code."""
    parser = commands.add_parser(
        name, help=summary, description=summary, epilog=f"examples:\n{examples}"
    )
    parser.set_defaults(run=run)
    return parser


def port(text: str) -> int:
    """The type of a port's option."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def complain(text: str) -> None:
    """Say in one line on stderr what is wrong."""
    # A server may be quoted: what it says must not be able to drive the terminal.
    said = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(text.split()))
    print(f"anywire: {said}", file=sys.stderr)


def mute(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere, as the interpreter flushes it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def has_colors(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether this stream is a terminal whose user wants colours (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
