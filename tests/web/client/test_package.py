"""The package on npm: what is in it, how large it is, what its types say, and that it runs in Node."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from harness import ServerProcess
from node import CLIENT, NODE, node

ROOT = Path(__file__).parents[3]
HOME = CLIENT.relative_to(ROOT)
HERE = Path(sys.executable).parent
NODES = sorted({NODE, str(HERE / "node")})
"""That of the system, where there is one, and that of the virtual environment."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm pack` packs, unpacked into the node_modules of another project."""
    copy = tmp_path_factory.mktemp("repository")
    shutil.copytree(CLIENT, copy / HOME)
    shutil.copy(ROOT / "LICENSE", copy)
    (copy / "node_modules").symlink_to(ROOT / "node_modules")
    npm = shutil.which("npm") or HERE / "npm"
    project = tmp_path_factory.mktemp("project")
    command = [npm, "pack", "--silent", "--pack-destination", project]
    subprocess.run(command, cwd=copy / HOME, check=True, capture_output=True)
    (packed,) = project.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(project / "node_modules", filter="data")
    (project / "node_modules" / "package").rename(project / "node_modules" / "breathing-room")
    return project / "node_modules" / "breathing-room"


def test_what_is_packed(package: Path) -> None:
    """
    The client, its types and the script for one line of HTML are packed; the page that the server shows is
    not.
    """
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    sources = {file.stem for file in CLIENT.glob("*.js")}
    assert {"client", "element", "react", "sentence", "words.pl"} < sources
    types = {"client.d.ts", "element.d.ts", "react.d.ts", "sentence.d.ts", "wire.d.ts"}
    others = {
        "package.json",
        "README.md",
        "LICENSE",
        *(f"dist/{name}.js" for name in ("client", "element", "sentence")),
    }
    assert files == {f"{name}.js" for name in sources} | types | others
    for file in package.glob("*.js"):
        code = re.sub(r"/\*\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        imported = re.findall(r"\b(?:from |import\()'(.*?)'", code)
        assert set(imported) <= {f"./{name}.js" for name in sources} | {"react"}, file.name
    packed = json.loads((package / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (packed["version"], packed["license"]) == (project["version"], project["license"])
    assert "dependencies" not in packed


def test_what_is_handed_out_is_what_was_built(package: Path) -> None:
    """
    The client that our servers hand out is that of npm, built from the sources as they are: after a change,
    `make web`.
    """
    for file in (package / "dist").iterdir():
        assert (CLIENT / "dist" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_typescript_example_checks(tmp_path: Path) -> None:
    """The React example passes the strictest check, and what would be a mistake in it does not."""
    example = (ROOT / "examples" / "react" / "app.tsx").read_text()
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    flags = "--noEmit --strict --exactOptionalPropertyTypes --jsx react-jsx --module nodenext --lib es2022,dom,dom.iterable".split()  # noqa: SIM905

    rights, wrongs = [example], []
    for right, wrong in {
        "room: 'react'": "room: 7",
        "setMood(name)": "setMood(null)",
        "sentence(room": "sentence(presence",
        "presence?.moods": "presence.moods",
        "usePresence('/breathing'": "usePresence(8000",
    }.items():
        assert right in example
        wrongs.append(example.replace(right, wrong))
    element = """
        import {join} from 'breathing-room';
        import 'breathing-room/element';
        import {sentence} from 'breathing-room/sentence';
        const room = join(new URL('https://example.org'), {mode: 'offline', history: '/history.json', storage: false});
        room.addEventListener('error', ({detail}) => console.log(detail.code));
        const said: string = sentence(room, {label: '{others}', lang: document.documentElement.lang, capAbove: 500});
        const low: number | undefined = room.presence?.low;
        document.querySelector('breathing-room')?.joinedRoom?.setMood('calm');
    """
    protocol = """
        import type {ClientMessage, Config, ServerMessage} from 'breathing-room/wire';
        import type {Config as ConfigOfARoom, Presence} from 'breathing-room';
        export const join: ClientMessage = {type: 'join', visitor: 'v'.repeat(22), mood: null};
        export const leave: ClientMessage = {type: 'leave', linger_ms: 2000};
        export function count(message: ServerMessage): number | null {
          return message.type === 'presence' ? message.count : null;
        }
        export const high = ({moods, mood_intervals}: Presence) => Object.keys(moods).map((mood) => mood_intervals[mood]?.[1]);
        export const inhale = (config: Config): number => config.breath.phases[0]![1];
        export const mode = (config: ConfigOfARoom): boolean => config.mode === 'offline' && config.breath === undefined;
    """
    tag = """
        import type {} from 'breathing-room/react';
        export const element = (
          <breathing-room server={new URL('https://example.org')} room={7} observe={false} hide-below={5} label="{label}" />
        );
    """
    rights += [element, tag, protocol]
    wrongs += [protocol.replace("'leave'", "'depart'"), protocol.replace("=== 'presence'", "=== 'pong'")]
    wrongs.append(tag.replace("hide-below={5}", "hide-below={[]}"))
    # In one program: most of the time goes to the types of the browser.
    files = {f"right{number}.tsx": text for number, text in enumerate(rights)}
    wrong_files = {f"wrong{number}.tsx": text for number, text in enumerate(wrongs)}
    for name, text in (files | wrong_files).items():
        (tmp_path / name).write_text(text)
    command = [NODE, str(ROOT / "node_modules" / "typescript" / "bin" / "tsc"), *flags, *files, *wrong_files]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    errors = [line for line in said.splitlines() if "error TS" in line]
    assert {line.partition("(")[0] for line in errors} == wrong_files.keys(), said


def test_the_types_name_what_is_there() -> None:
    """Every property and method that the types promise is one of a room, and no other is public."""
    types = (CLIENT / "client.d.ts").read_text()
    promised = re.search(r"interface Room .*?{(.*?)\n}", types, re.DOTALL)
    assert promised
    names = re.findall(r"^  (?:readonly )?(\w+)[:(<]", promised[1], re.MULTILINE)
    there = node(
        "client.js",
        """(() => { const room = it.join('not-http://'); const own = Object.keys(room);
            const all = Object.getOwnPropertyNames(Object.getPrototypeOf(room));
            return [...own, ...all.filter((name) => name !== 'constructor')]; })()""",
    )
    assert set(names) - {"addEventListener"} == set(there)
    options = re.search(r"interface Options {(.*?)\n}", types, re.DOTALL)
    assert options
    documented = re.findall(r"@param .*?\[options\.(\w+)\]", (CLIENT / "client.js").read_text())
    assert sorted(re.findall(r"^  (\w+)\?:", options[1], re.MULTILINE)) == sorted(documented)


def test_the_types_of_the_element_name_what_is_there() -> None:
    """
    Every property that the types promise is one of the element, and can be set where they say so; and no
    other is public.
    """
    types = (CLIENT / "element.d.ts").read_text()
    promised = {kind: re.findall(rf"^  {kind} (\w+)\(", types, re.MULTILINE) for kind in ("get", "set")}
    there = node(
        "element.js",
        """['get', 'set'].map((kind) => Object.entries(Object.getOwnPropertyDescriptors(it.BreathingRoom.prototype))
            .filter(([, property]) => property[kind]).map(([name]) => name).sort())""",
    )
    assert there == [sorted(promised["get"]), sorted(promised["set"])]
    assert set(promised["get"]) - set(promised["set"]) == {"joinedRoom"}


PROGRAM = """
import {join} from 'breathing-room';
await import('breathing-room/element'); // does nothing here, and does not fail
const room = join(process.argv[2], {room: process.argv[3]});
const until = (isSo) => new Promise((resolve) => {
  const look = () => isSo() && resolve();
  room.addEventListener('presence', look);
  look();
});
await until(() => room.presence?.count === 1);
room.setMood('release');
await until(() => room.presence.moods.release === 1);
const {transport, state} = room;
const watcher = join(process.argv[2], {room: process.argv[3], observe: true});
await new Promise((resolve) => watcher.addEventListener('presence', () => watcher.presence.count === 1 && resolve(), {once: true}));
room.leave();
await new Promise((resolve) => watcher.addEventListener('presence', () => watcher.presence.count === 0 && resolve()));
watcher.leave();
console.log(JSON.stringify([transport, state, room.presence.room]));
"""


@pytest.mark.parametrize(
    ("flag", "transport"), [("--", "socket"), ("--no-experimental-websocket", "polling")]
)
@pytest.mark.parametrize("program", NODES)
def test_it_runs_in_node(
    package: Path, server: ServerProcess, program: str, flag: str, transport: str
) -> None:
    """
    In Node it joins, feels and leaves: over a socket where Node has one, by polls where it does not, as in 20
    and 21; and then the process can end.
    """
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version[1:].partition(".")[0]) < 22:
        transport = "polling"
    script = package.parent.parent / "program.mjs"
    script.write_text(PROGRAM)
    room = f"node-{NODES.index(program)}-{transport}"
    done = subprocess.run(
        [program, flag, script, server.url, room], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [transport, "live", room]
