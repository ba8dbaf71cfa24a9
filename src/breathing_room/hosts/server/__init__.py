"""The server host: one machine, one process, one port.

``app.py`` has all rooms of a process and the services that they share. Each is a ``RoomHost``
(``hosts/common/rooms/room_host.py``) on the platform of ``platform.py``: broadcasts in slices, one timer,
saves in the background. ``hosts/common/rooms/connection.py`` handles messages, ``socket.py`` and
``asgi_socket.py`` carry their bytes; ``listener.py`` accepts sockets, ``routes.py`` answers all other
requests, ``serve.py`` runs them. ``cluster_node.py`` shares rooms with other servers, ``workers.py`` with
other processes of the machine; ``admin`` is the operator's page.
"""
