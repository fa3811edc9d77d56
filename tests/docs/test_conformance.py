"""The page of conformance names tests that exist, and every case that is played over sockets."""

import ast
import re

import pytest

from tests.docs.pages import ROOT
from tests.interop.cases import FAULTS

PAGE = (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")
OVER_SOCKETS = PAGE.split("\n## Over real sockets\n")[1].split("\n## ")[0]
FILES = {
    "c": "tests/net/test_connection.py",
    "f": "tests/net/test_rfc6455.py",
    "d": "tests/net/test_deflate.py",
    "s": "tests/interop/test_ws_client.py",
    "k": "tests/interop/test_ws_server.py",
    "p": "tests/interop/test_peer_clients.py",
    "q": "tests/interop/test_peer_servers.py",
    "z": "tests/interop/test_fuzzing_cases.py",
    "e": "tests/conformance/test_engineio_protocol.py",
    "i": "tests/conformance/test_socketio_protocol.py",
    "j": "tests/conformance/test_sockjs_protocol.py",
    "n": "tests/wires/phoenix/test_messages.py",
    "b": "tests/wires/phoenix/test_codec.py",
    "m": "tests/wires/phoenix/test_machine.py",
    "v": "tests/wires/phoenix/test_server.py",
    "l": "tests/wires/phoenix/test_carriers.py",
    "h": "tests/wires/phoenix/test_presence.py",
    "cn": "tests/wires/actioncable/test_names.py",
    "cc": "tests/wires/actioncable/test_codec.py",
    "cd": "tests/wires/actioncable/test_commands.py",
    "cm": "tests/wires/actioncable/test_machine.py",
    "cx": "tests/wires/actioncable/test_extended.py",
    "cv": "tests/wires/actioncable/test_server.py",
    "rd": "tests/wires/signalr/test_records.py",
    "rr": "tests/wires/signalr/test_reading.py",
    "rc": "tests/wires/signalr/test_codec.py",
    "rm": "tests/wires/signalr/test_machine.py",
    "rn": "tests/wires/signalr/test_counting.py",
    "rv": "tests/wires/signalr/test_server.py",
    "rl": "tests/wires/signalr/test_carriers.py",
    "rt": "tests/wires/signalr/test_token.py",
    "rh": "tests/wires/signalr/test_hub.py",
    "re": "tests/e2e/test_signalr.py",
    "rp": "tests/e2e/test_pysignalr.py",
}
SUITES = {"e": "### Engine.IO", "i": "### Socket.IO", "j": "### SockJS"}
"""The protocols' own suites: our file with their cases, and the table of those."""
CITED = re.compile(r"\b([a-z]{1,2}) `(test_\w+)`")


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in tree.body if isinstance(node, functions)}
    taken = [node.names for node in tree.body if isinstance(node, ast.ImportFrom)]
    names |= {name.name for names in taken for name in names}  # tests that several files have
    return {name for name in names if name.startswith("test_")}


def official(file: str) -> dict[str, str]:
    """Each case of a protocol's own suite, and the test that stands for it."""
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id="OFFICIAL"), value=ast.Dict() as cases):
                found: dict[str, str] = ast.literal_eval(cases)
                return found
    raise AssertionError(f"{file} has no dictionary OFFICIAL")


def cited(letter: str) -> set[str]:
    return {name for one, name in CITED.findall(PAGE) if one == letter}


@pytest.mark.parametrize("letter", FILES)
def test_the_page_of_conformance_names_tests_that_exist(letter: str) -> None:
    assert cited(letter)
    assert f"`{FILES[letter]}`" in PAGE
    assert cited(letter) <= names_in(FILES[letter])


def test_every_test_on_the_page_of_conformance_is_in_a_file_it_names() -> None:
    assert {letter for letter, _ in CITED.findall(PAGE)} == FILES.keys()
    assert len(CITED.findall(PAGE)) == PAGE.count("`test_")


@pytest.mark.parametrize("letter", ["k", "p", "q", "s", "z"])
def test_every_test_over_real_sockets_is_on_the_page_of_conformance(letter: str) -> None:
    assert names_in(FILES[letter]) == cited(letter)


def test_every_section_that_is_played_over_real_sockets_has_its_row() -> None:
    told: set[tuple[str, str]] = set()
    for line in OVER_SOCKETS.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if row := re.fullmatch(r"(6455|7692) ([\d., ]+)", cells[0]):
            assert CITED.search(cells[2]) and CITED.search(cells[3]), line
            told |= {(row[1], section) for section in row[2].split(", ")}
    assert {(str(fault.rfc), fault.section) for fault in FAULTS} <= told


@pytest.mark.parametrize("letter", SUITES)
def test_every_official_case_stands_beside_the_test_that_is_it(letter: str) -> None:
    table = PAGE.split(f"\n{SUITES[letter]}\n")[1].split("\n##")[0]
    rows = re.findall(rf"^\| (.+) \| {letter} `(test_\w+)` \|$", table, re.MULTILINE)
    assert rows == list(official(FILES[letter]).items())


def test_the_checklist_of_phoenix_names_scenes_and_transcripts_that_exist() -> None:
    checklist = PAGE.split("\n## Phoenix Channels\n")[1].split("\n## ")[0]
    played = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/e2e/phoenix").glob("*.mjs")
    )
    scenes = set(re.findall(r'^scenario\("(.+)", async', played, re.MULTILINE))
    cited = set(re.findall(r"\bo `([^`]+)`", checklist))
    assert cited and cited <= scenes
    written = {path.stem for path in (ROOT / "tests/transcripts/phoenix").glob("*.txt")}
    assert set(re.findall(r"\bt `([^`]+)`", checklist)) == written


def test_the_checklist_of_action_cable_names_scenes_and_transcripts_that_exist() -> None:
    checklist = PAGE.split("\n## Action Cable\n")[1].split("\n## ")[0]
    played = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/e2e/actioncable").glob("*.mjs")
    )
    scenes = set(re.findall(r'^(?:scenario|only)\("(.+)", async', played, re.MULTILINE))
    cited = set(re.findall(r"\bcs `([^`]+)`", checklist))
    assert cited and cited <= scenes
    folders = (ROOT / "tests/transcripts").glob("actioncable*")
    written = {path.stem for folder in folders for path in folder.glob("*.txt")}
    assert set(re.findall(r"\bct `([^`]+)`", checklist)) == written


def test_the_checklist_of_signalr_names_scenes_that_exist() -> None:
    checklist = PAGE.split("\n## SignalR\n")[1].split("\n## ")[0]
    played = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/e2e/signalr").glob("*.mjs")
    )
    scenes = set(re.findall(r'^scenario\(\s*"(.+?)",', played, re.MULTILINE))
    cited = set(re.findall(r"\brs `([^`]+)`", checklist))
    assert cited and cited <= scenes, cited - scenes
