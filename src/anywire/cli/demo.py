"""Demo: the chat on a port, and what to paste to join it from elsewhere."""

import argparse
import ipaddress
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

import anywire.demo
from anywire.cli.command import Parser, add_command, complain, port
from anywire.cli.running import LEVELS, LOOPS, Place, log_to_stderr, run
from anywire.demo.chat import LOBBY, make_app
from anywire.servers.static import client_files
from anywire.servers.tcp import Address

_EXAMPLES = """\
  anywire demo
  anywire demo --port 9000 --token secret
  anywire demo --host 0.0.0.0                     for others in your network too
"""
_BUILT = Path(anywire.__file__).parent / "static"
_OFFICIAL = (
    "socket.io.min.js",
    "sockjs.min.js",
    "signalr.min.js",
    "phoenix.min.js",
    "actioncable.js",
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PYTHON = """\
{python} - <<'END'
import asyncio, contextlib
from anywire.client import connect

async def main():
    async with connect("{url}?name=py", token={token!r}) as client:
        chat = client.channel("chat")
        await chat.join()
        await chat.call("send-message", room="{room}", message="hello from Python")
        async for event in chat:
            print(event.name, event.data)

with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
END"""


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "demo",
        demo,
        summary="serve a chat to try in the browser, the terminal and Python",
        examples=_EXAMPLES,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=port, default=8000, help="port to listen on, 0: any free one (%(default)s)"
    )
    parser.add_argument("--token", help="the token that makes a name verified (default: made up)")
    parser.add_argument(
        "--loop", choices=LOOPS, default="auto", help="event loop; auto: uvloop where installed"
    )
    parser.add_argument(
        "--log-level", choices=LEVELS, default="warning", help="what is logged (%(default)s)"
    )


def demo(arguments: argparse.Namespace) -> int:
    """Serve the chat and its page; returns the exit code."""
    log_to_stderr(arguments.log_level)
    token = arguments.token or secrets.token_hex(8)
    client = client_files()
    if not client:
        complain("the browser client is not built, so the page cannot connect: use make demo")
    files = {**client, **official_files(), **page_files(), **programs_file(arguments.host)}
    place = Place(host=arguments.host, port=arguments.port, files=files)

    def announce(addresses: Sequence[Address]) -> None:
        print(welcome(addresses[0], token, command=_command()), flush=True)

    return run(make_app(token), place, announce, loop=arguments.loop)


def page_files() -> dict[str, tuple[str, bytes]]:
    """The files of the page by path; its index stands at `/`."""
    folder = Path(anywire.demo.__file__).parent / "page"
    return {
        "/" if file.name == "index.html" else f"/{file.name}": (
            _TYPES[file.suffix],
            file.read_bytes(),
        )
        for file in sorted(folder.glob("*"))
        if file.suffix in _TYPES
    }


def official_files(folder: Path = _BUILT) -> dict[str, tuple[str, bytes]]:
    """The official clients of the other wires, as npm has them; without those not built."""
    return {
        f"/{name}": (_TYPES[".js"], (folder / name).read_bytes())
        for name in _OFFICIAL
        if (folder / name).is_file()
    }


def programs_file(host: str) -> dict[str, tuple[str, bytes]]:
    """How anywire and Python are called, for what the page says to paste.

    On other machines our paths mean nothing, and are nobody's business.
    """
    local = {"anywire": _command(), "python": shlex.quote(sys.executable)}
    anywhere = {"anywire": "anywire", "python": "python3"}
    programs = local if host in ("127.0.0.1", "::1", "localhost") else anywhere
    return {"/demo.json": ("application/json", msgspec.json.encode(programs))}


def welcome(address: Address, token: str, *, command: str) -> str:
    """What the demo says once it listens; each way to join can be pasted as it is."""
    here = Address(host=_reachable(address.host), port=address.port)
    ws = here.url.replace("http", "ws", 1) + "/ws"
    verified = (
        f"{command} talk '{ws}?name=ana' --token {shlex.quote(token)} --wire anywire --join chat"
    )
    python = _PYTHON.format(python=shlex.quote(sys.executable), url=ws, token=token, room=LOBBY)
    return "\n".join(
        (
            f"Listening on {address.url} (Ctrl-C to stop)",
            "",
            f"In a browser:     {here.url}/",
            f"with the token:   {here.url}/?token={quote(token, safe='')}",
            f"Token:            {token}   (whoever shows it is verified; others are guests)",
            "                  (on Socket.IO it is asked for: auth: { token })",
            "",
            "From a terminal, with lines to type once you are in it:",
            "",
            verified,
            f'send-message {{"room": "{LOBBY}", "message": "hello from a terminal"}}',
            "",
            "From a terminal, knowing nothing of anywire; what you type is said in the lobby:",
            "",
            f"{command} talk '{ws}?name=bo'",
            "",
            "From Python:",
            "",
            python,
        )
    )


def _reachable(host: str) -> str:
    """An address under which this machine reaches itself."""
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    return "::1" if ":" in host else "127.0.0.1"


def _command() -> str:
    """How this very command line is called from any folder."""
    called = os.path.abspath(sys.argv[0])
    if os.path.basename(called) != "anywire":
        return f"{shlex.quote(sys.executable)} -m anywire"
    found = shutil.which("anywire")
    return "anywire" if found and os.path.samefile(found, called) else shlex.quote(called)
