"""The conformance app and a SignalR client in Python."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pysignalr.client import SignalRClient
from pysignalr.exceptions import ServerError
from pysignalr.messages import CompletionMessage
from pysignalr.protocol.abstract import Protocol
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

from tests.e2e.stage import MARKS

pytestmark = [*MARKS, pytest.mark.timeout(60)]


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
