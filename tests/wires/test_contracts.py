"""The shared suite, over our wires and over three that nobody of ours designed."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import strategies as st

from anywire.payload import Carrier, Message, Payload
from anywire.wires.actioncable import ActionCable, ActionCableClient
from anywire.wires.anywire import Own, OwnClient, PlainClient
from anywire.wires.anywire.bodies import pack
from anywire.wires.anywire.reading import reader
from anywire.wires.base import Hello
from anywire.wires.phoenix import Phoenix, PhoenixClient
from anywire.wires.raw import Raw, RawClient
from anywire.wires.signalr import SignalR, SignalRClient
from anywire.wires.signalr.carriers import pack as hub_packed
from anywire.wires.signalr.token import mint
from anywire.wires.socketio import SocketIO, SocketIoClient
from anywire.wires.socketio.carriers import pack as packed
from anywire.wires.socketio.carriers import unpack
from anywire.wires.sockjs import SockJS, SockJsClient
from tests.contracts.wire import (
    CHECKS,
    Bodies,
    Case,
    as_text,
    codecs_that_write_different_bytes_have_different_names,
)
from tests.wires.strangers import odd
from tests.wires.strangers.cursor import Cursor, CursorClient
from tests.wires.strangers.lines import Lines, LinesClient
from tests.wires.strangers.odd import Odd, OddClient


def own_bodies(
    protocol: str, queries: Mapping[Carrier, Sequence[Mapping[str, str]]] | None = None
) -> Bodies:
    """Requests of our own wire, as its own client reads and writes them."""

    def read(hello: Hello, body: bytes) -> list[Message]:
        is_binary = protocol == "anywire.msgpack.1"
        reading = reader(hello.carrier, is_binary=is_binary, largest=1 << 20)
        said = [*reading.feed(body), *reading.end()]
        return [one for one in said if isinstance(one, str | bytes)]

    known = {"protocol": protocol, "session": "s", "resume": "t"}
    asks = ({"protocol": protocol}, known, {**known, "ack": "1"}, {**known, "received": "1"})
    asked: dict[Carrier, Sequence[Mapping[str, str]]] = dict.fromkeys(Carrier, asks)
    asked[Carrier.POST] = (known, {**known, "from": "1"})
    return Bodies(read, lambda hello, payloads: pack(payloads), {**asked, **(queries or {})})


def frames_of(hello: Hello, body: bytes) -> list[Message]:
    """The frames in a SockJS answer; a stream's beginning is none of them."""
    text = body.decode()
    if hello.carrier is Carrier.EVENTS:
        lines = [line for line in text.split("\r\n") if line]
        return [line.removeprefix("data: ").replace("%25", "%") for line in lines]
    return [line for line in text.split("\n") if line and not line.startswith("hh")]


def array_of(hello: Hello, payloads: Sequence[Payload]) -> bytes:
    """What a SockJS client says, as one array."""
    texts: list[str] = []
    for payload in payloads:
        said = json.loads(payload.data)
        texts += [said] if isinstance(said, str) else said
    return json.dumps(texts).encode()


def strings_of(hello: Hello, body: bytes) -> list[Message]:
    """The messages in the answer to a long poll of Phoenix."""
    found: list[Message] = json.loads(body).get("messages", [])
    return found


def lines_of(hello: Hello, payloads: Sequence[Payload]) -> bytes:
    """What a Phoenix client says, a line each."""
    return b"\n".join([p.data if p.is_text else base64.b64encode(p.data) for p in payloads])


def payload_of(values: tuple[object, ...]) -> tuple[object, ...]:
    """The one payload of Phoenix, never nothing; bytes are bytes where they are all of it."""
    if values in ((), (None,)):
        return ({},)
    if len(values) > 1:
        return ([as_text(value) for value in values],)
    return values if isinstance(values[0], bytes) else (as_text(values[0]),)


POLLS = {"EIO": "4", "transport": "polling"}
SIDS = {**POLLS, "sid": "s.t"}
TOPICS = {"vsn": "2.0.0", "token": "phx.poll.s.t"}
ODDS = {"session": "s", "key": "k"}

HUB_ID = {"id": mint(bytes(16), now=0.0, resumes=False, key=b"")[1]}
HUB_BODIES = Bodies(
    lambda hello, body: [body] if body else [],
    lambda hello, payloads: hub_packed(payloads)[0],
    {Carrier.POLL: [HUB_ID], Carrier.POST: [HUB_ID]},
)

