"""What a room costs, as a page on this machine."""

import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import httpx
import pytest

from breathing_room.lab.cost import web
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.web import cost_app


def client() -> httpx.AsyncClient:
    """A client of the application, without a socket between them."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(cost_app(read_book())), base_url="http://127.0.0.1"
    )


async def ask(path: str) -> httpx.Response:
    """Send a request to an application of its own."""
    async with client() as asking:
        return await asking.get(path)


async def bills(query: str) -> Any:
    """Request the bills of a crowd."""
    answer = await ask(f"/cost.json?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_page_may_load_only_its_own() -> None:
    """The page and its files come from this server, and its policy allows nothing else."""
    async with client() as asking:
        for path, kind in (
            ("/", "text/html"),
            ("/cost.css", "text/css"),
            ("/cost.js", "text/javascript"),
            ("/icon.svg", "image/svg+xml"),
            ("/tokens.css", "text/css"),
        ):
            answer = await asking.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            assert answer.headers["content-security-policy"].startswith(
                "default-src 'none'; script-src 'self'"
            )
        page = (await asking.get("/")).text
    assert "://" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1


async def test_bills_are_those_of_the_command() -> None:
    """
    A million people at a standard error of 5 % cost $5.90 with a panel of 400, and that is what is
    recommended.
    """
    body = await bills("people=1000000&visit_s=900&error=5")
    assert body["panel"] == 400
    assert body["recommended"] == "fixed"
    by_name = {entry["strategy"]: entry for entry in body["bills"]}
    assert by_name["fixed"]["total"] == "5.90"
    totals = [Decimal(entry["total_usd"]) for entry in body["bills"]]
    assert totals == sorted(totals)


async def test_the_error_chooses_the_panel() -> None:
    """
    Half the error takes four times as many reports, and is dearer; where every visitor has to report, another
    strategy is cheapest.
    """
    fine, finest = await bills("people=100000&error=2.5"), await bills("people=100000&error=0.5")
    assert fine["panel"] == 1_600
    assert fine["recommended"] == "self-hosted"
    assert next(entry["total"] for entry in fine["bills"] if entry["strategy"] == "fixed") == "12.40"
    assert finest["recommended"] == "self-hosted"


async def test_a_strategy_that_breaks_a_limit_is_not_recommended() -> None:
    """With ten million people one machine is too small, and the panel is not."""
    body = await bills("people=10000000&error=2.5")
    assert body["recommended"] == "fixed"
    broken = {limit["title"] for entry in body["bills"] if entry["strategy"] == "self-hosted" for limit in entry["limits"] if limit["broken"]}  # fmt: skip
    assert "memory of one machine" in broken


async def test_the_plot_is_an_svg() -> None:
    """The picture is drawn here, and marks the crowd that was asked for."""
    answer = await ask("/cost.svg?people=5000")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(answer.text).tag == "{http://www.w3.org/2000/svg}svg"
    assert 'stroke-dasharray="3 4"' in answer.text


async def test_answers_are_computed_once_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who asks again costs nothing; and a browser that has it already gets no body.

    It has to ask: when the page was the server's, prices were those of a version, and were kept for an hour.
    With `--prices` they are files that are being edited, and after another start on the same port the bill
    was still the old one.
    """
    computed: list[int] = []

    def body(_book: object, people: int, *_: object) -> bytes:
        computed.append(people)
        return b"{}"

    monkeypatch.setattr(web, "cost_body", body)
    async with client() as asking:
        first = await asking.get("/cost.json?people=777")
        again = await asking.get("/cost.json?people=777", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["cache-control"] == "no-cache"
    assert computed == [777]


@pytest.mark.parametrize(
    "query",
    [
        "people=0", "people=-5", "people=many", "people=1.5", "people=10000001", "people=NaN", "people=1e999", "people=",
        "visit_s=0", "visit_s=99999999", "error=0", "error=51", "error=Infinity", "people=" + "9" * 1_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/cost.json", "/cost.svg"])
async def test_bad_input_gets_an_error_in_the_one_shape(path: str, query: str) -> None:
    """A query that is out of range is answered with the range, and never with what was sent."""
    answer = await ask(f"{path}?{query}")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "bad_cost"
    assert "must be a" in error["message"]


@pytest.mark.parametrize("path", ["/", "/cost.json", "/cost.svg"])
async def test_a_site_whose_name_leads_here_reads_nothing(path: str) -> None:
    """
    A site may let its own name resolve to 127.0.0.1; to the browser the page was then that site's own, and
    its script read the bills.
    """
    async with client() as asking:
        hosts = (
            "127.0.0.1:8001",
            "localhost:8001",
            "LOCALHOST",
            "rebound.example:8001",
            "127.0.0.1.rebound.example",
            "",
        )
        statuses = [(await asking.get(path, headers={"Host": host})).status_code for host in hosts]
    assert statuses == [200, 200, 200, 400, 400, 400]


async def test_there_is_nothing_else() -> None:
    """A path that the page does not have is answered with 404 in the one shape of errors."""
    answer = await ask("/v1/rooms/lobby")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
