"""Who says what to whom: clients of every wire in one room, for each pair of wires.

On both sides of each pair is its system's own client. What is heard must be what the tables here
say, which are those of docs/reference/conformance.md.
"""

import json
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from anywire import Anywire
from tests.docs.pages import ROOT
from tests.e2e.processes import HERE, Processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]
WIRES = ["anywire", "raw", "socketio", "sockjs", "signalr", "phoenix", "actioncable"]
PAGE = (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")

TEXT = "héllo 👋"
OBJECT = {"a": 1, "b": ["x", None]}
LIST = ["one", 2, {"three": 3}]
BYTES = {"bytes": [0, 1, 255]}
BASE64 = "AAH/"
THINGS: dict[str, list[Any]] = {
    "text": [TEXT],
    "object": [OBJECT],
    "list": LIST,
    "binary": [BYTES],
}
NAMELESS = ("raw", "sockjs", "actioncable")
"""Wires on which the event `message` has no name."""
POSITIONAL = ("socketio", "signalr")
"""Wires that carry a list of arguments; on all others several are one list."""
WITH_BYTES = ("socketio", "signalr")
"""Wires that carry bytes wherever they stand (SignalR: in MessagePack)."""
WHOLE_BYTES = {"raw": "message", "phoenix": None}
"""Wires that carry bytes where they are all of an event: of this one, or of any."""


def said(wire: str, kind: str) -> tuple[str, list[Any]]:
    """The event and its arguments that the app hears when a client of this wire says this."""
    values = THINGS[kind]
    if wire in POSITIONAL:
        return "said", values
    has_bytes = kind == "binary" and wire in WHOLE_BYTES
    value = values[0] if len(values) == 1 else values
    if kind == "binary" and not has_bytes:
        value = BASE64
    if wire == "actioncable" and kind != "object":
        value = {"value": value}  # what its client performs an action with is an object
    is_bare = wire in ("raw", "sockjs") and kind in ("text", "binary")
    return "message" if is_bare else "said", [value]


def heard(wire: str, event: str, values: list[Any]) -> list[Any]:
    """What a client of this wire hears of it."""
    if wire not in POSITIONAL and len(values) > 1:
        values = [values]
    if values == [BYTES] and wire not in WITH_BYTES and not _is_whole(wire, event):
        values = [BASE64]
    return [event, *values]


def _is_whole(wire: str, event: str) -> bool:
    return wire in WHOLE_BYTES and WHOLE_BYTES[wire] in (None, event)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> AsyncIterator[dict[str, Any]]:
    processes = Processes()
    try:
        server = await processes.anywire("server", "serve", HERE / "matrix/app.py:app", "--port", 0)
        url = (await server.line("Listening on http://")).split()[2]
        clients = await processes.node("clients", "matrix/run.mjs", url, *WIRES)
        found: dict[str, Any] = json.loads(await clients.line('{"heard"', timeout=90.0))
        yield found
    finally:
        await processes.end()


async def test_the_matrix_has_every_wire() -> None:
    assert set(WIRES) == {wire.name for wire in Anywire().wires}


@pytest.mark.parametrize(("speaker", "listener"), list(product(WIRES, WIRES)))
async def test_what_one_says_the_other_hears(
    speaker: str, listener: str, told: dict[str, Any]
) -> None:
    for kind in THINGS:
        expected = heard(listener, *said(speaker, kind))
        assert told["heard"][speaker][kind][listener] == [expected], kind
    name = f"speaker-{speaker}"
    assert name in told["seen"][listener]["came"]
    assert name in told["seen"][listener]["went"]


@pytest.mark.parametrize("wire", WIRES)
async def test_each_wire_has_its_words_for_answers_refusals_and_streams(
    wire: str, told: dict[str, Any]
) -> None:
    powers = told["powers"][wire]
    assert powers["reply"] == (None if wire in NAMELESS else 42)
    assert powers["refusal"] == ["full", "nobody fits in"]
    assert powers["stream"] == [0, 1, 2]
    assert powers["refused join"] == {
        "raw": [4403, "not for you"],
        "sockjs": [4403, "not for you"],
        "actioncable": "rejected",
    }.get(wire, ["staff_only", "not for you"])


async def test_the_page_of_conformance_prints_the_matrix() -> None:
    assert table() in PAGE, f"docs/reference/conformance.md is to have:\n{table()}"


def table() -> str:
    """For each pair, how text, an object, a list of arguments and bytes arrive."""
    lines = [f"| says, hears | {' | '.join(WIRES)} |", "|---" * (len(WIRES) + 1) + "|"]
    for speaker in WIRES:
        cells = [" ".join(shown(speaker, listener, kind) for kind in THINGS) for listener in WIRES]
        lines.append(f"| **{speaker}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(speaker: str, listener: str, kind: str) -> str:
    """One word for what is heard."""
    _, *values = heard(listener, *said(speaker, kind))
    if kind == "list" and len(values) > 1:
        return "args"
    value = (
        values[0]["value"] if isinstance(values[0], dict) and "value" in values[0] else values[0]
    )
    if kind == "list":
        return "list"
    return "base64" if value == BASE64 else "bytes" if value == BYTES else kind
