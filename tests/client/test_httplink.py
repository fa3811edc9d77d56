"""A link over requests, against servers that misbehave and answers that break anywhere."""

import asyncio

import pytest

from anywire.client import HttpDialer
from anywire.client.httplink import HttpLink, Unwilling
from anywire.errors import ProtocolError, Refused
from anywire.payload import Message, Payload
from tests.client.scripted import (
    EVENTS,
    FIRST,
    OPEN,
    STREAM,
    WELCOME,
    Heard,
    begun,
    chunk,
    said,
    scripted,
)
from tests.client.served import until

pytestmark = pytest.mark.net

WHERE = "/ws/poll?protocol=anywire.json.1&session=s&resume=t"
STREAMED = "/ws/stream?protocol=anywire.json.1&session=s&resume=t"


async def dial(url: str, carrier: str = "poll", **options: int) -> HttpLink:
    return await HttpDialer(carrier, **options).dial(url, OPEN)  # type: ignore[arg-type]


# --- what the requests say ------------------------------------------------------------------------


async def test_the_requests_carry_what_they_must() -> None:
    async with scripted(FIRST, said(), said(b"1\x1e2")) as (script, url):
        link = await dial(f"{url}?room=1")
        assert link.subprotocol == "anywire.json.1"
        assert not link.beat()
        heard = Heard()
        link.write([Payload.of("too early to be said")])
        link.start(heard)
        await heard.until(lambda: len(heard.messages) == 3)
        await script.until(5)
        assert heard.messages == [WELCOME, "1", "2"]
        assert heard.signs >= 1
        link.write([Payload.of("a"), Payload.of("b")])
        await script.until(6)
        link.abort()
        assert (await heard.closed())[0] == 1006
    where = "/ws/poll?room=1&protocol=anywire.json.1&session=s&resume=t"
    gets, posts = script.of("GET"), script.of("POST")
    assert gets[0] == ("GET", f"{where}&received=3", b"")
    assert gets[1:] == [("GET", f"{where}&ack=3", b"")] * 3
    assert posts == [
        ("POST", f"{where}&from=0", b"too early to be said"),
        ("POST", f"{where}&from=1", b"a\x1eb"),
    ]


async def test_the_count_before_a_request_is_of_messages_and_not_of_writes() -> None:
    async with scripted(FIRST) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        several = Payload(b"1", rest=(Payload(b"2"), Payload(b"3")))
        for number, payload in enumerate([several, Payload.of("4"), Payload.of("5")]):
            link.write([payload])
            await script.until(number + 1, "POST")
            await until(lambda: link._posting is None)
        link.abort()
        await heard.closed()
    assert [(one[1], one[2]) for one in script.of("POST")] == [
        (f"{WHERE}&from=0", b"1\x1e2\x1e3"),
        (f"{WHERE}&from=3", b"4"),
        (f"{WHERE}&from=4", b"5"),
    ]


async def test_what_is_written_while_a_post_is_under_way_goes_into_the_next() -> None:
    async with scripted(FIRST) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("a")])
        await script.until(3)
        for text in "bcd":
            link.write([Payload.of(text)])
        link.write([])
        await script.until(4)
        assert [one[2] for one in script.of("POST")] == [b"a", b"b\x1ec\x1ed"]
        link.abort()
        await heard.closed()


async def test_a_link_is_blocked_while_too_much_waits() -> None:
    async with scripted(FIRST) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        assert not link.is_blocked
        link.write([Payload.of("x" * 40_000)] * 3)
        assert link.is_blocked
        await heard.until(lambda: heard.writable)
        assert not link.is_blocked
        assert heard.writable == 1
        link.close(1000, "")
        assert (await heard.closed()) == (1000, "")


# --- answers that break ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "first", "more"),
    [
        ("stream", STREAM, b"1\x1e2\x1e3"),
        (
            "events",
            begun(f": \n\ndata: {WELCOME}\n\n".encode(), kind=EVENTS),
            b"data: 1\n\ndata: 2\n\ndata: 3\n",
        ),
    ],
)
async def test_a_stream_that_breaks_goes_on_where_it_was(
    carrier: str, first: bytes, more: bytes
) -> None:
    async with scripted(first) as (script, url):
        link = await dial(url, carrier)
        heard = Heard()
        link.start(heard)
        script.say(chunk(more))
        await heard.until(lambda: len(heard.messages) == 3)
        assert heard.messages == [WELCOME, "1", "2"]  # of 3 the end is missing
        heard.session["received"] = "5"
        script.cut()
        await script.until(2)
        assert script.asked[1][1].endswith("&session=s&resume=t&ack=5")
        kind = EVENTS if carrier == "events" else "application/octet-stream"
        end = b"data: 3\n\n" if carrier == "events" else b"3\x1e"
        script.say(begun(end, kind=kind))
        await heard.until(lambda: len(heard.messages) == 4)
        assert heard.messages[-1] == "3"
        assert not heard.ends
        link.abort()
        await heard.closed()


