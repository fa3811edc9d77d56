"""SockJS 0.3.3: for pages that use `sockjs-client`, over whatever gets through."""

from anywire.wires.sockjs.client import SockJsClient
from anywire.wires.sockjs.server import SockJS

__all__ = ["SockJS", "SockJsClient"]
