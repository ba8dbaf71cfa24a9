"""The simulator: the real room, the real write policies and the real clients, on a clock that does not wait.

Nothing that counts is written here a second time. A run feeds ``core/room.py`` with events and wakes it when it asks for that, lets
people act by ``core/client_rules/polling.py``, and hands the orders of ``core/write_policies`` to a store that counts. What is simulated is the
outside: who comes, how long they stay, what the network loses, what a cache answers.

Theory of operation
-------------------
There are two modes with one definition of behaviour. ``exact`` has a ``Poller`` for everybody, and every poll is an event. ``crowd``
runs the same code, and saves two things of which it can be on_progress beforehand that they change nothing:

- a poll that will be answered as the last one was. Its visitor *sleeps*, and its polls are counted by arithmetic, until a rate appears
  that concerns its ticket, a report is due, or it feels otherwise (``idle_pool.py``). This is exact: on the same seed both
  modes give the same presences, reports and reads, to the last bit.
- people whose ticket lies above every rate that will ever be announced. A Poisson stream of arrivals of whom each is marked by an
  independent ticket is two independent Poisson streams, so those who can never be asked need not exist one by one: they are cohorts
  of so many who come in one step and go in another (``cohorts.py``). This is exact in law.

Extra ``sim``: numpy, and matplotlib for plots.
"""
