"""The server host: one machine, one process, one port.

``host.py`` is its heart: it feeds rooms, carries out their effects and re-arms one timer each. ``session.py`` says what a
socket means, ``socket.py`` and ``asgi_socket.py`` how it travels; ``front.py`` opens sockets, ``http.py`` answers
everything else, ``serve.py`` runs it all.
"""
