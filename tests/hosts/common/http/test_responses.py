"""The shapes of answers over HTTP."""

import json
import logging
from dataclasses import replace

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.room import Room
from breathing_room.hosts.common.http.responses import (
    NotFoundError,
    WrongMethodError,
    as_client_error,
    cacheable_answer,
    check_declared,
    error_answer,
    etag_of,
    etag_of_config,
    etag_of_presence,
    json_answer,
    page_headers,
    presence_cache_control,
)

PRESENCE = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


def test_an_answer_to_one_client_is_kept_by_no_cache() -> None:
    """The answer to one client is JSON that must not be stored, with any other headers."""
    answer = json_answer(b"{}", status=201, headers={"X": "y"})
    assert (answer.status, answer.body) == (201, b"{}")
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "no-store", "X": "y"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"WWW-Authenticate": "Bearer"}),
        (413, {"Connection": "close"}),
        (426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}),
        (404, {}),
    ],
)
def test_an_error_has_the_headers_that_its_status_demands(status: int, headers: dict[str, str]) -> None:
    """RFC 9110 asks for a challenge with 401 and for the protocol with 426; after 413 the rest of the body
    must not be read.
    """
    answer = error_answer(ClientError("code", "words", status=status))
    assert answer.status == status
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "no-store"} | headers
    assert json.loads(answer.body)["error"]["code"] == "code"


def test_an_error_says_when_to_try_again() -> None:
    """Where a client may try again the answer says in how many seconds,
    also in a second; given headers stay.
    """
    answer = error_answer(ClientError("full", "no", status=503, retry_after_s=0), {"Allow": "GET"})
    assert (answer.headers["Retry-After"], answer.headers["Allow"]) == ("0", "GET")


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', '"other",W/{tag} ', "*"])
def test_a_copy_that_is_still_good_is_not_sent_again(known: str) -> None:
    """Whichever way a cache names its copy, strong, weak or one of several, the answer is 304 without a body,
    and with what renews it.
    """
    tag = etag_of(b"{}")
    answer = cacheable_answer(known.format(tag=tag), b"{}", "public, max-age=5")
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers == {"ETag": tag, "Cache-Control": "public, max-age=5"}


@pytest.mark.parametrize("known", [None, "", '"other"', "{tag}-"])
def test_any_other_copy_gets_the_whole_answer(known: str | None) -> None:
    """A cache without a copy, or with another one, gets the body with its type and tag."""
    tag = etag_of(b"{}")
    answer = cacheable_answer(
        known and known.format(tag=tag.strip('"')), b"{}", "no-cache", media_type="text/css"
    )
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"{}", "text/css")
    assert answer.headers["ETag"] == tag


def test_the_tag_of_a_presence_changes_with_its_people_and_twice_in_its_life() -> None:
    """Time alone changes the tag in steps of half of how long a presence is valid, so a copy that is
    confirmed is never too old.
    """
    half_ms = PRESENCE.stale_after_ms // 2
    tags = [
        etag_of_presence(replace(PRESENCE, as_of_ms=at_ms))
        for at_ms in (0, half_ms - 1, half_ms, 2 * half_ms)
    ]
    assert tags[0] == tags[1]
    assert len(set(tags)) == 3
    assert etag_of_presence(replace(PRESENCE, count=1)) != etag_of_presence(PRESENCE)


def test_the_tag_of_a_config_does_not_follow_the_clock() -> None:
    """The time of day is in every config and changes nothing for a cache; any other value does."""
    assert etag_of_config({"a": 1, "now_ms": 5}) == etag_of_config({"a": 1, "now_ms": 6})
    assert etag_of_config({"a": 1, "now_ms": 5}) != etag_of_config({"a": 2, "now_ms": 5})


def test_the_page_may_reach_only_where_presence_is_published() -> None:
    """The policy names the origin of the published presence without its path, and no place at all where none
    is published.
    """
    policy = page_headers("https://cdn.example/a/b/{room}.json")["Content-Security-Policy"]
    assert "connect-src 'self' ws: wss: https://cdn.example;" in policy
    assert "connect-src 'self' ws: wss: ;" in page_headers("")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert presence_cache_control(5) == "public, max-age=5, stale-while-revalidate=5"


def test_a_wrong_method_names_the_right_ones() -> None:
    """405 comes with the methods that the path takes."""
    assert error_answer(WrongMethodError("GET, HEAD")).headers["Allow"] == "GET, HEAD"


def test_a_client_learns_of_its_own_errors_only(caplog: pytest.LogCaptureFixture) -> None:
    """An error of a client stays as it is; of a store and of a bug it learns nothing but that, and the log
    has the rest.
    """
    own = NotFoundError()
    assert as_client_error(own) is own
    with caplog.at_level(logging.ERROR, logger="breathing_room.http"):
        store = as_client_error(StoreError("/var/db is locked", temporary=True))
        bug = as_client_error(RuntimeError("secret"))
    assert (store.code, store.status, store.retry_after_s) == ("unavailable", 503, 5)
    assert (bug.code, bug.status) == ("internal", 500)
    assert "locked" not in store.message
    assert "secret" not in bug.message
    assert ["locked" in caplog.text, "secret" in caplog.text] == [True, True]


@pytest.mark.parametrize(
    ("length", "refused"),
    [(None, False), ("", False), ("10", False), ("11", True), ("-11", False), ("x", False)],
)
def test_a_body_that_declares_too_great_a_length_is_rejected(length: str | None, refused: bool) -> None:  # noqa: FBT001
    """A declared length beyond the limit is 413; one that is missing or no number is left to the reading."""
    if refused:
        with pytest.raises(ClientError) as error:
            check_declared(length, 10)
        assert (error.value.code, error.value.status) == ("body_too_large", 413)
    else:
        check_declared(length, 10)
