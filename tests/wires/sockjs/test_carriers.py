"""SockJS over HTTP requests."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Answer, Downlink, Overlap
from anywire.wires.sockjs.carriers import (
    callback_of,
    downlinks,
    htmlfile,
    jsonp,
    literal,
    merged,
    unpack,
    uplink,
)
from anywire.wires.sockjs.codec import HEARTBEAT, OPEN, closed

FORM = "application/x-www-form-urlencoded; charset=UTF-8"
KNOWN = downlinks(5.0, 4096)
ALL = {**KNOWN, "htmlfile": htmlfile("cb", 5.0, 4096), "jsonp": jsonp("cb", 5.0)}


def array(*texts: str) -> Payload:
    return Payload(f"a{json.dumps(texts, separators=(',', ':'))}".encode())


def packed(downlink: Downlink, *payloads: Payload) -> tuple[bytes, int]:
    assert downlink.pack is not None
    return downlink.pack(payloads)


def refused(answer: object) -> tuple[int, bytes]:
    assert isinstance(answer, Answer)
    return answer.status, answer.body


# --- what is said


@pytest.mark.parametrize(
    ("payloads", "frame", "count"),
    [
        ([OPEN], b"o\n", 1),
        ([OPEN, array("a")], b"o\n", 1),
        ([HEARTBEAT, HEARTBEAT], b"h\n", 1),
        ([array("a")], b'a["a"]\n', 1),
        ([array("a"), array("b"), array("]")], b'a["a","b","]"]\n', 3),
        ([array("a"), array("b"), closed(3000, "")], b'a["a","b"]\n', 2),
        ([closed(3000, ""), array("a")], b'c[3000,""]\n', 1),
    ],
)
def test_a_poll_has_one_frame(payloads: list[Payload], frame: bytes, count: int) -> None:
    assert packed(KNOWN["xhr"], *payloads) == (frame, count)


def test_a_run_of_publications_is_one_frame() -> None:
    run = Payload(b'a["a"]', rest=(array("b"), array("c")))
    assert merged([run]) == b'a["a","b","c"]'
    assert merged([array("0"), run, array("1")]) == b'a["0","a","b","c","1"]'
    assert packed(KNOWN["xhr"], run, array("1")) == (b'a["a","b","c","1"]\n', 2)
    assert KNOWN["xhr_streaming"].framing.frame(run) == b'a["a","b","c"]\n'


def test_a_frame_on_a_stream_is_as_its_client_reads_it() -> None:
    said = {
        name: downlink.framing.frame(array("5% <"))
        for name, downlink in ALL.items()
        if downlink.pack is None
    }
    assert said == {
        "xhr_streaming": b'a["5% <"]\n',
        "eventsource": b'data: a["5%25 <"]\r\n\r\n',
        "htmlfile": b'<script>\np("a[\\"5% \\u003c\\"]");\n</script>\r\n',
    }


def test_framings_that_differ_have_different_keys() -> None:
    keys = [downlink.framing.key for downlink in ALL.values() if downlink.pack is None]
    assert len(set(keys)) == len(keys) == 3


def test_a_stream_has_a_beginning_and_an_end() -> None:
    assert KNOWN["xhr_streaming"].prelude == b"h" * 2048 + b"\n"
    assert KNOWN["eventsource"].prelude == b"\r\n"
    for name in ("xhr_streaming", "eventsource", "htmlfile"):
        assert ALL[name].limit == 4096


def test_an_htmlfile_calls_the_page_that_it_stands_in() -> None:
    prelude = ALL["htmlfile"].prelude
    assert b"    var c = parent.cb;\n" in prelude
    assert prelude.rstrip().endswith(b"</script>")
    assert len(prelude) > 1024 and prelude.endswith(b"\r\n\r\n")


def test_a_jsonp_calls_the_page() -> None:
    assert packed(ALL["jsonp"], OPEN) == (b'/**/cb("o");\r\n', 1)
    assert packed(ALL["jsonp"], array("a"), array("<")) == (
        b'/**/cb("a[\\"a\\",\\"\\u003c\\"]");\r\n',
        2,
    )


def test_a_script_does_not_end_where_a_message_says_so() -> None:
    frame = b'a["</script><!--"]'
    assert b"<" not in literal(frame)
    assert json.loads(literal(frame)) == frame.decode()


@pytest.mark.parametrize(("name", "downlink"), ALL.items())
def test_every_answer_is_for_one_request_alone(name: str, downlink: Downlink) -> None:
    headers = dict(downlink.headers)
    assert headers["Cache-Control"].startswith("no-store, no-cache")
    assert headers["Content-Type"]
    assert downlink.overlap is Overlap.REFUSE
    assert downlink.is_repeated
    assert (downlink.gap, downlink.wait) == (5.0, 0.0)


def test_a_poll_of_a_session_that_broke_says_so() -> None:
    assert KNOWN["xhr"].closed == b'c[1002,"Connection interrupted"]\n'
    assert ALL["jsonp"].closed == b'/**/cb("c[1002,\\"Connection interrupted\\"]");\r\n'


@pytest.mark.parametrize("query", [{"c": "_jp.a-1"}, {"callback": "x"}, {"c": "y", "callback": ""}])
def test_a_callback_is_a_name(query: dict[str, str]) -> None:
    assert callback_of(query) == next(iter(query.values()))


@pytest.mark.parametrize(
    "callback", ["", " ", "*", "abc(", "a;b", "a\nb", "a\n", "\u0663", "<", "x" * 65]
)
def test_what_is_no_name_never_becomes_a_script(callback: str) -> None:
    status, body = refused(callback_of({"c": callback}))
    assert status == 500
    assert b'invalid "callback" parameter' in body


def test_a_script_needs_a_callback() -> None:
    status, body = refused(callback_of({"d": "x"}))
    assert status == 500
    assert b'"callback" parameter required' in body


# --- what is heard


def test_a_send_is_an_array_of_messages() -> None:
    sent = uplink("xhr_send", "text/plain", Limits())
    assert sent.unpack(b' ["a","b"]\n') == ["a", "b"]
    assert sent.unpack(b"[]") == []
    assert sent.unpack(b'[1,{"a":2}]') == ["1", '{"a":2}']
    assert (sent.taken.status, sent.taken.body) == (204, b"")
    assert ("Content-Type", "text/plain; charset=UTF-8") in sent.taken.headers


@pytest.mark.parametrize(
    ("content_type", "body", "messages"),
    [
        (FORM, b"d=%5B%22%25%2B%22%5D", ["%+"]),
        (FORM, b'i=a&d=["%c3%a9"]', ["\u00e9"]),
        (FORM, '["\u00e9"]'.join(["d=", ""]).encode(), ["\u00e9"]),
        ("text/plain", b'["%61bc"]', ["%61bc"]),
        ("", b'["d=1"]', ["d=1"]),
    ],
)
def test_a_jsonp_send_is_a_form_or_text(
    content_type: str, body: bytes, messages: list[str]
) -> None:
    sent = uplink("jsonp_send", content_type, Limits())
    assert sent.unpack(body) == messages
    assert (sent.taken.status, sent.taken.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", b"Payload expected."),
        (b" \r\n", b"Payload expected."),
        (b'"a"', b"Payload expected."),
        (b"{}", b"Payload expected."),
        (b'["x', b"Broken JSON encoding."),
        (b"x", b"Broken JSON encoding."),
        (b'["\xff"]', b"Broken JSON encoding."),
        (b"[" * 9, b"nests at most 2 deep"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, reason: bytes) -> None:
    for name in ("xhr_send", "jsonp_send"):
        status, said = refused(uplink(name, "text/plain", Limits(nesting=2)).unpack(body))
        assert status == 500
        assert reason in said


@pytest.mark.parametrize("body", [b"", b"d=", b"p=p", b"&".join([b"d=1"] * 65)])
def test_a_form_has_one_field_that_counts(body: bytes) -> None:
    status, said = refused(uplink("jsonp_send", FORM, Limits()).unpack(body))
    assert (status, said) == (500, b"Payload expected.\n")


@given(st.binary() | st.text('[]{}",:\\u1= &%').map(str.encode))
def test_any_body_is_messages_or_an_answer(body: bytes) -> None:
    for sent in (uplink("xhr_send", "", Limits()), uplink("jsonp_send", FORM, Limits())):
        found = sent.unpack(body)
        assert isinstance(found, Answer) or all(isinstance(one, str) for one in found)
    assert refused(unpack(body + b"x", Limits()))[0] == 500
