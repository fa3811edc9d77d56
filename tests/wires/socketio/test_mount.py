"""A path of Engine.IO: what its requests mean, and how they are refused."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from anywire.errors import ConfigurationError
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.base import (
    SESSION_ID,
    TOKEN_ID,
    Answer,
    Hello,
    Identity,
    Machine,
    Mount,
    Opening,
    Reason,
    Role,
    Route,
    Why,
)
from anywire.wires.nameless import join_at
from anywire.wires.socketio.bare import EngineIoMachine
from anywire.wires.socketio.carriers import TAKEN, pack, unpack
from anywire.wires.socketio.engine import Engine, Heartbeat, Probe
from anywire.wires.socketio.mount import EngineMount

ERRORS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    5: "Unsupported protocol version",
}
POLL = {"EIO": "4", "transport": "polling"}
SOCKET = {"EIO": "4", "transport": "websocket"}
SEED = bytes(range(32))


class Asked:
    """A mount, and what its machines were made of."""

    def __init__(self, path: str = "/engine.io", **options: Any) -> None:
        self.mount = EngineMount(path, **{"heartbeat": Heartbeat(), **options})
        self.made: list[tuple[str, list[str]]] = []

    def __call__(
        self, query: dict[str, str], carrier: Carrier = Carrier.POLL, **hello: Any
    ) -> Opening | Answer:
        asked = Hello(query=query, carrier=carrier, seed=SEED, **hello)
        return self.mount.open(asked, self.machine, Identity.FRAME)

    def machine(self, hello: Hello, sid: str, upgrades: Sequence[str]) -> Machine:
        self.made.append((sid, list(upgrades)))
        engine = Engine(self.mount.heartbeat)
        return EngineIoMachine(join_at("a", {}), engine, Limits(), sid=sid, upgrades=upgrades)

    def opened(
        self, query: dict[str, str], carrier: Carrier = Carrier.POLL, **hello: Any
    ) -> Opening:
        opening = self(query, carrier, **hello)
        assert isinstance(opening, Opening), opening
        return opening


def error(answer: object) -> tuple[int, int]:
    """Status and code of an error, whose text is the code's."""
    assert isinstance(answer, Answer) and answer.code is None
    assert answer.headers == (("Content-Type", "application/json"),)
    told = json.loads(answer.body)
    assert told == {"code": told["code"], "message": ERRORS[told["code"]]}
    return answer.status, told["code"]


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("/engine.io", ["/engine.io/", "/engine.io"]),
        ("/engine.io/", ["/engine.io/", "/engine.io"]),
        ("/a/b", ["/a/b/", "/a/b"]),
        ("/", ["/"]),
        ("", ["/"]),
    ],
)
def test_a_path_has_a_slash_at_its_end_as_clients_write_it_or_none(
    path: str, paths: list[str]
) -> None:
    mount = EngineMount(path, heartbeat=Heartbeat())
    assert list(mount.routes()) == [
        route
        for each in paths
        for route in (
            Route("GET", each, Carrier.POLL),
            Route("POST", each, Carrier.POST),
            Route("GET", each, Carrier.WEBSOCKET),
            Route("*", each, Carrier.REPLY),
        )
    ]


@pytest.mark.parametrize(
    ("origins", "pages"),
    [(None, None), ("*", ("*",)), (["https://a", "https://b"], ("https://a", "https://b"))],
)
def test_a_mount_has_its_own_options(origins: Any, pages: Any) -> None:
    limits, deflate = Limits(message=10), Deflate()
    mount = EngineMount(
        "/e", heartbeat=Heartbeat(), limits=limits, origins=origins, deflate=deflate
    )
    assert mount.mount == Mount(limits=limits, origins=pages, deflate=deflate)
    assert all(route.mount is mount.mount for route in mount.routes())
    assert EngineMount("/e", heartbeat=Heartbeat()).mount == Mount(deflate=UNSET)


