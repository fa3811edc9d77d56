"""Answers without a session."""

import json

import pytest

from anywire.wires.base import Hello
from anywire.wires.sockjs.pages import GREETING, NO_UPGRADE, Iframe, info, not_allowed


def test_there_is_a_greeting() -> None:
    assert (GREETING.status, GREETING.body) == (200, b"Welcome to SockJS!\n")
    assert GREETING.headers == (("Content-Type", "text/plain; charset=UTF-8"),)


def test_the_info_says_what_there_is() -> None:
    answer = info(Hello(seed=b"\xff" * 32), has_websocket=False, needs_cookie=True)
    assert json.loads(answer.body) == {
        "websocket": False,
        "origins": ["*:*"],
        "cookie_needed": True,
        "entropy": 2**32 - 1,
    }
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "application/json; charset=UTF-8"
    assert headers["Cache-Control"].startswith("no-store")


def test_each_info_has_entropy_of_its_own() -> None:
    found = {
        json.loads(info(Hello(seed=seed), has_websocket=True, needs_cookie=False).body)["entropy"]
        for seed in (b"a" * 32, b"b" * 32)
    }
    assert len(found) == 2


def test_the_iframe_page_loads_the_client() -> None:
    answer = Iframe('/a"><script>').answer(Hello())
    assert b'  <script src="/a&quot;&gt;&lt;script&gt;"></script>\n' in answer.body
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "text/html; charset=UTF-8"
    assert headers["Cache-Control"] == "public, max-age=31536000"
    assert headers["Expires"]


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_the_iframe_page_is_not_sent_again(known: str) -> None:
    page = Iframe("/sockjs.js")
    tag = dict(page.answer(Hello()).headers)["ETag"]
    answer = page.answer(Hello(headers={"if-none-match": known.format(tag)}))
    assert (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers)["ETag"] == tag
    assert "Content-Type" not in dict(answer.headers)
    for other in ("", '"other"'):
        assert page.answer(Hello(headers={"if-none-match": other})).status == 200


def test_another_client_makes_another_page() -> None:
    one, other = (Iframe(url).answer(Hello()) for url in ("/1.js", "/2.js"))
    assert dict(one.headers)["ETag"] != dict(other.headers)["ETag"]


def test_what_is_not_allowed_has_no_body() -> None:
    answer = not_allowed("POST")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers == (("Allow", "OPTIONS, POST"),)
    assert (NO_UPGRADE.status, NO_UPGRADE.body) == (400, b'Can "Upgrade" only to "WebSocket".')
