"""Phoenix as configured: its paths, its requests, how it says no."""

import base64
import json
from typing import Any

import pytest

from anywire import Anywire, Refused
from anywire.errors import ConfigurationError
from anywire.frames import Join, Welcome
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.testing import connect
from anywire.wires.base import TOKEN_ID, Answer, Hello, Identity, Opening, Reason, Role, Why
from anywire.wires.phoenix import Phoenix, PhoenixClient
from anywire.wires.phoenix.codec import FIRST, RESERVED, SECOND
from anywire.wires.phoenix.machine import PhoenixMachine

SECRET = base64.b64encode(b"secret?>~").decode().rstrip("=")


def hello(carrier: Carrier = Carrier.WEBSOCKET, **fields: Any) -> Hello:
    return Hello(**{"query": {"vsn": "2.0.0"}, "seed": b"x" * 32, "carrier": carrier, **fields})


def opened(request: Hello, wire: Phoenix | None = None) -> Opening:
    opening = (wire or Phoenix()).open(request)
    assert isinstance(opening, Opening), opening
    return opening


def machine_of(opening: Opening) -> PhoenixMachine:
    assert isinstance(opening.machine, PhoenixMachine)
    return opening.machine


def refusal(request: Hello, wire: Phoenix | None = None) -> Answer:
    answer = (wire or Phoenix()).open(request)
    assert isinstance(answer, Answer)
    return answer


# --- options --------------------------------------------------------------------------------------


def test_all_of_it_is_one_import() -> None:
    assert (Phoenix().name, Phoenix().reserved) == ("phoenix", RESERVED)
    assert not PhoenixClient.is_single


def test_it_stands_at_socket_unless_it_is_told_otherwise() -> None:
    routes = {(route.method, route.path, route.carrier) for route in Phoenix().routes()}
    assert routes == {
        ("GET", "/socket/websocket", Carrier.WEBSOCKET),
        ("GET", "/socket/longpoll", Carrier.POLL),
        ("POST", "/socket/longpoll", Carrier.POST),
        ("*", "/socket/longpoll", Carrier.REPLY),
    }
    paths = {route.path for route in Phoenix("/live/", longpoll=None).routes()}
    assert paths == {"/live/websocket"}
    assert refusal(hello(Carrier.POLL), Phoenix(longpoll=None)).status == 400


