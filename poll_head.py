"""Being in a room without a socket: the requests of a ``Poller``, sent over HTTP.

The rules are those of ``core/client_rules/polling.py``; here are the requests, the clock, and what becomes of a response.
``send_request`` sends one request of a poller, for the load generator as well; ``Polling`` is the visit of one client.
"""
