"""The page's files, as they are handed out."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from breathing_room.hosts.server.page import PageRoutes
from node import PAGE


@pytest.fixture(scope="module")
def page() -> PageRoutes:
    return PageRoutes(presence_url="https://cdn.example/{room}.json")


def client_of_page(page: PageRoutes) -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/", page.file), Route("/{file}", page.file)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://room.example")


async def test_a_file_is_compressed_for_those_who_take_it(page: PageRoutes) -> None:
    """Compressed or not, the bytes are the file's; caches keep both apart; and each has its own tag, for
    which 304 is answered.
    """
    async with client_of_page(page) as client:
        tags = set()
        for encoding in ("gzip, br", "identity"):
            answer = await client.get("/page.js", headers={"Accept-Encoding": encoding})
            assert answer.content == (PAGE / "page.js").read_bytes()
            assert answer.headers["content-type"].startswith("text/javascript")
            assert answer.headers["vary"] == "Accept-Encoding"
            assert ("content-encoding" in answer.headers) == encoding.startswith("gzip")
            tags.add(tag := answer.headers["etag"])
            again = await client.get("/page.js", headers={"Accept-Encoding": encoding, "If-None-Match": tag})
            assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
        assert len(tags) == 2


async def test_the_page_itself_and_what_may_run_in_it(page: PageRoutes) -> None:
    """Without a name the page is meant, and it may only reach itself and where presence is published."""
    async with client_of_page(page) as client:
        answer = await client.get("/")
        assert answer.content == (PAGE / "index.html").read_bytes()
        assert "https://cdn.example;" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_nothing_but_files_of_the_page_is_handed_out(page: PageRoutes) -> None:
    """Names that are no file of the page are 404, paths that lead out of it included."""
    async with client_of_page(page) as client:
        for name in ("package.json", "client.d.ts", "..%2f..%2fcli%2fserve.py", "dist", "%2e%2e"):
            assert (await client.get(f"/{name}")).status_code == 404, name


def test_a_file_is_always_the_same() -> None:
    """Two servers hand out the same bytes, so that a client that moves between them keeps its copy."""
    one, other = (PageRoutes(presence_url="")._files["style.css"] for _ in range(2))
    assert one == other
