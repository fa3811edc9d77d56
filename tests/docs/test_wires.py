"""The page of conformance says of each wire by what it travels."""

from anywire import Anywire
from anywire.payload import Carrier
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")
TABLE = PAGE.split("<!-- carriers: begin")[1].split("-->\n", 1)[1].split("<!-- carriers: end")[0]
COLUMNS = (Carrier.WEBSOCKET, Carrier.EVENTS, Carrier.STREAM, Carrier.POLL)
ASKED_BY_A_HEADER = {"signalr": {Carrier.EVENTS}}
"""Carriers that have no route of their own."""


def test_the_page_of_conformance_says_what_carries_each() -> None:
    for wire in Anywire().wires:
        routes = {route.carrier for route in wire.routes()}
        carriers = routes | ASKED_BY_A_HEADER.get(wire.name, set())
        cells = ["yes" if carrier in carriers else "—" for carrier in COLUMNS]
        assert f"| {wire.name} | {' | '.join(cells)} |" in TABLE
