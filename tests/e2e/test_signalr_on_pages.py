"""The conformance app and SignalR's official client in Chromium."""

import pytest

from tests.e2e.stage import MARKS, Stage, all_went_well, scenes
from tests.e2e.test_signalr import LEAST, WAYS

pytestmark = [*MARKS, pytest.mark.timeout(60)]
ON_A_PAGE = [
    *[("anywire", *way) for way in WAYS],
    ("uvicorn", "websockets", "messagepack"),
    ("uvicorn", "events", "json"),
    ("uvicorn", "polling", "json"),
]
"""All ways take a page a minute and a half: before another host one of each carrier does."""


@pytest.mark.browser
@pytest.mark.parametrize(("url", "carrier", "protocol"), ON_A_PAGE, indirect=["url"])
async def test_the_client_does_all_scenes_on_a_page(
    carrier: str, protocol: str, url: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page has six connections to a host at most; each that is no WebSocket takes one or two.
    together = 2 if carrier == "websockets" else 1
    packed = "MessagePackHubProtocol: signalR.protocols.msgpack.MessagePackHubProtocol"
    how = f'carrier: "{carrier}", protocol: "{protocol}", together: {together}'
    monkeypatch.setattr(stage, "url", url)
    found = await stage.in_page("signalr", f"signalR, {packed}, {how}", parts=12)
    all_went_well(found, scenes("signalr"), LEAST)
