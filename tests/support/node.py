"""Evaluates the browser's modules in Node."""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import breathing_room

CLIENT = Path(breathing_room.__file__).parent / "web" / "client"
PAGE = CLIENT.parent / "page"
NODE = shutil.which("node") or str(Path(sys.executable).with_name("node"))

TIME = """
    let nowMs = 0, number = 0;
    const timers = new Map();
    globalThis.setTimeout = (run, delay) => { timers.set(++number, {run, atMs: nowMs + delay}); return number; };
    globalThis.clearTimeout = (id) => timers.delete(id);
    Date.now = () => nowMs;
    performance.now = () => nowMs;
    const pass = (ms) => {
      const until = nowMs + ms;
      for (;;) {
        const [id, timer] = [...timers].sort(([, one], [, other]) => one.atMs - other.atMs)[0] ?? [];
        if (!timer || timer.atMs > until) break;
        timers.delete(id); nowMs = timer.atMs; timer.run();
      }
      nowMs = until;
    };
    const turns = async () => { for (let turn = 0; turn < 20; turn++) await null; };
    const passSlowly = async (ms, stepMs = 100) => { for (let past = 0; past < ms; past += stepMs) { await turns(); pass(stepMs); await turns(); } };
"""
"""Script that puts a clock and timers in the place of Node's: they stand still until ``pass(ms)``, or ``await
passSlowly(ms)``, which lets promises settle on the way.
"""


def node(file: str, expression: str, *arguments: Any) -> Any:
    """Evaluate an expression over a module, ``it``, and the arguments, ``given``."""
    script = f"""
        const it = await import({json.dumps((Path(_site().name) / file).as_uri())});
        const given = JSON.parse((await import('node:fs')).readFileSync(0, 'utf8'));
        console.log(JSON.stringify({expression}));
    """
    command = [NODE, "--no-warnings", "--input-type=module", "--eval", script]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@functools.cache
def _site() -> tempfile.TemporaryDirectory[str]:
    """Copy the sources of page and client into one folder, as a server serves them: the page imports
    ``./others.js``.
    """
    site = tempfile.TemporaryDirectory(prefix="breathing-room-web-")
    for file in (*CLIENT.glob("*.js*"), *PAGE.glob("*.js")):
        shutil.copy(file, site.name)
    return site
