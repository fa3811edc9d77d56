"""Tests of anywire.servers.carry: every host's exchange is one that a carrier can use."""

import pytest

from anywire.servers.asgiexchange import AsgiExchange
from anywire.servers.carry import Exchange, Served
from anywire.servers.exchange import HttpExchange
from anywire.servers.neighbours.request import BroughtRequest


def _static(one: HttpExchange, two: AsgiExchange, three: BroughtRequest) -> list[Exchange]:
    return [one, two, three]  # what mypy checks


def _served(one: HttpExchange, two: AsgiExchange) -> list[Served]:
    return [one, two]


@pytest.mark.parametrize("kind", [HttpExchange, AsgiExchange, BroughtRequest])
def test_an_exchange_has_all_that_a_carrier_uses(kind: type) -> None:
    wanted = {name for name in vars(Exchange) if not name.startswith("_")}
    assert wanted >= {"read", "respond", "drained", "gone", "keep", "is_full"}
    assert wanted <= set(dir(kind))


@pytest.mark.parametrize("kind", [HttpExchange, AsgiExchange])
def test_a_host_tells_what_else_it_knows_of_a_request(kind: type) -> None:
    wanted = {name for name in vars(Served) if not name.startswith("_")}
    assert wanted >= {"remote", "is_secure", "greet"}
    assert wanted <= set(dir(kind))
