"""What a run cost, in operations."""

from dataclasses import fields

from breathing_room.lab.sim.meter import Meter, StoreMeter


def test_every_request_to_the_origin_is_counted_once() -> None:
    """Requests to the origin are the reads that the edge did not answer, reports, leaves and legacy reports;
    polls that a cache answered are not.
    """
    meter = Meter(
        polls=1_000,
        config_fetches=1_000,
        presence_reads=1,
        config_reads=20,
        reports=300,
        leaves=4_000,
        legacy_reports=50_000,
    )
    assert meter.origin_requests == 54_321


def test_a_delete_is_a_write() -> None:
    """Stores bill deletes as they bill puts."""
    assert StoreMeter(gets=7, puts=2, lists=5, deletes=1).writes == 3


def test_two_runs_share_no_meter() -> None:
    """A new meter is at 0 everywhere, with a store of its own that was never written twice."""
    one, other = Meter(), Meter()
    one.store.puts += 1
    assert other.store == StoreMeter(rest_ms=None)
    assert all(getattr(other, entry.name) == 0 for entry in fields(Meter) if entry.name != "store")