async def test_a_stream_that_ends_is_asked_for_again() -> None:
    more = begun(b"1\x1e") + chunk(b"")
    async with scripted(STREAM + chunk(b""), more) as (script, url):
        link = await dial(url, "stream")
        heard = Heard()
        link.start(heard)
        await script.until(3)
        assert heard.messages == [WELCOME, "1"]
        assert [one[1] for one in script.asked[1:]] == [f"{STREAMED}&ack=3"] * 2
        link.abort()
        await heard.closed()


async def test_part_of_a_message_and_padding_are_signs_of_life() -> None:
    async with scripted(STREAM) as (script, url):
        link = await dial(url, "stream")
        heard = Heard()
        link.start(heard)
        script.say(chunk(b"   \x1e"))
        await heard.until(lambda: heard.signs == 1)
        script.say(chunk(b'"half of'))
        await heard.until(lambda: heard.signs == 2)
        assert heard.messages == [WELCOME]
        link.abort()
        await heard.closed()


@pytest.mark.parametrize(
    "broken", [b"", said(b"bad gateway", status=502), b"nonsense\r\n\r\n", said(b"1")[:-1]]
)
async def test_a_poll_that_breaks_is_repeated(broken: bytes) -> None:
    async with scripted(FIRST, broken, said(b"1"), broken, said(b"2")) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        if broken.startswith(b"HTTP/1.1 200"):  # what is missing would still be waited for
            for count in (2, 4):
                await script.until(count)
                script.cut()
        await heard.until(lambda: len(heard.messages) == 3)
        assert heard.messages == [WELCOME, "1", "2"]
        link.abort()
        await heard.closed()


@pytest.mark.parametrize(
    ("answers", "code", "text"),
    [
        ([b"", b""], 1006, "hung up"),
        ([b"nonsense\r\n\r\n"] * 2, 1006, "not HTTP"),
        ([said(status=503)] * 2, 1006, "503"),
        ([said(b"no such session\n", status=404)], 1006, "404: no such session"),
        ([said(b"replaced\n", status=409)], 4409, "409: replaced"),
        ([said(b"x" * 2000)], 1009, "over 1000 bytes"),
        ([said(b"<h1>Log in</h1>", kind="text/html")], 1006, "200: <h1>Log in"),
        ([said(b"\xff")], 1007, "UTF-8"),
        ([said(headers="X-Anywire-Close: 4003 out%20now\r\n")], 4003, "out now"),
        ([said(headers="X-Anywire-Close: soon\r\n")], 1006, ""),
    ],
)
async def test_an_answer_that_means_the_end_is_the_end_of_the_link(
    answers: list[bytes], code: int, text: str
) -> None:
    async with scripted(FIRST, *answers) as (script, url):
        link = await dial(url, max_answer=1000)
        heard = Heard()
        link.start(heard)
        ended = await heard.closed()
        assert ended[0] == code and text in ended[1]
        assert len(script.asked) == 1 + len(answers)
        link.write([Payload.of("too late")])
        link.close(1000, "")
        link.abort()
        assert len(heard.ends) == 1


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (b'1\x1e!4003 out%20now\x1e"never"\x1e', 4003, "out now"),
        (b"\xff\x1e", 1007, "UTF-8"),
        (b"x" * 2000, 1009, "over 1000 bytes"),
    ],
)
async def test_the_last_word_of_a_stream_is_the_end_of_the_link(
    more: bytes, code: int, text: str
) -> None:
    async with scripted(STREAM) as (script, url):
        link = await dial(url, "stream", max_answer=1000)
        heard = Heard()
        link.start(heard)
        script.say(chunk(more))
        ended = await heard.closed()
        assert ended[0] == code and text in ended[1]
        assert '"never"' not in heard.messages


async def test_a_stream_that_brings_nothing_twice_is_given_up() -> None:
    empty = begun(b"  \x1e") + chunk(b"")
    async with scripted(STREAM, empty, empty) as (script, url):
        link = await dial(url, "stream")
        heard = Heard()
        link.start(heard)
        await script.until(1)
        script.say(chunk(b""))
        assert await heard.closed() == (1006, "the stream ended")
        assert len(script.asked) == 3


