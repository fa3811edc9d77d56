"""The conformance app and SignalR's official client, in Node and Chromium, and a Python one."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pysignalr.client import SignalRClient
from pysignalr.exceptions import ServerError
from pysignalr.messages import CompletionMessage
from pysignalr.protocol.abstract import Protocol
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

from tests.e2e.proxy import proxied
from tests.e2e.stage import Stage, all_went_well, scenes, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.timeout(60),
    pytest.mark.asyncio(loop_scope="module"),
]
LEAST = 89
WAYS = [
    ("websockets", "json"),
    ("websockets", "messagepack"),
    ("events", "json"),
    ("polling", "json"),
    ("polling", "messagepack"),
]
"""What carries a connection, and what it speaks: an event stream has no MessagePack."""
ON_A_PAGE = [
    *[("anywire", *way) for way in WAYS],
    ("uvicorn", "websockets", "messagepack"),
    ("uvicorn", "events", "json"),
    ("uvicorn", "polling", "json"),
]
"""All ways take a page a minute and a half: before another host one of each carrier does."""
CLIENTS = int(os.environ.get("CUT_CLIENTS", "6"))
SECONDS = float(os.environ.get("CUT_SECONDS", "8"))
"""50 and 60 when it is to be known for sure."""
CUT = 2.0
"""Seconds from one cut to the next."""
PATIENCE = 30.0
"""Seconds more until every client was cut twice."""


@pytest.mark.parametrize(("carrier", "protocol"), WAYS)
async def test_the_client_does_all_scenes_in_node(
    carrier: str, protocol: str, url: str, stage: Stage
) -> None:
    found = await stage.in_node("signalr/run.mjs", url, stage.origin, carrier, protocol)
    all_went_well(found, scenes("signalr"), LEAST)


@pytest.mark.browser
@pytest.mark.parametrize(("url", "carrier", "protocol"), ON_A_PAGE, indirect=["url"])
async def test_the_client_does_all_scenes_on_a_page(
    carrier: str, protocol: str, url: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page has six connections to a host at most; each that is no WebSocket takes one or two.
    together = 2 if carrier == "websockets" else 1
    packed = "MessagePackHubProtocol: signalR.protocols.msgpack.MessagePackHubProtocol"
    how = f'carrier: "{carrier}", protocol: "{protocol}", together: {together}'
    monkeypatch.setattr(stage, "url", url)
    found = await stage.in_page("signalr", f"signalR, {packed}, {how}", parts=12)
    all_went_well(found, scenes("signalr"), LEAST)


@pytest.mark.parametrize("carrier", ["websockets", "events", "polling"])
async def test_the_client_comes_back_by_itself_when_the_server_does(
    carrier: str, stage: Stage
) -> None:
    server, url = await serve(stage.processes, stage.origin)
    client = await stage.processes.node(f"client {carrier}", "signalr/comeback.mjs", url, carrier)
    for name in ("plain", "stateful"):
        await client.line(f'{{"connected":"{name}"')
    server.signal(signal.SIGTERM)
    await server.ended()
    for name in ("plain", "stateful"):
        await client.line(f'{{"lost":"{name}"')
    await serve(stage.processes, stage.origin, port=int(url.rpartition(":")[2]))
    for name in ("plain", "stateful"):
        assert json.loads(await client.line(f'{{"back":"{name}"'))["isItself"]
    assert not any('"closed"' in line for line in client.lines)
    assert await client.finish() == 0


class Python:
    """One client of the Python package; `async with` starts and ends it."""

    def __init__(self, url: str, protocol: Protocol) -> None:
        self.client = SignalRClient(
            url.replace("http", "ws") + "/hub?user=snake",
            protocol,
            headers={"Authorization": "Bearer by header"},
            # Asked when the first connection stands: the second one shows it.
            access_token_factory=lambda: "made",
            retry_sleep=0.01,
        )
        self.errors: asyncio.Queue[str | None] = asyncio.Queue()
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Python":
        async def opened() -> None:
            self._opened.set()

        async def failed(message: CompletionMessage) -> None:
            self.errors.put_nowait(message.error)

        self.client.on_open(opened)
        self.client.on_error(failed)
        self._task = asyncio.create_task(self.client.run(), name="python client")
        await self.opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def opened(self) -> None:
        """Wait until it is connected, the first time or again."""
        async with asyncio.timeout(10):
            await self._opened.wait()
        self._opened.clear()

    async def ended(self) -> None:
        """Wait for its end; raises what it ends with."""
        assert self._task is not None
        async with asyncio.timeout(10):
            await self._task

    async def invoke(self, method: str, *args: Any) -> Any:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def answered(message: Any) -> None:
            done.set_result(message.result)

        await self.client.send(method, list(args), answered)
        async with asyncio.timeout(10):
            return await done

    async def stream(self, method: str, *args: Any) -> list[Any]:
        items: list[Any] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def came(item: Any) -> None:
            items.append(item)

        async def ended(_: Any) -> None:
            done.set_result(None)

        await self.client.stream(method, list(args), came, ended, None)
        async with asyncio.timeout(10):
            await done
        return items


@pytest.mark.parametrize("make", [JSONProtocol, MessagepackProtocol])
async def test_a_python_client_calls_streams_and_is_called(
    make: Callable[[], Protocol], url: str
) -> None:
    """It cannot cancel a stream, hear the result of an upload, or come back after a Close."""
    async with Python(url, make()) as one:
        said: asyncio.Queue[Any] = asyncio.Queue()
        sums: asyncio.Queue[Any] = asyncio.Queue()

        async def hear(args: Any) -> None:
            said.put_nowait(args)

        async def count(args: Any) -> None:
            sums.put_nowait(args)

        async def question(args: Any) -> Any:
            return args[0] * 2

        one.client.on("Said", hear)
        one.client.on("Sum", count)
        one.client.on("Question", question)
        assert await one.invoke("Add", 1, 2) == 3
        assert await one.invoke("Echo", {"a": [1, "ü", None]}) == {"a": [1, "ü", None]}
        assert await one.invoke("Query", "user") == "snake"
        assert await one.invoke("AccessToken") == "by header"
        assert await one.stream("Counter", 5, 1) == [0, 1, 2, 3, 4]
        assert await one.invoke("AskMe", 21) == 42
        await one.invoke("JoinGroup", "snakes")
        await one.invoke("SendToGroup", "snakes", "Said", "hiss")
        async with one.client.client_stream("TellSum") as upload:
            for number in range(5):
                await upload.send(number)
        await one.invoke("CallMe", "Said", [1, "two"])
        failing: list[Any] = ["no tea today"]
        await one.client.send("Fail", failing, hear)  # which is told, and so is `on_error`
        async with asyncio.timeout(10):
            assert await sums.get() == [10]
            assert await said.get() == ["hiss"]
            assert await said.get() == [1, "two"]
            assert "no tea today" in str(await one.errors.get())
        assert await one.invoke("Add", 1, 2) == 3
        id = await one.invoke("ConnectionId")
        await one.client.send("AbortMe", [])
        await one.opened()
        assert await one.invoke("AccessToken") == "made"
        assert await one.invoke("ConnectionId") != id
        goodbye: list[Any] = ["out of tea", False]
        await one.client.send("CloseMe", goodbye)
        with pytest.raises(ServerError, match="out of tea"):
            await one.ended()


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_clients_that_are_cut_every_other_second_miss_nothing(
    protocol: str, stage: Stage
) -> None:
    async with proxied(int(stage.url.rpartition(":")[2])) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        script = ("signalr/cutting.mjs", through, stage.url, protocol, CLIENTS)
        clients = await stage.processes.node(f"cutting {protocol}", *script)
        await clients.line('{"clients"', timeout=20)
        # One that is not back yet when the next cut comes is not cut by it.
        each_was_cut = asyncio.create_task(clients.line('{"least"', timeout=SECONDS + PATIENCE))
        cuts = 0
        while cuts < round(SECONDS / CUT) or not each_was_cut.done():
            await asyncio.sleep(CUT * random.uniform(0.9, 1.1))
            proxy.tear()
            cuts += 1
        await each_was_cut
        await clients.say("enough")
        told = json.loads(await clients.line('{"protocol"', timeout=60))
        await clients.ended()
    sys.stdout.write(f"{json.dumps(told)}\n")
    assert (told["lost"], told["wrong"], told["dead"]) == (0, 0, 0), told
    assert told["clients"] == CLIENTS
    assert told["least"] >= 2
