"""SockJS over HTTP requests: how frames stand in answers, and how messages come in.

SockJS protocol 0.3.3, from "XhrPolling" to "JsonPolling". A poll's answer has one frame, a stream
one a chunk; messages that wait together are one frame. `jsonp` and `htmlfile` run what we answer
as a script of the page: what goes into it is made sure of here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

import msgspec

from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.payload import UNFRAMED, Carrier, Framing, Message, Payload
from anywire.wires.base import Answer, Downlink, Overlap, Uplink
from anywire.wires.refusal import answer
from anywire.wires.sockjs.codec import BROKEN, closed, items

UNCACHED = ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0")
CALLBACKS = ("c", "callback")
"""Names, in a query, of the function that hears a frame."""
STREAM_START = 2048
"""Bytes that a stream begins with: some browsers pass nothing on before they have as many."""
_SCRIPT = ("Content-Type", "application/javascript; charset=UTF-8")
_PAGE = ("Content-Type", "text/html; charset=UTF-8")
_PLAIN = ("Content-Type", "text/plain; charset=UTF-8")
_CALLBACK = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_INTERRUPTED = closed(1002, "Connection interrupted")
_FIELDS = 64
"""Fields of one form."""
_FORM = "application/x-www-form-urlencoded"
_TAKEN = Answer(status=204, headers=(_PLAIN, UNCACHED))
"""With a content type, though without content: Firefox would take it for XML ("XhrPolling")."""
_TAKEN_OLD = Answer(headers=(_PLAIN, UNCACHED), body=b"ok")
"""With content: Konqueror cannot do without ("JsonPolling")."""

_json = msgspec.json.Encoder().encode


class Transport(msgspec.Struct, frozen=True):
    """One transport of SockJS: the last part of its path, and how that is asked for."""

    name: str
    method: str
    carrier: Carrier


WEBSOCKET = Transport("websocket", "GET", Carrier.WEBSOCKET)
TRANSPORTS = (
    Transport("xhr", "POST", Carrier.POLL),
    Transport("xhr_send", "POST", Carrier.POST),
    Transport("xhr_streaming", "POST", Carrier.STREAM),
    Transport("eventsource", "GET", Carrier.EVENTS),
)
OLD_TRANSPORTS = (
    Transport("htmlfile", "GET", Carrier.STREAM),
    Transport("jsonp", "GET", Carrier.POLL),
    Transport("jsonp_send", "POST", Carrier.POST),
)


# --- what is said ---------------------------------------------------------------------------------


class Lines:
    """A line a frame."""

    __slots__ = ()

    key = ("sockjs.xhr_streaming", 0)

    def frame(self, payload: Payload) -> bytes:
        return merged([payload]) + b"\n"


class Records:
    """A record of an event stream a frame; its client takes `%` for the beginning of an escape."""

    __slots__ = ()

    key = ("sockjs.eventsource", 0)

    def frame(self, payload: Payload) -> bytes:
        return b"data: %b\r\n\r\n" % merged([payload]).replace(b"%", b"%25")


class Scripts:
    """A script a frame."""

    __slots__ = ()

    key = ("sockjs.htmlfile", 0)

    def frame(self, payload: Payload) -> bytes:
        return b"<script>\np(%b);\n</script>\r\n" % literal(merged([payload]))


LINES, RECORDS, SCRIPTS = Lines(), Records(), Scripts()


def downlinks(gap: float, limit: int) -> Mapping[str, Downlink]:
    """How the requests are answered that ask for what a session says, and need no callback.

    `gap`: seconds between two requests; `limit`: bytes of a stream.
    """
    start = b"h" * STREAM_START + b"\n"
    return {
        "xhr": _poll(lambda frame: frame + b"\n", gap),
        "xhr_streaming": _stream(LINES, _SCRIPT, start, gap=gap, limit=limit),
        "eventsource": _stream(
            RECORDS, ("Content-Type", "text/event-stream"), b"\r\n", gap=gap, limit=limit
        ),
    }


def jsonp(callback: str, gap: float) -> Downlink:
    """How a `jsonp` is answered: a call of the page's function."""
    # The comment keeps a browser from taking the answer for something else than a script.
    before = f"/**/{callback}(".encode()
    return _poll(lambda frame: b"%b%b);\r\n" % (before, literal(frame)), gap)


