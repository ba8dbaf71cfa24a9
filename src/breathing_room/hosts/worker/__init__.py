"""The worker host: rooms at Cloudflare's edge, each a Durable Object, in Python.

``room_platform.py`` carries out what a ``RoomHost`` (``hosts/common/rooms/room_host.py``) is asked for, and sets one alarm.
``socket.py`` is how a connection travels there; ``hibernation.py`` is what a room remembers while it sleeps.
``routes.py`` answers HTTP, in front and in the room, and ``kv_routes.py`` where rooms are kept in KV
alone; ``shard_calls.py`` is a room over several objects. What touches the platform is
``durable_object.py``, ``entry.py`` (the Worker before the objects) and ``platform.py``. ``assemble.py`` and
``deploy.py`` run elsewhere: they put a Worker together.

Theory of operation
-------------------
An object is put to sleep as soon as nothing goes on in it for some ten seconds, and its memory is lost. Sockets stay open
meanwhile, and each keeps up to 16,384 bytes *attached* to it. So whoever is behind a socket is kept there, and costs nothing; the
rest of the room (``Room.snapshot(connected=False)``: people in doubt, the panel, what was announced) is one row, written only when its
stamp changes. Before an event that wakes it, the room is rebuilt from both, and is as if it had never slept.

The network tells of every socket that ends, so an open one needs no sign of life (``Room(connection_is_lease=True)``), and nothing ever
wakes the object for the sake of a lease. There is one alarm: for whatever the room wants to be woken for, and none while nothing changes.

A deploy, unlike a sleep, drops every socket. The room then goes on from its last snapshot, and says ``stale`` until people are back.
"""
