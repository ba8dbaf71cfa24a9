import sys; sys.path.insert(0, "/tmp/wt/me")
from e1 import sub
C = "src/breathing_room/client/"
sub(C + "http.py",
('''"""HTTP as those who poll need it: one request at a time, on a connection that is kept for the next one.

A general library would be one more dependency of everybody who installs us, for a parser, which is here already, and a
connection. What it is strict about: an answer is read whole, within a time and up to a size, or the connection ends.
"""''', '''"""A small HTTP client for polling: one request at a time over connections that are kept alive.

A general library would add a dependency for a parser, which is installed already, and a connection. Strict limits:
a response is read whole, within a time and up to a size, or the connection is closed.
"""'''),
("ConnectionLostError, broken\n", "ConnectionLostError, error_from_exception\n"),
('''ANSWER_BYTES_MAX: Final = 65_536
"""A presence has some 400 bytes, and a config not many more."""

# What may stand unquoted in a path or a query (RFC 3986, section 3.3), and what is quoted already.
UNQUOTED:''', '''RESPONSE_BYTES_MAX: Final = 65_536
"""A presence has some 400 bytes, and a config not many more."""

# The characters that may stand unquoted in a path or a query (RFC 3986, section 3.3), and the quotes themselves.
UNQUOTED:'''),
("ANSWER_BYTES_MAX:\n", "RESPONSE_BYTES_MAX:\n"),
('''    """Where to connect to."""
''', '''    """Scheme, host and port: what a connection is made to."""
'''),
('''    """An address on the web, taken apart.

    Attributes:
        origin: Where to connect to.
        head: What every request for it says in its head.
        target: What stands in the first line of a request.
    """''', '''    """An HTTP URL, parsed once for many requests.

    Attributes:
        origin: What to connect to.
        head: The header lines of every request.
        target: The request target: path and query.
    """'''),
('''        """Take an address apart.

        Raises:
            HostError: It is none of the web.
        """''', '''        """Parse a URL.

        Raises:
            HostError: It is no ``http://`` or ``https://`` URL.
        """'''),
('''            raise HostError("an address on the web looks like https://example.org/presence.json")''',
 '''            raise HostError("not an HTTP URL: expected one like https://example.org/presence.json")'''),
('''    def request(self, body: bytes | None) -> bytes:
        """Write a request: with a body it tells the server something, without it asks."""
''', '''    def encode_request(self, body: bytes | None) -> bytes:
        """Encode a request: a POST of JSON with a body, a GET without one."""
'''),
('''    """What a server answered.
''', '''    """A response of a server.
'''),
('''class _SilentError(Exception):
    """The connection ended, and nothing had come of the answer: it was closed while it was idle."""
''', '''class _NoResponseError(Exception):
    """The connection was closed before the first byte of a response: it had timed out while it was idle."""
'''),
("_SilentError", "_NoResponseError", 3),
('''    """A connection, and the answer that is awaited on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[ClientResponse] | None = None
        self._begin()
''', '''    """A connection, and the response that is awaited on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[ClientResponse] | None = None
        self._reset()
'''),
('''    async def ask(self, request: bytes) -> ClientResponse:
        assert self._transport is not None
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer
''', '''    async def send(self, request: bytes) -> ClientResponse:
        assert self._transport is not None
        self._reset()
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response
'''),
("    def _begin(self)", "    def _reset(self)"),
('''    def _end(self, answer: ClientResponse | Exception) -> None:
        waiting, self._answer = self._answer, None
        if waiting is None or waiting.done():
            return
        if isinstance(answer, ClientResponse):
            waiting.set_result(answer)
        else:
            waiting.set_exception(answer)

    # What the event loop calls.
''', '''    def _resolve(self, outcome: ClientResponse | Exception) -> None:
        waiting, self._response = self._response, None
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, ClientResponse):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)

    # Called by the event loop.
'''),
("self._answer is None or self._bytes > RESPONSE_BYTES_MAX", "self._response is None or self._bytes > RESPONSE_BYTES_MAX", 0),
("        if self._answer is None or self._bytes > ANSWER_BYTES_MAX:", "        if self._response is None or self._bytes > RESPONSE_BYTES_MAX:"),
("self._end(", "self._resolve(", 5),
('ConnectionLostError("an endless answer")', 'ConnectionLostError("an endless response")'),
("    # What the parser calls.\n", "    # Called by the parser.\n"),
("# An informational answer: the real one follows.", "# An informational response: the final one follows."),
("        keeps = self._parser.should_keep_alive()", "        keeps_alive = self._parser.should_keep_alive()"),
("if not keeps and", "if not keeps_alive and"),
('''    """A way to ask servers, one request at a time. Connections are made when they are needed, and kept.

    Args:
        answer_s: How long an answer may take, the connection included, in seconds.
    """''', '''    """Send requests, one at a time, over connections that are opened when they are needed and kept alive.

    Args:
        answer_s: How long a response may take, the connection included, in seconds.
    """'''),
('''    async def ask(self, page: Endpoint, body: bytes | None = None) -> ClientResponse:
        """Ask for a page, or tell it something.

        A request on a connection that turns out to be closed is sent again on a new one; all of ours may be repeated.

        Args:
            page: Where.
            body: What to tell, as JSON; None to ask.

        Raises:
            ConnectionLostError: Nobody answered, or not in HTTP.
        """
        request = page.request(body)
''', '''    async def request(self, endpoint: Endpoint, body: bytes | None = None) -> ClientResponse:
        """Send a request and return the response.

        A request on a connection that turns out to be closed is sent again on a new one: all of ours are idempotent.

        Args:
            endpoint: Where to send it.
            body: The JSON to POST; None for a GET.

        Raises:
            ConnectionLostError: There was no response in time, or it was not HTTP.
        """
        request = endpoint.encode_request(body)
'''),
('''                kept = self._connections.get(page.origin)
''', '''                kept = self._connections.get(endpoint.origin)
'''),
("return await kept.ask(request)", "return await kept.send(request)"),
('''                made = self._connections[page.origin] = await _connect(page.origin)
                return await made.ask(request)''', '''                opened = self._connections[endpoint.origin] = await _connect(endpoint.origin)
                return await opened.send(request)'''),
("self._drop(page.origin)\n            raise broken(error) from None", "self._drop(endpoint.origin)\n            raise error_from_exception(error) from None"),
("            self._drop(page.origin)  # What is still to come of the answer belongs to nobody.\n", "            self._drop(endpoint.origin)  # The rest of the response would be read as that of the next request.\n"),
)
sub(C + "protocol.py",
('''"""The client's half of the protocol: addresses, and what the server says.

``docs/reference/protocol.md`` is the contract. What a server says is validated before anybody sees it: it may
come from another version of it, or through a proxy that has ideas of its own, and it ends up in terminals.
"""''', '''"""The client's half of the protocol: URLs, and the decoding of the server's messages.

``docs/reference/protocol.md`` is the contract. Every message is validated before it is passed on: it may come from
another version of the server or from a proxy in between, and it is printed in terminals.
"""'''),
('''"""Where ``breathing-room serve`` listens when it is not told otherwise."""''', '''"""Where ``breathing-room serve`` listens by default."""'''),
('''    """The server's time, in answer to a beat.

    Attributes:
        sent_ms: What the beat carried, unchanged.''', '''    """The server's time, in answer to a request for it.

    Attributes:
        sent_ms: What the request carried, unchanged.'''),
('''    """Find a path of a server.

    Args:
        base: The server's address, ``http://``, ``https://``, ``ws://`` or ``wss://``, with or without a path.
        path: The path below it, such as ``/healthz``.

    Raises:
        HostError: The address is no such address.
    """''', '''    """Return the HTTP URL of a path of a server.

    Args:
        base: The server's URL, ``http://``, ``https://``, ``ws://`` or ``wss://``, with or without a path.
        path: The path below it, such as ``/healthz``.

    Raises:
        HostError: ``base`` is no such URL.
    """'''),
('''def shown_url(base: str) -> str:
    """Return a server's address as it may be shown and logged: without user name and password."""''', '''def redacted_url(base: str) -> str:
    """Return a server's URL as it may be shown and logged: without user name and password."""'''),
('''    """Find the config of a room, or with None of the server's default room; ``base`` as in `http_url`.

    Raises:
        HostError: The address or the room's name is not one.''', '''    """Return the URL of a room's config, or with None of the default room's; ``base`` as in `http_url`.

    Raises:
        HostError: The URL or the room's name is invalid.'''),
('''        raise HostError("a room's name is 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit")''',
 '''        raise HostError(
            f"invalid room name {room!r}: expected 1 to 64 of a-z, 0-9, - and _, beginning with a letter or a digit"
        )'''),
('''    """Find the WebSocket of a room; ``base`` as in `http_url`.

    Raises:
        HostError: The address or the room's name is not one.''', '''    """Return the URL of a room's WebSocket; ``base`` as in `http_url`.

    Raises:
        HostError: The URL or the room's name is invalid.'''),
('''    wanted = "a server's address looks like http://127.0.0.1:8000 or wss://example.org"
''', '''    wanted = "not a server URL: expected one like http://127.0.0.1:8000 or wss://example.org"
'''),
('''    """Read one message of the server.

    Returns:
        What it says; a `ClientError`, as a value, when it says that our last message was not understood; None
        when it is of a type that this version does not know.

    Raises:
        ValueError: It makes no sense.
    """''', '''    """Decode one message of the server.

    Returns:
        The message; a `ClientError`, as a value, when the server rejected a message of ours; None when its type is
        unknown to this version, or a ``pong``.

    Raises:
        ValueError: The message is malformed.
    """'''),
('raise ValueError("not JSON that anybody means") from None', 'raise ValueError("JSON nested too deeply") from None'),
('ValueError("a message lacks what its type calls for")', 'ValueError("a message lacks a field of its type")'),
('''    """Read a presence, and check that it agrees with itself.

    Raises:
        ValueError: It does not.
    """''', '''    """Decode a presence, and check that it is consistent.

    Raises:
        ValueError: It is malformed or inconsistent.
    """'''),
('ValueError("a presence was obtained in a way that nobody knows")', 'ValueError("a presence has an unknown method")'),
('ValueError("a presence has no label that can be shown")', 'ValueError("a presence has no printable label")'),
('ValueError("a presence knows and does not know its count")', 'ValueError("a presence has a count that contradicts its method")'),
('ValueError("a presence has its count outside of its own interval")', 'ValueError("a presence has a count outside of its interval")'),
('''    """Read from a room's config how it breathes.

    Raises:
        ValueError: It does not say.
    """''', '''    """Decode the breathing pattern of a room's config.

    Raises:
        ValueError: It has none.
    """'''),
('ValueError("a phase of no breath")', 'ValueError("a breathing phase is malformed")'),
('''    """Read the one shape that every error of the server has.

    Raises:
        ValueError: It has another.
    """''', '''    """Decode an error of the server.

    Raises:
        ValueError: It has another shape.
    """'''),
('ValueError("an error in a shape of its own")', 'ValueError("an error is malformed")'),
('ValueError("a mood has an interval without two ends")', 'ValueError("the interval of a mood lacks an end")'),
('ValueError("a mood has an interval that ends before it begins")', 'ValueError("the interval of a mood ends before it begins")'),
('''    """Take a finite number.

    Raises:
        ValueError: It is none.
    """''', '''    """Return a finite number as a float.

    Raises:
        ValueError: It is no finite number.
    """'''),
('ValueError("a name is not one")', 'ValueError("a name is malformed")'),
)
sub(C + "room_info.py",
('''"""How a room works, as far as a client has to know: its config, read and checked."""''', '''"""The config of a room as far as a client needs it, fetched and checked."""'''),
("ConnectionLostError, refused\n", "ConnectionLostError, error_from_response\n"),
('''# A site that is moved to https and to another name, and then to its own path, is moved three times.
MOVES_MAX: Final = 5
MOVED: Final''', '''# A site that redirects to https, then to another host, then to another path redirects three times.
REDIRECTS_MAX: Final = 5
REDIRECTS: Final'''),
('''    """How a room works.

    Attributes:
        base: The server's address, after whatever redirections led to it.
        room: The room's name.
        mode: Whether people come in over a ``socket`` or by ``poll``.
        moods: What can be felt.
        ping_ms: The time between two pings of a connection.
        heartbeat_ms: The time between two heartbeats of a client that polls.
        presence_url: Where they read the presence.
    """''', '''    """What a client needs to know of a room.

    Attributes:
        base: The server's URL, after redirects.
        room: The room's name.
        mode: Whether clients connect by ``socket`` or ``poll``.
        moods: The moods that the room declares.
        ping_ms: The time between two pings of a connection.
        heartbeat_ms: The time between two heartbeats of a client that polls.
        presence_url: Where clients that poll read the presence.
    """'''),
('''async def fetch_room_info(line: HttpClient, base: str, room: str | None) -> RoomInfo:
    """Ask a server how a room works.

    Args:
        line: Over which to ask.
        base: The server's address.
        room: The room's name; None for the server's default room.

    Raises:
        RefusedError: It does not know such a room.
        ConnectionLostError: It did not answer, or with something else.
    """''', '''async def fetch_room_info(http: HttpClient, base: str, room: str | None) -> RoomInfo:
    """Fetch the config of a room.

    Args:
        http: What to send the request over.
        base: The server's URL.
        room: The room's name; None for the server's default room.

    Raises:
        RefusedError: The server rejected the request, for instance since it has no such room.
        ConnectionLostError: There was no response, or it was no config.
    """'''),
('''    for _ in range(MOVES_MAX):
        answer = await line.ask(Endpoint.of(url))
        if answer.status not in MOVED:
            return _read(answer, url.removesuffix(path), room)
        url = _moved(url, answer.headers.get("location", ""), path)
    raise ConnectionLostError("it was moved too often")


def _moved(url: str, location: str, path: str) -> str:
    """Follow a redirection to the same path elsewhere; what is private stays so."""
    moved = urljoin(url, location)
    if not moved.endswith(path) or (url.startswith("https:") and not moved.startswith("https:")):
        raise ConnectionLostError("it was moved to where no room is")
    return moved


def _read(answer: ClientResponse, base: str, room: str | None) -> RoomInfo:
    if answer.status != 200:
        raise refused(answer.status, answer.body, answer.headers.get("retry-after"))
    try:
        return decode_room_info(json.loads(answer.body), base, room)''', '''    for _ in range(REDIRECTS_MAX):
        response = await http.request(Endpoint.of(url))
        if response.status not in REDIRECTS:
            return _read(response, url.removesuffix(path), room)
        url = _redirected(url, response.headers.get("location", ""), path)
    raise ConnectionLostError("too many redirects")


def _redirected(url: str, location: str, path: str) -> str:
    """Return the URL that a redirect leads to: the same path elsewhere, and never from https to http."""
    redirected = urljoin(url, location)
    if not redirected.endswith(path) or (url.startswith("https:") and not redirected.startswith("https:")):
        raise ConnectionLostError("redirected to where no room is")
    return redirected


def _read(response: ClientResponse, base: str, room: str | None) -> RoomInfo:
    if response.status != 200:
        raise error_from_response(response.status, response.body, response.headers.get("retry-after"))
    try:
        return decode_room_info(json.loads(response.body), base, room)'''),
('''    """Read a room's config.

    Args:
        config: As the server published it.
        base: The server's address.
        room: The room's name; None where the config has to name it.

    Raises:
        ValueError: It makes no sense.
        HostError: Its ``presence_url`` is no address on the web.
    """''', '''    """Decode the config of a room.

    Args:
        config: The parsed JSON of the server.
        base: The server's URL.
        room: The room's name; None where the config has to name it.

    Raises:
        ValueError: The config is malformed.
        HostError: Its ``presence_url`` is no HTTP URL.
    """'''),
('raise ValueError("a config that nobody can follow")', 'raise ValueError("a config with an unknown mode or a malformed presence_url")'),
)
sub(C + "timing.py",
('"""How patient a client is."""\n\nfrom', '"""The timeouts and waits of a client."""\n\nfrom'),
('''    """How patient a client is. Every length is in seconds.

    Attributes:
        backoff_base_s: The longest first wait after a connection was lost, a poll or a report came to nothing; it doubles
            with every failure.
        backoff_cap_s: The longest wait of all.
        ping_s: The longest time between two pings of a connection; the room's ``ping_ms`` if that is less. How often a client
            without a connection polls and reports is for the room to say.
        answer_s: How long the server may take to answer a request, a handshake or a ping before the connection counts as
            dead. With ``ping_s`` it bounds how long a broken socket goes unnoticed.
        close_s: How long the server may take to answer the close of a connection.
''', '''    """The timeouts and waits of a client, in seconds.

    Attributes:
        backoff_base_s: The longest first wait after a connection was lost or a poll or report failed; it doubles with
            every failure.
        backoff_cap_s: The longest wait of all.
        ping_s: The longest time between two pings of a connection; the room's ``ping_ms`` if that is less. How often a
            client that polls reads and reports is set by the room.
        answer_s: How long the server may take to answer a request, a handshake or a ping before the connection counts
            as dead. With ``ping_s`` it bounds how long a dead connection goes unnoticed.
        close_s: How long the server may take to answer the close of a connection.
'''),
)
