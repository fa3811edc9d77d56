"""Choosing: which carrier an attempt to connect goes over, and what follows when it gets nowhere.

The carriers are tried in their order until one brings the server's first word. The one that did is
remembered for `KEPT` seconds: attempts begin with it, the first one after a cut has nothing else
(more often than a new proxy it is a server that restarts), and after that time it is forgotten.
What is no carrier's fault (nobody is there, the server itself says no) ends the attempt.
"""

import asyncio
import logging
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from anywire.client.clock import Clock
from anywire.client.dial import Dialer, Link
from anywire.client.httplink import Unwilling
from anywire.client.proxy import ProxyError
from anywire.client.requests import HttpDialer
from anywire.client.websocket import SocketDialer
from anywire.errors import AnywireError, Refused
from anywire.wires.base import Request

log = logging.getLogger(__name__)

CarrierName = Literal["websocket", "events", "stream", "poll"]
CARRIERS: Sequence[CarrierName] = ("websocket", "events", "stream", "poll")
"""All there are, in the order in which they are tried."""
KEPT = 300.0
"""Seconds for which the carrier that got through is the first to be tried."""


class Choice:
    """The order in which carriers are tried, by what got through last. Pure.

    >>> choice = Choice(["websocket", "stream", "poll"])
    >>> choice.order(now=0.0)
    ['websocket', 'stream', 'poll']
    >>> choice.succeeded("poll", now=0.0)
    >>> choice.order(now=1.0)
    ['poll']
    >>> choice.failed()
    >>> choice.order(now=2.0)
    ['poll', 'websocket', 'stream']
    >>> choice.order(now=300.0)
    ['websocket', 'stream', 'poll']
    """

    __slots__ = ("_carriers", "_is_trusted", "_last", "_since")

    def __init__(self, carriers: Sequence[str]) -> None:
        self._carriers = carriers
        self._last = carriers[0]
        self._since = 0.0
        self._is_trusted = False
        """It got through last time."""

    def order(self, now: float) -> list[str]:
        """What to try now, one after the other."""
        if not self._is_kept(now):
            return list(self._carriers)
        if self._is_trusted:
            return [self._last]
        return sorted(self._carriers, key=lambda carrier: carrier != self._last)

    def succeeded(self, carrier: str, now: float) -> None:
        """This one got through. The time counts from its first success, so that it passes."""
        if carrier != self._last or not self._is_kept(now):
            self._last, self._since = carrier, now
        self._is_trusted = True

    def failed(self) -> None:
        """Nothing of what was to be tried got through."""
        self._is_trusted = False

    def _is_kept(self, now: float) -> bool:
        return self._last == self._carriers[0] or now - self._since < KEPT


def dialers_of(
    carriers: Sequence[CarrierName] | None,
    *,
    is_own: bool,
    is_binary: bool,
    ssl: tls.SSLContext | None,
    unix: str | None,
    proxy: str | None,
    max_message: int,
    compress: bool,
) -> Mapping[str, Dialer]:
    """A dialer for each of these carriers; None: all there are.

    `is_own`: the conversation is of our own wire, in which the server has the first word; another
    one knows WebSockets alone. Raises ValueError for carriers that cannot be.
    """
    possible: Sequence[str] = CARRIERS if is_own else CARRIERS[:1]
    if is_binary:
        possible = [carrier for carrier in possible if carrier != "events"]
    if carriers is None:
        carriers = [carrier for carrier in CARRIERS if carrier in possible]
    if not carriers or len(set(carriers)) < len(carriers) or not set(carriers) <= set(possible):
        raise ValueError(f"carriers are some of {', '.join(possible)} here, not {carriers!r}")
    dialers: dict[str, Dialer] = {}
    for carrier in carriers:
        if carrier == "websocket":
            dialers[carrier] = SocketDialer(
                ssl=ssl,
                unix=unix,
                proxy=proxy,
                max_message=max_message,
                compress=compress,
                greeted=is_own,
            )
        else:
            # What one poll brings is several messages.
            most = 2 * max_message if carrier == "poll" else max_message
            dialers[carrier] = HttpDialer(carrier, ssl=ssl, unix=unix, proxy=proxy, max_answer=most)
    return dialers


class Choosing:
    """A dialer over several, by the names of their carriers.

    `prepare` gives each try its credentials, since some are good only once; `patience`: seconds
    that a carrier has for the server's first word while there is another one to try; `where`: the
    address as a log may have it.
    """

    __slots__ = ("_choice", "_clock", "_dialers", "_patience", "_prepare", "_where", "carrier")

    def __init__(
        self,
        dialers: Mapping[str, Dialer],
        *,
        prepare: Callable[[Request], Awaitable[Request]],
        patience: float,
        clock: Clock,
        where: str,
    ) -> None:
        self._dialers = dialers
        self._choice = Choice(list(dialers))
        self._prepare = prepare
        self._patience = patience
        self._clock = clock
        self._where = where
        self.carrier: str | None = None
        """What the last link goes over."""

    async def dial(self, url: str, request: Request) -> Link:
        """The link of the first carrier that gets through.

        Raises Refused where the server will not have us, OSError or AnywireError where nobody is
        there or no carrier got through.
        """
        order = self._choice.order(self._clock.now())
        troubles: list[str] = []
        for carrier in order:
            prepared = await self._prepare(request)
            dialing = self._dialers[carrier].dial(url, prepared)
            is_last = len(troubles) == len(self._dialers) - 1
            try:
                link = await (dialing if is_last else self._in_time(dialing))
            except (OSError, AnywireError) as error:
                if len(order) == 1 or not _is_of_carrier(error):
                    self._choice.failed()
                    raise
                troubles.append(f"{carrier}: {str(error) or type(error).__name__}")
                log.info("%s: no connection over %s", self._where, troubles[-1])
                continue
            self._choice.succeeded(carrier, self._clock.now())
            self.carrier = carrier
            return link
        self._choice.failed()
        raise ConnectionError(f"no carrier gets through ({'; '.join(troubles)})")

    async def _in_time(self, dialing: Awaitable[Link]) -> Link:
        """The link, within our patience. Raises TimeoutError."""
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            task.cancel()

        task = asyncio.ensure_future(dialing)
        timer = self._clock.call_at(self._clock.now() + self._patience, give_up)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if not is_late or (current is not None and current.cancelling()):
                raise
            text = f"the server said nothing within {self._patience:g} s"
            raise TimeoutError(text) from None
        finally:
            timer.cancel()


def _is_of_carrier(error: Exception) -> bool:
    """Whether another carrier may do better: it is another kind of request to the same address.

    So it is for an answer that was none of ours, for silence, and where somebody hung up; not where
    there was no connection at all, or where our server spoke.
    """
    if isinstance(error, Refused | Unwilling | ProxyError):
        return False
    if isinstance(error, OSError):
        hung_up = ConnectionResetError | BrokenPipeError | ConnectionAbortedError | TimeoutError
        return type(error) is ConnectionError or isinstance(error, hung_up)
    return True
