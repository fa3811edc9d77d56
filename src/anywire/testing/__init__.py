"""Testing: clients of any wire against an app, in memory: no socket, no port, no sleep.

    async with connect(app, user="ana") as ana:
        chat = await ana.join("chat:lobby")
        await chat.push("say", text="hi")
        assert await chat.next("said") == {"by": "ana", "text": "hi"}

The wire's own client machine talks to its server machine through a pipe. Every wait has a time-out,
and a failure shows the log of messages. `running(app, clock=Clock())` runs the app on a clock that
the test moves.
"""

from anywire.testing.client import WIRES, TestClient, connect
from anywire.testing.clock import Clock
from anywire.testing.member import TestMember
from anywire.testing.pipe import MemoryDialer
from anywire.testing.running import running

__all__ = ["WIRES", "Clock", "MemoryDialer", "TestClient", "TestMember", "connect", "running"]
