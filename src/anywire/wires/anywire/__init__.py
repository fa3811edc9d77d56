"""The anywire protocol, our own wire: docs/reference/protocol.md, with both of its ends."""

from anywire.wires.anywire.client import OwnClient
from anywire.wires.anywire.plain import PlainClient
from anywire.wires.anywire.server import Own

__all__ = ["Own", "OwnClient", "PlainClient"]
