"""Clients of `ws`, `websockets`, aiohttp and gorilla/websocket against our server, over real
sockets: one list of cases for all of them. test_ws_client.py goes further, with `ws` alone.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from anywire.limits import Deflate
from tests.interop.cases import CLOSES, EDGES, PROBES, TALK, content
from tests.interop.ours import Ours, serving
from tests.interop.peer import LIBRARIES, End, Peer, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=LIBRARIES)
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    async with running(request.param, "client") as peer:
        yield peer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain() -> AsyncIterator[Ours]:
    async with serving(subprotocols=("b.1", "a.1")) as ours:
        yield ours


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[Deflate(), Deflate(keep_server=True, keep_client=True)],
    ids=["alone", "kept"],
)
async def packing(request: pytest.FixtureRequest) -> AsyncIterator[Ours]:
    async with serving(deflate=request.param) as ours:
        yield ours


def dial(peer: Peer, url: str, *, subprotocols: tuple[str, ...] = (), deflate: bool = False) -> End:
    return peer.open(
        url=url,
        subprotocols=subprotocols,
        deflate=deflate,
        options={"perMessageDeflate": {} if deflate else False},
        echo=False,
    )


async def dialed(peer: Peer, ours: Ours, path: str = "/echo") -> End:
    """A connection of this library, open."""
    end = dial(peer, ours.url + path)
    assert (await end.hears("open")).extensions == ""
    return end


async def test_the_first_subprotocol_that_we_know_is_agreed(peer: Peer, plain: Ours) -> None:
    for offered, chosen in ((("a.1", "b.1"), "a.1"), (("x", "b.1"), "b.1"), ((), "")):
        end = dial(peer, f"{plain.url}/echo", subprotocols=offered)
        assert (await end.hears("open")).protocol == chosen
        end.close(1000)
        await end.is_closed(1000)


async def test_a_path_that_is_nobodys_is_refused_with_404(peer: Peer, plain: Ours) -> None:
    assert (await dial(peer, f"{plain.url}/nowhere").hears("refused")).status == 404


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
async def test_messages_of_any_length_come_back(peer: Peer, plain: Ours, is_text: bool) -> None:
    end = await dialed(peer, plain)
    for size in EDGES:
        message = content(size, is_text=is_text)
        end.send(message)
        await end.hears_message(message)
    end.close(1000)
    await end.is_closed(1000)


async def test_fragments_are_joined_and_a_ping_between_them_is_answered(
    peer: Peer, plain: Ours
) -> None:
    end = await dialed(peer, plain)
    for piece, whole in (("grüße, ", "grüße, " * 900), (b"\x00\xff", b"\x00\xff" * 900)):
        for number in range(900):
            end.send(piece, fin=number == 899)
            if number == 450:
                end.order("ping", data=b"between")
        assert (await end.hears("pong")).data == b"between"
        await end.hears_message(whole)
    end.close(1000)
    await end.is_closed(1000)


@pytest.mark.parametrize("payload", PROBES, ids=["empty", "bytes", "125"])
async def test_a_ping_comes_back_as_pong_and_a_pong_does_not(
    peer: Peer, plain: Ours, payload: bytes
) -> None:
    end = await dialed(peer, plain)
    end.order("pong", data=payload)
    end.order("ping", data=payload)
    assert (await end.hears("pong")).data == payload
    end.send("still here")
    await end.hears_message("still here")
    end.close(1000)
    await end.is_closed(1000)


async def test_our_ping_is_heard_and_its_answer_keeps_the_connection(peer: Peer) -> None:
    async with serving(beat=0.02) as ours:
        end = await dialed(peer, ours)
        assert (await end.hears("ping")).data == b""
        end.send("still here")
        await end.hears_message("still here")
        end.close(1000)
        await end.is_closed(1000)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_of_theirs_is_read_and_answered_with_its_code(
    peer: Peer, plain: Ours, code: int, reason: str
) -> None:
    end = await dialed(peer, plain)
    end.send("hello")
    await end.hears_message("hello")
    end.close(code, reason)
    await end.is_closed(code)
    assert (plain.left[-1].code, plain.left[-1].text) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_of_ours_is_read_with_its_reason(
    peer: Peer, plain: Ours, code: int, reason: str
) -> None:
    end = await dialed(peer, plain, "/closing")
    end.send(f"{code} {reason}")
    assert (await end.is_closed(code)).reason == reason


async def test_a_client_that_is_cut_off_has_left_with_1006(peer: Peer) -> None:
    async with serving() as ours:
        end = await dialed(peer, ours)
        end.send("hello")
        await end.hears_message("hello")
        end.order("terminate")
        await end.hears("close")
    assert [left.code for left in ours.left] == [1006]


async def test_compression_is_agreed_and_everything_comes_back(peer: Peer, packing: Ours) -> None:
    end = dial(peer, f"{packing.url}/echo", deflate=True)
    assert (await end.hears("open")).extensions.startswith("permessage-deflate")
    for message in (*TALK, *TALK):
        end.send(message)
        await end.hears_message(message)
    for number in range(50):
        end.send("again " * 20, fin=number == 49)
    await end.hears_message("again " * 1000)
    end.close(1000)
    await end.is_closed(1000)
