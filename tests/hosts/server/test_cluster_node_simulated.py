"""Several servers as one room while everything goes wrong, on a virtual clock: no observation may miss the
truth.
"""

import asyncio

import pytest

from simulated_cluster import SimulatedCluster
from tiers import longer
from virtual_loop import run_virtually

# A run of a minute takes a second. What the seeds of a night found is fixed; these few are to find
# regressions.
SEEDS = range(longer(6, 300))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_no_wrong_figure_is_shown(seed: int) -> None:
    """
    People move about and have tabs on two nodes, nodes are restarted, killed, too busy and cut off, answers
    are lost: what every node observes and broadcasts covers the truth, also when it is ``counted``, and in
    the end all agree exactly.
    """

    async def live() -> SimulatedCluster:
        async with SimulatedCluster(seed) as cluster:
            await cluster.live(40.0)
        return cluster

    lived = run_virtually(live())
    assert not lived.wrong, (lived.wrong[:5], lived.faults)
    assert lived.observations > 1_000


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_moves_alone_make_no_visitor_suspect(seed: int) -> None:
    """
    Where nothing breaks but sockets and nodes that are restarted, every observation covers the truth, with
    leases of nodes no longer than it takes to come back.
    """

    async def live() -> SimulatedCluster:
        async with SimulatedCluster(seed, loss=0.0, slow_s=0.05, node_lease_ms=5_000) as cluster:
            await cluster.live(30.0, ("breaks", "bounces", "tabs_open", "drain"))
        return cluster

    lived = run_virtually(live())
    assert not lived.wrong, (lived.wrong[:5], lived.faults)


def test_a_node_that_is_cut_off_for_longer_than_its_lease() -> None:
    """
    It answers stale, with its own people for certain and more and more perhaps; to the others it is suspect,
    and gone after its lease. A visitor who changed sides meanwhile is counted once when it is back, and no
    observation misses the truth from then on.
    """

    async def live() -> None:
        async with SimulatedCluster(7, loss=0.0, slow_s=0.01) as cluster:
            cut, *others = (cluster.hosts[name] for name in cluster.names)
            held = cluster.truth // len(cluster.names)
            cut.way.is_cut = True
            await asyncio.sleep(5)
            for host in others:
                count, low, high, method = host.counts()
                assert (count, low, method) == (cluster.truth, cluster.truth - held, "stale")
                assert high is not None
                assert high >= cluster.truth
            narrow = cut.counts()
            assert (narrow[0], narrow[1], narrow[3]) == (cluster.truth, held, "stale")

            await asyncio.sleep(15)
            left = cluster.truth - held
            assert [host.counts() for host in others] == [(left, left, left, "counted")] * 2
            wide = cut.counts()
            assert wide[:2] == narrow[:2]
            assert wide[3] == "stale"
            assert wide[2] is not None
            assert narrow[2] is not None
            assert wide[2] > narrow[2]

            for person, to in ((0, others[0].name), (1, cut.name), (2, cut.name)):
                cluster.disconnect(person)
                cluster.join(person, to)
            await asyncio.sleep(1)
            cut.way.is_cut = False
            while cut.counts()[3] == "stale" or not all(host.sees(cut) for host in others):  # noqa: ASYNC110 - virtual
                await asyncio.sleep(0.01)
            cluster.wrong.clear()
            await cluster.settle()
            assert cluster.wrong == []
            assert sum(host.rooms["lobby"].room.count for host in cluster.hosts.values()) == cluster.truth

    run_virtually(live())
