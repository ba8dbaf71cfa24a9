"""A FastAPI application with rooms in it.

Run it with::

    uvicorn --app-dir examples fastapi_app:app

and open http://127.0.0.1:8000/breathing/ for the page.
"""

from fastapi import FastAPI

import breathing_room

app = FastAPI()
app.mount("/breathing", breathing_room.app(data="breathing-room.db"))


@app.get("/")
async def home() -> dict[str, str]:
    """Answer beside the rooms: they keep to their prefix."""
    return {"rooms": "/breathing/v1/rooms/lobby"}