@pytest.mark.parametrize(
    "options",
    [
        {"transports": []},
        {"transports": ["webtransport"]},
        {"transports": ["polling", "websocket", "flashsocket"]},
        {"cookie": ""},
        {"cookie": "a b"},
        {"cookie": "a=b"},
        {"cookie": "a;b"},
        {"cookie": "é"},
        {"cookie": "a\r\nb"},
        {"heartbeat": Heartbeat(0.0, 20.0)},
        {"heartbeat": Heartbeat(25.0, 0.0)},
        {"heartbeat": Heartbeat(0.0004, 20.0)},
        {"heartbeat": Heartbeat(-1.0, 20.0)},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        EngineMount("/e", **{"heartbeat": Heartbeat(), **options})


def test_a_heartbeat_may_be_as_quick_as_a_millisecond() -> None:
    assert EngineMount("/e", heartbeat=Heartbeat(0.001, 0.001)).heartbeat.interval == 0.001


def test_an_option_may_be_said_twice() -> None:
    mount = EngineMount("/e", heartbeat=Heartbeat(), transports=["polling", "polling"])
    assert mount.transports == ["polling"]


# --- a new session --------------------------------------------------------------------------------


def test_a_poll_opens_a_session_and_may_go_on_on_a_socket() -> None:
    asked = Asked()
    opening = asked.opened(POLL)
    hello = Hello(seed=SEED)
    assert (opening.role, opening.auth) == (Role.NEW, Identity.FRAME)
    assert opening.session == hello.id(SESSION_ID)
    assert opening.token == hello.id(TOKEN_ID)
    assert asked.made == [(f"{opening.session}.{opening.token}", ["websocket"])]
    assert opening.downlink is not None and opening.downlink.pack is pack
    assert opening.downlink.gap == 45.0
    assert (opening.uplink, opening.upgrade, opening.received) == (None, None, None)


def test_a_socket_opens_a_session_that_needs_no_upgrade() -> None:
    asked = Asked()
    opening = asked.opened(SOCKET, Carrier.WEBSOCKET)
    assert opening.role is Role.NEW
    assert [upgrades for _, upgrades in asked.made] == [[]]
    assert (opening.downlink, opening.uplink, opening.upgrade) == (None, None, None)


def test_only_what_is_offered_is_an_upgrade() -> None:
    asked = Asked(transports=["polling"])
    asked.opened(POLL)
    assert [upgrades for _, upgrades in asked.made] == [[]]
    assert error(asked(SOCKET, Carrier.WEBSOCKET)) == (400, 0)
    asked = Asked(transports=["websocket"])
    asked.opened(SOCKET, Carrier.WEBSOCKET)
    assert error(asked(POLL)) == (400, 0)


def test_what_a_client_shows_is_its_session_and_its_secret() -> None:
    """The id is public: it stands in logs and in the ids of members. The other half is not."""
    asked = Asked()
    opening = asked.opened(POLL, sign="w1")
    ((sid, _),) = asked.made
    session, _, token = sid.rpartition(".")
    assert (session, token) == (opening.session, opening.token)
    assert session.startswith("w1.") and "." not in token
    assert token not in session and len(token) == 32
    back = asked.opened({**POLL, "sid": sid})
    assert (back.session, back.token) == (session, token)


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.WEBSOCKET])
def test_a_cookie_has_what_a_client_shows(carrier: Carrier) -> None:
    asked = Asked(cookie="io")
    opening = asked.opened(POLL if carrier is Carrier.POLL else SOCKET, carrier)
    ((sid, _),) = asked.made
    assert opening.headers == (("Set-Cookie", f"io={sid}; Path=/; HttpOnly; SameSite=Lax"),)
    assert Asked().opened(POLL).headers == ()
    assert asked.opened({**POLL, "sid": sid}).headers == ()


# --- what follows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "query", "role"),
    [
        (Carrier.POLL, POLL, Role.DOWNLINK),
        (Carrier.POST, POLL, Role.UPLINK),
        (Carrier.WEBSOCKET, SOCKET, Role.CANDIDATE),
    ],
)
def test_what_follows_names_its_session_and_shows_its_secret(
    carrier: Carrier, query: dict[str, str], role: Role
) -> None:
    asked = Asked()
    opening = asked.opened({**query, "sid": "w1.s.t"}, carrier)
    assert (opening.role, opening.session, opening.token) == (role, "w1.s", "t")
    assert opening.machine is None and not asked.made
    assert (opening.downlink is not None) is (role is Role.DOWNLINK)
    assert (opening.uplink is not None) is (role is Role.UPLINK)
    assert isinstance(opening.upgrade, Probe) is (role is Role.CANDIDATE)


def test_each_upgrade_has_a_talk_of_its_own() -> None:
    asked = Asked()
    one, two = (asked.opened({**SOCKET, "sid": "s.t"}, Carrier.WEBSOCKET) for _ in range(2))
    assert one.upgrade is not two.upgrade


def test_a_post_is_read_as_text_unless_it_says_otherwise() -> None:
    asked = Asked()
    query = {**POLL, "sid": "s.t"}
    opening = asked.opened(query, Carrier.POST)
    assert opening.uplink is not None
    assert opening.uplink.unpack is unpack and opening.uplink.taken is TAKEN
    binary = {"content-type": "application/octet-stream"}
    opening = asked.opened(query, Carrier.POST, headers=binary)
    assert opening.uplink is not None and opening.uplink.unpack is not unpack


@pytest.mark.parametrize("sid", ["", ".", "s", "s.", ".t", "...", "w1.s."])
@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.POST, Carrier.WEBSOCKET])
def test_a_sid_that_is_none_is_unknown(carrier: Carrier, sid: str) -> None:
    query = SOCKET if carrier is Carrier.WEBSOCKET else POLL
    asked = Asked()
    assert error(asked({**query, "sid": sid}, carrier)) == (400, 1)
    assert not asked.made


# --- requests that make no sense ------------------------------------------------------------------

GETS = [(Carrier.POLL, "polling"), (Carrier.WEBSOCKET, "websocket")]


