"""The shared suite, over our wires and over two that nobody of ours designed."""

from collections.abc import Callable

import pytest

from anywire.wires.anywire import Own, OwnClient, PlainClient
from anywire.wires.base import Hello
from anywire.wires.raw import Raw, RawClient
from tests.contracts.wire import (
    CHECKS,
    Case,
    codecs_that_write_different_bytes_have_different_names,
)
from tests.wires.strangers.cursor import Cursor, CursorClient
from tests.wires.strangers.lines import Lines, LinesClient

CASES = [
    Case("json", Own(), lambda: OwnClient("anywire.json.1")),
    Case("msgpack", Own(), lambda: OwnClient("anywire.msgpack.1")),
    Case(
        "plain", Own(home="chat:lobby"), lambda: PlainClient("chat:lobby", beat=9), has_lists=False
    ),
    Case(
        "raw",
        Raw(),
        lambda: RawClient("lobby"),
        hello=Hello(path="/raw/lobby", address="lobby"),
        alias="lobby",
        has_lists=False,
    ),
    Case("lines", Lines(), LinesClient),
    Case("cursor", Cursor(), CursorClient),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_wire_keeps_its_contract(check: Callable[[Case], object], case: Case) -> None:
    check(case)


def test_codecs_that_write_different_bytes_have_different_names() -> None:
    codecs_that_write_different_bytes_have_different_names(CASES)
