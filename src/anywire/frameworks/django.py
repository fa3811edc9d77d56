"""Django: its site behind an anywire app, and its users in `authenticate`.

Django's ORM and sessions are synchronous: they are asked in Django's own thread, and the loop goes
on.
"""

from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.asgi import get_asgi_application
from django.db import close_old_connections
from django.http import HttpRequest

from anywire.servers.guest import Asgi, Message, Receive, Send
from anywire.wires.base import Hello


def site() -> Asgi:
    """Django's application, to be the `fallback` of an app: it sets Django up.

    Django takes neither WebSockets nor a lifespan; here it refuses the first, and needs no second.
    """
    django: Asgi = get_asgi_application()

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await django(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refuse(scope, receive, send)

    return serve


async def user_of(hello: Hello) -> Any:
    """The user whose session cookie this is, as `request.user` would be; None for nobody."""
    key = hello.cookies.get(settings.SESSION_COOKIE_NAME)
    if key is None:
        return None
    return await sync_to_async(_user_of)(key)


def _user_of(key: str) -> Any:
    close_old_connections()
    try:
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        request.session.cycle_key = lambda: None  # we could not tell the browser of a new one
        user = get_user(request)
        return user if user.is_authenticated else None
    finally:
        close_old_connections()


async def _refuse(scope: Message, receive: Receive, send: Send) -> None:
    """404 before the WebSocket stands, or what the host makes of a close."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = b"nothing is here\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": 404, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
