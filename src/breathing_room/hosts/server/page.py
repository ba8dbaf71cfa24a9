"""The page, and the client for the pages of others: the files of ``web/``, as they are handed out."""

import gzip
from importlib.resources import files
from pathlib import PurePath
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from breathing_room.hosts.common.http.middleware import cacheable
from breathing_room.hosts.common.http.responses import page_headers

MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def page_files() -> dict[str, bytes]:
    """Read every file, by its name.

    What ``make web`` built, the client in one small file, goes before the source of that name.
    """
    web = files("breathing_room").joinpath("web")
    return {
        file.name: file.read_bytes()
        for folder in (web, web.joinpath("dist"))
        for file in folder.iterdir()
        if PurePath(file.name).suffix in MEDIA_TYPES
    }


class Page:
    """Hands the files out, each compressed once for everybody.

    Args:
        presence_url: Where presence is published, or the empty string.
    """

    def __init__(self, *, presence_url: str) -> None:
        self._files = {name: (body, gzip.compress(body, mtime=0)) for name, body in page_files().items()}
        self._headers = page_headers(presence_url) | {"Vary": "Accept-Encoding"}

    async def file(self, request: Request) -> Response:
        """Answer with a file, and say what may run in it."""
        name = request.path_params.get("file", "index.html")
        if name not in self._files:
            raise HTTPException(404)
        compressed = "gzip" in request.headers.get("accept-encoding", "")
        body, media_type = self._files[name][compressed], MEDIA_TYPES[PurePath(name).suffix]
        # Ask again each time; the ETag makes that cheap.
        response = cacheable(request, body, "no-cache", media_type=media_type)
        response.headers.update(self._headers | ({"Content-Encoding": "gzip"} if compressed else {}))
        return response