def htmlfile(callback: str, gap: float, limit: int) -> Downlink:
    """How an `htmlfile` is answered: a page in a frame of the client's, whose scripts call it."""
    start = (_HTML % callback).encode().ljust(STREAM_START) + b"\r\n\r\n"
    return _stream(SCRIPTS, _PAGE, start, gap=gap, limit=limit)


def callback_of(query: Mapping[str, str]) -> str | Answer:
    """The function that a page wants called, or why it is not: it becomes a part of a script."""
    for name in CALLBACKS:
        if name in query:
            callback = query[name]
            if _CALLBACK.fullmatch(callback) is None:
                return answer(500, 'invalid "callback" parameter')
            return callback
    return answer(500, '"callback" parameter required')


def merged(payloads: Sequence[Payload]) -> bytes:
    """One frame: the only one, or one array of the messages of all."""
    first = payloads[0]
    if len(payloads) == 1 and not first.rest:
        return first.data
    parts = [part.data[2:-1] for payload in payloads for part in payload.parts()]
    return b"a[%b]" % b",".join(parts)


def literal(frame: bytes) -> bytes:
    """A frame as a string of JavaScript that cannot end the script it stands in."""
    return _json(frame.decode()).replace(b"<", b"\\u003c")


def _poll(write: Callable[[bytes], bytes], gap: float) -> Downlink:
    def pack(payloads: Sequence[Payload]) -> tuple[bytes, int]:
        count = 1
        if _is_array(payloads[0]):
            while count < len(payloads) and _is_array(payloads[count]):
                count += 1
        return write(merged(payloads[:count])), count

    return Downlink(
        framing=UNFRAMED,
        headers=(_SCRIPT, UNCACHED),
        pack=pack,
        overlap=Overlap.REFUSE,
        gap=gap,
        closed=write(_INTERRUPTED.data),
        is_repeated=True,
    )


def _stream(
    framing: Framing, content_type: tuple[str, str], prelude: bytes, *, gap: float, limit: int
) -> Downlink:
    return Downlink(
        framing=framing,
        headers=(content_type, UNCACHED),
        prelude=prelude,
        limit=limit,
        overlap=Overlap.REFUSE,
        gap=gap,
        is_repeated=True,
    )


def _is_array(payload: Payload) -> bool:
    return payload.data[:1] == b"a"


_HTML = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""
"""The page as the protocol prescribes it, word for word ("HtmlFile")."""


# --- what is heard --------------------------------------------------------------------------------


def uplink(name: str, content_type: str, limits: Limits) -> Uplink:
    """How an `xhr_send` or `jsonp_send` is read and answered."""
    if name == "xhr_send":
        return Uplink(unpack=lambda body: unpack(body, limits), taken=_TAKEN)
    is_form = content_type.partition(";")[0].strip().lower() == _FORM
    return Uplink(
        unpack=lambda body: unpack(_field(body) if is_form else body, limits), taken=_TAKEN_OLD
    )


def unpack(body: bytes, limits: Limits) -> Sequence[Message] | Answer:
    """The messages of a body, a JSON array; one that cannot be read leaves the session as it is."""
    try:
        text = body.decode().strip(" \t\r\n")
        found = items(text, limits)
    except UnicodeDecodeError:
        return answer(500, BROKEN)
    except ProtocolError as error:
        return answer(500, error.reason)
    return found if text[:1] == "[" else answer(500, "Payload expected.")


def _field(body: bytes) -> bytes:
    """What the field `d` of a form holds."""
    try:
        fields = parse_qs(body.decode(errors="replace"), max_num_fields=_FIELDS)
    except ValueError:
        return b""
    return fields.get("d", [""])[-1].encode()
