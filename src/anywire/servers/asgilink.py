"""The two ends of one ASGI connection (ASGI 3.0): what a host lets us hear, and what we say to it.

`Hearing` awaits the host's `receive` in the host's own coroutine, so an idle connection costs no
task of ours. `Sending` steps the host's `send`: it becomes a task only while the host does not take
what is said.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from anywire.core.stepping import Stepper
from anywire.servers.guest import Message, Receive, Send

log = logging.getLogger(__name__)

Scope = Message
"""What a host says of a connection; changed by whoever passes it on."""


class Hearing:
    """The host's `receive`, until `leave`. `take` is called with each message, in order."""

    __slots__ = ("_gate", "_has_cancelled", "_is_over", "_is_waiting", "_receive", "_task", "take")

    def __init__(self, receive: Receive, take: Callable[[Message], None]) -> None:
        self.take = take
        self._receive = receive
        self._gate: asyncio.Future[None] | None = None
        self._is_over = False
        self._is_waiting = False
        self._has_cancelled = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Hear the host until `leave`; it may come from inside of `take` or from elsewhere."""
        self._task = asyncio.current_task()
        before = 0 if self._task is None else self._task.cancelling()
        while not self._is_over:
            await self._open()
            if self._is_over:
                break
            self._is_waiting = True
            try:
                message = await self._receive()
            except asyncio.CancelledError:
                if self._has_cancelled and self._task is not None:
                    if self._task.uncancel() <= before:
                        return
                raise
            finally:
                self._is_waiting = False
            await self._open()  # one message may come after `pause`
            if not self._is_over:
                self.take(message)

    def pause(self) -> None:
        """Take nothing more until `resume`; the host is asked for nothing more either."""
        if self._gate is None and not self._is_over:
            self._gate = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """Go on."""
        gate, self._gate = self._gate, None
        if gate is not None and not gate.done():
            gate.set_result(None)

    def leave(self) -> bool:
        """Hear nothing more; true when `run` returns soon.

        A host whose coroutines are no tasks that can be cancelled is heard until its next message.
        """
        if not self._is_over:
            self._is_over = True
            self.resume()
            if self._is_waiting and self._task is not None:
                self._has_cancelled = self._task.cancel()
        return self._has_cancelled or not self._is_waiting

    async def _open(self) -> None:
        while self._gate is not None:
            await self._gate


class Sending:
    """What is on its way to the host's `send`, in order; who says something never waits.

    `drained` is called when the host has taken everything after it had not at once, `broken` once,
    when it takes nothing more: what it had not taken is dropped.
    """

    __slots__ = ("_queue", "_send", "_stepper", "_task", "broken", "drained", "is_broken", "size")

    def __init__(
        self,
        send: Send,
        stepper: Stepper,
        *,
        drained: Callable[[], None],
        broken: Callable[[], None],
    ) -> None:
        self.drained = drained
        self.broken = broken
        self.size = 0
        """Bytes that the host has not taken."""
        self.is_broken = False
        """Nothing more is said."""
        self._send = send
        self._stepper = stepper
        self._queue: deque[tuple[Message, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way."""
        return self._task is None and not self._queue

    def put(self, messages: Sequence[tuple[Message, int]]) -> None:
        """Say these, each with its size in bytes."""
        if self.is_broken or not messages:
            return
        is_idle = self.is_idle
        self._queue.extend(messages)
        for _, size in messages:
            self.size += size
        if is_idle:
            self._task = self._stepper.start(self._run(), self._done, "anywire asgi send")

    def abort(self) -> None:
        """Say nothing more, not even what waits."""
        self.is_broken = True
        self._clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        queue = self._queue
        while queue:
            message, size = queue[0]
            await self._send(message)
            if queue:  # else it was cleared meanwhile
                queue.popleft()
                self.size -= size

    def _done(self, _: object, error: BaseException | None) -> None:
        was_suspended, self._task = self._task is not None, None
        if self.is_broken:
            return
        if error is not None:
            self.is_broken = True
            self._clear()
            log.debug("the host takes nothing more: %r", error)
            self.broken()
        elif was_suspended:
            self.drained()

    def _clear(self) -> None:
        self._queue.clear()
        self.size = 0
