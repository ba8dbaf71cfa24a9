"""A Starlette application with rooms in it.

Run it with::

    uvicorn --app-dir examples starlette_app:app

and open http://127.0.0.1:8000/breathing/ for the page.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import breathing_room


async def home(_request: Request) -> PlainTextResponse:
    """Answer beside the rooms: they keep to their prefix."""
    return PlainTextResponse("the rooms are at /breathing/v1/rooms/lobby")


app = Starlette(routes=[Route("/", home)])
app.mount("/breathing", breathing_room.app(data="breathing-room.db"))
