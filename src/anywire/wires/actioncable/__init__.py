"""Rails Action Cable, and AnyCable's extension of it, with both of their ends."""

from anywire.wires.actioncable.client import ActionCableClient
from anywire.wires.actioncable.server import ActionCable

__all__ = ["ActionCable", "ActionCableClient"]
