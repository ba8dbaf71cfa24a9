"""The server host: one machine, one process, one port.

``host.py`` is its heart: it feeds rooms, carries out their effects and re-arms one timer each.
``hosts/common/rooms/connection.py`` says what a socket means, ``socket.py`` and ``asgi_socket.py`` how it
travels; ``listener.py`` opens sockets, ``routes.py`` answers everything else, ``serve.py`` runs it all.
``cluster.py`` is the server as one of several machines, ``workers.py`` as one of several processes; ``admin``
is the operator's page.
"""
