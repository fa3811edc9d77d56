"""The table of paths."""

import msgspec
import pytest

from anywire.cli.main import main

CHAT = "examples/chat/app.py:app"


def test_the_table_names_method_path_carrier_and_wire(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", "examples.chat.app:app"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["METHOD", "PATH", "CARRIER", "WIRE"]
    assert ["GET", "/ws", "websocket", "anywire"] in lines
    assert ["GET", "/raw/{address}", "websocket", "raw"] in lines
    assert ["GET", "/healthz", "reply", "health", "check"] in lines


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", "--json", "examples.chat.app:app"]) == 0
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert {"method": "GET", "path": "/ws", "carrier": "websocket", "wire": "anywire"} in rows
    assert all(row.keys() == {"method", "path", "carrier", "wire"} for row in rows)
