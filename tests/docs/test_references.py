"""The reference says what the code does: links, limits with their defaults, codes."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import anywire
from anywire.limits import Limits
from tests.docs.pages import PAGES, ROOT, blocks

SOURCE = ROOT / "src" / "anywire"
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
UNITS = {"KiB": 1024, "MiB": 1024 * 1024}
OTHERS = {"demo", "testing"}
"""Folders whose codes are not ours to explain: an application, and tests of applications."""


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every row of a page's tables, heads included."""
    for line in (REFERENCE / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def ticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def numbers() -> set[int]:
    """Every number that stands in the source."""
    return {
        node.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) is int
    }


def words() -> set[str]:
    """Every code that our errors and answers are given as text."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] in OTHERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="Refused" | "CallFailed"),
                    args=[ast.Constant(value=str(code)), *_],
                ):
                    found.add(code)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page, "python", "sh", "console", "text", "json", "html", ""):
        text = text.replace(block.code, "")
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_the_page_of_limits_names_every_limit_with_its_default() -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Limits)}
    told: dict[str, float] = {}
    for names, values, *_ in rows("limits.md"):
        for name, value in zip(ticked(names), values.replace(",0", "0").split(", "), strict=False):
            amount = re.match(r"(\d+)(?: (KiB|MiB))?", value)
            assert amount, (name, value)
            told[name] = int(amount[1]) * UNITS.get(amount[2], 1)
    assert told == defaults


def test_the_page_of_an_app_names_everything_public() -> None:
    told = (REFERENCE / "app.md").read_text(encoding="utf-8")
    made = {
        name
        for function in (anywire.Anywire.__init__, anywire.Anywire.channel, anywire.Channel.on)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    asked = {
        name
        for kind in (anywire.Member, anywire.Room)
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(value) or isinstance(value, property))
    }
    public = set(anywire.__all__) - {"__version__", "Channel"} | made | asked
    assert {name for name in public if not re.search(rf"\b{name}\b", told)} == set()


def test_the_page_of_codes_names_every_close_code_in_the_source() -> None:
    told = {int(code) for code, *_ in rows("codes.md") if code.isdigit()}
    used = {number for number in numbers() if 1001 <= number <= 1015 or 4400 <= number < 4500}
    # Never ours: RFC 6455, 7.4, tells which may be, and `talk` knows what other servers say.
    unseen = {1004, 1005, 1008, 1010, 1014, 1015}
    assert used - unseen <= told
    assert told - {1000} <= used


def test_the_page_of_codes_names_every_error_code_in_the_source() -> None:
    told = {code for cells in rows("codes.md") for code in ticked(cells[0])}
    assert words() <= told
