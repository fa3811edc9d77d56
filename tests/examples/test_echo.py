"""The echo example: on every wire in memory, and served to a Python client."""

import pytest

from anywire.client import connect as dial
from anywire.testing import connect
from examples.echo.app import app
from tests.cli.commands import serving


@pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack"])
async def test_a_call_is_answered_with_what_it_said(wire: str) -> None:
    async with connect(app, wire=wire) as client:
        echo = await client.join("echo")
        assert await echo.call("message", "hello, wörld") == "hello, wörld"


async def test_on_raw_a_message_comes_back_as_it_was() -> None:
    async with connect(app, wire="raw") as client:
        echo = await client.join("echo")
        for said in ("hello", '{"a": 1}', "", b"\x00\xff", b""):
            await echo.push("message", said)
            assert await echo.next("message") == said


async def test_bytes_stay_bytes_on_a_wire_that_has_them() -> None:
    async with connect(app, wire="anywire.msgpack") as client:
        echo = await client.join("echo")
        assert await echo.call("message", b"\x00\xff") == b"\x00\xff"


async def test_nobody_else_hears_an_echo() -> None:
    async with connect(app, wire="raw") as ana, connect(app) as bo:
        a, b = await ana.join("echo"), await bo.join("echo")
        await a.push("message", "hello")
        assert await a.next("message") == "hello"
        await b.silence()


@pytest.mark.slow
@pytest.mark.net
async def test_a_python_client_hears_its_echo_from_a_real_server() -> None:
    async with serving("serve", "examples/echo/app.py:app", "--port", "0") as (_, url):
        async with dial(f"{url.replace('http', 'ws')}/ws") as client:
            echo = client.channel("echo")
            await echo.join()
            assert await echo.call("message", "hello") == "hello"
