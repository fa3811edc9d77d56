"""The Python client: a session that comes back, with channels, calls and streams.

>>> from anywire.client import connect
>>> async def main() -> None:
...     async with connect("ws://127.0.0.1:8000/ws", token="secret") as client:
...         chat = client.channel("chat:lobby")
...         await chat.join()
...         await chat.call("say", text="hi")
"""

from anywire.client.channel import Channel, Event
from anywire.client.client import Client
from anywire.client.dial import Dialer, Link, Receiver
from anywire.client.lifecycle import State

connect = Client
"""`async with connect(url) as client`, or `client = connect(url)` and `await client.open()`; see
`Client`.
"""

__all__ = ["Channel", "Client", "Dialer", "Event", "Link", "Receiver", "State", "connect"]