# --- posts that break -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken", [b"", said(status=502), b"nonsense\r\n\r\n", b"HTTP/1.1 204 X\r\n"]
)
async def test_a_post_that_fails_is_brought_again_under_the_same_count(broken: bytes) -> None:
    async with scripted(FIRST, posts=[None, broken]) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a"), Payload.of("b")])
        await script.until(1, "POST")
        link.write([Payload.of("c")])
        await script.until(2, "POST")
        if broken.startswith(b"HTTP/1.1 204"):
            assert link._posts._connection is not None
            link._posts._connection.abort()
        await script.until(3, "POST")
        await until(lambda: link._posting is None)
        link.write([Payload.of("d")])
        await script.until(4, "POST")
        assert not heard.ends
        link.abort()
        await heard.closed()
    assert [(one[1], one[2]) for one in script.of("POST")] == [
        (f"{WHERE}&from=0", b"a\x1eb"),
        (f"{WHERE}&from=2", b"c"),
        (f"{WHERE}&from=2", b"c"),
        (f"{WHERE}&from=3", b"d"),
    ]


@pytest.mark.parametrize(
    ("answers", "code", "text"),
    [
        ([said(b"a body has at most 3 bytes here\n", status=413)], 1009, "413: a body"),
        ([b"", b""], 1006, "hung up"),
    ],
)
async def test_a_post_that_fails_for_good_is_the_end_of_the_link(
    answers: list[bytes | None], code: int, text: str
) -> None:
    async with scripted(FIRST, posts=answers) as (_, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        ended = await heard.closed()
        assert ended[0] == code and text in ended[1]


async def test_a_poll_under_way_hears_why_a_post_was_refused() -> None:
    refused = said(b"no such session\n", status=404)
    async with scripted(FIRST, posts=[refused]) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("a")])
        await until(lambda: link._is_unheard)
        script.say(said(b"bye", headers="X-Anywire-Close: 4003 out\r\n"))
        assert await heard.closed() == (4003, "out")
        assert heard.messages == [WELCOME, "bye"]


@pytest.mark.parametrize(("status", "code"), [(404, 1006), (409, 4409), (500, 1006)])
async def test_a_post_that_is_refused_for_no_better_reason_ends_the_link_in_time(
    status: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anywire.client.httplink.CLOSING", 0.01)
    refused = said(b"no\n", status=status)
    async with scripted(FIRST, posts=[refused, refused]) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        await script.until(1, "POST")
        link.write([Payload.of("never")])
        assert await heard.closed() == (code, f"the server answered {status}: no")
        assert len(script.of("POST")) == (2 if status == 500 else 1)


# --- goodbyes -------------------------------------------------------------------------------------


async def test_a_goodbye_that_is_refused_is_the_end_at_once() -> None:
    async with scripted(FIRST, posts=[said(status=404)]) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        await script.until(2)
        link.write([Payload.of("bye")])
        link.close(1000, "enough")
        assert await heard.closed() == (1000, "enough")


async def test_a_goodbye_after_a_refused_post_is_the_end_at_once() -> None:
    async with scripted(FIRST, posts=[said(status=404)]) as (script, url):
        link = await dial(url)
        heard = Heard()
        link.start(heard)
        link.write([Payload.of("a")])
        await script.until(3)
        await until(lambda: link._is_unheard)
        link.close(1000, "enough")
        assert await heard.closed() == (1000, "enough")


@pytest.mark.parametrize("first", [FIRST, STREAM])
async def test_a_goodbye_that_nobody_answers_ends_in_time(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anywire.client.httplink.CLOSING", 0.01)
    half = b"HTTP/1.1 204 X\r\n"
    async with scripted(first, posts=[half]) as (script, url):
        link = await dial(url, "poll" if first is FIRST else "stream")
        heard = Heard()
        link.start(heard)
        await script.until(1, "GET")
        link.write([Payload.of("bye")])
        link.close(1000, "enough")
        link.close(1001, "again")
        link.write([Payload.of("never")])
        assert await heard.closed() == (1000, "enough")
        assert [one[2] for one in script.of("POST")] == [b"bye"]


@pytest.mark.parametrize(
    ("carrier", "first"),
    [("poll", said(WELCOME.encode() + b"\x1e1\x1e2")), ("stream", STREAM + chunk(b"1\x1e2\x1e"))],
)
async def test_nothing_is_brought_after_a_close(carrier: str, first: bytes) -> None:
    async with scripted(first) as (_, url):
        link = await dial(url, carrier)
        heard = Heard()
        heard.told = lambda message: link.close(4000, "enough") if message == "1" else None
        link.start(heard)
        assert await heard.closed() == (4000, "enough")
        assert heard.messages == [WELCOME, "1"]


async def test_what_comes_during_the_goodbye_is_not_told() -> None:
    async with scripted(FIRST, said(b"late"), posts=[b"HTTP/1.1 204 X\r\n"]) as (script, url):
        link = await dial(url)
        heard = Heard()

        def told(message: Message) -> None:
            asyncio.get_running_loop().call_soon(close)

        def close() -> None:
            link.write([Payload.of("bye")])
            link.close(1000, "")

        heard.told = told
        link.start(heard)
        await script.until(1, "POST")
        await until(lambda: link._listening is not None and link._listening.done())
        assert heard.messages == [WELCOME]
        link.abort()
        assert (await heard.closed())[0] == 1006


async def test_a_link_given_up_before_it_was_started_tells_its_end() -> None:
    async with scripted(FIRST) as (_, url):
        link = await dial(url)
        link.close(1000, "")
        link.abort()
        heard = Heard()
        link.start(heard)
        assert await heard.closed() == (1000, "")
        assert heard.messages == []


async def test_a_link_that_ended_before_it_was_started_tells_what_came() -> None:
    thrown = begun(b'{"type":"refused"}\x1e{"type":"bye"}\x1e!4003 out\x1e')
    async with scripted(thrown) as (_, url):
        link = await dial(url, "stream")
        heard = Heard()
        link.start(heard)
        assert await heard.closed() == (4003, "out")
        assert heard.messages == ['{"type":"refused"}', '{"type":"bye"}']


# --- receivers that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [WELCOME, "1"])
async def test_a_receiver_that_fails_ends_the_link(
    wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted(FIRST, said(b"1")) as (_, url):
        link = await dial(url)
        heard = Heard()

        def fail(message: Message) -> None:
            if message == wanted:
                raise KeyError(message)

        heard.told = fail
        link.start(heard)
        assert await heard.closed() == (1006, "internal error")
        assert "could not be told" in caplog.text


async def test_a_receiver_that_fails_at_writing_ends_the_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Heard):
        def on_writable(self) -> None:
            raise KeyError

    async with scripted(FIRST) as (_, url):
        link = await dial(url)
        heard = Failing()
        link.start(heard)
        link.write([Payload.of("x" * 70_000)])
        assert await heard.closed() == (1006, "internal error")
        assert "could not be told" in caplog.text


@pytest.mark.parametrize("session", [{"session": "s"}, {"resume": "t"}])
async def test_a_server_that_gives_no_session_is_left(session: dict[str, str]) -> None:
    async with scripted(FIRST) as (_, url):
        link = await dial(url)
        heard = Heard(**session)
        link.start(heard)
        assert await heard.closed() == (1006, "there is no session to ask for")


# --- no link at all -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (
            said(b"wrong token\n", status=403, headers="X-Anywire-Code: bad_token\r\n"),
            "bad_token",
            "wrong token",
        ),
        (said(b"this origin may not connect\n", status=403), "refused", "this origin"),
        (said(status=401), "refused", "401"),
    ],
)
async def test_a_refusal_is_for_good(answer: bytes, code: str, text: str) -> None:
    async with scripted(answer) as (_, url):
        with pytest.raises(Refused) as caught:
            await dial(url)
        assert caught.value.code == code and text in caught.value.text


