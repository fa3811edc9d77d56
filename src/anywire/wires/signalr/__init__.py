"""ASP.NET Core SignalR: its hub protocol in JSON and MessagePack, with both of its ends."""

from anywire.wires.signalr.client import SignalRClient
from anywire.wires.signalr.server import SignalR

__all__ = ["SignalR", "SignalRClient"]
