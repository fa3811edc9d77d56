"""Phoenix Channels, with both of its ends."""

from anywire.wires.phoenix.client import PhoenixClient
from anywire.wires.phoenix.server import Phoenix

__all__ = ["Phoenix", "PhoenixClient"]
