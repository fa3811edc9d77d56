"""A home-made reconnecting class that knows nothing of anywire is a full member of the chat."""

import json

import pytest

from tests.e2e.processes import Process, Processes
from tests.e2e.proxy import proxied

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.node]


def says(text: str) -> str:
    return json.dumps({"type": "send-message", "room": "garden", "message": text})


async def heard(process: Process, text: str) -> dict[str, object]:
    """The message of the chat with this text, as the process got it."""
    line = await process.line(lambda line: '"room-message"' in line and text in line)
    message: dict[str, object] = json.loads(line)
    return message


async def test_it_stays_is_cut_comes_back_and_flushes_its_queue(processes: Processes) -> None:
    demo = await processes.demo()
    ws = await processes.node("ws", "talker.mjs", f"{demo.ws}?name=ws")
    await ws.line("open")
    await ws.say('{"type":"join-room","id":"j","room":"garden"}')
    await ws.line('"id":"j"')
    async with proxied(demo.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws?name=robust"
        robust = await processes.node("robust", "robust_talker.mjs", url)
        await robust.line("pong 5 at ")
        assert not any(line.startswith("closed") for line in robust.lines)
        await robust.say('{"type":"join-room","id":1,"room":"garden"}')
        assert '"status":"ok"' in await robust.line('"id":1')

        proxy.is_refusing = True
        proxy.cut()
        await robust.line("closed 1006")
        await robust.say(says("typed while it was cut"))
        await robust.say(says("and this after it"))
        proxy.is_refusing = False

        await robust.line("open 2")
        first = await heard(ws, "typed while it was cut")
        assert first == {
            "type": "room-message",
            "room": "garden",
            "user": "robust",
            "message": "typed while it was cut",
        }
        await heard(ws, "and this after it")
        texts = [line for line in ws.lines if '"user":"robust"' in line]
        assert len(texts) == 2, texts
        assert "typed while it was cut" in texts[0]
        await ws.say(says("welcome back"))
        assert (await heard(robust, "welcome back"))["user"] == "ws"
        assert await robust.finish() == 0


async def test_it_survives_the_death_of_the_server(processes: Processes) -> None:
    demo = await processes.demo()
    robust = await processes.node("robust", "robust_talker.mjs", f"{demo.ws}?name=robust")
    await robust.line("open 1")
    await demo.process.kill()
    await robust.line("closed 1006")
    await robust.say(says("typed while there was no server"))
    again = await processes.demo("second server", port=demo.port)
    await robust.line("open 2")
    await heard(robust, "typed while there was no server")
    ws = await processes.node("ws", "talker.mjs", f"{again.ws}?name=ws")
    await ws.line("open")
    await ws.say(says("hello again"))
    assert (await heard(robust, "hello again"))["user"] == "ws"


async def test_a_line_that_is_dead_but_open_is_noticed_by_its_heartbeat(
    processes: Processes,
) -> None:
    demo = await processes.demo()
    async with proxied(demo.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws?name=robust"
        robust = await processes.node("robust", "robust_talker.mjs", url, 400)
        await robust.line("pong 1 at ")
        proxy.deaden()
        await robust.line("closed 1006")
        await robust.line("open 2")
        await robust.line("pong 2 at ")
