"""The queue: the vectors every client runs, on a client with a connection of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from anywire.client import connect
from anywire.client.queue import Queue
from anywire.errors import Closed
from anywire.frames import Frame
from anywire.wires.raw import RawClient
from tests.client.memory import FakeClock, ScriptDialer, settle

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "client" / "queue.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
async def test_a_client_queues_as_the_vectors_say(case: dict[str, Any]) -> None:
    dialer = ScriptDialer()
    clock = FakeClock()
    client = connect(
        "ws://server/ws",
        machine=RawClient(),
        dialer=dialer,
        clock=clock,
        random=lambda: 0.5,
        max_queue=case["maxQueue"],
        max_queue_bytes=case["maxQueueBytes"],
    )
    overflows: list[Frame] = []
    client.on("overflow", overflows.append)
    channel = client.channel("echo")
    dialer.is_stuck = True
    client.start()
    await settle()
    for step in case["steps"]:
        match step["do"]:
            case "send":
                before = [len(overflows), sum(len(link.sent) for link in dialer.links)]
                result = "closed"
                try:
                    taken = await channel.send("message", step["message"])
                    await settle()
                    now = [len(overflows), sum(len(link.sent) for link in dialer.links)]
                    changed = [now[0] - before[0], now[1] - before[1]]
                    result = {(1, 0): "overflow", (0, 1): "sent", (0, 0): "queued"}[
                        (changed[0], changed[1])
                    ]
                    assert taken == (result != "overflow")
                except Closed:
                    pass
                assert result == step["result"]
            case "open":
                dialer.is_stuck = False
                await clock.pass_(60)
                if channel.state == "idle":
                    await channel.join()
                    await settle()
                assert dialer.link.sent == step["sent"]
            case "cut":
                dialer.is_stuck = True
                if client.state == "open":
                    dialer.link.cut()
                    await settle()
                else:
                    await clock.pass_(60)
            case "close":
                waiting = client._line.waiting
                await client.close()
                assert waiting - client._line.waiting == step["dropped"]
    await client.close()


def test_what_is_taken_out_makes_room_and_the_rest_keeps_its_order() -> None:
    queue: Queue[str] = Queue(most=4, most_bytes=10)
    for name in ("a1", "b1", "a2", "b2"):
        assert queue.put(name, 2)
    assert not queue.put("c", 1)
    assert queue.take(lambda name: name.startswith("a")) == ["a1", "a2"]
    assert (len(queue), queue.size) == (2, 4)
    assert queue.put("c", 6)
    assert not queue.put("d", 1)
    assert queue.take() == ["b1", "b2", "c"]
    assert (len(queue), queue.size) == (0, 0)
