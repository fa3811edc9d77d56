"""anywire: one real-time app, spoken to on every real-time wire."""

from anywire.app import Anywire
from anywire.core.binding import Needs
from anywire.core.channel import Channel, Left
from anywire.core.dispatch import Later
from anywire.core.gathering import Answers
from anywire.core.member import Member
from anywire.core.room import Room
from anywire.errors import (
    AnywireError,
    CallFailed,
    Closed,
    ConfigurationError,
    ProtocolError,
    Refused,
    Unsupported,
)
from anywire.frames import Position
from anywire.limits import Limits
from anywire.payload import Policy
from anywire.wires.actioncable import ActionCable
from anywire.wires.anywire import Own
from anywire.wires.base import Hello, User
from anywire.wires.phoenix import Phoenix
from anywire.wires.raw import Raw
from anywire.wires.signalr import SignalR
from anywire.wires.socketio import EngineIO, SocketIO
from anywire.wires.sockjs import SockJS

__version__ = "0.1.0"

__all__ = [
    "ActionCable",
    "Answers",
    "Anywire",
    "AnywireError",
    "CallFailed",
    "Channel",
    "Closed",
    "ConfigurationError",
    "EngineIO",
    "Hello",
    "Later",
    "Left",
    "Limits",
    "Member",
    "Needs",
    "Own",
    "Phoenix",
    "Policy",
    "Position",
    "ProtocolError",
    "Raw",
    "Refused",
    "Room",
    "SignalR",
    "SockJS",
    "SocketIO",
    "Unsupported",
    "User",
    "__version__",
]
