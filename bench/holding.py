"""The two small scripts that bench/memory.py runs beside a server.

`holding.py hold PORT PATH [OPTION ...]` is the client: each line `COUNT` on its standard input
opens so many connections more, on each says what an application says once, answers with the count
it holds, and then only answers pings until its input ends. It knows RFC 6455 and no library.

`holding.py collected MODULE [ARGUMENT ...]` is a server: it runs a module as `python -m` does (or
a file), and frees what is garbage on SIGUSR2, so that its memory is read without.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import runpy
import select
import signal
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from types import FrameType

AT_ONCE = 50
"""Connections that are opened side by side."""
PER_ADDRESS = 2_000
"""Connections from one address of the loopback network: its ports must not run out."""
PATIENCE = 20.0
KEY = b"\x00\x00\x00\x00"
"""The mask of all that is sent: what the server does is the same as with any other."""
TEXT, PING, PONG = 0x81, 0x89, 0x8A
DEFLATED = 0x40
"""RSV1 (RFC 7692, 6)."""


def frame(first: int, content: bytes) -> bytes:
    """A masked frame (RFC 6455, 5.2)."""
    size = len(content)
    length = struct.pack("!B", 128 + size) if size < 126 else struct.pack("!BH", 254, size)
    return bytes([first]) + length + KEY + content


def said(text: str, *, deflate: bool) -> bytes:
    """A text message, compressed where that was agreed."""
    content = text.encode()
    if not deflate:
        return frame(TEXT, content)
    stream = zlib.compressobj(wbits=-15)
    return frame(TEXT | DEFLATED, (stream.compress(content) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4])


class Held:
    """One connection."""

    __slots__ = ("buffer", "socket")

    def __init__(self, source: str, port: int) -> None:
        self.buffer = b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.settimeout(PATIENCE)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))

    def read(self) -> None:
        """More bytes from the server; raises ConnectionError at their end."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server hung up")
        self.buffer += data

    def head(self) -> bytes:
        """The answer to the request."""
        while b"\r\n\r\n" not in self.buffer:
            self.read()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Frames that are whole here: first byte and content."""
        while len(self.buffer) >= 2:
            begin, size = 2, self.buffer[1]
            if size == 126 and len(self.buffer) >= 4:
                begin, size = 4, int.from_bytes(self.buffer[2:4], "big")
            if (size in (126, 127) and begin == 2) or len(self.buffer) < begin + size:
                return
            first, content = self.buffer[0], self.buffer[begin : begin + size]
            self.buffer = self.buffer[begin + size :]
            yield first, content

    def until(self, word: bytes) -> None:
        """Reads messages up to the one that holds this word."""
        while True:
            for first, content in self.frames():
                if first == PING:
                    self.socket.sendall(frame(PONG, content))
                elif first & DEFLATED:
                    content = zlib.decompressobj(-15).decompress(content + b"\x00\x00\xff\xff")
                if first & 0x0F == 8:
                    raise ConnectionError(f"the server closed: {content!r}")
                if word in content:
                    return
            self.read()


class Holder:
    """All connections of one run."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.held: dict[int, Held] = {}
        self.ready = select.epoll()
        request = [
            f"GET {asked.path} HTTP/1.1",
            f"Host: 127.0.0.1:{asked.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        if asked.subprotocol:
            request.append(f"Sec-WebSocket-Protocol: {asked.subprotocol}")
        if asked.deflate:
            request.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        self.request = ("\r\n".join([*request, *asked.header]) + "\r\n\r\n").encode()
        self.hello = said(asked.hello, deflate=False) if asked.hello else b""
        self.message = said(asked.message, deflate=asked.deflate)

    def open(self, count: int) -> None:
        """Opens some connections side by side and has on each what is said once."""
        source = f"127.0.0.{2 + len(self.held) // PER_ADDRESS}"
        new = [Held(source, self.asked.port) for _ in range(count)]
        for one in new:
            one.socket.sendall(self.request)
        for one in new:
            head = one.head()
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise ConnectionError(f"the server answered {head!r}")
            if self.asked.deflate != (b"permessage-deflate" in head):
                raise ConnectionError("deflate was not agreed as it should")
            one.socket.sendall(self.hello)
        if self.hello:
            for one in new:
                one.until(self.asked.ready.encode())
        for one in new:
            one.socket.sendall(self.message)
        for one in new:
            one.until(self.asked.answer.encode())
            self.held[one.socket.fileno()] = one
            self.ready.register(one.socket, select.EPOLLIN)

    def answer(self, patience: float) -> bool:
        """Answers the pings that have come; true when a line on standard input has."""
        for number, _ in self.ready.poll(patience):
            if number == sys.stdin.fileno():
                return True
            one = self.held[number]
            one.read()
            for first, content in one.frames():
                if first == PING:
                    one.socket.sendall(frame(PONG, content))
        return False

    def wait(self) -> None:
        """Answers pings until there is something on standard input."""
        self.ready.register(sys.stdin, select.EPOLLIN)
        while not self.answer(-1):
            pass
        self.ready.unregister(sys.stdin)

    def run(self) -> None:
        """Does what standard input says, up to its end."""
        while True:
            self.wait()
            line = os.read(sys.stdin.fileno(), 64).strip()
            if not line:
                return
            missing = int(line)
            while missing:
                count = min(AT_ONCE, missing)
                self.open(count)
                self.answer(0)
                missing -= count
            print(len(self.held), flush=True)


def hold(words: list[str]) -> None:
    """The client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--subprotocol", default="")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--hello", default="")
    parser.add_argument("--ready", default="")
    parser.add_argument("--message", required=True)
    parser.add_argument("--answer", required=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Holder(parser.parse_args(words)).run()


def collect(number: int, interrupted: FrameType | None) -> None:
    """Frees what is garbage."""
    gc.collect()


def collected(words: list[str]) -> None:
    """The server."""
    signal.signal(signal.SIGUSR2, collect)
    sys.argv = words
    del sys.path[0]
    if words[0].endswith(".py"):
        runpy.run_path(words[0], run_name="__main__")
    else:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    {"hold": hold, "collected": collected}[sys.argv[1]](sys.argv[2:])
