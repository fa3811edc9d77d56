"""The page about hosts says what the contract sees."""

from pathlib import Path

from tests.contracts.host import Can
from tests.hosts.hosts import GRANIAN, HYPERCORN, STANDALONE, UVICORN

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "asgi-hosts.md"
HOSTS = (STANDALONE, UVICORN, HYPERCORN, GRANIAN)


def test_the_table_of_hosts_is_true() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    head, _, *body = rows
    assert head[1:] == [host.title for host in HOSTS]
    assert [row[0] for row in body] == [can.value for can in Can]
    for can, row in zip(Can, body, strict=True):
        assert row[1:] == ["yes" if can in host.can else "no" for host in HOSTS], can.value
