"""Outlet: a request that waits for what a session says, and how it is answered.

Over whatever serves it: `transports/http.py` tells it what to say, `carry.Exchange` has its client.
"""

from collections.abc import Sequence
from typing import TypeVar

from anywire.errors import ConfigurationError
from anywire.payload import Carrier, Framed
from anywire.servers.carry import Exchange
from anywire.servers.static import Reply
from anywire.transports.http import Farewell, HttpTransport
from anywire.wires.base import Answer, Headers, Opening

T = TypeVar("T")

COMMON = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Accel-Buffering", "no"),  # nginx: pass on what comes when it comes
)
"""Headers of whatever a session or its wire says."""


class ExchangeOutlet:
    """A request that waits for what a session says (`transports.http.Outlet`)."""

    __slots__ = ("_exchange", "_headers", "_left", "carrier", "downlink")

    def __init__(self, exchange: Exchange, carrier: Carrier, opening: Opening) -> None:
        self._exchange = exchange
        self.carrier = carrier
        self.downlink = downlink = said(opening.downlink)
        self._headers = [*downlink.headers, *COMMON, *opening.headers]
        self._left = downlink.limit

    @property
    def is_over(self) -> bool:
        return self._exchange.has_ended or self._exchange.is_gone

    @property
    def is_full(self) -> bool:
        return self._exchange.is_full

    def keep(self, transport: HttpTransport) -> None:
        """Let it wait, without a task: its exchange tells when something has changed."""
        exchange = self._exchange
        if exchange.has_ended:
            return

        def changed() -> None:
            if exchange.has_ended:
                return
            if exchange.is_gone:
                transport.lost(self)
            elif not exchange.is_full:
                transport.drained(self)

        exchange.keep(changed)
        if self.downlink.pack is None:
            self._begin()
        if exchange.is_gone:
            changed()

    def say(self, framed: Sequence[Framed], farewell: Farewell | None) -> int:
        """Answer a poll, or go on with a stream."""
        if self.is_over:
            return 0
        if self.downlink.pack is not None:
            body, count = self.downlink.pack([entry.payload for entry in framed])
            last = farewell if count == len(framed) else None
            self._exchange.respond(Reply(200, [*self._headers, *self._told(last)[0]], body))
            return count
        self._begin()
        key = self.downlink.framing.key
        parts = [
            entry.data if entry.key == key and entry.data is not None else self._framed(entry)
            for entry in framed
        ]
        self._exchange.write(*parts)
        if self.downlink.limit:
            self._left -= sum(map(len, parts))
            if self._left <= 0 and farewell is None:
                self._exchange.end()
        return len(parts)

    def end(self, farewell: Farewell | None) -> None:
        """End a poll as an empty one, or a stream."""
        if self.is_over:
            return
        downlink = self.downlink
        headers, last = self._told(farewell)
        if downlink.gone is not None and farewell is not None and downlink.pack is not None:
            self._exchange.respond(Reply(downlink.gone, [*self._headers, *headers], b""))
        elif downlink.pack is not None:
            has_left = farewell is None or farewell.code == 1000  # the client, by its own word
            body = downlink.idle if has_left else downlink.closed or downlink.idle
            self._exchange.respond(Reply(200, [*self._headers, *headers], body))
        else:
            self._begin()
            self._exchange.end(last)

    def _framed(self, entry: Framed) -> bytes:
        return self.downlink.framing.frame(entry.payload) or b""

    def _told(self, farewell: Farewell | None) -> tuple[Headers, bytes]:
        if farewell is None or self.downlink.farewell is None:
            return (), b""
        return self.downlink.farewell(farewell.code, farewell.reason)

    def _begin(self) -> None:
        if not self._exchange.has_begun:
            self._exchange.start(200, self._headers)
            self._exchange.write(self.downlink.prelude)


def refuse(exchange: Exchange, answer: Answer) -> None:
    """Answer so, if nothing was said yet; in the words of the request where it was one for what a
    session says.
    """
    if exchange.has_begun:
        return
    if answer.downlink is None:
        exchange.respond(Reply.of(answer))
        return
    opening = Opening(machine=None, session="", downlink=answer.downlink, headers=answer.headers)
    outlet = ExchangeOutlet(exchange, Carrier.REPLY, opening)
    farewell = Farewell(answer.code or 1000, answer.reason)
    if answer.payloads:
        outlet.say([one.framed(answer.downlink.framing) for one in answer.payloads], farewell)
    outlet.end(farewell)


def said(words: T | None) -> T:
    """What a wire says of each request on its routes for HTTP carriers."""
    if words is None:
        raise ConfigurationError("a wire has a route for a carrier, and does not say how")
    return words
