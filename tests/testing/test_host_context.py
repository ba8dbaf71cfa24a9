"""The assertions of the checks of a host about presences and errors."""

from typing import Any

import pytest

from breathing_room.testing import checks
from breathing_room.testing.host_checks import CHECKS, document_api, http, presence, restart, sockets
from breathing_room.testing.host_context import (
    NEEDS,
    SCOPES,
    Check,
    HostCheckContext,
    HostTerms,
    Need,
    adding_to,
    covers,
    expect_error,
    expect_presence,
    matches,
)
from breathing_room.testing.store import wait

TERMS = HostTerms(
    moods=("release", "gratitude"),
    lease_ms=1_000,
    grace_ms=500,
    push_ms=100,
    join_ms=400,
    message_bytes_max=4_096,
)
CONTEXT = HostCheckContext("http://127.0.0.1:1", TERMS, wait, room="lobby")
PRESENCE: dict[str, Any] = {
    "room": "lobby",
    "count": 3,
    "low": 2,
    "high": 3,
    "method": "counted",
    "sample_rate": 1,
    "epoch": 0,
    "moods": {"release": 2, "gratitude": 0},
    "unspoken": 1,
    "mood_intervals": {"release": [1, 2], "gratitude": [0, 0], "unspoken": [1, 1]},
    "label": "about 3",
    "as_of_ms": 1_767_225_600_000,
    "stale_after_ms": 10_000,
    "poll_ms": 1_000,
}


def test_a_sound_presence_is_accepted() -> None:
    """A presence whose numbers agree passes, and so does one of an unknown count."""
    expect_presence(PRESENCE, CONTEXT)
    unknown = {"count": None, "high": None, "method": "unknown", "label": "unknown", "low": 3}
    expect_presence({**PRESENCE, **unknown}, CONTEXT)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"users": []}, "not of a presence: .'users'"),
        ({"room": "other"}, "the room is called 'other'"),
        ({"method": "guessed"}, "method 'guessed'"),
        ({"stale_after_ms": -1}, "numbers that are not whole"),
        ({"moods": {"release": 2}}, "the moods are"),
        ({"mood_intervals": {"release": [1, 2]}}, "intervals of"),
        ({"moods": {"release": 3, "gratitude": 0}}, "release: 3 in .1, 2"),
        ({"sample_rate": 0}, "sample_rate 0"),
        ({"epoch": "0"}, "epoch '0'"),
        ({"count": 4, "high": 4}, "moods that sum to 3, not to the count 4"),
        ({"count": 4}, "count 4, low 2, high 3"),
        ({"label": "three"}, "label 'three'"),
        ({"low": 3}, "label 'about 3' for exactly 3"),
        ({"method": "unknown"}, "unknown, but count 3"),
    ],
)
def test_a_presence_that_contradicts_itself_is_refused(change: dict[str, Any], seen: str) -> None:
    """Each contradiction fails the check, and the error says what was seen."""
    with pytest.raises(AssertionError, match=seen):
        expect_presence({**PRESENCE, **change}, CONTEXT)


def test_a_mood_that_is_merged_has_neither_number_nor_interval() -> None:
    """The number of a mood lies in its interval; a merged mood has
    none; an open interval has no upper end.
    """
    assert covers(None, None)
    assert covers([1, 3], 3)
    assert covers([1, None], 7)
    assert not covers(None, 1)
    assert not covers([1, 3], 4)
    assert not covers([1, 3], None)
    assert not covers("1-3", 2)


def test_moods_that_are_not_named_are_expected_to_be_empty() -> None:
    """Moods that are not expected must have no visitors; other fields that are not expected may have any
    value.
    """
    assert matches(PRESENCE, {"count": 3, "moods": {"release": 2}})
    assert not matches(PRESENCE, {"moods": {}})
    assert not matches(PRESENCE, {"moods": {"release": 2, "gratitude": 1}})
    assert not matches(PRESENCE, {"count": 2})


@pytest.mark.parametrize(
    "error",
    [
        "bad_room",
        {"code": "bad_room", "message": "no"},
        {"code": "bad_mood", "message": "no", "status": 400},
        {"code": "bad_room", "message": "no", "status": 404},
        {"code": "bad_room", "message": "", "status": 400},
    ],
)
def test_an_error_of_another_shape_is_refused(error: object) -> None:
    """An error has a code, a status and a message that is not empty, and nothing else."""
    expect_error({"code": "bad_room", "message": "no", "status": 400}, "bad_room", 400)
    with pytest.raises(AssertionError):
        expect_error(error, "bad_room", 400)


async def test_a_check_is_added_to_its_family_with_its_sentence() -> None:
    """The decorator adds a check under its name, with its docstring as the sentence, and with its needs and
    its family's.
    """
    family: dict[str, Check] = {}

    @adding_to(family, "document")("restart", "events")
    async def a_host_may_rest(t: HostCheckContext) -> None:
        """A host may rest."""
        t.room = "rested"

    needs: frozenset[Need] = frozenset({"document", "events"})
    assert family == {"a_host_may_rest": Check("A host may rest.", a_host_may_rest, "restart", needs)}
    context = HostCheckContext("http://127.0.0.1:1", TERMS, wait)
    await family["a_host_may_rest"].run(context)
    assert context.room == "rested"


def test_checks_of_all_families_have_different_names() -> None:
    """Checks of two families never share a name, and every check has a scope and a sentence."""
    families = (presence, http, sockets, document_api, restart)
    assert len(CHECKS) == sum(len(family.CHECKS) for family in families)
    assert {check.scope for check in CHECKS.values()} == set(SCOPES)
    assert {need for check in CHECKS.values() for need in check.needs} == set(NEEDS)
    assert all(checks().values())
