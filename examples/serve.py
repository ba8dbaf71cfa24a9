"""Serve one of the example pages, with rooms beside it.

Run it with::

    python examples/serve.py plain
    python examples/serve.py react

and open the address that it prints. Your own site needs none of this: its pages can use the rooms of a server
anywhere.
"""

import subprocess
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import breathing_room

EXAMPLES = Path(__file__).parent
ESBUILD = EXAMPLES.parent / "node_modules" / "esbuild" / "bin" / "esbuild"


def build(app: Path) -> None:
    """Compile a page's TypeScript to a script, with the client from the package `breathing-room`."""
    if not ESBUILD.exists():
        raise SystemExit("React comes from npm: run `npm install` first")
    options = ["--bundle", "--format=esm", "--jsx=automatic", "--log-level=warning"]
    target = f"--outfile={app.parent / 'build' / 'app.js'}"
    subprocess.run([ESBUILD, app, *options, target], check=True)  # noqa: S603 - our own files


def main(name: str, port: int = 8080) -> None:
    """Build the page if it needs it, and serve."""
    folder = EXAMPLES / name
    app = folder / "app.tsx"
    if app.exists():
        build(app)
    rooms = breathing_room.app(data=":memory:")
    routes = [Mount("/breathing", rooms), Mount("/", StaticFiles(directory=folder, html=True))]
    uvicorn.run(Starlette(routes=routes), port=port, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