@pytest.mark.parametrize(("carrier", "transport"), GETS)
@pytest.mark.parametrize("revision", [None, "", "3", "5", "04", "4 ", "\u0664"])
def test_another_revision_or_none_is_refused(
    carrier: Carrier, transport: str, revision: str | None
) -> None:
    query = {"transport": transport} | ({} if revision is None else {"EIO": revision})
    assert error(Asked()(query, carrier)) == (400, 5)
    assert error(Asked()({**query, "sid": "s.t"}, carrier)) == (400, 3)


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.POST, Carrier.WEBSOCKET, Carrier.REPLY])
@pytest.mark.parametrize("transport", [None, "", "abc", "webtransport", "Polling", "__proto__"])
@pytest.mark.parametrize("sid", [None, "s.t"])
def test_another_transport_or_none_is_refused(
    carrier: Carrier, transport: str | None, sid: str | None
) -> None:
    query = {"EIO": "4"}
    if transport is not None:
        query["transport"] = transport
    if sid is not None:
        query["sid"] = sid
    assert error(Asked()(query, carrier)) == (400, 0)


@pytest.mark.parametrize("sid", [{}, {"sid": "s.t"}])
def test_a_request_that_is_not_the_transport_it_names_is_refused(sid: dict[str, str]) -> None:
    for query, carrier in [
        (SOCKET, Carrier.POLL),
        (SOCKET, Carrier.POST),
        (SOCKET, Carrier.REPLY),
        (POLL, Carrier.WEBSOCKET),
    ]:
        assert error(Asked()({**query, **sid}, carrier)) == (400, 3)


def test_a_session_is_opened_by_get_only() -> None:
    assert error(Asked()(POLL, Carrier.POST)) == (400, 2)
    assert error(Asked()(POLL, Carrier.REPLY, method="PUT")) == (400, 2)
    assert error(Asked()({**POLL, "sid": ""}, Carrier.REPLY, method="PUT")) == (400, 2)


def test_a_session_is_not_spoken_to_by_another_method() -> None:
    assert error(Asked()({**POLL, "sid": "s.t"}, Carrier.REPLY, method="DELETE")) == (400, 3)


@given(
    query=st.dictionaries(
        st.sampled_from(["EIO", "transport", "sid", "t", "j"]),
        st.sampled_from(["4", "3", "polling", "websocket", "s.t", ".", ""]) | st.text(max_size=5),
    ),
    carrier=st.sampled_from([*Carrier]),
)
def test_any_request_is_an_opening_or_an_answer(query: dict[str, str], carrier: Carrier) -> None:
    found = Asked()(query, carrier)
    if isinstance(found, Answer):
        error(found)
    else:
        assert (found.machine is not None) is (found.role is Role.NEW)


# --- refusals before a session stands -------------------------------------------------------------


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.POST, Carrier.WEBSOCKET])
@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (Reason.UNKNOWN, 400, 1),
        (Reason.OWNER_GONE, 400, 1),
        (Reason.FAILED, 500, 3),
        (Reason.BUSY, 503, 3),
        (Reason.LIMIT, 503, 3),
        (Reason.STOPPING, 503, 3),
    ],
)
def test_a_refusal_is_an_error_of_the_request(
    carrier: Carrier, reason: Reason, status: int, code: int
) -> None:
    answer = Asked().mount.refuse(Hello(carrier=carrier), Why(reason, "code", "the cause"))
    assert error(answer) == (status, code)


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.WEBSOCKET])
@pytest.mark.parametrize(
    ("why", "text"),
    [
        (Why(Reason.FORBIDDEN, "bad_token", "wrong token"), "wrong token"),
        (Why(Reason.FORBIDDEN, "bad_token"), "bad_token"),
        (Why(Reason.FORBIDDEN), "forbidden"),
    ],
)
def test_who_is_not_let_in_hears_the_applications_words(
    carrier: Carrier, why: Why, text: str
) -> None:
    answer = Asked().mount.refuse(Hello(carrier=carrier), why)
    assert (answer.status, answer.code) == (403, None)
    assert json.loads(answer.body) == {"code": 4, "message": text}


def test_a_socket_for_a_session_that_has_one_is_let_in_and_hung_up() -> None:
    why = Why(Reason.TAKEN, text="\u20ac" * 60)
    answer = Asked().mount.refuse(Hello(carrier=Carrier.WEBSOCKET), why)
    assert (answer.status, answer.code, answer.payloads) == (101, 4409, ())
    assert answer.reason == "\u20ac" * 41
    for carrier in (Carrier.POLL, Carrier.POST):
        assert error(Asked().mount.refuse(Hello(carrier=carrier), why)) == (400, 3)


@pytest.mark.parametrize("carrier", [Carrier.POLL, Carrier.WEBSOCKET])
def test_a_foreign_origin_gets_no_upgrade(carrier: Carrier) -> None:
    answer = Asked().mount.refuse(Hello(carrier=carrier), Why(Reason.ORIGIN))
    assert (answer.status, answer.code, answer.payloads) == (403, None, ())
    assert b"origin" in answer.body
