"""The server of the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.conformance.served import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One for all tests of a file: what one of them breaks, the next ones see."""
    with serving() as server:
        yield server
