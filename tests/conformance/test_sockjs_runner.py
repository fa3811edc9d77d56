"""The runner of the SockJS suite: what it says without one, how it translates, what it tells."""

import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.suites.sockjs import (
    CASES,
    Verdict,
    chosen,
    differences,
    main,
    told,
    websocket_client,
)
from conformance.suites.sockjs_inside import Result
from conformance.suites.sockjs_python3 import (
    FILES,
    PROTOCOL,
    QUIRKS,
    UTILS,
    HTTPConnection,
    Rewrite,
    Untranslatable,
    WebSocketClient,
    cases_in,
    translate,
    translated,
)

ROOT = Path(__file__).parents[2]
PYTHON_2 = {
    "sockjs-protocol.py": """
import json
import os
import unittest2 as unittest
from utils import GET
top = os.environ['SOCKJS_URL']
called = lambda(ws): unichr(ws) + str(type(ws) in [int, long])
said = '"\\xc3\\xa4"'
assert json.loads(said) == u'\\xe4'
""",
    "http-quirks.py": """
import unittest2 as unittest
import urlparse
import httplib_fork as httplib
def POST_empty(res):
    return res.read()
""",
    "utils.py": """
import urlparse
import httplib_fork as httplib
from ws4py.client.threadedclient import WebSocketClient
import Queue
def GET(s, method, body=None, async=False):
    if method is 'POST' and isinstance(body, unicode):
        return lambda m: unicode(str(m), 'utf-8')
    while True:
        c = s.recv(1)
    self.s.sendall(data)
""",
}
"""A suite of Python 2 in which each rewrite finds its place, without a case."""


def suite(folder: Path, **bodies: str) -> Path:
    """A checkout of that suite with every official case; each passes but for what is given."""
    groups: dict[str, list[str]] = {}
    for case in CASES:
        group, _, name = case.partition(".")
        body = bodies.get(group, "pass") if name == bodies.get("of", "test_basic") else "pass"
        groups.setdefault(group, []).append(f"    def {name}(self):\n        {body}\n")
    for file, text in PYTHON_2.items():
        (folder / file).write_text(text)
        with (folder / file).open("a") as written:
            for group, methods in groups.items():
                is_quirk = group == "HttpQuirks"
                if file != "utils.py" and is_quirk == (file == "http-quirks.py"):
                    written.write(f"class {group}(unittest.TestCase):\n{''.join(methods)}")
    return folder


def reports(folder: Path) -> Path:
    """A folder of reports that has a WebSocket client, so that none is fetched."""
    (folder / "packages" / "websocket").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("repo", [None, "nowhere"])
