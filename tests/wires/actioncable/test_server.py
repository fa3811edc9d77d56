"""Tests of anywire.wires.actioncable.server."""

import json

import pytest

from anywire import Anywire, Refused
from anywire.errors import ConfigurationError
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.testing import connect
from anywire.wires.actioncable import ActionCable
from anywire.wires.actioncable.codec import PLAIN
from anywire.wires.actioncable.extended import EXTENDED
from anywire.wires.base import SESSION_ID, Codec, Hello, Opening, Reason, Role, Why

BASE, EXT, NONE = "actioncable-v1-json", "actioncable-v1-ext-json", "actioncable-unsupported"


def opened(*subprotocols: str) -> Opening:
    opening = ActionCable().open(Hello(subprotocols=subprotocols, seed=b"x" * 32))
    assert isinstance(opening, Opening) and opening.machine is not None
    return opening


def test_there_is_one_path_and_it_is_a_websocket_s() -> None:
    [route] = ActionCable("/live", limits=Limits(message=5), origins="*").routes()
    assert (route.method, route.path, route.carrier) == ("GET", "/live", Carrier.WEBSOCKET)
    assert route.mount.limits == Limits(message=5)
    assert route.mount.origins == ("*",)


@pytest.mark.parametrize(
    ("offers", "subprotocol", "codec"),
    [
        ([BASE, NONE], BASE, PLAIN),
        ([EXT], EXT, EXTENDED),
        ([EXT, BASE], EXT, EXTENDED),
        ([BASE, EXT], BASE, PLAIN),
        (["other", NONE], NONE, PLAIN),
        (["other"], None, PLAIN),
        ([], None, PLAIN),
    ],
)
def test_the_first_subprotocol_that_is_known_is_spoken(
    offers: list[str], subprotocol: str | None, codec: Codec
) -> None:
    opening = opened(*offers)
    assert opening.subprotocol == subprotocol
    assert opening.machine is not None and opening.machine.codec is codec


@pytest.mark.parametrize(
    ("hello", "credentials"),
    [
        (Hello(subprotocols=[EXT, "anycable-token.a.b"]), {"token": "a.b"}),
        (Hello(headers={"x-jid": "a.b"}), {"token": "a.b"}),
        (Hello(query={"jid": "a.b"}), {"token": "a.b"}),
        (Hello(query={"jid": ""}), None),
        (Hello(subprotocols=[EXT]), None),
    ],
)
def test_a_token_is_found_where_anycable_s_client_shows_it(
    hello: Hello, credentials: object
) -> None:
    opening = ActionCable().open(hello)
    assert isinstance(opening, Opening)
    assert opening.credentials == credentials
    assert opening.subprotocol in (EXT, None)


def test_who_shows_the_id_of_a_session_and_its_secret_goes_on_with_it() -> None:
    for subprotocol, sid, session, token in (
        (EXT, "s1~t", "s1", "t"),
        (EXT, "s1~t~u", "s1", "t~u"),
        (EXT, "s1~", None, ""),
        (EXT, "~t", None, ""),
        (EXT, "s1", None, ""),
        (EXT, "", None, ""),
        (BASE, "s1~t", None, ""),
    ):
        hello = Hello(subprotocols=(subprotocol,), query={"sid": sid}, seed=b"x" * 32)
        opening = ActionCable().open(hello)
        assert isinstance(opening, Opening)
        is_back = session is not None
        assert opening.role is (Role.RESUME if is_back else Role.NEW)
        assert (opening.session, opening.token) == (session or hello.id(SESSION_ID), token)
        assert (opening.received, opening.follows) == (0 if is_back else None, is_back)


def test_a_ping_takes_time() -> None:
    with pytest.raises(ConfigurationError, match="over 0 seconds"):
        ActionCable(ping=0.0)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ORIGIN])
def test_who_is_refused_is_let_in_told_to_disconnect_and_hung_up(reason: Reason) -> None:
    answer = ActionCable().refuse(Hello(subprotocols=[BASE, NONE]), Why(reason, text="no"))
    assert answer.code is not None and answer.subprotocol == BASE
    [payload] = answer.payloads
    said = json.loads(payload.data)
    is_nobody = reason is Reason.FORBIDDEN
    assert said["type"] == "disconnect"
    assert said["reconnect"] is not is_nobody
    assert said["reason"] == ("unauthorized" if is_nobody else "server_restart")


def test_a_foreign_origin_is_answered_in_http() -> None:
    answer = ActionCable().refuse(Hello(subprotocols=[BASE]), Why(Reason.ORIGIN))
    assert (answer.status, answer.code, answer.payloads) == (403, None, ())


# --- bounds of a client, with the core ------------------------------------------------------------


def room(limits: Limits) -> Anywire:
    app = Anywire(wires=["actioncable"], limits=limits)
    app.channel("room:{name}")
    return app


async def test_a_client_has_as_many_subscriptions_as_it_may() -> None:
    async with connect(room(Limits(members=3)), wire="actioncable") as client:
        for number in range(3):
            await client.join(f"room:{number}")
        for number in range(3, 6):
            with pytest.raises(Refused, match="rejected"):
                await client.join(f"room:{number}")


async def test_an_identifier_is_no_longer_than_a_name_may_be() -> None:
    async with connect(room(Limits(name=40)), wire="actioncable") as client:
        with pytest.raises(Refused, match="rejected"):
            await client.join("room:" + "x" * 23)
        await client.join("room:" + "x" * 20)


async def test_parameters_that_are_no_part_of_an_address_lead_nowhere() -> None:
    async with connect(room(Limits()), wire="actioncable") as client:
        for name in ("", None, ["a"], 1.5, True, "a/b", "a\n"):
            with pytest.raises(Refused, match="rejected"):
                await client.join(json.dumps({"channel": "RoomChannel", "name": name}))
        for name in ("a", 5, "a:b"):
            await client.join(json.dumps({"channel": "RoomChannel", "name": name}))
