"""Serve the page, and the browser client for other sites."""

import gzip
from pathlib import PurePath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from breathing_room.hosts.common.http.middleware import cacheable
from breathing_room.hosts.common.http.page_files import MEDIA_TYPES, page_files
from breathing_room.hosts.common.http.responses import page_headers


class PageRoutes:
    """Serves the static files, each compressed once.

    Args:
        presence_url: Where presence is published, or the empty string.
    """

    def __init__(self, *, presence_url: str) -> None:
        self._files = {name: (body, gzip.compress(body, mtime=0)) for name, body in page_files().items()}
        self._headers = page_headers(presence_url) | {"Vary": "Accept-Encoding"}

    async def file(self, request: Request) -> Response:
        """Answer with a file and its security headers."""
        name = request.path_params.get("file", "index.html")
        if name not in self._files:
            raise HTTPException(404)
        compressed = "gzip" in request.headers.get("accept-encoding", "")
        body, media_type = self._files[name][compressed], MEDIA_TYPES[PurePath(name).suffix]
        # Browsers revalidate each time; the ETag makes that cheap.
        response = cacheable(request, body, "no-cache", media_type=media_type)
        response.headers.update(self._headers | ({"Content-Encoding": "gzip"} if compressed else {}))
        return response
