"""The static files of ``web/page`` and ``web/client``: the page, and the browser client for other sites."""

from importlib.resources import files
from pathlib import PurePath
from typing import Final

MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def page_files() -> dict[str, bytes]:
    """Read every file, by its name: both folders are served as one.

    The bundles that ``make web`` builds replace the sources of the same name.
    """
    web = files("breathing_room").joinpath("web")
    return {
        file.name: file.read_bytes()
        for folder in ("client", "page", "client/dist")
        for file in web.joinpath(folder).iterdir()
        if PurePath(file.name).suffix in MEDIA_TYPES
    }
