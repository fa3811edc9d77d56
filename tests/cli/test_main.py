"""The command line as a whole: help, versions, errors and exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anywire import __version__
from anywire.cli.main import main
from tests.cli.commands import ROOT, run


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["talk"], ["routes"], ["doctor"]])
def test_help_shows_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr()
    assert "examples:\n  anywire " in said.out
    assert said.err == ""


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["talk", "-V"]])
def test_the_version_is_the_packages(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"anywire {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "COMMAND; see anywire --help"),
        (["nope"], "invalid choice: 'nope'"),
        (["serve"], "required: APP; see anywire serve --help"),
        (["serve", "chat:app", "--nope"], "unrecognized arguments: --nope"),
        (["serve", "chat:app", "--port", "http"], "a port is a number from 0 to 65535"),
        (["serve", "chat:app", "--loop", "trio"], "invalid choice: 'trio'"),
        (["serve", "chat:app", "--ssl-keyfile", "k.pem"], "--ssl-keyfile needs --ssl-certfile"),
        (["talk"], "name one URL to talk to"),
        (["talk", "-l", "80a"], "a port is a number from 0 to 65535"),
        (["talk", "-l", "0", "ws://a"], "leave one out"),
        (["talk", "-l", "0", "--key", "k.pem"], "need --cert beside them"),
        (["talk", "ws://127.0.0.1", "-p", "8"], "only version 13"),
        (["talk", "ws://127.0.0.1", "--proxy", "ftp://a"], "a proxy is http://"),
        (["doctor", "--connections", "few"], "a number over 0"),
        (["talk", "ws://a", "-c", "ws://b"], "name one URL to talk to"),
        (["talk", "ftp://127.0.0.1"], "must begin with ws:// or wss://"),
        (["talk", "ws://"], "the URL has no host"),
        (["talk", "ws://127.0.0.1", "-H", "nonsense"], "a header is 'Name: value'"),
        (["talk", "ws://127.0.0.1", "-H", "Upgrade: h2c"], "the handshake's own"),
        (["talk", "ws://127.0.0.1", "-H", "a: b\nc: d"], "cannot be asked for"),
        (["talk", "ws://127.0.0.1", "-s", "a b"], "cannot be asked for"),
        (["talk", "ws://127.0.0.1", "-w", "-2"], "a wait is seconds, or -1 for ever"),
        (["talk", "ws://127.0.0.1", "-w", "nan"], "a wait is seconds, or -1 for ever"),
        (["talk", "ws://127.0.0.1", "--timeout", "0"], "a number of seconds over 0"),
        (["talk", "ws://127.0.0.1", "--timeout", "soon"], "a number of seconds over 0"),
        (["talk", "ws://127.0.0.1", "--join", "chat:lobby"], "--wire anywire"),
        (["talk", "ws://127.0.0.1", "--wire", "anywire", "-s", "nope"], "anywire.json.1"),
        (["talk", "ws://127.0.0.1", "--auth", "a:b", "--token", "t"], "leave one out"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("anywire: ") and said.err.count("\n") == 1
    assert why in said.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["serve", "nowhere:app"], 'there is no module "nowhere"'),
        (["routes", "nowhere.py:app"], "there is no file nowhere.py"),
        (["serve", "chat:app", "--ssl-certfile", "nowhere.pem"], "there is no file nowhere.pem"),
        (["talk", "wss://127.0.0.1", "--ca", "nowhere.pem"], "name another with --ca"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("anywire: ") and said.err.count("\n") == 1
    assert why in said.err


@pytest.mark.slow
async def test_an_error_in_the_users_module_comes_with_the_traceback_of_it(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text("def f():\n    return 1 / 0\nf()\n")
    ended = await run("serve", "chatty:app", cwd=tmp_path)
    assert ended.code == 1
    lines = ended.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('chatty.py", line 3, in <module>')
    assert lines[-1] == (
        "anywire: chatty could not be imported: ZeroDivisionError: division by zero"
    )


@pytest.mark.slow
async def test_python_m_anywire_is_anywire() -> None:
    ended = await run("--version")
    assert (ended.code, ended.out) == (0, f"anywire {__version__}\n")


@pytest.mark.slow
async def test_no_command_line_needs_the_repository_as_its_folder(tmp_path: Path) -> None:
    target = str(ROOT / "examples" / "echo" / "app.py:app")
    ended = await run("routes", target, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "/raw/{address}" in ended.out


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "anywire", "routes", "examples/echo/app.py:app"],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.slow
async def test_letters_that_a_terminal_does_not_have_are_escaped() -> None:
    ended = await run("serve", "\N{SNOWMAN}.py:app", env={"PYTHONIOENCODING": "ascii"})
    assert (ended.code, ended.err) == (1, "anywire: there is no file \\u2603.py\n")
