"""The simulator: the real room, the real write policies and the real clients, on a virtual clock.

Nothing that counts is written here a second time. A run feeds ``core/room.py`` with events and fires its
timers, lets visitors act by ``core/client_rules/polling.py``, and carries out the writes of
``core/write_policies`` on a store that counts. What is simulated is the outside: arrivals, lengths of visits,
lost packets, caches.

Theory of operation
-------------------
There are two modes with one definition of behavior. ``exact`` has a ``Poller`` for each visitor, and every
poll is an event. ``fast`` runs the same code, and saves two things of which it is known beforehand that they
change nothing:

- a poll that will be answered as the last one was. Its visitor is *idle*, and its polls are counted by
  arithmetic, until a rate appears that concerns its ticket, a report is due, or its mood changes
  (``idle_pool.py``). This is exact: on the same seed both modes give the same presences, reports and reads,
  to the last bit.
- visitors whose ticket lies above every rate that will ever be published. A Poisson stream of arrivals of
  whom each is marked by an independent ticket is two independent Poisson streams, so those who can never be
  sampled need not exist one by one: they are cohorts that arrive in one step and leave in another
  (``cohorts.py``). This is exact in law.

Extra ``sim``: numpy, and matplotlib for plots.
"""
