"""What the conformance app does for SockJS: its mounts and their handlers."""

import os

from anywire import Anywire, Limits, Member, SockJS
from anywire.wires.base import Wire

VARIABLE = "CONF_SOCKJS_URL"
"""Names the client that the iframe page loads; the protocol's suite takes any URL."""
RESPONSE_LIMIT = 4096
LIMITS = Limits(message=1_000_000, body=4_000_000)


def mounts() -> list[Wire]:
    """One for each option that the suite wants to see, and one whose members hear each other."""
    return [
        _mount("echo"),
        _mount("disabled_websocket_echo", to="echo", websocket=False),
        _mount("cookie_needed_echo", to="echo", jsessionid=True),
        _mount("close", to="sockjs-close"),
        _mount("broadcast", to="sockjs-broadcast"),
    ]


def offer(app: Anywire) -> None:
    """The handlers; the echo is that of all wires."""
    close = app.channel("sockjs-close")
    broadcast = app.channel("sockjs-broadcast")

    @close.join
    async def go_away(member: Member) -> None:
        await member.close(3000, "Go away!")

    @broadcast.message
    async def tell_all(member: Member, text: str) -> None:
        await member.room.publish("message", text)


def _mount(
    name: str, *, to: str = "echo", websocket: bool = True, jsessionid: bool = False
) -> SockJS:
    return SockJS(
        f"/sockjs/{name}",
        to=to,
        websocket=websocket,
        jsessionid=jsessionid,
        old_browsers=True,
        client_url=os.environ.get(VARIABLE, "/sockjs.js"),
        response_limit=RESPONSE_LIMIT,
        limits=LIMITS,
        origins="*",
    )
