"""The memory broker served to the workers of one machine: one hub, found by a lock in a folder."""

from anywire.brokers.local.broker import LocalBroker
from anywire.brokers.local.folder import Folder
from anywire.brokers.local.hub import Hub

__all__ = ["Folder", "Hub", "LocalBroker"]
