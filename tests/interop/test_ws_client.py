"""The `ws` library's client against our server, over real sockets (RFC 6455, RFC 7692).

The app echoes. ws reads what we write and judges it; what ws would not write is written past it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from anywire.limits import Deflate
from tests.interop import ours
from tests.interop.cases import (
    CLOSES,
    EDGES,
    FAULTS,
    LARGEST,
    OURS,
    PROBES,
    TALK,
    TERMS,
    Fault,
    Terms,
    content,
)
from tests.interop.ours import Ours
from tests.interop.peer import End, Peer, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Peer]:
    async with running("ws", "client") as node:
        yield node


class Echo:
    """Our server, as ws connects to it."""

    def __init__(self, node: Peer, ours: Ours) -> None:
        self.left = ours.left
        self._node = node
        self._url = ours.url

    def open(
        self,
        *,
        path: str = "/echo",
        subprotocols: tuple[str, ...] = (),
        deflate: object = False,
        **options: object,
    ) -> End:
        """Connect ws; `deflate`: its options of permessage-deflate."""
        return self._node.open(
            url=f"{self._url}{path}",
            subprotocols=subprotocols,
            options={"perMessageDeflate": deflate, **options},
        )

    async def opened(self, *, deflate: object = False) -> End:
        """Connect ws, and wait until it is."""
        end = self.open(deflate=deflate)
        told = await end.hears("open")
        assert bool(told.extensions) is (deflate is not False)
        return end


@asynccontextmanager
async def serving(node: Peer, **options: Any) -> AsyncIterator[Echo]:
    async with ours.serving(**options) as ours_runs:
        yield Echo(node, ours_runs)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(node: Peer) -> AsyncIterator[Echo]:
    """A server that compresses nothing."""
    async with serving(node) as echo:
        yield echo


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def packing(node: Peer) -> AsyncIterator[Echo]:
    """A server with our default of permessage-deflate."""
    async with serving(node, deflate=Deflate()) as echo:
        yield echo


# --- RFC 6455 -----------------------------------------------------------------------------------


async def test_a_subprotocol_is_the_clients_first_that_we_know(node: Peer) -> None:
    async with serving(node, subprotocols=("b.1", "a.1")) as echo:
        for offered, chosen in ((("a.1", "b.1"), "a.1"), (("x", "b.1"), "b.1"), ((), "")):
            end = echo.open(subprotocols=offered)
            assert (await end.hears("open")).protocol == chosen
            end.close()
            await end.is_closed(1005)


async def test_no_subprotocol_is_named_where_none_is_known_or_the_request_is_refused(
    node: Peer,
) -> None:
    async with serving(node, subprotocols=("a.1",)) as echo:
        told = await echo.open(subprotocols=("x",)).hears("close")
        assert told.error == "Server sent no subprotocol"
    async with serving(node, subprotocols=("a.1",), required=True) as echo:
        assert (await echo.open(subprotocols=("x",)).hears("refused")).status == 400


async def test_a_request_that_cannot_be_met_is_answered_with_its_status(plain: Echo) -> None:
    assert (await plain.open(path="/nowhere").hears("refused")).status == 404
    assert (await plain.open(origin="https://evil.example").hears("refused")).status == 403
    told = await plain.open(protocolVersion=8).hears("refused")
    assert (told.status, told.headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
async def test_messages_of_any_length_come_back(plain: Echo, is_text: bool) -> None:
    end = await plain.opened()
    for size in EDGES:
        message = content(size, is_text=is_text)
        end.send(message)
        await end.hears_message(message)
    end.close(1000)
    await end.is_closed(1000)


async def test_fragments_are_joined_and_a_ping_between_them_is_answered(plain: Echo) -> None:
    end = await plain.opened()
    for whole in ("grüße, γειά, 👋", b"\x00\xff\xfe"):
        data = whole.encode() if isinstance(whole, str) else whole
        pieces = [data[at : at + 1] for at in range(len(data))]
        for number, piece in enumerate([*pieces, b""]):
            end.order(
                "send", data=piece, binary=isinstance(whole, bytes), fin=number == len(pieces)
            )
            if number == 1:
                end.order("ping", data=b"between")
                assert (await end.hears("pong")).data == b"between"
        await end.hears_message(whole)
    end.close(1000)
    await end.is_closed(1000)


@pytest.mark.parametrize("payload", PROBES, ids=["empty", "bytes", "125"])
async def test_a_ping_comes_back_as_pong_and_a_pong_does_not(plain: Echo, payload: bytes) -> None:
    end = await plain.opened()
    end.order("pong", data=payload)
    end.order("ping", data=payload)
    assert (await end.hears("pong")).data == payload
    end.send("still here")
    await end.hears_message("still here")
    end.close()
    await end.is_closed(1005)


async def test_our_own_ping_is_one_to_ws_and_its_pong_is_taken(node: Peer) -> None:
    async with serving(node, beat=0.02) as echo:
        end = await echo.opened()
        assert (await end.hears("ping")).data == b""
        end.send("still here")
        await end.hears_message("still here")
        end.close(1000)
        await end.is_closed(1000)


@pytest.mark.parametrize(("code", "reason"), [*CLOSES, (None, "")])
async def test_a_close_by_ws_is_answered_with_its_code(
    plain: Echo, code: int | None, reason: str
) -> None:
    end = await plain.opened()
    end.send("hello")
    await end.hears_message("hello")
    end.close(code, reason)
    told = await end.is_closed(code or 1005)
    assert told.reason == ""
    left = plain.left[-1]
    assert (left.code, left.text) == (code or 1005, reason)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_by_us_is_read_with_its_reason(plain: Echo, code: int, reason: str) -> None:
    end = plain.open(path="/closing")
    await end.hears("open")
    end.send(f"{code} {reason}")
    assert (await end.is_closed(code)).reason == reason


async def test_a_client_that_is_cut_off_has_left_with_1006(node: Peer) -> None:
    async with serving(node) as echo:
        end = await echo.opened()
        end.send("hello")
        await end.hears_message("hello")
        end.order("terminate")
        await end.is_closed(1006)
    assert [left.code for left in echo.left] == [1006]


async def test_a_server_that_stops_says_1001(node: Peer) -> None:
    async with serving(node) as echo:
        end = await echo.opened()
        end.send("hello")
        await end.hears_message("hello")
    await end.is_closed(1001)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_a_broken_rule_is_answered_with_its_close_code(
    plain: Echo, packing: Echo, fault: Fault
) -> None:
    end = await packing.opened(deflate={}) if fault.deflate else await plain.opened()
    end.write(*fault.sent(by_client=True))
    assert (await end.is_closed(fault.code)).reason


async def test_a_message_of_the_limit_is_taken_and_a_larger_one_refused_while_it_comes(
    plain: Echo,
) -> None:
    end = await plain.opened()
    end.send(bytes(LARGEST))
    await end.hears_message(bytes(LARGEST))
    # Refused by its header, with megabytes on their way: they must not take the close frame along.
    end.send(bytes(4 * LARGEST))
    await end.is_closed(1009)


# --- RFC 7692 -----------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(node: Peer) -> AsyncIterator[dict[Deflate, Echo]]:
    """A server for each of our sets of options."""
    async with AsyncExitStack() as stack:
        yield {ours: await stack.enter_async_context(serving(node, deflate=ours)) for ours in OURS}


def answered(terms: Terms) -> set[str]:
    """What our server has to answer to the offer (7.1); nothing where it cannot meet it."""
    ours, asked = terms.ours, terms.ws
    server, client = asked.get("serverMaxWindowBits"), asked.get("clientMaxWindowBits", True)
    if server == 8:
        return set()
    answer = {"permessage-deflate"}
    if "serverNoContextTakeover" in asked or not ours.keep_server:
        answer.add("server_no_context_takeover")
    if "clientNoContextTakeover" in asked or not ours.keep_client:
        answer.add("client_no_context_takeover")
    if server is not None or ours.server_bits < 15:
        answer.add(f"server_max_window_bits={min(server or 15, ours.server_bits)}")
    bits = min(15 if client is True else client or 15, ours.client_bits)
    if client is not False and 9 <= bits < 15:
        answer.add(f"client_max_window_bits={bits}")
    return answer


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: terms.id)
async def test_any_terms_that_ws_offers_are_met_and_kept_both_ways(
    servers: dict[Deflate, Echo], terms: Terms
) -> None:
    end = servers[terms.ours].open(deflate={"threshold": 0, **terms.ws})
    extensions = (await end.hears("open")).extensions
    expected = answered(terms)
    assert {part for part in extensions.split("; ") if part} == expected
    read = [0]
    for message in TALK:
        end.send(message)
        read.append((await end.hears_message(message)).read)
    costs = [after - before for before, after in pairwise(read[1:])]
    assert (costs[0] < 256) is bool(expected)  # 256 bytes are compressed, 255 are not
    assert (costs[2] < 5000) is bool(expected)
    is_kept = bool(expected) and "server_no_context_takeover" not in expected
    assert (costs[3] < costs[2]) is is_kept
    end.send("x" * 3000, fin=False)
    end.order("ping", data=b"between")
    assert (await end.hears("pong")).data == b"between"
    end.send("y" * 3000, fin=False)
    end.send("")
    await end.hears_message("x" * 3000 + "y" * 3000)
    end.close(1000)
    await end.is_closed(1000)


async def test_an_offer_with_a_wrong_parameter_is_declined_and_the_talk_goes_on_plain(
    packing: Echo,
) -> None:
    # ws writes `server_max_window_bits` without a value, which an offer may not have (7.1.2.1).
    end = packing.open(deflate={"serverMaxWindowBits": True})
    assert (await end.hears("open")).extensions == ""
    end.send("x" * 5000)
    assert (await end.hears_message("x" * 5000)).read > 5000
    end.close()
    await end.is_closed(1005)


@pytest.mark.parametrize("keeps", [False, True], ids=["alone", "kept"])
@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "split"])
async def test_a_bomb_of_ws_is_1009(node: Peer, keeps: bool, is_split: bool) -> None:
    async with serving(node, deflate=Deflate(keep_client=keeps)) as echo:
        end = await echo.opened(deflate={"threshold": 0})
        end.send(bytes(LARGEST))
        await end.hears_message(bytes(LARGEST))
        if is_split:
            end.send(bytes(LARGEST), fin=False)
            end.send(bytes(LARGEST))
        else:
            end.send(bytes(8 * LARGEST))
        await end.is_closed(1009)
