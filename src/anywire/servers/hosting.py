"""Hosting: what all servers of one node share: the carriers, and the way to other nodes."""

from collections.abc import Mapping, Sequence

from anywire.brokers.local import Folder
from anywire.core.node import Node
from anywire.payload import Carrier
from anywire.servers.carry import Carry
from anywire.servers.neighbours.door import Door
from anywire.servers.neighbours.forward import Forward
from anywire.servers.requests import Requests
from anywire.wires.base import Wire


class Hosting:
    """The shared part of one node's servers. `folder`: where workers meet; None: there are none.

    A node with a folder must have been made with `door=folder.door(node.id)`.
    """

    __slots__ = ("_node", "carriers", "door", "forward")

    def __init__(self, node: Node, wires: Sequence[Wire], folder: Folder | None = None) -> None:
        self._node = node
        key = b"" if folder is None else folder.key
        self.forward = Forward(node, key)
        self.carriers: Mapping[Carrier, Carry] = Requests(node, self.forward).carriers
        self.door: Door | None = None
        if folder is not None:
            door = folder.door(node.id)
            self.door = Door(node, door, key, wires=wires, carriers=self.carriers)

    def start(self) -> None:
        """Open the door."""
        if self.door is not None:
            self.door.open()

    def stop(self) -> None:
        """End every session here, while other nodes that have their sockets can hear it; close the
        door, and let go of what other nodes own.
        """
        self._node.send_away()
        self.forward.stop()
        if self.door is not None:
            self.door.close()
