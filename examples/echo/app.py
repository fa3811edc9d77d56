"""Echo: what a client sends comes back, text as text and bytes as bytes.

anywire serve examples/echo/app.py:app
anywire talk ws://127.0.0.1:8000/raw/echo -x hello
"""

from anywire import Anywire

app = Anywire()
echo = app.channel("echo")


@echo.message
async def message(data: str | bytes) -> str | bytes:
    """Return the message as it came."""
    return data
