"""What a room costs, over HTTP."""

import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import httpx
import pytest

from breathing_room.hosts.server.cost_page import cost_body
from inside import client_of, host_inside


async def ask(path: str, **headers: str) -> httpx.Response:
    """Ask a server."""
    async with host_inside() as host, client_of(host) as client:
        return await client.get(path, headers=headers)


async def bills(query: str) -> Any:
    """Ask for the bills of a crowd."""
    answer = await ask(f"/cost.json?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_page_may_load_only_its_own() -> None:
    """
    The page and its files come from this server, and its policy allows nothing else.
    """
    async with host_inside() as host, client_of(host) as client:
        for path, kind in (
            ("/cost", "text/html"),
            ("/cost.css", "text/css"),
            ("/cost.js", "text/javascript"),
        ):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            assert answer.headers["content-security-policy"].startswith(
                "default-src 'none'; script-src 'self'"
            )
        page = (await client.get("/cost")).text
    assert "://" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1


async def test_bills_are_those_of_the_command() -> None:
    """
    A million people at a standard error of 5 % cost $5.90 with a panel of 400, and that is what is recommended.
    """
    body = await bills("people=1000000&stay_s=900&error=5")
    assert body["panel"] == 400
    assert body["recommended"] == "fixed"
    by_name = {entry["strategy"]: entry for entry in body["bills"]}
    assert by_name["fixed"]["total"] == "5.90"
    totals = [Decimal(entry["total_usd"]) for entry in body["bills"]]
    assert totals == sorted(totals)


async def test_the_error_chooses_the_panel() -> None:
    """
    Half the error takes four times as many reports, and is dearer; where everybody has to report, something else is cheapest.
    """
    fine, finest = await bills("people=100000&error=2.5"), await bills("people=100000&error=0.5")
    assert fine["panel"] == 1_600
    assert fine["recommended"] == "self-hosted"
    assert next(entry["total"] for entry in fine["bills"] if entry["strategy"] == "fixed") == "12.40"
    assert finest["recommended"] == "self-hosted"


async def test_whatever_breaks_a_limit_is_not_recommended() -> None:
    """
    With ten million people one machine is too small, and the panel is not.
    """
    body = await bills("people=10000000&error=2.5")
    assert body["recommended"] == "fixed"
    broken = {limit["title"] for entry in body["bills"] if entry["strategy"] == "self-hosted" for limit in entry["limits"] if limit["broken"]}  # fmt: skip
    assert "memory of one machine" in broken


async def test_the_plot_is_an_svg() -> None:
    """
    The picture is drawn here, and marks the crowd that was asked for.
    """
    answer = await ask("/cost.svg?people=5000")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(answer.text).tag == "{http://www.w3.org/2000/svg}svg"
    assert 'stroke-dasharray="3 4"' in answer.text


async def test_answers_are_computed_once_and_kept_by_caches() -> None:
    """
    Who asks again costs nothing; and a browser that has it already gets no body.
    """
    cost_body.cache_clear()
    async with host_inside() as host, client_of(host) as client:
        first = await client.get("/cost.json?people=777")
        again = await client.get("/cost.json?people=777", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["cache-control"] == "public, max-age=3600"
    assert cost_body.cache_info().misses == 1
    assert cost_body.cache_info().hits == 1


@pytest.mark.parametrize(
    "query",
    [
        "people=0", "people=-5", "people=many", "people=1.5", "people=10000001", "people=NaN", "people=1e999", "people=",
        "stay_s=0", "stay_s=99999999", "error=0", "error=51", "error=Infinity", "people=" + "9" * 1_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/cost.json", "/cost.svg"])
async def test_bad_input_gets_an_error_in_the_one_shape(path: str, query: str) -> None:
    """
    Whoever asks for what makes no sense is told what would, and never what was sent.
    """
    answer = await ask(f"{path}?{query}")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "bad_cost"
    assert "must be a" in error["message"]
