"""Asks the browser's files directly, in Node."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import breathing_room

WEB = Path(breathing_room.__file__).parent / "web"
NODE = shutil.which("node") or str(Path(sys.executable).with_name("node"))


def node(file: str, expression: str, *arguments: Any) -> Any:
    """Evaluate an expression over a module, ``it``, and the arguments, ``given``."""
    script = f"""
        const it = await import({json.dumps((WEB / file).as_uri())});
        const given = JSON.parse((await import('node:fs')).readFileSync(0, 'utf8'));
        console.log(JSON.stringify({expression}));
    """
    command = [NODE, "--no-warnings", "--input-type=module", "--eval", script]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
