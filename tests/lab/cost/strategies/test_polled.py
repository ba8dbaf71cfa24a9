"""The planning document's ladder."""

from decimal import Decimal

import pytest

from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies.polled import (
    bucketed,
    client_only,
    lazy,
    naive,
    sampled,
    sampled_cached,
    write_minimal,
)


def test_sampling_each_heartbeat_is_biased_upwards() -> None:
    """The document's own estimator says several times the truth, and the bias is part of its rank."""
    accuracy = sampled().accuracy(CrowdFigures(CrowdProfile()))
    assert accuracy.bias is not None
    assert accuracy.bias > 2
    assert accuracy.rank >= accuracy.bias


def test_each_rung_says_what_it_rests_on_and_nothing_of_another() -> None:
    """The bias is listed for the two that sample heartbeats, one key for those that rewrite it, and one cache
    for those that have it.
    """
    assumptions = {
        build.name: " ".join(entry.text for entry in build().assumptions)
        for build in (naive, sampled, sampled_cached, bucketed, lazy, write_minimal, client_only)
    }
    for words, those in (
        ("the sampling is", {"sampled", "sampled-cached"}),
        ("one KV key", {"naive", "sampled", "sampled-cached", "write-minimal"}),
        ("one data center", {"sampled-cached", "bucketed", "lazy", "write-minimal"}),
        ("static assets", set(assumptions)),
    ):
        assert {name for name, text in assumptions.items() if words in text} == those, words


def test_a_cache_spares_reads_of_the_store_and_no_request() -> None:
    """Behind a Worker a cache answers polls: as many requests, and at most one read in its lifetime and data
    center.
    """
    crowd = CrowdFigures(CrowdProfile(people=10_000))
    plain, cached, everywhere = (
        made.usage(crowd)
        for made in (sampled(poll_s=30), sampled_cached(), sampled_cached(places=Decimal(100)))
    )
    assert plain["workers_requests"].value == cached["workers_requests"].value
    assert cached["kv_reads"].value < crowd.month.value / 30 < everywhere["kv_reads"].value
    assert everywhere["kv_reads"].value < plain["kv_reads"].value


@pytest.mark.parametrize("people", [50, 80, 90, 99, 150, 10_000])
def test_batches_are_never_more_than_reports_or_buckets(people: int) -> None:
    """However many are in the sample, a batch has a report at least, and buckets do not overlap."""
    crowd = CrowdFigures(CrowdProfile(people=people))
    usage = bucketed().usage(crowd)
    reports = usage["object_requests"].value - usage["kv_writes"].value
    assert 0 < usage["kv_writes"].value <= min(reports, crowd.month.value / 10)


def test_what_people_read_is_written_by_the_job_where_each_visitor_has_a_key() -> None:
    """The key that is written most often takes all writes of ``naive``, and of ``lazy`` one for each run of
    the job.
    """
    crowd = CrowdFigures(CrowdProfile(people=1_000))
    for made, per_s in ((naive(), None), (lazy(job_s=10), Decimal("0.1"))):
        usage = made.usage(crowd)
        loads = {key: load.value for key, load, _ in made.loads(crowd, usage, "free")}
        assert loads["free_cpu_ms"] == 1
        expected = usage["kv_writes"].value / crowd.month.value if per_s is None else per_s
        assert float(loads["kv_key_writes"]) == pytest.approx(float(expected))
