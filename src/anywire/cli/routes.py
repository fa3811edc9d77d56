"""Routes: a table of who owns which path of an app."""

import argparse
import sys
from collections.abc import Sequence

import msgspec

from anywire.cli.command import Parser, add_command
from anywire.cli.loading import load
from anywire.servers.routes import Routes, Row
from anywire.servers.site import HEALTH, READY

_EXAMPLES = """\
  anywire routes chat:app
  anywire routes examples/chat/app.py:app --json
"""
_HEAD = ("METHOD", "PATH", "CARRIER", "WIRE")


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "routes",
        routes,
        summary="list the paths of an app: method, path, carrier, wire",
        examples=_EXAMPLES,
    )
    parser.add_argument("target", metavar="APP", help="module:app, or path/to/file.py:app")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def routes(arguments: argparse.Namespace) -> int:
    """Print the table; returns the exit code."""
    app = load(arguments.target)
    reserved = {HEALTH: "health check", READY: "readiness check", "/anywire.js": "browser client"}
    rows = Routes(app.wires, reserved).rows()
    lines = as_json(rows) if arguments.json else as_table(rows)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def as_json(rows: Sequence[Row]) -> list[str]:
    """One object a row.

    >>> as_json([Row("/ws", "GET", "anywire", "websocket")])
    ['{"method":"GET","path":"/ws","carrier":"websocket","wire":"anywire"}']
    """
    return [
        msgspec.json.encode(
            {"method": row.method, "path": row.path, "carrier": row.carrier, "wire": row.owner}
        ).decode()
        for row in rows
    ]


def as_table(rows: Sequence[Row]) -> list[str]:
    """A head and the rows, in columns as wide as they must be."""
    lines = [_HEAD, *((row.method, row.path, row.carrier, row.owner) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