def test_options_that_cannot_be_are_refused_at_once() -> None:
    for timeout, longpoll in ((0.0, 1.0), (1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(ConfigurationError, match="over 0"):
            Phoenix(timeout=timeout, longpoll=longpoll)


def test_routes_have_the_options_of_the_mount() -> None:
    limits = Limits(message=100)
    for route in Phoenix(limits=limits, origins="https://a.example").routes():
        assert route.mount.limits is limits
        assert route.mount.origins == ("https://a.example",)


# --- WebSockets -----------------------------------------------------------------------------------


def test_a_socket_is_opened_with_the_options_of_the_wire() -> None:
    opening = opened(hello(), Phoenix(timeout=7.0, prefix="phx-"))
    machine = machine_of(opening)
    assert (opening.role, opening.auth, opening.subprotocol) == (Role.NEW, Identity.HELLO, None)
    assert machine.opened(1.0) == ()
    assert machine.deadline() == 8.0
    assert machine.send(Welcome(opening.session, None, 25.0)) == ()
    (join,) = machine.receive('["1","1","room","phx_join",{}]', 1.0)
    assert isinstance(join, Join) and join.address == "phx-room"


def test_the_client_says_which_serializer_it_speaks() -> None:
    for version, codec in (
        ({"vsn": "2.0.0"}, SECOND),
        ({"vsn": "2.1"}, SECOND),
        ({"vsn": "1.0.0"}, FIRST),
        ({}, FIRST),
    ):
        assert machine_of(opened(hello(query=version))).codec is codec


@pytest.mark.parametrize("version", ["3.0.0", "2", "", "x2.0.0", "2.0.0-rc", "٢.0.0", "2.0.0\n"])
def test_another_version_is_refused(version: str) -> None:
    answer = refusal(hello(query={"vsn": version}))
    assert (answer.status, bool(answer.body)) == (403, True)
    answer = refusal(hello(Carrier.POLL, query={"vsn": version}))
    assert (answer.status, json.loads(answer.body)) == (200, {"status": 403})


@pytest.mark.parametrize("shown", [SECRET, SECRET.replace("/", "_").replace("+", "-")])
def test_a_token_beside_the_subprotocol_is_the_clients_credentials(shown: str) -> None:
    request = hello(subprotocols=["phoenix", f"base64url.bearer.phx.{shown}"])
    opening = opened(request)
    assert (opening.subprotocol, opening.credentials) == ("phoenix", {"token": "secret?>~"})


def test_without_a_token_there_are_no_credentials() -> None:
    for subprotocols in ([], ["phoenix"], ["other"], [f"base64url.bearer.phx.{SECRET}"] * 2):
        opening = opened(hello(subprotocols=subprotocols))
        assert opening.credentials is None
        assert opening.subprotocol == ("phoenix" if "phoenix" in subprotocols else None)
    # The header is for long polls.
    assert opened(hello(headers={"x-phoenix-authtoken": "no"})).credentials is None


@pytest.mark.parametrize("shown", ["!", "a", "_w", "ü"])
def test_a_token_that_is_none_is_refused(shown: str) -> None:
    answer = refusal(hello(subprotocols=["phoenix", f"base64url.bearer.phx.{shown}"]))
    assert (answer.status, bool(answer.body)) == (403, True)


def test_an_empty_token_is_one() -> None:
    opening = opened(hello(subprotocols=["phoenix", "base64url.bearer.phx."]))
    assert opening.credentials == {"token": ""}


# --- long polls -----------------------------------------------------------------------------------


def polled(**fields: Any) -> tuple[Opening, str]:
    """A new session on polls, and the token it is told."""
    opening = opened(hello(Carrier.POLL, **fields))
    (greeting,) = machine_of(opening).send(Welcome(opening.session, opening.token, 25.0))
    said = json.loads(greeting.data)
    assert (said["status"], said["messages"]) == (410, [])
    return opening, said["token"]


def test_a_poll_without_a_token_opens_a_session_and_is_told_its_token() -> None:
    opening, token = polled()
    assert (opening.role, opening.downlink is not None) == (Role.NEW, True)
    secret = hello().id(TOKEN_ID)
    assert (opening.token, token) == (secret, f"phx.poll.{opening.session}.{secret}")
    assert machine_of(opening).deadline() is None, "who does not poll is gone"


def test_a_token_names_the_session_that_a_request_is_for() -> None:
    first, token = polled()
    for place in (
        {"query": {"vsn": "2.0.0", "token": token}},
        {"headers": {"x-phoenix-longpoll-token": token}},
    ):
        poll = opened(hello(Carrier.POLL, **place))
        assert (poll.role, poll.machine, poll.uplink) == (Role.DOWNLINK, None, None)
        assert poll.downlink is not None and token.encode() in poll.downlink.idle
        post = opened(hello(Carrier.POST, **place))
        assert (post.role, post.machine, post.downlink) == (Role.UPLINK, None, None)
        assert post.uplink is not None
        for one in (poll, post):
            assert (one.session, one.token) == (first.session, first.token)


def test_a_session_with_a_sign_is_found_again() -> None:
    first, token = polled(sign="n1")
    assert first.session.startswith("n1.")
    poll = opened(hello(Carrier.POLL, query={"token": token}))
    assert (poll.session, poll.token) == (first.session, first.token)


@pytest.mark.parametrize("token", ["", "secret", "a.b.c", "phx.poll.", "phx.poll.s.", "phx.poll.t"])
def test_a_token_of_the_applications_own_opens_a_session(token: str) -> None:
    opening = opened(hello(Carrier.POLL, query={"vsn": "2.0.0", "token": token}))
    assert opening.role is Role.NEW
    answer = refusal(hello(Carrier.POST, query={"vsn": "2.0.0", "token": token}))
    assert (answer.status, json.loads(answer.body)) == (200, {"status": 410})


def test_a_token_in_a_header_is_the_clients_credentials() -> None:
    opening, _ = polled(headers={"x-phoenix-authtoken": "secret"})
    assert opening.credentials == {"token": "secret"}
    assert polled()[0].credentials is None


def test_polls_wait_and_come_again_as_they_are_told() -> None:
    downlink = opened(hello(Carrier.POLL), Phoenix(longpoll=2.0)).downlink
    assert downlink is not None
    assert (downlink.wait, downlink.gap) == (2.0, 3.0)


def test_another_method_is_refused() -> None:
    assert refusal(hello(Carrier.REPLY, method="PUT")).status == 400


# --- saying no ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "status", "polled"),
    [
        (Reason.FORBIDDEN, 403, 403),
        (Reason.UNKNOWN, 404, 410),
        (Reason.OWNER_GONE, 404, 410),
        (Reason.LIMIT, 429, 500),
        (Reason.STOPPING, 503, 500),
        (Reason.FAILED, 500, 500),
    ],
)
def test_a_socket_is_refused_by_its_status_and_a_poll_by_its_body(
    reason: Reason, status: int, polled: int
) -> None:
    why = Why(reason, text="no")
    answer = Phoenix().refuse(hello(), why)
    assert (answer.status, answer.code, answer.body) == (status, None, b"no\n")
    for carrier in (Carrier.POLL, Carrier.POST):
        answer = Phoenix().refuse(hello(carrier), why)
        (payload,) = answer.payloads
        assert json.loads(payload.data) == {"status": polled}


def test_a_page_of_a_foreign_origin_is_refused_by_a_status() -> None:
    why = Why(Reason.ORIGIN)
    assert Phoenix().refuse(hello(), why).status == 403
    answer = Phoenix().refuse(hello(Carrier.POLL), why)
    assert (answer.status, json.loads(answer.body)) == (403, {"status": 403})


# --- bounds ---------------------------------------------------------------------------------------


def room(limits: Limits) -> Anywire:
    app = Anywire(wires=[Phoenix()], limits=limits)
    app.channel("room:{number}")
    return app


async def test_a_client_joins_as_many_topics_as_it_may() -> None:
    async with connect(room(Limits(members=3)), wire="phoenix") as client:
        for number in range(3):
            await client.join(f"room:{number}")
        for number in range(3, 6):
            with pytest.raises(Refused, match="busy"):
                await client.join(f"room:{number}")
        await client.join("room:2")  # anew


async def test_a_client_joins_as_often_as_it_may_however_it_does() -> None:
    async with connect(room(Limits(joins=5)), wire="phoenix") as client:
        for _ in range(5):
            await client.join("room:1")
        with pytest.raises(Refused, match="rate"):
            await client.join("room:1")
        with pytest.raises(Refused, match="rate"):
            await client.join("room:2")


async def test_a_topic_is_no_longer_than_a_name_may_be() -> None:
    async with connect(room(Limits(name=20)), wire="phoenix") as client:
        with pytest.raises(Refused, match="invalid"):
            await client.join("room:" + "x" * 16)
        await client.join("room:" + "x" * 15)
