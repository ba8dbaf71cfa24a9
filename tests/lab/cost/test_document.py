"""The planning document's claims, beside what is right."""

from decimal import Decimal

from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.document import PEOPLE, SUMMARY, claims, summary
from breathing_room.lab.cost.formula import money
from breathing_room.lab.cost.model import bill
from breathing_room.lab.cost.strategies.polled import sampled_cached

BOOK = read_book()


def test_a_claim_that_does_not_hold_has_its_reason_and_another_figure() -> None:
    """Each claim is listed once; a wrong one has a right figure that differs, and says where the difference
    comes from.
    """
    made = claims(BOOK)
    assert len({claim.about for claim in made}) == len(made) > 20
    for claim in made:
        assert claim.said
        assert claim.right
        if not claim.holds:
            assert claim.right != claim.said, claim.about
            assert claim.why, claim.about
    assert {claim.holds for claim in made} == {True, False}


def test_right_figures_follow_the_price_book() -> None:
    """A price that changes in the book changes in the claim: nothing
    but the document's own words is typed.
    """
    [reads] = [claim for claim in claims(BOOK) if claim.about == "KV reads"]
    assert money(BOOK.item("cloudflare.kv_reads").price) in reads.right
    [whole] = [claim for claim in claims(BOOK) if claim.about == "final architecture, all"]
    assert (
        whole.right
        == f"{money(bill(sampled_cached(), CrowdProfile(people=PEOPLE, visit_s=Decimal(900)), BOOK, plan='paid').total_usd)}/month"
    )


def test_the_summary_goes_on_where_the_document_stops() -> None:
    """Each row of the document's table is there with what it said and the right bills, and one of a million
    people follows.
    """
    rows = summary(BOOK)
    assert [(row.people, row.kv_said, row.object_said) for row in rows[:-1]] == list(SUMMARY)
    assert rows[-1].people == 1_000_000
    for row in rows:
        assert row.kv.strategy.name == "sampled-cached"
        assert row.object.strategy.name == "durable-object"
        assert row.why.startswith("KV: ")
    kv, fixed = rows[-1].kv.total_usd, rows[-1].fixed.total_usd
    assert fixed < kv / 100
