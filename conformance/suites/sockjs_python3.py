"""The official SockJS suite as Python 3: it is written in Python 2, which few machines have.

Each of its files is read, put through a table of rewrites and written to another folder; the
checkout stays as it is. What a socket gives is text in Python 2. Here that text is Latin-1: each
byte one character, none lost. What Python 3 has in no form stands in below.
"""

import ast
import http.client
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = __name__
"""Where rewritten imports find the stand-ins."""


class Untranslatable(Exception):
    """The suite is not the one these rewrites were made for."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One change of the text; one that finds nothing to change is an error."""

    pattern: str
    """A regular expression, matched line by line."""
    replacement: str
    why: str

    def applied(self, text: str, *, file: str) -> str:
        """Raises Untranslatable when the text has no such place."""
        changed, count = re.subn(self.pattern, self.replacement, text, flags=re.MULTILINE)
        if not count:
            raise Untranslatable(f"{file} has nothing that fits {self.pattern!r} ({self.why})")
        return changed


UNITTEST = Rewrite(r"^import unittest2 as unittest$", "import unittest", "part of Python since 2.7")
URLPARSE = Rewrite(r"^import urlparse$", "import urllib.parse as urlparse", "moved")
HTTPLIB = Rewrite(
    r"^import httplib_fork as httplib$",
    f"import {HERE} as httplib",
    "a changed copy of Python 2's own; `HTTPConnection` below does what it was changed for",
)

PROTOCOL = (
    UNITTEST,
    Rewrite(r"\blambda\((\w+)\):", r"lambda \1:", "parameters were tuples too"),
    Rewrite(r"\bunichr\(", "chr(", "renamed"),
    Rewrite(r"\[int, long\]", "[int]", "one type now"),
    Rewrite(
        r"\bjson\.loads\(([\w.]+)\)",
        r"json.loads(\1.encode('latin-1'))",
        "text from the socket holds bytes, which JSON reads as UTF-8",
    ),
)
UTILS = (
    URLPARSE,
    HTTPLIB,
    Rewrite(
        r"^from ws4py\.client\.threadedclient import WebSocketClient$",
        f"from {HERE} import WebSocketClient",
        "no longer kept up; stands below, on the client that the suite uses beside it",
    ),
    Rewrite(r"^import Queue$", "import queue as Queue", "renamed"),
    Rewrite(r"\basync\b", "is_async", "a keyword since 3.7"),
    Rewrite(r"\bis 'POST'", "== 'POST'", "equal text need not be the same object"),
    Rewrite(r"\bisinstance\(body, unicode\)", "isinstance(body, str)", "renamed"),
    Rewrite(r"\bunicode\(str\(m\), 'utf-8'\)", "m", "the stand-in decodes"),
    Rewrite(
        r"^( *)c = s\.recv\(1\)$",
        r"\1c = s.recv(1)\n\1if not c: raise EOFError('the server hung up')",
        "here a hang-up before the end of a line was an endless loop",
    ),
    Rewrite(r"\bs\.recv\(\w+\)", r"\g<0>.decode('latin-1')", "sockets give bytes"),
    Rewrite(
        r"\bself\.s\.sendall\(data\)",
        "self.s.sendall(data if isinstance(data, bytes) else data.encode('latin-1'))",
        "sockets take bytes",
    ),
)
QUIRKS = (
    UNITTEST,
    URLPARSE,
    HTTPLIB,
    Rewrite(r"\bres\.read\(\)", r"\g<0>.decode('latin-1')", "bodies are bytes"),
)

FILES: Mapping[str, tuple[str, tuple[Rewrite, ...]]] = {
    "sockjs-protocol.py": ("sockjs_protocol.py", PROTOCOL),
    "http-quirks.py": ("http_quirks.py", QUIRKS),
    "utils.py": ("utils.py", UTILS),
}
"""Each file of the checkout that is used: its name as a module, and what is rewritten."""
SUITES = ("sockjs_protocol", "http_quirks")
"""The modules with cases."""


def translated(text: str, rewrites: Iterable[Rewrite], *, file: str) -> str:
    """One file as Python 3; raises Untranslatable where it is still none, or another one."""
    for rewrite in rewrites:
        text = rewrite.applied(text, file=file)
    try:
        ast.parse(text)
    except SyntaxError as error:
        reason = f"{error.msg}: {(error.text or '').strip()}"
        raise Untranslatable(f"{file} is no Python 3 after all rewrites ({reason})") from None
    return text


def translate(checkout: Path, folder: Path) -> None:
    """Write the suite into this folder; raises Untranslatable, and OSError for what is missing."""
    for file, (name, rewrites) in FILES.items():
        text = (checkout / file).read_text(encoding="utf-8")
        (folder / name).write_text(translated(text, rewrites, file=file), encoding="utf-8")


def cases_in(folder: Path) -> list[str]:
    """The cases of a translated suite in the order of its text, each as `Class.test_name`."""
    return [
        f"{group.name}.{case.name}"
        for module in SUITES
        for group in ast.parse((folder / f"{module}.py").read_text(encoding="utf-8")).body
        if isinstance(group, ast.ClassDef)
        for case in group.body
        if isinstance(case, ast.FunctionDef) and case.name.startswith("test")
    ]


# ---- what stands in for modules that Python 3 does not have


class HTTPConnection(http.client.HTTPConnection):
    """Python 2's: a POST without a body says no Content-Length, unless the caller does."""

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] = {},
        *,
        encode_chunked: bool = False,
    ) -> None:
        """Send a request; `body` is bytes."""
        self.putrequest(method, url)
        if body and "content-length" not in {name.lower() for name in headers}:
            self.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.putheader(name, value)
        self.endheaders(body, encode_chunked=encode_chunked)


class WebSocketClient:
    """The part of ws4py's threaded client that the suite uses: a subclass is told what comes."""

    def __init__(self, url: str) -> None:
        self.running = True
        """The suite sets it; here the end of the connection is what ends the thread."""
        self._url = url
        self._socket: Any = None
        self._th = threading.Thread(target=self._read, name="WebSocketClient", daemon=True)

    def connect(self) -> None:
        """Open the connection and read it in a thread of its own."""
        self._socket = import_module("websocket").create_connection(self._url)
        self._th.start()

    def send(self, data: str) -> None:
        """Send text."""
        self._socket.send(data)

    def close(self) -> None:
        """Send a close frame; the server's answer ends the thread."""
        if self._socket.connected:
            self._socket.send_close()

    def received_message(self, m: str) -> None:
        """Told of each message; m as the suite names it."""

    def closed(self, code: int, reason: str) -> None:
        """Told once, at the end: 1006 when there was no close frame."""

    def _read(self) -> None:
        code, reason = 1006, "Going away"
        try:
            for opcode, data in self._frames():
                if opcode == 8:
                    code = int.from_bytes(data[:2], "big") if data else 1005
                    reason = data[2:].decode()
                    break
                self.received_message(data.decode())
        finally:
            self._socket.shutdown()
            self.closed(code, reason)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Messages and the close frame, until there is no more connection."""
        websocket = import_module("websocket")
        while True:
            try:
                yield self._socket.recv_data()
            except (websocket.WebSocketException, OSError):
                return
