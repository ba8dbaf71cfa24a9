"""Write policies: which records of a panel are written to a store, and when.

A policy stands between the reports of one room and any store. It is given every report and returns writes.
All of them write the same thing, *records*, so one function decodes what any of them wrote.

===========  ==========================================  =======  ================  ====================================
policy       writes                                      loss_ms  heartbeat_lag_ms  writes a day, of s seats
===========  ==========================================  =======  ================  ====================================
every        each report                                       0                 0  s · day · r
lazy         a visitor's first report in a window;        60,000            60,000  at most s · day · (1 / window + c)
             changes at its end
bucketed     one batch of all reports                     10,000            10,000  day / (bucket + 1 / s r) < 8,640
on_change    joins, changes of mood, and leaves            1,000         1,801,000  s · day · (c + 1 / renew) at most
snapshot     all records, in one value                    10,000            10,000  at most day / snapshot = 8,640
===========  ==========================================  =======  ================  ====================================

r is how often a seat reports, and c how often it changes: joins, changes its mood, leaves. ``writes_per_day``
computes it.

What a crash may lose
---------------------
When the process dies, each visitor is restored as of some instant of the last ``loss_ms``: here or not, with
that ticket and that mood. Heartbeats are those from before then, and may be older still by
``heartbeat_lag_ms`` at most; so a reader extends leases by that. To both comes the time that the host's timer
and the store's put take.

One write a second to one key
-----------------------------
Some stores reject more (Workers KV,
https://developers.cloudflare.com/kv/platform/limits/). A write that comes too soon waits for its second, and
a later one replaces it.

State
-----
``every`` and ``bucketed`` keep no seats but those of the batch, so that several writers may share a store,
each under its own prefix. A leave is then a record like any other, since another writer may hold an older
one; and a mood lasts for one lease after it was last named, so a heartbeat should name it. The others keep
the seats of the room, and are its only writer.
"""

from collections.abc import Mapping
from typing import Final

from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.lazy import LazyPolicy
from breathing_room.core.write_policies.on_change import OnChangePolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.snapshot import SnapshotPolicy

POLICIES: Final[Mapping[str, type[WritePolicy]]] = {
    policy.name: policy
    for policy in (EveryPolicy, LazyPolicy, BucketedPolicy, OnChangePolicy, SnapshotPolicy)
}
"""Every policy, by name."""
