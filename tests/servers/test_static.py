"""What the server serves from memory."""

from pathlib import Path

import pytest

from anywire.net.http1 import Request
from anywire.servers import static
from anywire.servers.static import File, client_files, health, text

FILE = File.of("text/javascript", b"export {}")


def asked(method: str = "GET", **headers: str) -> Request:
    return Request(
        method=method,
        target=b"/f",
        path="/f",
        raw_path=b"/f",
        query=b"",
        headers=[(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        version="1.1",
        keep_alive=True,
        upgrade=False,
    )


def test_a_file_is_told_with_its_tag_and_type() -> None:
    reply = FILE.answer(asked())
    headers = dict(reply.headers)
    assert (reply.status, reply.body) == (200, b"export {}")
    assert (headers["Content-Type"], headers["ETag"]) == ("text/javascript", FILE.tag)


def test_other_bytes_have_another_tag() -> None:
    assert File.of("text/javascript", b"").tag != FILE.tag


@pytest.mark.parametrize("known", [FILE.tag, f"W/{FILE.tag}", f'"other", {FILE.tag}', "*"])
def test_who_has_it_is_not_sent_it_again(known: str) -> None:
    reply = FILE.answer(asked(if_none_match=known))
    assert (reply.status, reply.body) == (304, b"")


@pytest.mark.parametrize("known", ['"other"', FILE.tag.strip('"'), ""])
def test_who_has_another_is_sent_it(known: str) -> None:
    assert FILE.answer(asked(if_none_match=known)).status == 200


def test_only_get_and_head_are_answered() -> None:
    for reply in (
        FILE.answer(asked("POST")),
        health(asked("POST"), is_well=True, words=("ok", "not ok")),
    ):
        assert (reply.status, dict(reply.headers)["Allow"]) == (405, "GET, HEAD")


def test_the_browser_client_is_served_where_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "_BUILT", tmp_path)
    assert client_files() == {}
    (tmp_path / "anywire.js").write_bytes(b"export {}")
    assert client_files() == {"/anywire.js": ("text/javascript; charset=utf-8", b"export {}")}


def test_health_says_one_of_two_words() -> None:
    assert health(asked(), is_well=True, words=("ok", "not ok")).body == b"ok\n"
    sick = health(asked(), is_well=False, words=("ok", "not ok"))
    assert (sick.status, sick.body) == (503, b"not ok\n")


def test_text_is_never_taken_for_a_page() -> None:
    headers = dict(text(404, "<script>").headers)
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["X-Content-Type-Options"] == "nosniff"