@pytest.mark.parametrize("status", [204, 302, 400, 404, 429, 500, 503])
async def test_any_other_status_may_pass(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    async with scripted(answer) as (_, url):
        with pytest.raises(ConnectionError, match=f"answered {status}$") as caught:
            await dial(url)
        assert not isinstance(caught.value, Unwilling)


async def test_a_server_that_says_not_now_would_say_so_over_every_carrier() -> None:
    answer = said(b"too many\n", status=429, headers="X-Anywire-Code: limit\r\n")
    async with scripted(answer) as (_, url):
        with pytest.raises(Unwilling, match="429: too many"):
            await dial(url)


async def test_a_page_of_somebody_else_may_pass() -> None:
    async with scripted(said(b"<h1>Log in</h1>", kind="text/html")) as (_, url):
        with pytest.raises(ConnectionError, match="Log in"):
            await dial(url)


@pytest.mark.parametrize(
    ("carrier", "answer"), [("poll", said()), ("stream", begun(b" \x1e") + chunk(b""))]
)
async def test_a_first_answer_without_a_word_is_none(carrier: str, answer: bytes) -> None:
    async with scripted(answer) as (script, url):
        with pytest.raises(ConnectionError, match="said nothing"):
            await dial(url, carrier)
        assert len(script.asked) == 1


async def test_an_answer_that_is_too_large_is_not_taken() -> None:
    async with scripted(FIRST) as (_, url):
        with pytest.raises(ProtocolError, match="over 10 bytes"):
            await dial(url, max_answer=10)


@pytest.mark.parametrize("carrier", ["poll", "stream"])
async def test_a_cancelled_dial_leaves_nothing_open(carrier: str) -> None:
    async with scripted(None if carrier == "poll" else begun(b" \x1e")) as (script, url):
        dialing = asyncio.create_task(dial(url, carrier))
        await script.until(1)
        dialing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialing
