"""Every case of the official SockJS suite (protocol 0.3.3), on `/sockjs` of the conformance app.

`OFFICIAL` says which test here is which case there; `make conformance SUITE=sockjs` runs the suite
itself. `ANYWIRE_CONFORMANCE_URL` names a server that is running already, ours or another: these
tests were first run against SockJS-node.
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from conformance.suites.serving import serving
from conformance.suites.sockjs import CASES
from tests.conformance.rawhttp import Answer, Connection, Head, asked, connected, get, post, request

pytestmark = [pytest.mark.slow, pytest.mark.net]

OFFICIAL: dict[str, str] = {
    "BaseUrlGreeting.test_greeting": "test_a_mount_greets_with_a_slash_and_without",
    "BaseUrlGreeting.test_notFound": "test_a_path_that_means_nothing_is_not_found",
    "IframePage.test_simpleUrl": "test_the_iframe_page_is_served_under_each_of_its_names",
    "IframePage.test_versionedUrl": "test_the_iframe_page_is_served_under_each_of_its_names",
    "IframePage.test_queriedUrl": "test_the_iframe_page_is_served_under_each_of_its_names",
    "IframePage.test_invalidUrl": "test_a_name_that_is_almost_the_iframe_pages_is_not_found",
    "IframePage.test_cacheability": "test_the_iframe_page_is_not_sent_again_to_who_has_it",
    "InfoTest.test_basic": "test_the_info_tells_what_the_mount_offers",
    "InfoTest.test_entropy": "test_each_info_has_entropy_of_its_own",
    "InfoTest.test_options": "test_a_preflight_is_granted_for_a_year",
    "InfoTest.test_options_null_origin": "test_a_page_without_an_origin_is_granted_as_null",
    "InfoTest.test_disabled_websocket": "test_the_info_tells_of_a_mount_without_websocket",
    "SessionURLs.test_anyValue": "test_server_and_session_are_named_by_the_client",
    "SessionURLs.test_invalidPaths": "test_a_session_with_a_dot_or_without_a_name_is_not_found",
    "SessionURLs.test_ignoringServerId": "test_a_session_is_the_same_under_any_server_name",
    "Protocol.test_simpleSession": "test_a_session_echoes_and_has_one_request_waiting_at_a_time",
    "Protocol.test_closeSession": "test_a_closed_session_says_so_to_each_poll",
    "WebsocketHttpErrors.test_httpMethod": "test_a_websocket_needs_an_upgrade",
    "WebsocketHttpErrors.test_invalidConnectionHeader": (
        "test_a_connection_header_that_says_close_is_no_upgrade"
    ),
    "WebsocketHttpErrors.test_invalidMethod": "test_a_websocket_is_not_opened_with_post",
    "Websocket.test_transport": "test_a_websocket_echoes_in_frames",
    "Websocket.test_close": "test_a_websocket_is_closed_after_the_close_frame",
    "Websocket.test_headersSanity": "test_a_websocket_is_accepted_without_an_origin",
    "Websocket.test_empty_frame": "test_empty_messages_on_a_websocket_are_ignored",
    "Websocket.test_reuseSessionId": "test_websockets_may_share_the_name_of_a_session",
    "Websocket.test_haproxy": "test_an_older_websocket_has_its_head_before_its_nonce_is_sent",
    "Websocket.test_broken_json": "test_broken_json_ends_a_websocket",
    "XhrPolling.test_options": "test_a_preflight_is_granted_for_a_year",
    "XhrPolling.test_transport": "test_a_poll_and_a_send_are_for_any_origin_and_for_no_cache",
    "XhrPolling.test_invalid_session": "test_a_send_to_no_session_is_not_found",
    "XhrPolling.test_invalid_json": "test_a_broken_send_is_refused_and_the_session_lives_on",
    "XhrPolling.test_content_types": "test_a_send_has_any_content_type",
    "XhrPolling.test_request_headers_cors": "test_a_preflight_grants_the_headers_it_asks_for",
    "XhrPolling.test_sending_empty_frame": "test_a_send_of_no_messages_is_taken",
    "XhrStreaming.test_options": "test_a_preflight_is_granted_for_a_year",
    "XhrStreaming.test_transport": "test_a_stream_is_a_prelude_and_then_a_chunk_for_each_frame",
    "XhrStreaming.test_response_limit": "test_a_stream_ends_when_its_frames_reach_the_limit",
    "EventSource.test_transport": "test_an_event_source_has_an_event_for_each_frame",
    "EventSource.test_response_limit": "test_an_event_source_ends_when_its_frames_reach_the_limit",
    "HtmlFile.test_transport": "test_an_html_file_has_a_script_for_each_frame",
    "HtmlFile.test_no_callback": "test_a_script_needs_a_callback",
    "HtmlFile.test_invalid_callback": "test_a_callback_is_a_name",
    "HtmlFile.test_response_limit": "test_an_html_file_ends_when_its_frames_reach_the_limit",
    "JsonPolling.test_transport": "test_a_jsonp_poll_calls_back_and_its_send_says_ok",
    "JsonPolling.test_no_callback": "test_a_script_needs_a_callback",
    "JsonPolling.test_invalid_callback": "test_a_callback_is_a_name",
    "JsonPolling.test_invalid_json": "test_a_broken_jsonp_send_is_refused_and_the_session_lives_on",
    "JsonPolling.test_content_types": "test_a_jsonp_send_is_a_form_or_plain_text",
    "JsonPolling.test_close": "test_a_closed_session_says_so_to_each_jsonp_poll",
    "JsonPolling.test_sending_empty_frame": "test_a_jsonp_send_of_no_messages_is_taken",
    "JsessionidCookie.test_basic": "test_the_info_asks_for_cookies_and_sets_none",
    "JsessionidCookie.test_xhr": "test_the_cookie_of_the_client_comes_back",
    "JsessionidCookie.test_xhr_streaming": "test_an_answer_of_a_session_sets_the_cookie",
    "JsessionidCookie.test_eventsource": "test_an_answer_of_a_session_sets_the_cookie",
    "JsessionidCookie.test_htmlfile": "test_an_answer_of_a_session_sets_the_cookie",
    "JsessionidCookie.test_jsonp": "test_a_jsonp_send_sets_the_cookie_too",
    "RawWebsocket.test_transport": "test_a_raw_websocket_has_no_frames_of_sockjs",
    "RawWebsocket.test_close": "test_a_raw_websocket_is_closed_with_the_reason",
    "JSONEncoding.test_xhr_server_encodes": "test_what_browsers_mangle_is_sent_escaped",
    "JSONEncoding.test_xhr_server_decodes": "test_every_character_may_come_escaped",
    "HandlingClose.test_close_frame": "test_a_stream_of_a_closed_session_says_so_and_ends",
    "HandlingClose.test_close_request": "test_a_second_stream_is_turned_away",
    "HandlingClose.test_abort_xhr_streaming": "test_a_stream_that_breaks_off_ends_its_session",
    "HandlingClose.test_abort_xhr_polling": "test_a_poll_that_breaks_off_ends_its_session",
    "Http10.test_synchronous": "test_http_1_0_is_answered_without_chunks",
    "Http10.test_streaming": "test_a_stream_over_http_1_0_ends_with_its_connection",
    "Http11.test_synchronous": "test_http_1_1_keeps_the_connection",
    "Http11.test_streaming": "test_a_stream_over_http_1_1_is_in_chunks",
    "HttpQuirks.test_emptyContentLengthForPost": "test_a_post_need_not_tell_its_length",
}
"""Each official case, and the test that is it."""

LIMIT = 4096
"""Bytes of frames after which a streaming answer ends: the suite's number."""
PRELUDE = b"h" * 2048 + b"\n"
GO_AWAY = b'c[3000,"Go away!"]\n'
STILL_OPEN = b'c[2010,"Another connection still open"]\n'
AFTER_A_BREAK = {b"o\n", b'c[1002,"Connection interrupted"]\n'}
"""A session that broke off is forgotten, or remembered as broken."""
GREETING = b"Welcome to SockJS!\n"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
IFRAME_PAGE = re.compile(
    rb"""<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="(/|http)[^"]*"></script>
  <script>
    document\.domain = document\.domain;
    SockJS\.bootstrap_iframe\(\);
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe\. It's used for cross domain magic\.</p>
</body>
</html>"""
)
HTML_FILE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


