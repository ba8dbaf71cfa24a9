"""The worker host: rooms at Cloudflare's edge, each a Durable Object, in Python.

``room_platform.py`` is the ``Platform`` of a ``RoomHost`` (``hosts/common/rooms/room_host.py``), with one
alarm. ``socket.py`` is a connection there; ``hibernation.py`` is the state of a room that outlasts
hibernation. ``routes.py`` answers HTTP, in the Worker and in the object, and ``kv_routes.py`` where the
backend is KV; ``shard_calls.py`` is a room over several objects. Only ``durable_object.py``, ``entry.py``
(the Worker in front of the objects) and ``platform.py`` touch the runtime. ``assemble.py`` and ``deploy.py``
run elsewhere: they prepare a deployment.

Theory of operation
-------------------
The platform hibernates an object that has had no work for some ten seconds, and its memory is lost. Its
WebSockets stay open meanwhile, and up to 16,384 bytes are *attached* to each. So the visitor of a connection
is stored in its attachment, at no cost. The rest of the room (``Room.snapshot(connected=False)``: suspect
visitors, the panel, the last broadcast) is one row, written only when its version changes. Before the next
event the room is rebuilt from both, and behaves as if it had never hibernated.

The network reports every connection that ends, so an open one needs no heartbeat
(``Room(connection_is_lease=True)``), and no lease ever wakes the object. The heartbeats that clients send all
the same are answered by the runtime (``setWebSocketAutoResponse``): those do not wake it either. There is one
alarm, for the next timer of the room, and none while nothing changes.

A deploy, unlike hibernation, drops every connection. The room then resumes from its last snapshot, and its
presence is ``stale`` until its visitors are back or their leases expire.
"""
