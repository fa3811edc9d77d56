"""The desk example: calls, streams both ways and the question back, in memory and served."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anywire import CallFailed, Refused, Unsupported
from anywire.client import connect as dial
from anywire.testing import WIRES, connect
from examples.desk.app import Order, Quote, app
from tests.cli.commands import serving

NAMELESS = {"raw", "sockjs", "actioncable"}
ANSWERING = pytest.mark.parametrize("wire", [wire for wire in WIRES if wire not in NAMELESS])
CALLED = pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack", "socketio"])
STREAMING = pytest.mark.parametrize("wire", [wire for wire in WIRES if "anywire" in wire])
ACME = {"symbol": "ACME", "price": 278.0}


@ANSWERING
async def test_a_call_is_answered_and_checked(wire: str) -> None:
    async with connect(app, wire=wire) as client:
        desk = await client.join("desk")
        assert await desk.call("price", "ACME") == ACME
        assert await desk.call("price", symbol="ACME") == ACME
        with pytest.raises(Refused, match="invalid"):
            await desk.call("price", 5)


@STREAMING
async def test_a_stream_flows_until_the_client_has_enough(wire: str) -> None:
    async with connect(app, wire=wire) as client:
        desk = await client.join("desk")
        items = desk.stream("ticks", "ACME", 0.0)
        async with contextlib.aclosing(items):  # type: ignore[type-var]
            assert [await anext(items) for _ in range(3)] == [ACME] * 3
        await desk.silence()
        assert await desk.call("price", "ACME") == ACME


@STREAMING
async def test_a_stream_of_orders_is_added_up(wire: str) -> None:
    async def orders() -> AsyncIterator[dict[str, Any]]:
        for amount in range(50):
            yield {"symbol": "ACME", "amount": amount}

    async with connect(app, wire=wire) as client:
        desk = await client.join("desk")
        assert await desk.call("bulk", uploads=[orders()]) == 1225
        with pytest.raises(Refused, match="invalid"):
            await desk.call("bulk", uploads=[[{"symbol": "ACME", "amount": "many"}]])


@CALLED
async def test_a_deal_asks_back_and_tells_the_others(wire: str) -> None:
    asked = []

    def confirm(quote: dict[str, Any]) -> bool:
        asked.append(quote)
        return len(asked) == 1

    order: dict[str, Any] = {"symbol": "ACME", "amount": 3}
    async with connect(app, wire=wire) as ana, connect(app, wire="raw") as bo:
        a, b = await ana.join("desk"), await bo.join("desk")
        a.answer("confirm", confirm)
        assert await a.call("buy", **order) == ACME
        assert await b.next("bought") == order
        with pytest.raises(Refused, match=r"declined: the client declined 278\.0 for ACME"):
            await a.call("buy", **order)
        assert asked == [ACME, ACME]
        await a.silence()
        await b.silence()


async def test_on_raw_a_stream_is_events_and_a_question_cannot_be_asked() -> None:
    async with connect(app, wire="raw") as client:
        desk = await client.join("desk")
        await desk.push("ticks", symbol="ACME", every=0.0)
        first = await desk.next("ticks.item")
        assert first["data"] == ACME
        await desk.push("ticks.cancel", id=first["id"])
        with pytest.raises(Unsupported):
            await desk.call("price", "ACME")
        await desk.push("buy", symbol="ACME", amount=1)
        error = await desk.next("error")
        assert error["event"] == "buy"


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_a_python_client_trades_on_a_real_server(format: Any) -> None:
    async def orders() -> AsyncIterator[Order]:
        for amount in range(200):
            yield Order("ACME", amount)

    async with serving("serve", "examples/desk/app.py:app", "--port", "0") as (_, url):
        ws = f"{url.replace('http', 'ws')}/ws"
        async with dial(ws, format=format) as client, dial(ws) as other:
            desk, others = client.channel("desk"), other.channel("desk")
            await desk.join()
            await others.join()
            desk.answer("confirm", lambda quote: quote["price"] < 300)
            assert await desk.call("price", "ACME", returns=Quote) == Quote("ACME", 278.0)
            ticks = desk.stream("ticks", "ACME", 0.001, returns=Quote)
            async with contextlib.aclosing(ticks):
                assert [(await anext(ticks)).price for _ in range(3)] == [278.0] * 3
            assert await desk.call("bulk", uploads=[orders()]) == 19900
            heard = others.events()
            assert (await desk.call("buy", Order("ACME", 2), returns=Quote)).symbol == "ACME"
            bought = await anext(heard)
            await heard.aclose()
            assert (bought.name, bought.data) == ("bought", {"symbol": "ACME", "amount": 2})
            with pytest.raises((CallFailed, Refused), match="declined"):
                await desk.call("buy", Order("ZZZZ", 1))
