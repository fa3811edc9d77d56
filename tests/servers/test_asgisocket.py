"""The WebSocket of an ASGI host: what every transport does, then what only this one does."""

import pytest

from anywire.limits import Limits
from anywire.payload import UNFRAMED
from tests.contracts.transport import CHECKS, Check
from tests.servers.asgihost import socket_pair


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_contract(check: Check) -> None:
    async with socket_pair() as pair:
        await check(pair)


async def test_it_has_no_probe_and_no_frames_of_its_own() -> None:
    async with socket_pair() as pair:
        assert not pair.transport.beat()
        assert pair.transport.framing is UNFRAMED
        pair.transport.write([])


@pytest.mark.parametrize("message", ["é" * 6, b"x" * 11])
async def test_a_message_over_the_limit_closes_with_1009(message: str | bytes) -> None:
    async with socket_pair(Limits(message=10, closing=0.2)) as pair:
        await pair.peer.send("é" * 5)
        await pair.peer.send(message)
        code, reason = await pair.peer.closed()
        assert (code, reason) == (1009, "a message has at most 10 bytes")
        assert pair.sink.messages == ["é" * 5]
        assert pair.sink.ends == [(1009, reason, False)]


@pytest.mark.parametrize(("code", "told"), [(1006, 1011), (42, 1011), (4999, 4999)])
async def test_a_code_that_may_not_be_sent_is_replaced(code: int, told: int) -> None:
    async with socket_pair() as pair:
        pair.transport.close(code, "é" * 100)
        assert await pair.peer.closed() == (told, "é" * 61)
