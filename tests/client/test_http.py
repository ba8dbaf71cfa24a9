"""HTTP, one request at a time."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.client import http
from breathing_room.client.errors import ConnectionLostError
from breathing_room.client.http import RESPONSE_BYTES_MAX, ClientResponse, Endpoint, HttpClient, Origin
from breathing_room.core.errors import HostError
from scripted_http import HttpScript, answer, scripted_http
from waiting import until


async def request(reply: Any, *, answer_s: float = 5.0, body: bytes | None = None) -> ClientResponse:
    """Send one request to a server that answers so."""
    client = HttpClient(answer_s)
    try:
        async with scripted_http(HttpScript({"page": reply})) as url:
            return await client.request(Endpoint.of(f"{url}/page"), body)
    finally:
        client.close()


# --- URLs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin", "host", "target"),
    [
        ("http://example.org", Origin("example.org", 80, False), "example.org", "/"),
        ("https://example.org/a/b.json?c=d", Origin("example.org", 443, True), "example.org", "/a/b.json?c=d"),
        ("http://me:secret@[::1]:8000/x", Origin("::1", 8000, False), "[::1]:8000", "/x"),
        ("https://bücher.example:443/ü b", Origin("xn--bcher-kva.example", 443, True), "xn--bcher-kva.example", "/%C3%BC%20b"),
    ],
)  # fmt: skip
def test_a_url_is_parsed(url: str, origin: Origin, host: str, target: str) -> None:
    """
    Default ports are left out, user names and passwords are not sent, and what HTTP does not allow is quoted.
    """
    page = Endpoint.of(url)
    assert (page.origin, page.target) == (origin, target)
    assert f"Host: {host}\r\n" in page.head


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "http://", "http://a:b", "http://[::1"]
)
def test_what_is_no_url_is_rejected(url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(HostError):
        Endpoint.of(url)


@given(st.text(max_size=30))
def test_no_url_injects_a_line_into_a_request(path: str) -> None:
    """
    With any text behind the host, a request has one first client of three words, and the headers that we
    write.
    """
    try:
        page = Endpoint.of(f"http://example.org/{path}")
    except HostError:
        return
    lines = page.encode_request(None).decode("latin-1").split("\r\n")
    assert [len(lines[0].split(" ")), len(lines)] == [3, 6]


# --- Responses --------------------------------------------------------------------------------------------


async def test_a_response_is_read_whole() -> None:
    """With its status, its headers in lower case, and its body, however its length is given."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    for reply in (answer(b"hello"), chunked, closing, early + answer(b"hello")):
        seen = await request(reply)
        assert (seen.status, seen.body) == (200, b"hello")
    seen = await request(answer(b"", status=429, RETRY_AFTER="7"))
    assert (seen.status, seen.headers["retry-after"]) == (429, "7")
    assert (await request(b"HTTP/1.1 204 No Content\r\n\r\n")).status == 204


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (None, "the connection broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhell", "the connection broke"),
        (b"220 smtp.example.org ready\r\n", "no HTTP there"),
        (answer(b"x" * RESPONSE_BYTES_MAX), "an endless response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "no answer"),
    ],
    ids=["nothing", "half", "no HTTP", "too much", "too late"],
)
async def test_what_is_no_response_is_a_lost_connection(reply: Any, reason: str) -> None:
    """Its reason is in words for people, without an address, and the request may be tried again."""
    with pytest.raises(ConnectionLostError) as lost:
        await request(reply, answer_s=0.3)
    assert lost.value.reason == reason


async def test_a_refused_connection_is_a_lost_connection(unused_tcp_port: int) -> None:
    """The system's own text has the address; ours has not."""
    with pytest.raises(ConnectionLostError) as lost:
        await HttpClient(5.0).request(Endpoint.of(f"http://127.0.0.1:{unused_tcp_port}/"))
    assert lost.value.reason == "connection refused"


# --- Connections ------------------------------------------------------------------------------------------


async def test_a_connection_is_kept() -> None:
    """Ten requests go over one connection: a GET without a body, a POST of JSON with one."""
    script, client = HttpScript({"page": answer(b"{}")}), HttpClient(5.0)
    async with scripted_http(script) as url:
        for number in range(10):
            await client.request(Endpoint.of(f"{url}/page"), b'{"a":1}' if number % 2 else None)
        client.close()
    assert {asked.connection for asked in script.asked} == {1}
    assert [(asked.method, asked.body) for asked in script.asked[:2]] == [("GET", None), ("POST", {"a": 1})]


async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """Whether that was known or shows only with the request, the caller gets the response."""
    script, client = HttpScript({"page": [answer(b"1"), None, answer(b"2"), answer(b"3", Connection="close"), answer(b"4")]}), HttpClient(5.0)  # fmt: skip
    async with scripted_http(script) as url:
        bodies = [(await client.request(Endpoint.of(f"{url}/page"))).body for _ in range(4)]
        client.close()
    assert bodies == [b"1", b"2", b"3", b"4"]
    assert [asked.connection for asked in script.asked] == [1, 1, 2, 2, 3]


async def test_a_response_that_comes_too_late_is_discarded() -> None:
    """The request after one that was cancelled goes over a new connection, and gets its own response."""
    late = [answer(b"late")[:-4], answer(b"mine")]
    script, client = HttpScript({"page": late}), HttpClient(5.0)
    async with scripted_http(script) as url:
        page = Endpoint.of(f"{url}/page")
        asking = asyncio.create_task(client.request(page))
        await until(lambda: bool(script.asked))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.request(page)).body == b"mine"
        client.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate, and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.mark.slow
async def test_tls_is_trusted_or_nothing(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A certificate that the system does not trust is a lost connection; over one that it trusts come responses.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    script, client = HttpScript({"page": answer(b"private")}), HttpClient(5.0)
    async with scripted_http(script, ssl=serving) as url:
        http._tls.cache_clear()
        with pytest.raises(ConnectionLostError) as lost:
            await client.request(Endpoint.of(f"{url}/page"))
        assert lost.value.reason == "the server's certificate is not trusted"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        http._tls.cache_clear()
        assert (await client.request(Endpoint.of(f"{url}/page"))).body == b"private"
        client.close()
    http._tls.cache_clear()