def test_a_suite_without_its_checkout_says_so_in_one_line_and_ends_with_3(
    tmp_path: Path, repo: str | None
) -> None:
    command = [sys.executable, "-m", "conformance.suites.sockjs"]
    if repo:
        command += ["--repo", str(tmp_path / repo)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    missing = f"{tmp_path / repo} has no {', '.join(FILES)}" if repo else "none given"
    assert line.startswith(f"sockjs: no suite ({missing})")
    assert line.endswith("make conformance SUITE=sockjs REPO=path")


def test_a_path_that_lacks_a_file_of_the_suite_is_no_checkout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite(tmp_path) / "utils.py").unlink()
    assert main(["--repo", str(tmp_path)]) == 3
    assert f"({tmp_path} has no utils.py)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_websocket_client_that_cannot_be_had_ends_with_3_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("conformance.suites.sockjs.version", absent)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    arguments = ["--repo", str(suite(tmp_path)), "--reports", str(tmp_path / "reports")]
    assert main(arguments) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sockjs: no WebSocket client for the suite (")
    assert line.endswith("pip install websocket-client==1.9.2 and run it again")
    assert not (tmp_path / "reports" / "packages").exists()


def test_a_websocket_client_is_installed_once(tmp_path: Path) -> None:
    assert websocket_client(reports(tmp_path) / "packages") == ""


@pytest.mark.parametrize(
    ("rewrites", "old", "new"),
    [
        (PROTOCOL, "on_close = lambda(ws): None", "on_close = lambda ws: None"),
        (PROTOCOL, "a = json.loads(r1.body)", "a = json.loads(r1.body.encode('latin-1'))"),
        (PROTOCOL, "type(x) in [int, long]", "type(x) in [int]"),
        (UTILS, "def f(async=False): return async", "def f(is_async=False): return is_async"),
        (UTILS, "def old_POST_async(): pass", "def old_POST_async(): pass"),
        (UTILS, "if self.s.recv(size) == '': pass", None),
        (UTILS, "if method is 'POST': pass", "if method == 'POST': pass"),
        (QUIRKS, "body = res.read()", "body = res.read().decode('latin-1')"),
    ],
)
def test_python_2_is_written_as_python_3(
    rewrites: tuple[Rewrite, ...], old: str, new: str | None
) -> None:
    file = next(file for file, (_, own) in FILES.items() if own is rewrites)
    text = translated(f"{PYTHON_2[file]}{old}\n", rewrites, file=file)
    assert text.splitlines()[-1] == (new or old.replace(")", ").decode('latin-1')", 1))


def test_a_hang_up_in_the_middle_of_a_line_is_an_error_and_no_endless_loop() -> None:
    text = translated(PYTHON_2["utils.py"], UTILS, file="utils.py")
    lines = text.splitlines()
    number = lines.index("        c = s.recv(1).decode('latin-1')")
    assert lines[number + 1] == "        if not c: raise EOFError('the server hung up')"


def test_a_suite_that_is_not_the_one_the_rewrites_are_for_is_refused() -> None:
    with pytest.raises(Untranslatable, match=r"^utils.py has nothing that fits .*Queue"):
        translated(PYTHON_2["utils.py"].replace("Queue", "queue"), UTILS, file="utils.py")


def test_what_is_still_python_2_after_all_rewrites_is_told_with_its_line() -> None:
    text = f"{PYTHON_2['http-quirks.py']}print 'x'\n"
    with pytest.raises(Untranslatable, match=r"^http-quirks.py is no Python 3 .*: print 'x'\)$"):
        translated(text, QUIRKS, file="http-quirks.py")


def test_a_translation_leaves_the_checkout_alone_and_keeps_the_order_of_cases(
    tmp_path: Path,
) -> None:
    checkout, folder = tmp_path / "checkout", tmp_path / "folder"
    checkout.mkdir()
    folder.mkdir()
    before = {path: path.read_bytes() for path in suite(checkout).iterdir()}
    translate(checkout, folder)
    assert tuple(cases_in(folder)) == CASES
    assert {path: path.read_bytes() for path in checkout.iterdir()} == before


def test_there_are_69_official_cases() -> None:
    assert len(CASES) == len(set(CASES)) == 69


def test_cases_that_the_checkout_has_more_or_less_of_are_told() -> None:
    assert differences(CASES) == []
    assert differences([*CASES[1:], "Http2.test_push"]) == [
        "sockjs: Http2.test_push is new in the checkout",
        f"sockjs: {CASES[0]} is not in the checkout",
    ]


def test_cases_are_chosen_by_pattern_and_keep_their_order() -> None:
    wanted = chosen(CASES, ["Http11.*", "Http10.test_s[yt]*", "EventSource.test_transport"])
    assert wanted == [
        "EventSource.test_transport",
        "Http10.test_synchronous",
        "Http10.test_streaming",
        "Http11.test_synchronous",
        "Http11.test_streaming",
    ]


def test_a_verdict_tells_what_failed_and_what_was_never_run() -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "suite.py", line 3, in test_b\n    self.x()\n'
        "AssertionError: 'a' != 'b'\n- a\n+ b\n"
    )
    verdict = Verdict(
        ["X.a", "X.b", "X.c"], {"X.a": Result("X.a"), "X.b": Result("X.b", traceback)}
    )
    assert not verdict.is_good
    assert told(verdict).splitlines() == [
        "sockjs: 3 cases: 1 passed, 2 failed",
        "sockjs: X.b: AssertionError: 'a' != 'b'",
        "sockjs: X.c: the run ended before it",
    ]


