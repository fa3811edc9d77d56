"""Conversations as text files, run against the server's machine.

`O>` opens (path, address, parts, subprotocols, query), `C>` the client says, `X>` in hex, `F>` the
frame the core gets, `A>` the frame the application sends, `S>` what the client hears, `Y>` in hex,
`T>` seconds pass, `E>` the close code of an error. Everything that comes out must stand in the
file, in order; lines without a mark are remarks. `␞` stands for U+001E, which ends a message of
SignalR.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from anywire.errors import ProtocolError
from anywire.wires.actioncable import ActionCable
from anywire.wires.anywire import Own
from anywire.wires.base import Answer, Hello, Machine, Wire
from anywire.wires.phoenix import Phoenix
from anywire.wires.raw import Raw
from anywire.wires.signalr import SignalR
from anywire.wires.socketio import EngineIO, SocketIO
from anywire.wires.sockjs import SockJS
from tests.wires.described import described, frame_of

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
FILES = sorted(TRANSCRIPTS.glob("*/*.txt"))
WIRES: dict[str, Wire] = {
    "anywire": Own(home="chat"),
    "raw": Raw(
        paths={"/echo": "echo", "/raw/{address}": "{address}"},
        subprotocols=["graphql-ws"],
        heartbeat=True,
    ),
    "sockjs": SockJS(),
    "signalr": SignalR({"/hub": "chat"}),
    "engineio": EngineIO(to="echo"),
    "socketio": SocketIO(home="chat"),
    "socketio-recovery": SocketIO(home="chat", recovery=True),
    "actioncable": ActionCable(),
    "actioncable-extended": ActionCable(),
    "phoenix": Phoenix(),
}
OUT = ("F>", "S>", "Y>", "E>")


class Play:
    """One conversation, and what has come out since the last line."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.machine: Machine | None = None
        self.now = 0.0
        self.out: list[str] = []

    def do(self, mark: str, rest: str) -> None:
        try:
            if mark == "O>":
                self.machine = None
                self.open(rest)
                if self.machine is None:
                    return
            assert self.machine is not None
            match mark:
                case "C>":
                    frames = self.machine.receive(rest.replace("␞", "\x1e"), self.now)
                    self.told(frames)
                case "X>":
                    self.told(self.machine.receive(bytes.fromhex(rest), self.now))
                case "A>":
                    self.said(self.machine.send(frame_of(json.loads(rest))))
                case "T>":
                    self.now += float(rest)
                    self.told(self.machine.tick(self.now))
            self.said(self.machine.due())
        except ProtocolError as error:
            self.out.append(f"E> {error.code}")

    def open(self, rest: str) -> None:
        asked = json.loads(rest)
        hello = Hello(
            path=asked.get("path", "/ws"),
            address=asked.get("address"),
            parts=asked.get("parts", {}),
            subprotocols=asked.get("subprotocols", []),
            query=asked.get("query", {}),
            seed=b"x" * 32,
            clock=1_700_000_000.0,
        )
        opening = self.wire.open(hello)
        if isinstance(opening, Answer):
            self.out.append(f"E> {opening.status}")
            return
        assert opening.machine is not None
        self.machine = opening.machine
        self.told(self.machine.opened(self.now))

    def told(self, frames: object) -> None:
        assert isinstance(frames, tuple | list)
        self.out += [f"F> {json.dumps(described(frame), ensure_ascii=False)}" for frame in frames]

    def said(self, payloads: object) -> None:
        assert isinstance(payloads, tuple | list)
        for payload in payloads:
            for message in payload.messages():
                text = message if isinstance(message, str) else message.hex()
                text = text.replace("\x1e", "␞")
                self.out.append(f"{'S>' if isinstance(message, str) else 'Y>'} {text}")


def steps(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, _, rest = line.partition(" ")
        if len(mark) == 2 and mark.endswith(">"):
            yield number, mark, rest


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_the_transcript_is_what_happens(path: Path) -> None:
    play = Play(WIRES[path.parent.name])
    for number, mark, rest in steps(path):
        where = f"{path.name}:{number}"
        if mark in OUT:
            assert play.out, f"{where}: nothing more came"
            assert play.out.pop(0) == f"{mark} {rest}", where
        else:
            assert not play.out, f"{where}: not in the transcript: {play.out}"
            play.do(mark, rest)
    assert not play.out, f"{path.name}: not in the transcript: {play.out}"


def test_there_are_transcripts_of_every_wire() -> None:
    assert {path.parent.name for path in FILES} == set(WIRES)
