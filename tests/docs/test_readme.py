"""The snippets and commands of the README, run unchanged with the wheel that is built from a clean clone."""

import asyncio
import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Route, async_playwright, expect

from chromium import EXECUTABLE, FLAGS
from harness import ServerProcess, start_server
from program import program
from redis_process import free_port, redis_process
from waiting import PATIENCE_S
from wheel import ROOT, Wheel, installed

# The first test builds and installs; registries may be slow.
pytestmark = pytest.mark.timeout(600)

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.partition("  #")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
]

NOT_RUN = {"make test": "it runs every test, this one as well, and would never end"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel with the extras that the README names, shared by the processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = re.search(r"pip install 'breathing-room\[([a-z,]+)\]'", README)
    assert found
    return installed(shared / "wheel", found[1])


@pytest.fixture
def server(wheel: Wheel, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the wheel."""
    server = start_server(tmp_path / "room.db", python=wheel.python)
    yield server
    server.kill()


def snippet(language: str, server: ServerProcess, *, containing: str = "") -> str:
    """The first snippet in a language that has this in it, with the address of our server."""
    found = [text for name, text in BLOCKS if name == language]
    return next(text for text in found if containing in text).replace("http://127.0.0.1:8000", server.url)


def test_the_python_snippet(wheel: Wheel, server: ServerProcess) -> None:
    """The five lines join the room and print the presence."""
    command = [wheel.python, "-u", "-c", snippet("python", server)]
    with program(command, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert (
            running.stdout.readline() == "1 {'gratitude': 1, 'presence': 0, 'release': 0, 'connection': 0}\n"
        )


@contextmanager
def site(html: str) -> Iterator[str]:
    """A site of another origin with this on its page."""
    page = f"<!doctype html><html lang=en><title>Mine</title><link rel=icon href=data:,>{html}".encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- likewise
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
        listening.shutdown()


async def shows_the_others(html: str, place: str) -> None:
    """Check that a page with this HTML shows no count, then that the reader is alone, then the number of
    others.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        with site(html) as url:
            page = await browser.new_page()
            asked, answered = asyncio.Event(), asyncio.Event()

            async def hold(route: Route) -> None:
                asked.set()
                await answered.wait()
                await route.continue_()

            await page.route("**/v1/rooms/*/config", hold)
            await page.goto(url)
            await asked.wait()
            assert await page.inner_text("body") == ""
            answered.set()
            here = page.locator(place)
            await expect(here).to_have_text("you are the first one here", timeout=15_000)
            another = await browser.new_page()  # in a browser of its own
            await another.goto(url)
            await expect(here).to_have_text("1 person is here with you", timeout=15_000)
            await another.close()
            await expect(here).to_have_text("you are the first one here", timeout=15_000)
        await browser.close()


async def test_the_line_of_html(server: ServerProcess) -> None:
    """U3: a page of another site with the one line shows the number of
    others, and no text until it is known.
    """
    html = snippet("html", server)
    assert html.count("\n") == 2
    await shows_the_others(html, "breathing-room")


async def test_the_web_snippet(server: ServerProcess) -> None:
    """U3: a page of another site with the lines of script shows the number of others, and no text until it is
    known.
    """
    await shows_the_others(snippet("html", server, containing="import"), "p")


def test_the_answer_that_is_shown(server: ServerProcess) -> None:
    """The presence in the README has the fields that the server sends, in order."""
    shown = json.loads(snippet("json", server))
    assert list(shown) == list(httpx.get(f"{server.url}/v1/rooms/lobby").json())


# --- Commands ---------------------------------------------------------------------------------------------


def run_to_the_end(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """Check that it ends by itself, with output and without an error."""
    done = subprocess.run(
        [wheel.command, *words], capture_output=True, text=True, check=False, cwd=folder, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@contextmanager
def listening(command: Sequence[str], folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Run what serves until it names its address, and end it with all that it started."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        # What this run's own make was given is not for another one.
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "ARGS"))
        }
        | env,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.search(r"listens on (http://127\.0\.0\.1:\d+)", line):
                    yield found[1]
                    break
            else:
                raise AssertionError("".join(lines))
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def serve(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """A room of the moods that are asked for answers, on a port that is free here."""
    port = str(free_port())
    with_port = [
        port if before == "--port" else word for before, word in zip(("", *words), words, strict=False)
    ]
    flags = with_port if "--port" in words else [*words, "--port", port]
    with listening([wheel.command, *flags], folder, {}) as url:
        assert url.endswith(f":{port}")
        room = httpx.get(f"{url}/v1/rooms/lobby").json()
    assert room["count"] == 0
    if "--moods" in words:
        assert list(room["moods"]) == words[words.index("--moods") + 1].split(",")


def serve_beside_redis(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """With a Redis of ours in place of the one that is named."""
    with redis_process() as redis:
        serve(wheel, [redis.url if word.startswith("redis:") else word for word in words], folder)


def crowd(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """As many people as are asked for are in the room of our server, until Ctrl-C."""
    wanted = int(words[words.index("--people") + 1])
    server = start_server(folder / "room.db", python=wheel.python)
    try:
        with program(
            [wheel.command, *words, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            while httpx.get(f"{server.url}/v1/rooms/lobby").json()["count"] != wanted:
                assert running.poll() is None
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, err) == (0, "")
        assert f"this crowd was {wanted:,}" in out
    finally:
        server.kill()


def watch(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """It says what our server's room holds, until Ctrl-C."""
    server = start_server(folder / "room.db", python=wheel.python)
    try:
        with program(
            [wheel.command, *words, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert running.stdout
            assert "lobby" in running.stdout.readline()
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, err) == (0, "")
    finally:
        server.kill()


def make_run(wheel: Wheel, words: Sequence[str], folder: Path) -> None:
    """In the clone it sets everything up and serves the page, here on a free port."""
    env = {
        "BREATHING_ROOM_PORT": "0",
        "BREATHING_ROOM_DATA": str(folder / "room.db"),
        "PYTHONUNBUFFERED": "1",
    }
    with listening(["make", *words], wheel.clone, env) as url:
        assert "<title>" in httpx.get(url).text


HOW: dict[str, Callable[[Wheel, Sequence[str], Path], None]] = {
    "make run": make_run,
    "breathing-room serve --redis": serve_beside_redis,
    "breathing-room serve": serve,
    "breathing-room crowd": crowd,
    "breathing-room watch": watch,
    "breathing-room simulate": run_to_the_end,
    "breathing-room cost": run_to_the_end,
    "breathing-room deploy": run_to_the_end,
}


def how_to_run(command: str) -> Callable[[Wheel, Sequence[str], Path], None] | None:
    return next((how for begins, how in HOW.items() if command.startswith(begins)), None)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in NOT_RUN])
def test_a_command_runs(command: str, wheel: Wheel, tmp_path: Path) -> None:
    """Each command of the README does what it is for, in an environment that has the wheel and nothing of
    ours else.
    """
    how = how_to_run(command)
    assert how, f"no test knows how to run {command!r}: add it to HOW, or with a reason to NOT_RUN"
    how(wheel, shlex.split(command)[1:], tmp_path)


def test_every_block_is_run_or_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """A block in another language, a further snippet, and a command that is neither run nor listed are found;
    reasons are printed.
    """
    with capsys.disabled():
        for command, reason in NOT_RUN.items():
            print(f"\nREADME: `{command}` is not run here: {reason}", file=sys.__stderr__)
    languages = [language for language, _ in BLOCKS]
    assert set(languages) == {"sh", "html", "python", "json"}
    # The snippets have a test each: the line of HTML, the script, the program, and the answer.
    assert [languages.count(name) for name in ("html", "python", "json")] == [2, 1, 1]
    assert [command for command in COMMANDS if not (how_to_run(command) or command in NOT_RUN)] == []
    assert NOT_RUN.keys() <= set(COMMANDS)
    assert README.count("```") == 2 * len(BLOCKS)
    assert how_to_run("breathing-room sing --loud") is None


def test_what_is_installed_is_the_wheel(wheel: Wheel, tmp_path: Path) -> None:
    """The package that these tests run lies in the environment of the wheel, with its types and its page, and
    not in our tree.
    """
    code = "import breathing_room as it, pathlib; print(pathlib.Path(it.__file__).parent)"
    found = subprocess.run(
        [wheel.python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    package = Path(found.stdout.strip())
    assert package.is_relative_to(wheel.bin.parent)
    assert (package / "py.typed").exists()
    assert (package / "web" / "client" / "dist" / "element.js").exists()


def test_links_that_pypi_shows_are_absolute(wheel: Wheel) -> None:
    """The wheel's description is the README with links that lead from PyPI to the files that they name in a
    clone.
    """
    code = "import importlib.metadata as it; print(it.metadata('breathing-room').get_payload())"
    done = subprocess.run([wheel.python, "-c", code], capture_output=True, text=True, check=True)
    home = "https://github.com/breathing-room/breathing-room/blob/main/"
    image = "https://raw.githubusercontent.com/breathing-room/breathing-room/main/"
    links = re.findall(r"\]\(([^)\s]+)\)", done.stdout)
    assert f"{image}docs/images/page.png" in links
    assert f"{home}docs/README.md" in links
    assert [link for link in links if not link.startswith("https://")] == []
    assert [link.removeprefix(home).removeprefix(image) for link in links] == re.findall(
        r"\]\(([^)\s]+)\)", README
    )
