"""The pages of the documentation as tests read them: blocks of code, commands, conversations."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SHOWN = "127.0.0.1:8000"
"""The address that the documentation shows."""
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(anywire serve [^`…]+\.py:app)`")


@dataclass(frozen=True, slots=True)
class Block:
    """Code between two fences."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_test(self) -> bool:
        return "def test_" in self.code

    @property
    def is_program(self) -> bool:
        return "asyncio.run(" in self.code

    @property
    def is_fragment(self) -> bool:
        """It awaits outside of a function: lines to be put into one of the reader's."""
        try:
            compile(self.code, self.name, "exec", dont_inherit=True)
        except SyntaxError:
            return True
        return False

    def check(self) -> None:
        """Raises SyntaxError for what is no Python, top-level await allowed."""
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(self.code, self.name, "exec", flags=flags, dont_inherit=True)


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page in these languages."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if found[1] in languages:
            line = text.count("\n", 0, found.start()) + 2
            yield Block(page, line, found[1], found[2])


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *languages)]


def app_of(page: Path) -> str:
    """The first whole app of a page, if it has one."""
    for block in blocks(page, "python"):
        if "Anywire(" in block.code and not block.is_test and not block.is_program:
            return block.code
    return ""


def commands(page: Path) -> list[str]:
    """Every `anywire …` of a page's shell blocks, and what it says to serve in a sentence.

    Sessions that show their output (`console`) are played by tests/cli/test_docs.py.
    """
    found = [
        line
        for block in blocks(page, "sh")
        for line in block.code.splitlines()
        if line.startswith("anywire ")
    ]
    inline = _INLINE.findall(page.read_text(encoding="utf-8"))
    return [*dict.fromkeys([*found, *inline])]


def spoken(page: Path, heading: str = "") -> list[tuple[str, str]]:
    """The lines of a page's conversations (below a heading): `→` or `←`, and the message."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n{heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^([→←]) (\{.*\})$", text, re.MULTILINE)