CASES = [
    Case("json", Own(), lambda: OwnClient("anywire.json.1"), bodies=own_bodies("anywire.json.1")),
    Case(
        "msgpack",
        Own(),
        lambda: OwnClient("anywire.msgpack.1"),
        bodies=own_bodies("anywire.msgpack.1", {Carrier.EVENTS: ()}),  # which hold text
    ),
    Case(
        "plain",
        Own(home="chat:lobby"),
        lambda: PlainClient("chat:lobby", beat=9),
        has_lists=False,
        bodies=own_bodies("", dict.fromkeys(Carrier, ())),  # requests speak the whole protocol
    ),
    Case(
        "raw",
        Raw(),
        lambda: RawClient("lobby"),
        hello=Hello(path="/raw/lobby", address="lobby"),
        alias="lobby",
        has_lists=False,
    ),
    Case(
        "sockjs",
        SockJS(),
        lambda: SockJsClient("lobby"),
        hello=Hello(
            path="/sockjs/lobby/000/s1/websocket",
            address="lobby",
            parts={"address": "lobby", "server": "000", "session": "s1"},
        ),
        alias="lobby",
        has_lists=False,
        bodies=Bodies(frames_of, array_of),
    ),
    Case(
        "signalr",
        SignalR(),
        lambda: SignalRClient("lobby"),
        hello=Hello(path="/signalr/lobby", address="lobby"),
        alias="lobby",
        refs=st.text(min_size=1, max_size=16).filter(lambda ref: ref[0] != "~"),
        questions=st.integers(0, 2**53),
        cancels=False,
        answers_have_lists=False,
        bodies=HUB_BODIES,
    ),
    Case(
        "signalr.msgpack",
        SignalR(),
        lambda: SignalRClient("lobby", protocol="messagepack"),
        hello=Hello(path="/signalr/lobby", address="lobby"),
        alias="lobby",
        refs=st.text(min_size=1, max_size=16).filter(lambda ref: ref[0] != "~"),
        questions=st.integers(0, 2**53),
        cancels=False,
        answers_have_lists=False,
        bodies=HUB_BODIES,
    ),
    Case(
        "socketio",
        SocketIO(home="chat:lobby", connect_timeout=15.0),
        SocketIoClient,
        hello=Hello(path="/socket.io/"),
        alias="/",
        refs=st.integers(0, 2**53 - 1),
        aliases=st.text(
            st.characters(exclude_characters=",", exclude_categories=["Cs"]),
            min_size=1,
            max_size=30,
        ).map(lambda name: f"/{name}"),
        is_terse=True,
        joins=True,
        bodies=Bodies(
            lambda hello, body: unpack(body) if body else (),
            lambda hello, payloads: packed(payloads)[0],
            {
                Carrier.POLL: [POLLS, {**POLLS, "sid": "s.t"}],
                Carrier.POST: [{**POLLS, "sid": "s.t"}],
            },
        ),
    ),
    Case(
        "phoenix",
        Phoenix(timeout=15.0),
        PhoenixClient,
        hello=Hello(path="/socket/websocket"),
        refs=st.text(min_size=1, max_size=16).filter(lambda ref: not ref.strip("-").isdigit()),
        aliases=st.text(min_size=1, max_size=30),
        joins=True,
        arrives=payload_of,
        ends_say_why=False,
        bodies=Bodies(
            strings_of,
            lines_of,
            {
                Carrier.POLL: [{"vsn": "2.0.0"}, TOPICS],
                Carrier.POST: [TOPICS],
            },
            is_text=True,
        ),
    ),
    Case(
        "actioncable",
        ActionCable(ping=15.0),
        ActionCableClient,
        hello=Hello(path="/cable"),
        alias='{"channel":"chat:lobby"}',
        has_lists=False,
        aliases=st.text(min_size=1, max_size=30).map(
            lambda name: json.dumps({"room": 1, "channel": name})
        ),
        is_silent=True,
        joins=True,
    ),
    Case(
        "odd",
        Odd(),
        lambda: OddClient("lobby"),
        hello=Hello(path="/odd/lobby", address="lobby"),
        alias="lobby",
        has_lists=False,
        bodies=Bodies(
            odd.heard,
            odd.written,
            {Carrier.POST: [ODDS], Carrier.POLL: [{}, ODDS], Carrier.STREAM: [{}, ODDS]},
        ),
    ),
    Case(
        "lines",
        Lines(),
        LinesClient,
        bodies=Bodies(
            lambda hello, body: (),
            lambda hello, payloads: b"\n".join(payload.data for payload in payloads),
            {Carrier.POST: [{"session": "s", "key": "k"}]},
        ),
    ),
    Case("cursor", Cursor(), CursorClient),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_wire_keeps_its_contract(check: Callable[[Case], object], case: Case) -> None:
    check(case)


def test_codecs_that_write_different_bytes_have_different_names() -> None:
    codecs_that_write_different_bytes_have_different_names(CASES)
