"""`anywire serve`: its options reach the server."""

import argparse
import os
import signal
import ssl
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus

from anywire.cli.serve import workers
from anywire.servers.seat import VARIABLE
from tests.cli.commands import end, run, serving
from tests.servers.supervised import start

ECHO = "examples/echo/app.py:app"

pytestmark = [pytest.mark.slow, pytest.mark.net]


async def test_it_prints_where_it_listens_and_nothing_else() -> None:
    async with serving("serve", ECHO, "--port", "0") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        process.terminate()
        ended = await end(process)
    assert (ended.out, ended.err) == ("", "")


async def test_it_serves_on_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    async with serving("serve", ECHO, "--unix", path) as (process, url):
        assert url == f"unix:{path}"
        async with unix_connect(path, "ws://localhost/raw/echo") as client:
            await client.send("hi")
            assert await client.recv() == "hi"
        talked = await run("talk", "localhost/raw/echo", "--unix", path, "-x", "hi", "-w", "0.5")
        process.terminate()
        assert (await end(process)).code == 0
    assert talked.out == "hi\n"
    assert not (tmp_path / "echo.sock").exists()


async def test_it_serves_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert, key, ca = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    options = ("--ssl-certfile", cert, "--ssl-keyfile", key)
    async with serving("serve", ECHO, "--port", "0", *options) as (_, url):
        assert url.startswith("https://")
        wss = f"{url.replace('http', 'ws')}/raw/echo"
        async with connect(wss, ssl=ssl.create_default_context(cafile=ca)) as client:
            await client.send("hi")
            assert await client.recv() == "hi"
        trusting = await run("talk", wss, "--ca", ca, "-x", "hi", "-w", "0.5")
        careless = await run("talk", wss, "-n", "-x", "hi", "-w", "0.5")
        careful = await run("talk", wss, "-x", "hi", "-w", "0.5")
    assert (trusting.code, trusting.out) == (0, "hi\n")
    assert (careless.code, careless.out) == (0, "hi\n")
    assert careful.code == 1
    assert careful.err.startswith(f"anywire: cannot connect to {wss}: its certificate is not good")


async def test_what_is_no_certificate_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    ended = await run("serve", ECHO, "--ssl-certfile", str(tmp_path / "cert.pem"))
    assert ended.code == 1
    assert "is no certificate with its key" in ended.err
    assert ended.err.count("\n") == 1


async def test_a_page_of_another_origin_is_let_in_by_name_only() -> None:
    known = "https://pages.example"
    async with serving("serve", ECHO, "--port", "0", "--origin", known) as (_, url):
        ws = f"{url.replace('http', 'ws')}/raw/echo"
        async with connect(ws, origin=known) as client:  # type: ignore[arg-type]
            await client.send("hi")
            assert await client.recv() == "hi"
        with pytest.raises(InvalidStatus) as refused:
            await connect(ws, origin="https://evil.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        talked = await run("talk", ws, "-o", "https://evil.example", "-x", "hi")
    assert talked.code == 3
    assert talked.err.startswith(f"anywire: {ws} refused us: the server answered 403 Forbidden")
    assert talked.err.count("\n") == 1


async def test_a_log_level_is_obeyed() -> None:
    async with serving("serve", ECHO, "--port", "0", "--log-level", "info") as (process, url):
        process.terminate()
        ended = await end(process)
    assert f"listening on {url}" in ended.err


async def test_workers_print_where_they_listen_and_nothing_else() -> None:
    process = await start(ECHO, "--port", 0, "--workers", 2)
    said = await process.line("Listening on http://127.0.0.1:")
    assert said.endswith(" with 2 workers (Ctrl-C to stop)")
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert process.lines == [said]


def test_workers_are_a_number_or_one_for_each_core() -> None:
    assert workers("3") == 3
    assert workers("auto") == len(os.sched_getaffinity(0))
    for text in ("0", "-1", "513", "many", "", "\u0663"):
        with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 512, not"):
            workers(text)


async def test_a_seat_that_no_supervisor_gave_is_told_in_one_line() -> None:
    ended = await run("serve", ECHO, env={VARIABLE: "1"})
    assert ended.code == 1
    assert ended.err.startswith(f"anywire: {VARIABLE} is for the workers that anywire starts")
    assert ended.err.count("\n") == 1
