"""The server host: one machine, one process, one port.

``app.py`` is all its rooms and what they share. Each is a ``RoomHost`` (``hosts/common/rooms/room_host.py``) on the platform of
``platform.py``: presences in slices, one timer, saves in the background.
``hosts/common/rooms/connection.py`` says what a socket means, ``socket.py`` and ``asgi_socket.py`` how it
travels; ``listener.py`` opens sockets, ``routes.py`` answers everything else, ``serve.py`` runs it all.
``cluster_node.py`` is the server as one of several machines, ``workers.py`` as one of several processes; ``admin``
is the operator's page.
"""
