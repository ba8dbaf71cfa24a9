"""The bill of a room at the edge: the operations that workerd counts are
those that the price model computes.
"""

import pytest

from hosts.worker.bill import FIXED, OBJECT, REPORTED_HEARTBEATS, OfPanel, OnSocket, Timetable
from hosts.worker.conftest import Start
from hosts.worker.platform_fakes import Service

TOLERANCE = 0.1

pytestmark = pytest.mark.timeout(300)


async def test_a_room_of_connections_costs_what_the_model_computes(start: Start, kv: Service) -> None:
    """
    Requests, messages, alarms, rows and KV writes of a steady crowd are priced within a tenth of the model.
    """
    timetable = Timetable(people=150, minutes=4, faster=15)
    worker = start(timetable.variables(OBJECT), services={"KV": f"kvNamespace {kv.address}"})
    bill = await timetable.bill(worker, kv, None, OnSocket, OBJECT)
    assert bill.ratio == pytest.approx(1, abs=TOLERANCE), bill
    assert bill.counted["kv_writes"] == pytest.approx(bill.modeled["kv_writes"], abs=1)


async def test_a_panel_that_publishes_costs_what_the_model_computes(
    start: Start, kv: Service, bucket: Service
) -> None:
    """
    Every report of the panel is a request and a row, and R2 and KV are written as often as the model
    computes.
    """
    timetable = Timetable(people=100, heartbeats=REPORTED_HEARTBEATS, minutes=4, faster=15)
    services = {"KV": f"kvNamespace {kv.address}", "BUCKET": f"r2Bucket {bucket.address}"}
    worker = start(timetable.variables(FIXED), services=services)
    bill = await timetable.bill(worker, kv, bucket, OfPanel, FIXED)
    assert bill.ratio == pytest.approx(1, abs=TOLERANCE), bill
    for item in ("kv_writes", "r2_writes"):
        assert bill.counted[item] == pytest.approx(bill.modeled[item], abs=1), bill