@pytest.fixture(scope="module")
def top() -> Iterator[str]:
    """Where the mounts are, as `http://127.0.0.1:40123/sockjs`."""
    if running := os.environ.get("ANYWIRE_CONFORMANCE_URL"):
        yield f"{running}/sockjs"
        return
    with serving() as url:
        yield f"{url}/sockjs"


def session(top: str, mount: str = "echo") -> str:
    """The URL of a session that nobody had before."""
    return f"{top}/{mount}/000/{uuid4()}"


@asynccontextmanager
async def websocket(url: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket, by a client that is not ours."""
    async with connect(url.replace("http", "ws", 1), proxy=None, compression=None) as opened:
        yield opened


async def heard(opened: ClientConnection) -> str | bytes:
    """The next message."""
    async with asyncio.timeout(5):
        return await opened.recv()


async def opened_by_poll(url: str) -> None:
    """Open a session by polling."""
    answer = await post(f"{url}/xhr")
    assert (answer.status, answer.body) == (200, b"o\n")


async def polled(url: str, frame: bytes) -> None:
    """Poll for this frame."""
    answer = await post(f"{url}/xhr")
    assert (answer.status, answer.body) == (200, frame)


async def sent(url: str, body: str) -> None:
    """Send messages, as JSON, to a session."""
    answer = await post(f"{url}/xhr_send", body)
    assert (answer.status, answer.body) == (204, b"")


@asynccontextmanager
async def rivals(url: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """Two polls at once: the one that has its answer, and the one that waits.

    Which of the two the server reads first is its own affair.
    """
    async with connected(url) as one, connected(url) as other:
        polls = {}
        for poll in (one, other):
            await poll.send("POST", f"{url}/xhr", body=b"")
            polls[asyncio.create_task(poll.answer(), name="poll")] = poll
        done, pending = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(polls)
        assert [task.result().status for task in done] == [200]
        yield polls[done.pop()], polls[pending.pop()]


def content_type(head: Head) -> str:
    """It may be written with a space."""
    return head["content-type"].replace(" ", "")


def assert_for_no_cache(head: Head) -> None:
    assert head["cache-control"] == "no-store, no-cache, no-transform, must-revalidate, max-age=0"
    assert not head["expires"]
    assert not head["last-modified"]


def assert_for_a_year(head: Head) -> None:
    assert re.search("public", head["cache-control"])
    assert re.search("max-age=[1-9][0-9]{6}", head["cache-control"])
    assert head["expires"]


def assert_granted(head: Head, origin: str) -> None:
    assert head["access-control-allow-origin"] == origin
    assert head["access-control-allow-credentials"] == "true"


def assert_cookie(head: Head, value: str = "dummy") -> None:
    name, path, *_ = (part.strip() for part in head["set-cookie"].split(";"))
    assert (name, path.lower()) == (f"JSESSIONID={value}", "path=/")


def test_each_official_case_has_a_test_and_each_test_its_case() -> None:
    here = {name for name in globals() if name.startswith("test_")}
    assert tuple(OFFICIAL) == CASES
    assert {*OFFICIAL.values(), "test_each_official_case_has_a_test_and_each_test_its_case"} == here


# ---- pages


@pytest.mark.parametrize("path", ["", "/"])
async def test_a_mount_greets_with_a_slash_and_without(top: str, path: str) -> None:
    answer = await get(f"{top}/echo{path}")
    assert (answer.status, answer.body) == (200, GREETING)
    assert content_type(answer.head) == "text/plain;charset=UTF-8"
    assert "set-cookie" not in answer.head


@pytest.mark.parametrize("path", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"])
async def test_a_path_that_means_nothing_is_not_found(top: str, path: str) -> None:
    assert (await get(f"{top}/echo{path}")).status == 404


@pytest.mark.parametrize(
    "name",
    [
        "iframe.html",
        "iframe-a.html",
        "iframe-.html",
        "iframe-0.1.2.html",
        "iframe-0.1.2abc-dirty.2144.html",
        "iframe-a.html?t=1234",
        "iframe-0.1.2.html?t=123414",
        "iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
    ],
)
async def test_the_iframe_page_is_served_under_each_of_its_names(top: str, name: str) -> None:
    answer = await get(f"{top}/echo/{name}")
    assert answer.status == 200
    assert content_type(answer.head) == "text/html;charset=UTF-8"
    assert_for_a_year(answer.head)
    assert answer.head["etag"]
    assert "last-modified" not in answer.head
    assert "set-cookie" not in answer.head
    assert IFRAME_PAGE.fullmatch(answer.body.strip())


@pytest.mark.parametrize(
    "name",
    [
        "iframe.htm",
        "iframe",
        "IFRAME.HTML",
        "IFRAME",
        "iframe.HTML",
        "iframe.xml",
        "iframe-/.html",
    ],
)
async def test_a_name_that_is_almost_the_iframe_pages_is_not_found(top: str, name: str) -> None:
    assert (await get(f"{top}/echo/{name}")).status == 404


async def test_the_iframe_page_is_not_sent_again_to_who_has_it(top: str) -> None:
    page = f"{top}/echo/iframe.html"
    etag = (await get(page)).head["etag"]
    assert etag
    assert (await get(page)).head["etag"] == etag
    answer = await get(page, headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")
    assert "content-type" not in answer.head


# ---- info and preflights


async def test_the_info_tells_what_the_mount_offers(top: str) -> None:
    answer = await get(f"{top}/echo/info", headers={"Origin": "test"})
    assert answer.status == 200
    assert content_type(answer.head) == "application/json;charset=UTF-8"
    assert "set-cookie" not in answer.head
    assert_for_no_cache(answer.head)
    assert_granted(answer.head, "test")
    info = json.loads(answer.body)
    assert info["websocket"] is True
    assert info["cookie_needed"] is False
    assert info["origins"] == ["*:*"]


async def test_each_info_has_entropy_of_its_own(top: str) -> None:
    one, other = [json.loads((await get(f"{top}/echo/info")).body)["entropy"] for _ in range(2)]
    assert type(one) is type(other) is int
    assert 0 <= min(one, other) < max(one, other) < 2**32


@pytest.mark.parametrize("origin", ["test", "null"])
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("info", "OPTIONS, GET"),
        ("abc/abc/xhr", "OPTIONS, POST"),
        ("abc/abc/xhr_send", "OPTIONS, POST"),
        ("abc/abc/xhr_streaming", "OPTIONS, POST"),
    ],
)
async def test_a_preflight_is_granted_for_a_year(
    top: str, path: str, methods: str, origin: str
) -> None:
    headers = {"Access-Control-Request-Method": methods, "Origin": origin}
    answer = await request("OPTIONS", f"{top}/echo/{path}", headers=headers)
    assert answer.status in (200, 204)
    assert answer.body == b""
    assert_for_a_year(answer.head)
    assert int(answer.head["access-control-max-age"]) > 1_000_000
    granted = answer.head["access-control-allow-methods"].split(",")
    assert {method.strip() for method in granted} >= set(methods.split(", "))
    assert_granted(answer.head, origin)


async def test_a_page_without_an_origin_is_granted_as_null(top: str) -> None:
    headers = {"Origin": "null", "Access-Control-Request-Method": "POST"}
    answer = await request("OPTIONS", f"{top}/echo/info", headers=headers)
    assert answer.status in (200, 204)
    assert answer.body == b""
    assert answer.head["access-control-allow-origin"] == "null"


async def test_the_info_tells_of_a_mount_without_websocket(top: str) -> None:
    answer = await get(f"{top}/disabled_websocket_echo/info")
    assert answer.status == 200
    assert json.loads(answer.body)["websocket"] is False


@pytest.mark.parametrize(
    "wanted",
    [{"Access-Control-Request-Headers": "a, b, c"}, {"Access-Control-Request-Headers": ""}, {}],
)
async def test_a_preflight_grants_the_headers_it_asks_for(top: str, wanted: dict[str, str]) -> None:
    headers = {"Origin": "test", "Access-Control-Request-Method": "POST", **wanted}
    answer = await request("OPTIONS", f"{session(top)}/xhr", headers=headers)
    assert answer.status in (200, 204)
    assert_granted(answer.head, "test")
    granted = answer.head["access-control-allow-headers"]
    assert granted == wanted.get("Access-Control-Request-Headers", "")


# ---- sessions


@pytest.mark.parametrize("name", ["/a/a{}", "/_/_{}", "/1/{}", "/abcdefgh_i-j%20/abcdefg_i-j%20{}"])
async def test_server_and_session_are_named_by_the_client(top: str, name: str) -> None:
    await opened_by_poll(f"{top}/echo{name.format(uuid4())}")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["//", "/a./a", "/a/a.", "/./.", "/", "///"])
async def test_a_session_with_a_dot_or_without_a_name_is_not_found(
    top: str, name: str, method: str
) -> None:
    assert (await request(method, f"{top}/echo{name}/xhr")).status == 404


async def test_a_session_is_the_same_under_any_server_name(top: str) -> None:
    name = uuid4()
    await opened_by_poll(f"{top}/echo/000/{name}")
    await sent(f"{top}/echo/000/{name}", '["a"]')
    await polled(f"{top}/echo/999/{name}", b'a["a"]\n')


async def test_a_session_echoes_and_has_one_request_waiting_at_a_time(top: str) -> None:
    url = session(top)
    await opened_by_poll(url)
    await sent(url, '["a"]')
    await polled(url, b'a["a"]\n')
    assert (await post(f"{top}/echo/000/bad_session/xhr_send", '["a"]')).status == 404
    async with rivals(url) as (away, _):
        assert await away.body("POST") == STILL_OPEN


async def test_a_closed_session_says_so_to_each_poll(top: str) -> None:
    url = session(top, "close")
    await opened_by_poll(url)
    await polled(url, GO_AWAY)
    await polled(url, GO_AWAY)


# ---- WebSocket


async def test_a_websocket_needs_an_upgrade(top: str) -> None:
    assert (await get(f"{top}/echo/0/0/websocket")).status == 400


async def test_a_connection_header_that_says_close_is_no_upgrade(top: str) -> None:
    headers = {"Upgrade": "WebSocket", "Connection": "close"}
    assert (await get(f"{top}/echo/0/0/websocket", headers=headers)).status == 400


@pytest.mark.parametrize("headers", [{"Upgrade": "WebSocket", "Connection": "Upgrade"}, {}])
async def test_a_websocket_is_not_opened_with_post(top: str, headers: dict[str, str]) -> None:
    answer = await post(f"{top}/echo/0/0/websocket", headers=headers)
    assert (answer.status, answer.body) == (405, b"")
    assert "content-type" not in answer.head
    assert answer.head["allow"]


async def test_a_websocket_echoes_in_frames(top: str) -> None:
    async with websocket(f"{session(top)}/websocket") as opened:
        assert await heard(opened) == "o"
        await opened.send('["a"]')
        assert await heard(opened) == 'a["a"]'


async def test_a_websocket_is_closed_after_the_close_frame(top: str) -> None:
    async with websocket(f"{session(top, 'close')}/websocket") as opened:
        assert await heard(opened) == "o"
        assert await heard(opened) == 'c[3000,"Go away!"]'
        with pytest.raises(ConnectionClosed):
            await heard(opened)


async def test_a_websocket_is_accepted_without_an_origin(top: str) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Origin": "http://somewhere.example",
    }
    async with asked("GET", f"{session(top)}/websocket", headers=headers) as opened:
        assert opened.head.status == 101
        assert opened.head["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert opened.head["connection"].lower() == "upgrade"
        assert opened.head["upgrade"].lower() == "websocket"
        assert "content-length" not in opened.head


async def test_empty_messages_on_a_websocket_are_ignored(top: str) -> None:
    async with websocket(f"{session(top)}/websocket") as opened:
        assert await heard(opened) == "o"
        for message in ("", "[]", '["a"]'):
            await opened.send(message)
        assert await heard(opened) == 'a["a"]'


async def test_websockets_may_share_the_name_of_a_session(top: str) -> None:
    url = f"{session(top)}/websocket"
    async with websocket(url) as one, websocket(url) as other:
        assert [await heard(one), await heard(other)] == ["o", "o"]
        await one.send('["a"]')
        assert await heard(one) == 'a["a"]'
        await other.send('["b"]')
        assert await heard(other) == 'a["b"]'
    async with websocket(url) as again:
        assert await heard(again) == "o"
        await again.send('["a"]')
        assert await heard(again) == 'a["a"]'


async def test_an_older_websocket_has_its_head_before_its_nonce_is_sent(top: str) -> None:
    """The handshake of draft-hixie-thewebsocketprotocol-76, with a proxy that holds the body back.

    Each key is a number times its count of spaces, hidden among other characters.
    """
    url = f"{session(top)}/websocket"
    origin = top.removesuffix("/sockjs")
    headers = {
        "Upgrade": "WebSocket",
        "Connection": "Upgrade",
        "Origin": origin,
        "Sec-WebSocket-Key1": "3 7x0 3!7 01",
        "Sec-WebSocket-Key2": "1975P 30864 2",
    }
    async with asked("GET", url, headers=headers) as opened:
        assert opened.head.status == 101
        assert opened.head["connection"].lower() == "upgrade"
        assert opened.head["upgrade"].lower() == "websocket"
        assert opened.head["sec-websocket-location"] == url.replace("http", "ws", 1)
        assert opened.head["sec-websocket-origin"] == origin
        assert "content-length" not in opened.head
        await opened.write(b"8 bytes.")
        numbers = (3703701 // 3).to_bytes(4, "big") + (1975308642 // 2).to_bytes(4, "big")
        digest = hashlib.md5(numbers + b"8 bytes.", usedforsecurity=False).digest()
        assert await opened.exactly(16) == digest


async def test_broken_json_ends_a_websocket(top: str) -> None:
    async with websocket(f"{session(top)}/websocket") as opened:
        assert await heard(opened) == "o"
        await opened.send('["a')
        with pytest.raises(ConnectionClosed):
            await heard(opened)


async def test_a_raw_websocket_has_no_frames_of_sockjs(top: str) -> None:
    async with websocket(f"{top}/echo/websocket") as opened:
        await opened.send("Hello world!\uffff")
        assert await heard(opened) == "Hello world!\uffff"


async def test_a_raw_websocket_is_closed_with_the_reason(top: str) -> None:
    async with websocket(f"{top}/close/websocket") as opened:
        with pytest.raises(ConnectionClosed):
            await heard(opened)
        assert (opened.close_code, opened.close_reason) == (3000, "Go away!")


# ---- polling with XHR


async def test_a_poll_and_a_send_are_for_any_origin_and_for_no_cache(top: str) -> None:
    url = session(top)
    answer = await post(f"{url}/xhr", headers={"Origin": "test"})
    assert (answer.status, answer.body) == (200, b"o\n")
    assert content_type(answer.head) == "application/javascript;charset=UTF-8"
    assert_granted(answer.head, "test")
    assert_for_no_cache(answer.head)
    answer = await post(f"{url}/xhr_send", '["x"]', headers={"Origin": "test"})
    assert (answer.status, answer.body) == (204, b"")
    assert content_type(answer.head) == "text/plain;charset=UTF-8"
    assert_granted(answer.head, "test")
    assert_for_no_cache(answer.head)
    await polled(url, b'a["x"]\n')


async def test_a_send_to_no_session_is_not_found(top: str) -> None:
    assert (await post(f"{session(top)}/xhr_send", '["x"]')).status == 404


async def test_a_broken_send_is_refused_and_the_session_lives_on(top: str) -> None:
    url = session(top)
    await opened_by_poll(url)
    for body, reason in (('["x', b"Broken JSON encoding."), ("", b"Payload expected.")):
        answer = await post(f"{url}/xhr_send", body)
        assert answer.status == 500
        assert reason in answer.body
    await sent(url, '["a"]')
    await polled(url, b'a["a"]\n')


async def test_a_send_has_any_content_type(top: str) -> None:
    url = session(top)
    await opened_by_poll(url)
    types = [
        "text/plain",
        "T",
        "application/json",
        "application/xml",
        "",
        "application/json; charset=utf-8",
        "text/xml; charset=utf-8",
        "text/xml",
    ]
    for number, name in enumerate(types):
        headers = {"Content-Type": name}
        answer = await post(f"{url}/xhr_send", f'["{number}"]', headers=headers)
        assert (answer.status, answer.body) == (204, b""), name
    await polled(url, b'a["0","1","2","3","4","5","6","7"]\n')


async def test_a_send_of_no_messages_is_taken(top: str) -> None:
    url = session(top)
    await opened_by_poll(url)
    await sent(url, "[]")
    await sent(url, '["a"]')
    await polled(url, b'a["a"]\n')


# ---- streaming


async def test_a_stream_is_a_prelude_and_then_a_chunk_for_each_frame(top: str) -> None:
    url = session(top)
    async with asked("POST", f"{url}/xhr_streaming", headers={"Origin": "test"}) as stream:
        assert stream.head.status == 200
        assert content_type(stream.head) == "application/javascript;charset=UTF-8"
        assert_granted(stream.head, "test")
        assert_for_no_cache(stream.head)
        assert await stream.chunk() == PRELUDE
        assert await stream.chunk() == b"o\n"
        await sent(url, '["x"]')
        assert await stream.chunk() == b'a["x"]\n'


async def test_a_stream_ends_when_its_frames_reach_the_limit(top: str) -> None:
    """The prelude does not count; what delimits a frame does."""
    url = session(top)
    message = f'["{"x" * 128}"]'
    async with asked("POST", f"{url}/xhr_streaming") as stream:
        assert await stream.chunk() == PRELUDE
        size = len(await stream.chunk())
        while size < LIMIT:
            await sent(url, message)
            frame = await stream.chunk()
            assert frame == f"a{message}\n".encode()
            size += len(frame)
        assert await stream.chunk() == b""


async def test_an_event_source_has_an_event_for_each_frame(top: str) -> None:
    url = session(top)
    async with asked("GET", f"{url}/eventsource") as stream:
        assert stream.head.status == 200
        assert content_type(stream.head) == "text/event-stream"
        assert_for_no_cache(stream.head)
        assert await stream.chunk() == b"\r\n"
        assert await stream.chunk() == b"data: o\r\n\r\n"
        await sent(url, '["x"]')
        assert await stream.chunk() == b'data: a["x"]\r\n\r\n'
        await sent(url, r'["  \u0000\n\r "]')
        assert await stream.chunk() == b'data: a["  \\u0000\\n\\r "]\r\n\r\n'


async def test_an_event_source_ends_when_its_frames_reach_the_limit(top: str) -> None:
    url = session(top)
    message = "x" * LIMIT
    async with asked("GET", f"{url}/eventsource") as stream:
        assert await stream.chunk() == b"\r\n"
        assert await stream.chunk() == b"data: o\r\n\r\n"
        await sent(url, f'["{message}"]')
        assert await stream.chunk() == f'data: a["{message}"]\r\n\r\n'.encode()
        assert await stream.chunk() == b""


async def test_an_html_file_has_a_script_for_each_frame(top: str) -> None:
    url = session(top)
    async with asked("GET", f"{url}/htmlfile?c=%63allback") as stream:
        assert stream.head.status == 200
        assert content_type(stream.head) == "text/html;charset=UTF-8"
        assert_for_no_cache(stream.head)
        page = await stream.chunk()
        assert page.strip() == HTML_FILE
        assert len(page) > 1024
        assert await stream.chunk() == b'<script>\np("o");\n</script>\r\n'
        await sent(url, '["x"]')
        assert await stream.chunk() == b'<script>\np("a[\\"x\\"]");\n</script>\r\n'


async def test_an_html_file_ends_when_its_frames_reach_the_limit(top: str) -> None:
    url = session(top)
    message = "x" * LIMIT
    async with asked("GET", f"{url}/htmlfile?c=callback") as stream:
        assert (await stream.chunk()).strip() == HTML_FILE
        assert await stream.chunk() == b'<script>\np("o");\n</script>\r\n'
        await sent(url, f'["{message}"]')
        frame = f'<script>\np("a[\\"{message}\\"]");\n</script>\r\n'
        assert await stream.chunk() == frame.encode()
        assert await stream.chunk() == b""


# ---- polling with scripts


@pytest.mark.parametrize("carrier", ["htmlfile", "jsonp"])
async def test_a_script_needs_a_callback(top: str, carrier: str) -> None:
    answer = await get(f"{top}/echo/a/a/{carrier}")
    assert answer.status == 500
    assert b'"callback" parameter required' in answer.body


@pytest.mark.parametrize("callback", ["%20", "*", "abc(", "abc%28"])
@pytest.mark.parametrize("carrier", ["htmlfile", "jsonp"])
async def test_a_callback_is_a_name(top: str, carrier: str, callback: str) -> None:
    answer = await get(f"{top}/echo/a/a/{carrier}?c={callback}")
    assert answer.status == 500
    assert b'invalid "callback" parameter' in answer.body


async def jsonp_polled(url: str, argument: str) -> Answer:
    """Poll for this frame, a literal of JavaScript."""
    answer = await get(f"{url}/jsonp?c=%63allback")
    assert (answer.status, answer.body) == (200, f"/**/callback({argument});\r\n".encode())
    return answer


async def jsonp_sent(url: str, body: str, content_type: str = FORM["Content-Type"]) -> Answer:
    """Send messages to a session."""
    answer = await post(f"{url}/jsonp_send", body, headers={"Content-Type": content_type})
    assert (answer.status, answer.body) == (200, b"ok")
    return answer


async def test_a_jsonp_poll_calls_back_and_its_send_says_ok(top: str) -> None:
    url = session(top)
    answer = await jsonp_polled(url, '"o"')
    assert content_type(answer.head) == "application/javascript;charset=UTF-8"
    assert_for_no_cache(answer.head)
    answer = await jsonp_sent(url, "d=%5B%22x%22%5D")
    assert content_type(answer.head) == "text/plain;charset=UTF-8"
    assert_for_no_cache(answer.head)
    await jsonp_polled(url, r'"a[\"x\"]"')


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("d=%5B%22x", b"Broken JSON encoding."),
        ("", b"Payload expected."),
        ("d=", b"Payload expected."),
        ("p=p", b"Payload expected."),
    ],
)
async def test_a_broken_jsonp_send_is_refused_and_the_session_lives_on(
    top: str, body: str, reason: bytes
) -> None:
    url = session(top)
    await jsonp_polled(url, '"o"')
    answer = await post(f"{url}/jsonp_send", body, headers=FORM)
    assert answer.status == 500
    assert reason in answer.body
    await jsonp_sent(url, "d=%5B%22b%22%5D")
    await jsonp_polled(url, r'"a[\"b\"]"')


async def test_a_jsonp_send_is_a_form_or_plain_text(top: str) -> None:
    url = session(top)
    await jsonp_polled(url, '"o"')
    await jsonp_sent(url, "d=%5B%22abc%22%5D")
    await jsonp_sent(url, '["%61bc"]', "text/plain")
    await jsonp_polled(url, r'"a[\"abc\",\"%61bc\"]"')


async def test_a_closed_session_says_so_to_each_jsonp_poll(top: str) -> None:
    url = session(top, "close")
    await jsonp_polled(url, '"o"')
    await jsonp_polled(url, r'"c[3000,\"Go away!\"]"')
    await jsonp_polled(url, r'"c[3000,\"Go away!\"]"')


async def test_a_jsonp_send_of_no_messages_is_taken(top: str) -> None:
    url = session(top)
    await jsonp_polled(url, '"o"')
    await jsonp_sent(url, "d=%5B%5D")
    await jsonp_sent(url, "d=%5B%22x%22%5D")
    await jsonp_polled(url, r'"a[\"x\"]"')


# ---- the cookie


async def test_the_info_asks_for_cookies_and_sets_none(top: str) -> None:
    answer = await get(f"{top}/cookie_needed_echo/info")
    assert answer.status == 200
    assert "set-cookie" not in answer.head
    assert json.loads(answer.body)["cookie_needed"] is True


@pytest.mark.parametrize(
    ("headers", "value"), [({}, "dummy"), ({"Cookie": "JSESSIONID=abcdef"}, "abcdef")]
)
async def test_the_cookie_of_the_client_comes_back(
    top: str, headers: dict[str, str], value: str
) -> None:
    answer = await post(f"{session(top, 'cookie_needed_echo')}/xhr", headers=headers)
    assert (answer.status, answer.body) == (200, b"o\n")
    assert_cookie(answer.head, value)


@pytest.mark.parametrize(
    ("method", "carrier"),
    [
        ("POST", "xhr_streaming"),
        ("GET", "eventsource"),
        ("GET", "htmlfile?c=%63allback"),
    ],
)
async def test_an_answer_of_a_session_sets_the_cookie(top: str, method: str, carrier: str) -> None:
    async with asked(method, f"{session(top, 'cookie_needed_echo')}/{carrier}") as stream:
        assert stream.head.status == 200
        assert_cookie(stream.head)


async def test_a_jsonp_send_sets_the_cookie_too(top: str) -> None:
    url = session(top, "cookie_needed_echo")
    assert_cookie((await jsonp_polled(url, '"o"')).head)
    assert_cookie((await jsonp_sent(url, "d=%5B%22x%22%5D")).head)


# ---- JSON


async def test_what_browsers_mangle_is_sent_escaped(top: str) -> None:
    ranges = ((0x200C, 0x200F), (0x2028, 0x202F), (0x2060, 0x206F), (0xFFF0, 0xFFFF))
    codes = [code for first, last in ranges for code in range(first, last + 1)]
    url = session(top)
    await opened_by_poll(url)
    await sent(url, f'["{"".join(map(chr, codes))}"]')
    escaped = "".join(f"\\u{code:04x}" for code in codes)
    await polled(url, f'a["{escaped}"]\n'.encode())


async def test_every_character_may_come_escaped(top: str) -> None:
    """All of the first plane but surrogates; the official case has a tenth of them."""
    codes = [*range(0xD800), *range(0xE000, 0x10000)]
    url = session(top)
    await opened_by_poll(url)
    for first in range(0, len(codes), 4096):
        some = codes[first : first + 4096]
        await sent(url, '["' + "".join(f"\\u{code:04x}" for code in some) + '"]')
        answer = await post(f"{url}/xhr")
        assert answer.status == 200
        assert json.loads(answer.body.removeprefix(b"a")) == ["".join(map(chr, some))]


# ---- ends


async def test_a_stream_of_a_closed_session_says_so_and_ends(top: str) -> None:
    url = f"{session(top, 'close')}/xhr_streaming"
    async with asked("POST", url) as one:
        assert [await one.chunk() for _ in range(3)] == [PRELUDE, b"o\n", GO_AWAY]
        async with asked("POST", url) as other:
            assert [await other.chunk() for _ in range(3)] == [PRELUDE, GO_AWAY, b""]
        assert await one.chunk() == b""


async def test_a_second_stream_is_turned_away(top: str) -> None:
    url = f"{session(top)}/xhr_streaming"
    async with asked("POST", url) as one:
        assert [await one.chunk() for _ in range(2)] == [PRELUDE, b"o\n"]
        async with asked("POST", url) as other:
            assert [await other.chunk() for _ in range(3)] == [PRELUDE, STILL_OPEN, b""]


async def test_a_stream_that_breaks_off_ends_its_session(top: str) -> None:
    url = f"{session(top)}/xhr_streaming"
    async with asked("POST", url) as one:
        assert [await one.chunk() for _ in range(2)] == [PRELUDE, b"o\n"]
        async with asked("POST", url) as other:
            assert [await other.chunk() for _ in range(3)] == [PRELUDE, STILL_OPEN, b""]
    async with asked("POST", url) as again:
        assert await again.chunk() == PRELUDE
        assert await again.chunk() in AFTER_A_BREAK


async def test_a_poll_that_breaks_off_ends_its_session(top: str) -> None:
    url = session(top)
    await opened_by_poll(url)
    async with rivals(url) as (away, _):
        assert await away.body("POST") == STILL_OPEN
    answer = await post(f"{url}/xhr")
    assert answer.status == 200
    assert answer.body in AFTER_A_BREAK


# ---- HTTP/1.0 and HTTP/1.1

KEEP = {"Connection": "Keep-Alive"}


async def test_http_1_0_is_answered_without_chunks(top: str) -> None:
    url = f"{top}/echo"
    async with connected(url) as connection:
        await connection.send("GET", url, headers=KEEP, version="1.0")
        head = await connection.answer()
        assert head.status == 200
        assert head.version in ("1.0", "1.1")
        assert "transfer-encoding" not in head
        if head["content-length"]:
            assert await connection.exactly(int(head["content-length"])) == GREETING
        if head["connection"].lower() == "keep-alive":
            assert head["content-length"]
            await connection.send("GET", url, headers=KEEP, version="1.0")
            assert (await connection.answer()).status == 200
        else:
            assert head["connection"].lower() in ("close", "")
            assert await connection.rest() == (b"" if head["content-length"] else GREETING)


async def test_a_stream_over_http_1_0_ends_with_its_connection(top: str) -> None:
    url = f"{session(top, 'close')}/xhr_streaming"
    async with connected(url) as connection:
        await connection.send("POST", url, headers=KEEP, body=b"", version="1.0")
        head = await connection.answer()
        assert head.status == 200
        assert "transfer-encoding" not in head
        assert "content-length" not in head
        assert await connection.rest() == PRELUDE + b"o\n" + GO_AWAY


async def test_http_1_1_keeps_the_connection(top: str) -> None:
    url = f"{top}/echo"
    async with connected(url) as connection:
        for _ in range(2):
            await connection.send("GET", url, headers=KEEP)
            head = await connection.answer()
            assert (head.version, head.status) == ("1.1", 200)
            assert head["connection"].lower() in ("keep-alive", "")
            assert ("content-length" in head) != head.is_chunked
            assert await connection.body("GET") == GREETING


async def test_a_stream_over_http_1_1_is_in_chunks(top: str) -> None:
    url = f"{session(top, 'close')}/xhr_streaming"
    async with asked("POST", url, headers=KEEP) as stream:
        assert stream.head.status == 200
        assert stream.head.is_chunked
        assert "content-length" not in stream.head
        assert [await stream.chunk() for _ in range(4)] == [PRELUDE, b"o\n", GO_AWAY, b""]


async def test_a_post_need_not_tell_its_length(top: str) -> None:
    url = f"{session(top)}/xhr"
    async with connected(url) as connection:
        await connection.send("POST", url)
        assert (await connection.answer()).status == 200
        assert await connection.body("POST") == b"o\n"
