"""The Python client: a session that comes back, with channels, calls and streams (`connect`); and
beneath it a WebSocket to any server (`open_socket`).

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
from anywire.client.requests import HttpDialer
from anywire.client.socket import Socket
from anywire.client.websocket import SocketDialer

connect = Client
"""`async with connect(url) as client`, or `client = connect(url)` and `await client.open()`; see
`Client`.
"""

open_socket = Socket
"""`async with open_socket(url) as socket`: a WebSocket to any server; see `Socket`."""

__all__ = [
    "Channel",
    "Client",
    "Dialer",
    "Event",
    "HttpDialer",
    "Link",
    "Receiver",
    "Socket",
    "SocketDialer",
    "State",
    "connect",
    "open_socket",
]
