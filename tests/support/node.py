"""Asks the browser's files directly, in Node."""

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
    """Lay the sources of page and client side by side, as a server hands them out: the page imports ``./others.js``."""
    site = tempfile.TemporaryDirectory(prefix="breathing-room-web-")
    for file in (*CLIENT.glob("*.js*"), *PAGE.glob("*.js")):
        shutil.copy(file, site.name)
    return site
