"""The public API as an application writes it: never run, checked by mypy --strict (`make types`).

A line that must not type-check says so by the ignore it needs: mypy reports one that is not needed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, assert_type

from msgspec import Struct

from anywire import (
    Anywire,
    CallFailed,
    Channel,
    Closed,
    Hello,
    Later,
    Left,
    Limits,
    Member,
    Needs,
    Own,
    Policy,
    Position,
    Raw,
    Refused,
    Room,
    User,
)
from anywire.client import Client, Socket, connect, open_socket
from anywire.testing import Clock, TestClient, TestMember
from anywire.testing import connect as connect_in_memory

app = Anywire(
    wires=[
        "anywire",
        Raw("/raw/{address}", subprotocols=["graphql-ws"]),
        Own("/plain", home="desk"),
    ],
    limits=Limits(message=1 << 20, resume=30.0),
    origins=["https://example.org"],
)
assert_type(app.channel("chat:{room}"), Channel)
chat = app.channel("chat", history=100, presence=lambda member: member.user.id)
desk = app.channel("desk", policy=Policy.DROP_OLDEST, parallel=4, personal=True)

app.channel(5)  # type: ignore[arg-type]
app.channel("late", histroy=5)  # type: ignore[call-arg]
Anywire(Limits())  # type: ignore[call-arg, arg-type]
Limits(message="large")  # type: ignore[arg-type]


class Order(Struct):
    symbol: str
    amount: int = 1


@dataclass
class Quote:
    symbol: str
    price: float


class Database:
    async def save(self, text: str) -> None: ...


async def database() -> AsyncIterator[Database]:
    yield Database()


Db = Annotated[Database, Needs(database)]


@app.authenticate
async def who(hello: Hello) -> User | None:
    assert_type(hello.query.get("name"), str | None)
    return User(hello.query["name"], claims={"staff": True}) if "name" in hello.query else None


@chat.join
async def join(member: Member) -> dict[str, str]:
    await member.track(status="online")
    assert_type(member.room, Room)
    return {"welcome": member.user.id}


@chat.on("say")
async def say(member: Member, text: str, db: Db, times: int = 1) -> int:
    await db.save(text)
    position = await member.room.publish("said", {"text": text * times}, but=member, id="once")
    assert_type(position, Position | None)
    return position.offset if position else 0


@chat.on("buy", parallel=8)
async def buy(member: Member, order: Order) -> Quote:
    quote = Quote(order.symbol, 1.0)
    confirmed: bool = await member.call("confirm", quote, returns=bool, timeout=10)
    if not confirmed:
        raise Refused("declined", "not today", data={"price": quote.price})
    await member.send("bought", order)
    return quote


@chat.on("ticks")
async def ticks(symbol: str) -> AsyncIterator[Quote]:
    yield Quote(symbol, 1.0)


@chat.on("bulk")
async def bulk(orders: AsyncIterator[Order]) -> int:
    return sum([order.amount async for order in orders])


@chat.on("later")
async def later(later: Later) -> None:
    later.answer({"status": "ok"})


@chat.message
async def message(data: str | bytes) -> str | bytes:
    return data


@chat.any
async def other(member: Member, event: str, *args: object) -> None:
    room = await member.enter("engineering")
    assert_type(room, Room)
    await member.exit("engineering")
    await member.leave("done")
    await member.close(4500, "bye", retry=1.0)


@chat.leave
async def leave(member: Member, why: Left) -> None:
    assert_type(why.clean, bool)


# A decorator gives back what it was given: handlers stay functions that can be called.
async def handlers_are_functions(member: Member) -> None:
    assert_type(await buy(member, Order("ACME")), Quote)
    await buy(member, "ACME")  # type: ignore[arg-type]
    await member.room.publish("said", but="everybody")  # type: ignore[arg-type]


async def a_client() -> None:
    client = connect("ws://127.0.0.1/ws", token="secret", format="msgpack")
    assert_type(client, Client)
    async with client:
        channel = client.channel("chat", recover=True)
        await channel.join()
        assert_type(await channel.send("typing", True, volatile=True), bool)
        assert_type(await channel.call("buy", symbol="ACME", returns=Quote, timeout=2.0), Quote)
        answer: Any = await channel.call("say", text="hi")
        async for event in channel:
            assert_type(event.name, str)
        try:
            await channel.next("said", timeout=5)
        except (CallFailed, Closed) as error:
            assert_type(error.code, str | int)
        del answer
    connect("ws://127.0.0.1/ws", format="xml")  # type: ignore[arg-type]


async def a_test(clock: Clock) -> None:
    async with connect_in_memory(app, user="ana", wire="raw") as client:
        assert_type(client, TestClient)
        member = await client.join("chat")
        assert_type(member, TestMember)
        await member.call("bulk", uploads=[[Order("ACME")], ticks("ACME")])
        await clock.elapse(60)


async def a_socket() -> None:
    async with open_socket("ws://127.0.0.1/", subprotocols=["chat"], when_full="wait") as socket:
        assert_type(socket, Socket)
        assert_type(await socket.send("hi"), bool)
        assert_type(await socket.ping(timeout=1), float)
        assert_type(socket.subprotocol, str | None)
        assert_type(socket.close_code, int | None)
        async for message in socket:
            del message
    open_socket("ws://127.0.0.1/", heartbeat="pong")  # type: ignore[arg-type]
