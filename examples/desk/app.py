"""Desk: calls, streams both ways, and a question to the client before a deal.

anywire serve examples/desk/app.py:app
"""

import asyncio
from collections.abc import AsyncIterator

from msgspec import Struct

from anywire import Anywire, Member, Refused

app = Anywire()
desk = app.channel("desk")


class Order(Struct):
    """So many of something."""

    symbol: str
    amount: int


class Quote(Struct):
    """What one of it costs now."""

    symbol: str
    price: float


async def market(symbol: str) -> Quote:
    """A quote; a real app asks its market."""
    return Quote(symbol, price=float(sum(symbol.encode())))


@desk.on("price")
async def price(symbol: str) -> Quote:
    """Answer a call."""
    return await market(symbol)


@desk.on("ticks")
async def ticks(symbol: str, every: float = 1.0) -> AsyncIterator[Quote]:
    """Stream quotes until the client has enough: its cancel ends this loop."""
    while True:
        yield await market(symbol)
        await asyncio.sleep(every)


@desk.on("bulk")
async def bulk(member: Member, orders: AsyncIterator[Order]) -> int:
    """Take a stream of orders from the client."""
    return sum([order.amount async for order in orders])


@desk.on("buy")
async def buy(member: Member, order: Order) -> Quote:
    """Ask the client back before it is done, and tell the others."""
    quote = await market(order.symbol)
    if not await member.call("confirm", quote, returns=bool, timeout=10):
        raise Refused("declined", f"the client declined {quote.price} for {order.symbol}")
    await member.room.publish("bought", order, but=member)
    return quote
