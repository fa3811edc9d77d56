"""The platform's WebSocket cases, in Chromium: over its own class, and over the drop-in.

Its own class checks the cases: what it does is right. The cases themselves are in `platform/`.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.e2e.processes import HERE, Browser, Processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.net,
    pytest.mark.node,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
]
PARTS = 4
"""In how many parts the cases are run, so that each is soon told."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser without pages, and the server they are on."""

    browser: Browser
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visit() -> AsyncIterator[Visit]:
    processes = Processes()
    try:
        command = ("serve", HERE / "platform_app.py:app", "--port", 0)
        server = await processes.anywire("server", *command)
        url = (await server.line("Listening on http://")).split()[2]
        browser = await Browser.start(processes)
        yield Visit(browser, url)
        await browser.close()
    finally:
        await processes.end()


@pytest.mark.parametrize("kind", ["native", "drop-in"])
async def test_every_case_of_the_platform_holds(kind: str, visit: Visit) -> None:
    await visit.browser.do("open", page=kind, url=f"{visit.url}/page")
    found: dict[str, str | None] = {}
    for part in range(PARTS):
        call = f'run("{kind}", {part}, {PARTS})'
        code = f'import("/platform.mjs").then(({{ run }}) => {call})'
        found |= await visit.browser.do("evaluate", page=kind, code=code)
    written = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("platform/*.mjs"))
    assert len(found) >= len(re.findall(r"^ *test\(", written, re.MULTILINE)) > 50
    wrong = [f"{name}\n    {what}" for name, what in found.items() if what is not None]
    assert not wrong, "\n".join(["", *wrong])


async def test_a_plain_module_script_takes_the_served_file(visit: Visit) -> None:
    await visit.browser.do("open", page="script", url=f"{visit.url}/script")
    await visit.browser.do("see", page="script", selector="#heard", text="from a plain script")
