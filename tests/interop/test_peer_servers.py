"""Our Python socket and `anywire talk` against servers of `ws`, `websockets`, aiohttp and
gorilla/websocket, over real sockets: one list of cases for all of them. test_ws_server.py goes
further, with `ws` alone.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from anywire.client import Socket, open_socket
from anywire.errors import Closed
from tests.cli.commands import run
from tests.interop.cases import CLOSES, EDGES, PROBES, TALK, content
from tests.interop.peer import LIBRARIES, TIMEOUT, End, Peer, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=LIBRARIES)
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    async with running(request.param, "server") as peer:
        yield peer


async def listening(
    peer: Peer, *, subprotocols: tuple[str, ...] = (), deflate: bool = False
) -> tuple[str, End]:
    """The URL of a new server of this library that echoes, and its end of our connection."""
    end = peer.open(
        subprotocols=subprotocols,
        protocol=next(iter(subprotocols), False),
        deflate=deflate,
        options={"perMessageDeflate": {} if deflate else False},
        echo=True,
    )
    port = (await end.hears("listening")).port
    return f"ws://127.0.0.1:{port}/{end.name}", end


def dial(url: str, **options: Any) -> Socket:
    """Our socket, which ends with its first connection and asks for no sign of life."""
    return open_socket(url, reconnect=False, heartbeat=None, **{"compress": False, **options})


async def heard(socket: Socket) -> Any:
    return await socket.receive(timeout=TIMEOUT)


async def ended(socket: Socket) -> Closed:
    """The end, which is the next thing that happens."""
    with pytest.raises(Closed) as closed:
        await heard(socket)
    return closed.value


async def test_a_subprotocol_is_offered_and_the_choice_is_taken(peer: Peer) -> None:
    for known, offered, chosen in (
        (("b.1",), ("a.1", "b.1"), "b.1"),
        ((), (), None),
    ):
        url, end = await listening(peer, subprotocols=known)
        async with dial(url, subprotocols=offered) as socket:
            assert (await end.hears("open")).protocol == (chosen or "")
            assert socket.subprotocol == chosen
        await end.is_closed(1000)


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
async def test_messages_of_any_length_go_there_and_back(peer: Peer, is_text: bool) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        for size in EDGES:
            message = content(size, is_text=is_text)
            assert await socket.send(message)
            await end.hears_message(message)
            assert await heard(socket) == message
    await end.is_closed(1000)


async def test_their_fragments_are_joined_and_a_ping_between_them_is_answered(peer: Peer) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        for piece, whole in (("grüße, ", "grüße, " * 900), (b"\x00\xff", b"\x00\xff" * 900)):
            for number in range(900):
                end.send(piece, fin=number == 899)
                if number == 450:
                    end.order("ping", data=b"between")
            assert (await end.hears("pong")).data == b"between"
            assert await heard(socket) == whole
    await end.is_closed(1000)


@pytest.mark.parametrize("payload", PROBES, ids=["empty", "bytes", "125"])
async def test_pings_go_both_ways_and_are_answered(peer: Peer, payload: bytes) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        end.order("pong", data=payload)
        end.order("ping", data=payload)
        assert (await end.hears("pong")).data == payload
        assert await socket.ping(timeout=TIMEOUT) >= 0.0
        await end.hears("ping")
    await end.is_closed(1000)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_of_ours_is_read_with_its_reason(peer: Peer, code: int, reason: str) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        await socket.close(code, reason)
        told = await end.is_closed(code)
        assert told.reason == reason
        # aiohttp answers every close with 1000.
        assert socket.close_code == (1000 if peer.library == "aiohttp" else code)
        assert socket.was_clean


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_of_theirs_is_told_with_its_reason_and_answered_with_its_code(
    peer: Peer, code: int, reason: str
) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        end.close(code, reason)
        closed = await ended(socket)
        assert (closed.code, socket.close_reason, socket.was_clean) == (code, reason, True)
    await end.is_closed(code)


async def test_a_server_that_is_cut_off_is_1006(peer: Peer) -> None:
    url, end = await listening(peer)
    async with dial(url) as socket:
        await end.hears("open")
        end.order("terminate")
        assert (await ended(socket)).code == 1006
        assert not socket.was_clean


async def test_compression_is_agreed_and_everything_goes_there_and_back(peer: Peer) -> None:
    url, end = await listening(peer, deflate=True)
    async with dial(url, compress=True) as socket:
        assert (await end.hears("open")).extensions.startswith("permessage-deflate")
        assert socket.extensions.startswith("permessage-deflate")
        for message in (*TALK, *TALK):
            assert await socket.send(message)
            await end.hears_message(message)
            assert await heard(socket) == message
        for number in range(50):
            end.send("again " * 20, fin=number == 49)
        assert await heard(socket) == "again " * 1000
    await end.is_closed(1000)


# --- anywire talk -------------------------------------------------------------------------------


async def test_talk_says_text_pings_and_closes_with_a_code_and_a_reason(peer: Peer) -> None:
    url, end = await listening(peer)
    lines = ["grüße", "again " * 100, "/ping between", "/close 4001 done"]
    talking = asyncio.create_task(run("talk", url, "--slash", "-P", stdin="\n".join([*lines, ""])))
    await end.hears("open")
    # Some libraries tell of a ping before the messages that came ahead of it.
    heard = {"ping": b"", "message": b""}
    while (told := await end.told.get()).event != "close":
        heard[told.event] += told.data
    assert heard == {"ping": b"between", "message": "".join(lines[:2]).encode()}
    assert (told.code, told.reason, told.error) == (4001, "done", "")
    talked = await talking
    assert talked.code == 0, talked
    assert "between" in talked.out, talked


async def test_talk_shows_what_a_server_says_and_its_close(peer: Peer) -> None:
    url, end = await listening(peer, subprotocols=("b.1",), deflate=True)
    options = ("-s", "b.1", "-w", "-1", "-P")
    talking = asyncio.create_task(run("talk", url, *options, "-x", "grüße", "-x", "again " * 100))
    told = await end.hears("open")
    assert (told.protocol, told.extensions[:18]) == ("b.1", "permessage-deflate")
    for line in ("grüße", "again " * 100):
        await end.hears_message(line)
    end.send(b"\x00\xff")
    end.order("ping", data=b"are you there")
    assert (await end.hears("pong")).data == b"are you there"
    end.close(4002, "enough")
    await end.is_closed(4002)
    talked = await talking
    for line in ("grüße", "again " * 100, "are you there"):
        assert line in talked.out, talked
