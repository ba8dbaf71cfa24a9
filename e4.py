import sys; sys.path.insert(0, "/tmp/wt/me")
from e1 import sub
C = "src/breathing_room/client/"
sub(C + "polling.py",
('''"""Being in a room without a socket: what a ``Poller`` asks for, carried over HTTP.

The behaviour is that of ``core/client_rules/polling.py``; here are the requests, the clock, and what becomes of an answer. ``carry`` is one
request of anybody, for a crowd as well; ``Polling`` is the stay of one.
"""
''', open("/tmp/wt/me/poll_head.py").read()),
("ConnectionLostError, RefusedError, refused\n", "ConnectionLostError, RefusedError, error_from_response\n"),
('''    """Tell the time of the event loop's clock, in milliseconds."""''', '''    """Return the time of the event loop's clock, in milliseconds."""'''),
('''class Pages:
    """Where people of a room read and report.

    Attributes:
        presence: Where the presence is read, be it a copy elsewhere.
        heartbeat: Where reports go.
        leave: Where goodbyes go.
    """''', '''class Endpoints:
    """The endpoints of a room for clients that poll.

    Attributes:
        presence: Where the presence is read; this may be a copy elsewhere, such as on a CDN.
        heartbeat: Where reports are posted.
        leave: Where leaves are posted.
    """'''),
('''    def of(cls, rules: RoomInfo) -> Self:
        """Find them."""
        heartbeat, leave = (
            http_url(rules.base, f"/v1/rooms/{rules.room}/{verb}") for verb in ("heartbeat", "leave")
        )
        return cls(Endpoint.of(rules.presence_url),''', '''    def of(cls, info: RoomInfo) -> Self:
        """Return the endpoints of a room."""
        heartbeat, leave = (
            http_url(info.base, f"/v1/rooms/{info.room}/{verb}") for verb in ("heartbeat", "leave")
        )
        return cls(Endpoint.of(info.presence_url),'''),
('''async def carry(request: Request, poller: Poller, line: HttpClient, pages: Pages) -> Presence:
    """Send a request, tell the poller what became of it, and return what the server says of the room.

    Raises:
        ConnectionLostError: It came to nothing; the poller knows, and will try again.
        RefusedError: It would come to nothing the next time, too.
    """''', '''async def send_request(
    request: Request, poller: Poller, http: HttpClient, endpoints: Endpoints
) -> Presence:
    """Send a request of a poller, pass the outcome to the poller, and return the presence in the response.

    Raises:
        ConnectionLostError: The request failed; the poller will try again.
        RefusedError: The server rejected the request, and would again.
    """'''),
("read_presence(await line.ask(pages.presence))", "read_presence(await http.request(endpoints.presence))"),
("read_presence(await line.ask(pages.heartbeat, report_body(request)))", "read_presence(await http.request(endpoints.heartbeat, report_body(request)))"),
('''def read_presence(answer: ClientResponse) -> Presence:
    """Read the presence in an answer.

    Raises:
        ConnectionLostError: There is none; another time there may be.
        RefusedError: There will not be one.
    """
    if answer.status != OK:
        raise refused(answer.status, answer.body, answer.headers.get("retry-after"))
    return _decode(answer.body)


@lru_cache(maxsize=64)  # A crowd is told the same by a cache, over and over.
''', '''def read_presence(response: ClientResponse) -> Presence:
    """Return the presence in a response.

    Raises:
        ConnectionLostError: There is none; a later request may succeed.
        RefusedError: There is none, and a later request would fail as well.
    """
    if response.status != OK:
        raise error_from_response(response.status, response.body, response.headers.get("retry-after"))
    return _decode(response.body)


@lru_cache(maxsize=64)  # The clients of a load generator read the same bytes from a cache, again and again.
'''),
('''    """Write a report."""''', '''    """Encode a report."""'''),
('''def leave_body(goodbye: LeaveRequest) -> bytes:
    """Write a goodbye."""
    return encode({"visitor": goodbye.visitor})''', '''def leave_body(leave: LeaveRequest) -> bytes:
    """Encode a leave."""
    return encode({"visitor": leave.visitor})'''),
('''    """The stay of somebody who polls.

    Args:
        rules: How the room works.
        visitor: Our id; None to look only.
        mood: How we feel.
        timing: How patient to be.
        rng: Where the stride and the jitter come from.
        clock: Learns the server's time from answers to reports, which no cache kept.
        hear: Called with each presence that is newer than the one before.
        doubt: Called when a poll came to nothing, with why, and with when we heard of the room last, by the loop's clock; also,
            with None for why, when a poll brought only what we know already. It may raise to end the stay.
    """''', '''    """The visit of one client that polls.

    Args:
        info: The room's config.
        visitor: The visitor id; None to observe only.
        mood: The mood to report.
        timing: Timeouts and waits.
        rng: The source of the poll factor and of the jitter.
        clock: Is given the server's time in responses to reports, which no cache keeps.
        on_presence: Called with each presence that is newer than the one before.
        on_poll_failure: Called when a poll failed, with the error and the time of the last new presence, by the loop's
            clock; also with None for the error when a poll brought nothing new. It may raise to end the visit.
    """'''),
('''        rules: RoomInfo,
        *,''', '''        info: RoomInfo,
        *,'''),
('''        hear: Callable[[Presence], None],
        doubt: Callable[[ConnectionLostError | None, float], None],
    ) -> None:
        self._rules = rules
        self._check(mood)
        self._pages = Pages.of(rules)
''', '''        on_presence: Callable[[Presence], None],
        on_poll_failure: Callable[[ConnectionLostError | None, float], None],
    ) -> None:
        self._moods = info.moods
        self._check_mood(mood)
        self._endpoints = Endpoints.of(info)
'''),
("visitor, room=rules.room, heartbeat_ms=rules.heartbeat_ms,", "visitor, room=info.room, heartbeat_ms=info.heartbeat_ms,"),
('''        self._hear = hear
        self._doubt = doubt
        # Reports and goodbyes have a line of their own: they keep their order, and no poll waits for them.
        self._polls, self._reports = HttpClient(timing.answer_s), HttpClient(timing.answer_s)
        self._carrying: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        # Whether the next report is taken, for whoever waits for that.
        self._taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ended: BaseException | None = None
        self._newest: Presence | None = None
        self._newest_at_s = 0.0
        # What was read before the room knew of us. Whoever is there never sees a room without themselves.
        self._held: Presence | None = None
''', '''        self._on_presence = on_presence
        self._on_poll_failure = on_poll_failure
        # Reports and leaves have a connection of their own: they keep their order, and no poll waits for them.
        self._poll_http, self._report_http = HttpClient(timing.answer_s), HttpClient(timing.answer_s)
        self._requests: set[asyncio.Task[None]] = set()
        self._has_changed = asyncio.Event()
        # Whether the server took the next report; a change of mood waits for it.
        self._report_taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._error: BaseException | None = None
        self._newest: Presence | None = None
        self._newest_at_s = 0.0
        # A presence that was read before the server counted us. A client never sees a count that lacks itself.
        self._held_back: Presence | None = None
'''),
('''        """Poll and report until we are refused, or cancelled: then say goodbye.

        Raises:
            RefusedError: The server does not want us.
        """''', '''        """Poll and report until the server rejects a request or the task is cancelled; then leave.

        Raises:
            RefusedError: The server rejected a request for good.
        """'''),
("while self._ended is None:", "while self._error is None:"),
('''                    task = asyncio.create_task(self._carry(request), name="breathing_room.client.carry")
                    self._carrying.add(task)
                    task.add_done_callback(self._carried)
                self._woken.clear()''', '''                    task = asyncio.create_task(self._send(request), name="breathing_room.client.request")
                    self._requests.add(task)
                    task.add_done_callback(self._on_request_done)
                self._has_changed.clear()'''),
("                        await self._woken.wait()\n            raise self._ended\n", "                        await self._has_changed.wait()\n            raise self._error\n"),
("            await self._go()\n", "            await self._leave()\n"),
('''        """Say how we feel, and return when the server has taken it, needs no word of it, or cannot be reached now.
''', '''        """Report a mood, and return when the server has taken it, needs no report of it, or cannot be reached now.
'''),
('''        self._check(mood)
        poller.feel(mood, now_ms())
        self._woken.set()''', '''        self._check_mood(mood)
        poller.feel(mood, now_ms())
        self._has_changed.set()'''),
("await asyncio.shield(self._taken)", "await asyncio.shield(self._report_taken)"),
('''    def _check(self, mood: str | None) -> None:
        moods = self._rules.moods
''', '''    def _check_mood(self, mood: str | None) -> None:
        moods = self._moods
'''),
('''    async def _carry(self, request: Request) -> None:
        if isinstance(request, PollRequest):
            try:
                self._take(await carry(request, self._poller, self._polls, self._pages))
            except ConnectionLostError as lost:
                self._doubt(lost, self._newest_at_s)
            return
''', '''    async def _send(self, request: Request) -> None:
        if isinstance(request, PollRequest):
            try:
                self._receive(await send_request(request, self._poller, self._poll_http, self._endpoints))
            except ConnectionLostError as lost:
                self._on_poll_failure(lost, self._newest_at_s)
            return
'''),
('''await carry(request, self._poller, self._reports, self._pages)
            taken = True
            self._clock.learn(sent_ms=sent_ms, now_ms=presence.as_of_ms, received_ms=time.time() * 1000)
            self._take(presence)
        except ConnectionLostError as lost:
            logger.info("a report came to nothing: %s", lost)
            if self._held is not None:
                self._publish(self._held)
        finally:
            answer, self._taken = self._taken, asyncio.get_running_loop().create_future()
            answer.set_result(taken)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._carrying.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._ended = error
        self._woken.set()

    def _take(self, presence: Presence) -> None:
        """Take in a presence. The first one waits for the answer to our first report, if one is asked of us."""
        if self._newest is not None and presence.as_of_ms <= self._newest.as_of_ms:
            self._doubt(None, self._newest_at_s)
        elif self._newest is None and not self._poller.is_told:
            self._held = presence
        else:
            self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        self._held = None
''', '''await send_request(request, self._poller, self._report_http, self._endpoints)
            taken = True
            self._clock.add_sample(
                sent_ms=sent_ms, now_ms=presence.as_of_ms, received_ms=time.time() * 1000
            )
            self._receive(presence)
        except ConnectionLostError as lost:
            logger.info("a report failed: %s", lost)
            if self._held_back is not None:
                self._publish(self._held_back)
        finally:
            answer, self._report_taken = self._report_taken, asyncio.get_running_loop().create_future()
            answer.set_result(taken)

    def _on_request_done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._error = error
        self._has_changed.set()

    def _receive(self, presence: Presence) -> None:
        """Pass a new presence on. The first one waits for the response to our first report, if one is due."""
        if self._newest is not None and presence.as_of_ms <= self._newest.as_of_ms:
            self._on_poll_failure(None, self._newest_at_s)
        elif self._newest is None and not self._poller.is_told:
            self._held_back = presence
        else:
            self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        self._held_back = None
'''),
("        self._hear(presence)\n", "        self._on_presence(presence)\n"),
('''    async def _go(self) -> None:
        """Say goodbye if the room knows of us, behind whatever report is on its way."""''', '''    async def _leave(self) -> None:
        """Post a leave if the server may have counted us, after the report that is on its way."""'''),
('''                    while self._poller.is_reporting and self._carrying:
                        await asyncio.wait(self._carrying, return_when=asyncio.FIRST_COMPLETED)
                    if goodbye := self._poller.leave():
                        await self._reports.ask(self._pages.leave, leave_body(goodbye))
        finally:
            for task in self._carrying:
                task.cancel()
            self._polls.close()
            self._reports.close()''', '''                    while self._poller.is_reporting and self._requests:
                        await asyncio.wait(self._requests, return_when=asyncio.FIRST_COMPLETED)
                    if leave := self._poller.leave():
                        await self._report_http.request(self._endpoints.leave, leave_body(leave))
        finally:
            for task in self._requests:
                task.cancel()
            self._poll_http.close()
            self._report_http.close()'''),
)
sub(C + "room.py",
('''"""A room, seen by one of the people in it.

Theory of operation
-------------------
One task asks how the room works, and then does as it says: it holds a socket, or it polls (``polling.py``). On a socket it
says who we are, listens, and starts over when the connection is lost, after the wait that the close code calls for.
Whoever iterates waits for the latest presence and never for an older one: there is no queue to fall behind in. While there
is no connection, or polls come to nothing, the last presence stays what it was until its validity ends, and is then
handed out once more with the method ``stale``.
"""
''', '''"""The room of the Python client: stay connected, and yield the latest presence.

Theory of operation
-------------------
One task fetches the room's config, and then connects as it says: over a WebSocket (``room_connection.py``) or by polling
(``polling.py``). When the connection is lost it starts over, after the wait that the close code asks for. An iteration
waits for the latest presence and never for an older one: there is no queue to fall behind in. While there is no
connection, or polls fail, the last presence stays valid for its ``stale_after_ms``, and is then yielded once more
with the method ``stale``.
"""
'''),
('''    UnreachableError,
    broken,
    closed,
    refused,
)''', '''    UnreachableError,
    error_from_close,
    error_from_exception,
    error_from_response,
)'''),
("config_url, shown_url, socket_url", "config_url, redacted_url, socket_url"),
("# The websockets library logs addresses and whole messages, and a join holds a visitor's id.\n", "# The websockets library logs addresses and whole messages, and a join message has the visitor's id.\n"),
('''_silence = logging.Logger("silence")  # noqa: LOG001 - it is nobody's to configure
_silence.disabled = True''', '''_disabled_logger = logging.Logger("disabled")  # noqa: LOG001 - outside of the hierarchy, so that no configuration enables it
_disabled_logger.disabled = True'''),
("logger=_silence,", "logger=_disabled_logger,"),
('''    """Go into a room, with ``async with``.

    Args:
        url: The server's address: ``http://``, ``https://``, ``ws://`` or ``wss://``.
        room: The room's name; None for the server's default room.
        mood: One of the room's moods; None to name none.
        visitor: Our id, 16 to 64 of ``A-Za-z0-9_-`` with at least 128 random bits, or one that was signed for us (``breathing-room
            sign``); drawn anew by default. Connections with the same id are one person.
        observe: Watch the room without being counted.
        attempts_max: Failed attempts in a row after which to give up; None to go on for ever.
        timing: How patient to be.
        rng: Where the jitter of the waits comes from.

    Returns:
        The room. Entering it returns at once, whether or not the server is there.

    Raises:
        HostError: The address, the room's name or the visitor's id is not one, or a mood was given to an observer.
    """
    if observe and (mood is not None or visitor is not None):
        raise HostError("an observer is not counted, and has neither an id nor a mood")
    if visitor is not None and not VISITOR_ID.fullmatch(visitor):
        raise HostError("a visitor's id is 16 to 64 of A-Z, a-z, 0-9, - and _")
    config_url(url, room)  # Whatever is wrong with them is said at once.
''', '''    """Join a room, with ``async with``.

    Args:
        url: The server's URL: ``http://``, ``https://``, ``ws://`` or ``wss://``.
        room: The room's name; None for the server's default room.
        mood: One of the room's moods; None to name none.
        visitor: The visitor id, 16 to 64 of ``A-Za-z0-9_-`` with at least 128 random bits, or one that the server signed
            (``breathing-room sign``); a random one by default. Connections with the same id are one person.
        observe: Watch the room without being counted.
        attempts_max: Failed attempts in a row after which to give up; None to go on for ever.
        timing: Timeouts and waits.
        rng: The source of the jitter.

    Returns:
        The room. Entering it returns at once, whether or not the server is reachable.

    Raises:
        HostError: The URL, the room's name or the visitor id is invalid, or an observer was given an id or a mood.
    """
    if observe and (mood is not None or visitor is not None):
        raise HostError("an observer is not counted: observe=True takes neither visitor nor mood")
    if visitor is not None and not VISITOR_ID.fullmatch(visitor):
        raise HostError("invalid visitor id: expected 16 to 64 of A-Z, a-z, 0-9, - and _")
    config_url(url, room)  # Raises here, rather than in the task, what is wrong with them.
'''),
('''    """A room that we are in, or watch. Made by `connect`.

    Iterating over it yields presences: the one that is known, if any, then each change. Whoever is slow gets
    the latest. The iteration goes on through lost connections, and ends when we have left.

    Raises (from the iteration and from `set_mood`):
        RefusedError: The server does not want us back: an unknown mood, a bad room, too many sockets.
        UnreachableError: ``attempts_max`` attempts in a row failed.
    """''', '''    """A room that the client has joined or observes. Made by `connect`.

    Iterating over it yields presences: the latest, if there is one, then each change. A slow loop gets the latest and
    skips what came before it. The iteration goes on through lost connections, and ends with `leave`.

    Raises (from the iteration and from `set_mood`):
        RefusedError: The server rejected the client for good: an unknown mood, a bad room, too many sockets.
        UnreachableError: ``attempts_max`` attempts in a row failed.
    """'''),
("        self._trouble: str | None = None\n", "        self._connection_error: str | None = None\n"),
("        self._walk = Interpolator()\n", "        self._interpolator = Interpolator()\n"),
('''        """Show the room's name, the server's address, the count, and what is wrong."""''', '''        """Show the room's name, the server's URL, the count, and the connection error."""'''),
('''        trouble = "" if self._trouble is None else f"; {self._trouble}"
        return f"<Room{name} at {self.url}: {label}{trouble}>"''', '''        error = "" if self._connection_error is None else f"; {self._connection_error}"
        return f"<Room{name} at {self.url}: {label}{error}>"'''),
('''        """The server's address as it was given, without user name and password."""
        return shown_url(self._url)''', '''        """The server's URL as it was given, without user name and password."""
        return redacted_url(self._url)'''),
('''    def trouble(self) -> str | None:
        """Why there is no connection, in a few words for people; None while there is nothing wrong."""
        return self._trouble
''', '''    def connection_error(self) -> str | None:
        """Why there is no connection, in a few words for people; None while there is no error."""
        return self._connection_error
'''),
('''        """Say what to show as the count at this moment; None while it is unknown.

        Where presence is polled the count walks from one to the next, one way and always inside of the interval of the latest.
        """
        return self._walk.at(now_ms())''', '''        """Return the count to display at this moment; None while it is unknown.

        Where presence is polled, the count is interpolated from one presence to the next, and stays inside the interval of
        the latest.
        """
        return self._interpolator.at(now_ms())'''),
('''        """Tell the server's wall clock, milliseconds since 1970-01-01 UTC; our own until a beat or report was answered."""''',
'''        """Return the server's wall clock in milliseconds since 1970-01-01 UTC; our own until the first round trip."""'''),
('''        """Say how we feel; ``unspoken`` takes it back.

        Returns when the server has taken it. Without a connection it returns at once, and the mood is told as
        soon as there is one; and so it does in a room that polls, if we are not among those who are asked.

        Raises:
            ClientError: The room has no such mood; the one before stays.
            HostError: We only observe, or are not in the room.
        """''', '''        """Change the mood; ``unspoken`` clears it.

        Returns when the server has taken it. Without a connection it returns at once, and the mood is sent with the next
        join; it also returns at once in a room that polls, if this visitor is not in the sample.

        Raises:
            ClientError: The room has no such mood; the one before stays.
            HostError: The client observes, or is not in the room.
        """'''),
('''        if self._task is None or self._ended(self._task):
            raise HostError("a mood can be told inside of `async with` only")''', '''        if self._task is None or self._has_ended(self._task):
            raise HostError("set_mood() outside of the room: call it inside `async with`, before leave()")'''),
('''        """Say goodbye: we are out at once, and the iteration ends. Leaving again does nothing."""''', '''        """Leave the room: the server counts the visitor out at once, and the iteration ends. Leaving again does nothing."""'''),
('''asyncio.create_task(self._stay(), name="breathing_room.client")
        self._task.add_done_callback(self._end)''', '''asyncio.create_task(self._run(), name="breathing_room.client")
        self._task.add_done_callback(self._on_task_done)'''),
('''            raise HostError("a room is heard inside of `async with` only")
        seen = 0''', '''            raise HostError("iterating outside of the room: enter it first, with `async with`")
        seen = 0'''),
("            elif self._ended(self._task):\n", "            elif self._has_ended(self._task):\n"),
('''    def _ended(task: asyncio.Task[None]) -> bool:
        """Tell whether we are out for good, and raise what threw us out."""''', '''    def _has_ended(task: asyncio.Task[None]) -> bool:
        """Return whether the client has left; raise the error that ended it, if one did."""'''),
('''    def _end(self, task: asyncio.Task[None]) -> None:''', '''    def _on_task_done(self, task: asyncio.Task[None]) -> None:'''),
('''            logger.info("out of the room: %s", error)  # Raised from the iteration; no need to shout.
        self._wake()

    def _wake(self) -> None:
        # Every waiter holds the event that it waits for, so nobody misses a change and nobody clears another's.
''', '''            logger.info("out of the room: %s", error)  # It is raised from the iteration, so no warning is due.
        self._notify()

    def _notify(self) -> None:
        # Every iteration holds the event that it waits for, so none misses a change and none clears the event of another.
'''),
('''    async def _stay(self) -> None:
        """Hold a connection until we leave or are told not to come back."""''', '''    async def _run(self) -> None:
        """Connect again and again until the client leaves or the server rejects it for good."""'''),
('''            # One more until the room is heard: a connection that brings no presence is a failure as well.
            self._failures += 1
            try:
                await self._visit()
            except ConnectionLostError as lost:
                self._fail(lost)
''', '''            # One more until a presence comes: a connection that brings none is a failure as well.
            self._failures += 1
            try:
                await self._connect_once()
            except ConnectionLostError as lost:
                self._record_failure(lost)
'''),
('''    def _fail(self, lost: ConnectionLostError) -> None:
        """Take note of a failure, and give up if there were too many.

        Raises:
            UnreachableError: There were.
        """
        begins, self._trouble = self._trouble is None, lost.trouble
''', '''    def _record_failure(self, lost: ConnectionLostError) -> None:
        """Record a failure, and give up if there were too many.

        Raises:
            UnreachableError: There were ``attempts_max`` in a row.
        """
        is_first, self._connection_error = self._connection_error is None, lost.reason
'''),
("raise UnreachableError(self.url, lost.trouble) from None", "raise UnreachableError(self.url, lost.reason) from None"),
("        elif begins:\n", "        elif is_first:\n"),
('''    async def _visit(self) -> None:
        """Ask how the room works, and be there as it says. It returns when the server has seen us off.

        Raises:
            RefusedError: We may not come back.
            ConnectionLostError: We may.
            UnreachableError: Too many polls came to nothing.
        """
        line = HttpClient(self._timing.answer_s)
        try:
            rules = await fetch_room_info(line, self._url, self._asked_name)
        finally:
            line.close()
        self._name = rules.room
        if rules.mode == "poll":
            await self._poll(rules)
        else:
            await self._hold_connection(rules)

    async def _poll(self, rules: RoomInfo) -> None:
        self._failures = 0
        polling = self._connection = Polling(
            rules,''', '''    async def _connect_once(self) -> None:
        """Fetch the config, and run one connection as it says. Return after a normal closure by the server.

        Raises:
            RefusedError: The server rejected the client for good.
            ConnectionLostError: The connection was lost, and the client may reconnect.
            UnreachableError: Too many polls failed.
        """
        http = HttpClient(self._timing.answer_s)
        try:
            info = await fetch_room_info(http, self._url, self._asked_name)
        finally:
            http.close()
        self._name = info.room
        if info.mode == "poll":
            await self._run_polling(info)
        else:
            await self._run_connection(info)

    async def _run_polling(self, info: RoomInfo) -> None:
        self._failures = 0
        polling = self._connection = Polling(
            info,'''),
('''            hear=self._hear,
            doubt=self._miss,
''', '''            on_presence=self._on_presence,
            on_poll_failure=self._on_poll_failure,
'''),
('''    def _miss(self, lost: ConnectionLostError | None, heard_at_s: float) -> None:
        """Take note of a poll that brought nothing, or with None: nothing new."""
        self._doubt(heard_at_s)
        if lost is None:
            self._failures, self._trouble = 0, None
            return
        self._failures += 1
        self._fail(lost)

    async def _hold_connection(self, info: RoomInfo) -> None:''', '''    def _on_poll_failure(self, lost: ConnectionLostError | None, received_at_s: float) -> None:
        """Record a poll that failed, or with None: one that brought nothing new."""
        self._mark_stale_later(received_at_s)
        if lost is None:
            self._failures, self._connection_error = 0, None
            return
        self._failures += 1
        self._record_failure(lost)

    async def _run_connection(self, info: RoomInfo) -> None:'''),
('''                ping_interval=None,  # ``RoomConnection`` sends those of our protocol.''', '''                ping_interval=None,  # ``RoomConnection`` sends the pings of our protocol.'''),
('''            answer = error.response
            raise refused(
                answer.status_code, bytes(answer.body or b""), answer.headers.get("Retry-After")
            ) from None''', '''            response = error.response
            raise error_from_response(
                response.status_code, bytes(response.body or b""), response.headers.get("Retry-After")
            ) from None'''),
("            raise broken(error) from None", "            raise error_from_exception(error) from None"),
("            on_presence=self._hear,\n        )\n        self._connection = connection", "            on_presence=self._on_presence,\n        )\n        self._connection = connection"),
('''            if parting := closed(code, reason):
                raise parting from None''', '''            if error := error_from_close(code, reason):
                raise error from None'''),
('''            self._doubt(connection.heard_at_s)
''', '''            self._mark_stale_later(connection.received_at_s)
'''),
('''                await socket.close()  # With code 1000, which says that we leave.
            finally:
                socket.transport.abort()  # In case that we were too impatient even for that.''', '''                await socket.close()  # With code 1000, which is a leave.
            finally:
                socket.transport.abort()  # In case that the close was cancelled.'''),
('''    def _hear(self, presence: Presence) -> None:
        """Take in what the server says of the room. The connection has proved good."""
        if self._failures:
            logger.info("in the room")
        self._failures = 0
        self._trouble = None
''', '''    def _on_presence(self, presence: Presence) -> None:
        """Publish a presence, which also shows that the connection works."""
        if self._failures:
            logger.info("in the room")
        self._failures = 0
        self._connection_error = None
'''),
('''        walk_ms = presence.poll_ms if isinstance(self._connection, Polling) else 0
        self._walk = self._walk.toward(
            presence.count, presence.low, presence.high, now_ms=now_ms(), length_ms=walk_ms
        )
        self._presence = presence
        self._version += 1
        self._wake()

    def _doubt(self, heard_at_s: float) -> None:
        """Let the presence become stale, unless we hear of the room before its validity is over.

        It counts from the last word on, whatever it was: what changed since then we may not have heard of.
        """''', '''        length_ms = presence.poll_ms if isinstance(self._connection, Polling) else 0
        self._interpolator = self._interpolator.toward(
            presence.count, presence.low, presence.high, now_ms=now_ms(), length_ms=length_ms
        )
        self._presence = presence
        self._version += 1
        self._notify()

    def _mark_stale_later(self, received_at_s: float) -> None:
        """Publish the presence as stale ``stale_after_ms`` after the last message, unless a newer one comes before.

        It counts from the last message of any kind: changes since then may have been missed.
        """'''),
("                heard_at_s + presence.stale_after_ms / 1000, self._publish, presence", "                received_at_s + presence.stale_after_ms / 1000, self._publish, presence"),
)
