"""Socket.IO 5 and the Engine.IO 4 below it, with both of their ends."""

from anywire.wires.socketio.bare import EngineIO
from anywire.wires.socketio.client import SocketIoClient
from anywire.wires.socketio.server import SocketIO

__all__ = ["EngineIO", "SocketIO", "SocketIoClient"]