def test_a_run_of_no_case_is_not_good() -> None:
    assert not Verdict([], {}).is_good
    assert told(Verdict([], {})) == "sockjs: 0 cases: none was run"


@pytest.mark.slow
def test_a_run_in_which_every_case_passes_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "self.assertEqual(top, 'http://x:1/sockjs')"
    to = ["--url", "http://x:1/", "--reports", str(reports(tmp_path / "reports"))]
    assert main(["--repo", str(suite(tmp_path, InfoTest=body)), *to]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:69] == [f"sockjs: passed {case}" for case in CASES]
    assert lines[69] == "sockjs: 69 cases: 69 passed, 0 failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("self.assertEqual(400, 101)", "AssertionError: 400 != 101"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("self.skipTest('no server')", "skipped: no server"),
        ("while True: pass", "TimeoutError: not over after 0.5 s"),
        ("os._exit(9)", "the run ended before it"),
    ],
)
def test_a_case_that_does_not_pass_is_told_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, reason: str
) -> None:
    arguments = ["--repo", str(suite(tmp_path, JsessionidCookie=body)), "--url", "http://x:1"]
    arguments += ["--reports", str(reports(tmp_path / "reports")), "--timeout", "0.5"]
    assert main([*arguments, "--cases", "InfoTest.test_basic", "JsessionidCookie.test_basic"]) == 1
    out = capsys.readouterr().out
    assert "sockjs: 2 cases: 1 passed, 1 failed\n" in out
    assert f"sockjs: JsessionidCookie.test_basic: {reason}\n" in out


@pytest.mark.slow
def test_a_checkout_with_other_cases_ends_with_1_though_all_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (suite(tmp_path) / "http-quirks.py").open("a") as written:
        written.write("    def test_new(self): pass\n")
    to = ["--url", "http://x:1", "--reports", str(reports(tmp_path / "reports"))]
    assert main(["--repo", str(tmp_path), *to, "--cases", "HttpQuirks.*"]) == 1
    out = capsys.readouterr().out
    assert "sockjs: 2 cases: 2 passed, 0 failed\n" in out
    assert "sockjs: HttpQuirks.test_new is new in the checkout\n" in out


def test_a_checkout_that_cannot_be_translated_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite(tmp_path) / "utils.py").write_text("import queue\n")
    arguments = ["--repo", str(tmp_path), "--reports", str(reports(tmp_path / "reports"))]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("sockjs: utils.py has nothing that fits ")


def test_a_post_of_the_old_http_client_tells_no_length_unless_asked_to() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for body, headers in ((None, {}), (None, {"Content-Length": 0}), (b"abc", {})):
            connection = HTTPConnection("somewhere")
            connection.sock = ours.dup()
            connection.request("POST", "/path", body, headers)
            connection.close()
        heads = theirs.recv(4096).decode().split("POST /path HTTP/1.1\r\n")[1:]
    assert ["Content-Length: 0" in head for head in heads] == [False, True, False]
    assert "Content-Length: 3\r\n" in heads[2] and heads[2].endswith("\r\n\r\nabc")
    assert "Content-Length" not in heads[0]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_subclass_of_the_old_websocket_client_is_told_all_and_the_end(
    monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    came = [(1, b"a"), (1, "ä".encode()), *([(8, b"\x0b\xb8Go away!")] if is_closed else [])]
    told: list[object] = []

    class Told(WebSocketClient):
        def received_message(self, m: str) -> None:
            told.append(m)

        def closed(self, code: int, reason: str) -> None:
            told.append((code, reason))

    def received() -> tuple[int, bytes]:
        if came:
            return came.pop(0)
        raise ConnectionError

    end = SimpleNamespace(recv_data=received, shutdown=lambda: told.append("shut down"))
    module = SimpleNamespace(create_connection=lambda url: end, WebSocketException=ValueError)
    monkeypatch.setitem(sys.modules, "websocket", module)
    client = Told("ws://somewhere")
    client.connect()
    client._th.join(5)
    last = (3000, "Go away!") if is_closed else (1006, "Going away")
    assert told == ["a", "ä", "shut down", last]
