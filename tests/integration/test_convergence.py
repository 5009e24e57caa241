"""Any order, any repetition and any interleaving of requests to save and to delete ends as a model says."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from delivery import Stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import OUTCOMES, RECORDS, Deletion, Place, Request, deletions, is_some_serial_order

from ingest import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from delivery import FaultProxy, Sandbox
    from model import Delivered
    from support import Tables

LANES = 4
DAYS = ("2022-10-01", "2022-10-02")

places = st.builds(Place, st.integers(0, len(RECORDS) - 1), st.sampled_from(DAYS), st.integers(0, 2))
values = st.sampled_from([-1.0, 0.0, 0.5, 1.0])
requests = st.builds(Request, st.integers(0, 3), st.dictionaries(places, values, min_size=1, max_size=6))


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Delivered]]:
    """Requests and deletions, each delivered once or twice, in any order, spread over sandboxes that work at once."""
    sent: list[Delivered] = [*draw(st.lists(requests, min_size=1, max_size=4))]
    sent += draw(st.lists(deletions(DAYS), max_size=2))
    times = [draw(st.integers(1, 2)) for _ in sent]
    order = draw(st.permutations([request for request, count in zip(sent, times, strict=True) for _ in range(count)]))
    lanes: list[list[Delivered]] = [[] for _ in range(LANES)]
    for request in order:
        lanes[draw(st.integers(0, LANES - 1))].append(request)
    return [lane for lane in lanes if lane]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lanes=deliveries(), stale=st.sampled_from([0.0, 0.5]), seed=st.integers(0, 9), single_days=st.booleans())
def test_every_delivery_converges_and_every_count_is_true(
    *,
    lanes: list[list[Delivered]],
    stale: float,
    seed: int,
    single_days: bool,
    sandboxes: Callable[[int], list[Sandbox]],
    shared_tables: Tables,
) -> None:
    """The table is as a ten-line model says, and the counts of all answers are those of some serial order.

    Reads that may be stale are: they miss an item now and then.
    """
    stream = Stream(shared_tables, uuid.uuid4().hex)
    how: dict[str, Any] = {"rates": {"Stale": stale}, "seed": seed, "single_days": single_days}
    counts = stream.deliver_all(sandboxes(LANES), lanes, **how)
    assert all(answer.status in {200, 201} for answer in stream.answers)
    stream.repeat(sandboxes(1)[0], [request for lane in lanes for request in lane])
    stream.assert_complete([request for lane in lanes for request in lane])
    assert is_some_serial_order(lanes, counts), counts


def test_a_read_that_may_be_stale_is_repeated_as_one_that_may_not(
    sandboxes: Callable[[int], list[Sandbox]], shared_tables: Tables
) -> None:
    """Though reads miss every item unless they are consistent, the second request finds what the first one saved."""
    stream = Stream(shared_tables, uuid.uuid4().hex)
    at = Place(0, DAYS[0], 0)
    lane = [Request(1, {at: 1.0}), Request(2, {at: 0.5}), Request(0, {at: 0.0})]
    how: dict[str, Any] = {"rates": {"Stale": 1.0}, "timeout_seconds": app.RESERVED_SECONDS + 1}
    answers = [stream.deliver(sandboxes(1)[0], request, **how) for request in lane]
    assert [answer.counts for answer in answers] == [(1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 1, 0)]
    assert [answer.metric("Rounds") for answer in answers] == [1, 2, 2]
    stream.assert_complete(lane)


def test_the_serial_orders_are_those_that_there_are() -> None:
    """The check of the counts by itself: two deliveries at once have two orders, one after the other only one."""
    old, new = (Request(received, {Place(0, DAYS[0], 0): float(received)}) for received in (0, 1))
    created, updated, superseded, deleted = (
        tuple(int(outcome == name) for outcome in OUTCOMES) for name in ("created", "updated", "superseded", "deleted")
    )
    assert is_some_serial_order([[old], [new]], [[created], [updated]])
    assert is_some_serial_order([[old], [new]], [[superseded], [created]])
    assert is_some_serial_order([[old, new]], [[created, updated]])
    assert not is_some_serial_order([[old, new]], [[superseded, created]])
    assert not is_some_serial_order([[old], [new]], [[created], [created]])
    gone = Deletion(2, 0, *DAYS)
    nothing = (0,) * len(OUTCOMES)
    assert is_some_serial_order([[old], [gone]], [[created], [deleted]])
    assert is_some_serial_order([[old], [gone]], [[created], [nothing]])
    assert is_some_serial_order([[old, gone, old]], [[created, deleted, superseded]])
    assert not is_some_serial_order([[old, gone, old]], [[created, deleted, created]])
    assert not is_some_serial_order([[old, gone]], [[created, nothing]])


def test_eight_producers_of_the_same_days_all_finish(
    sandboxes: Callable[[int], list[Sandbox]], shared_tables: Tables, proxy: FaultProxy
) -> None:
    """They write different hours at once: all get 201, no point is lost, and a metric says how many rounds it took."""
    producers = 8
    days = [f"2022-10-{day:02}" for day in range(1, 15)]
    lanes = [
        [Request(hour, {Place(record, day, hour): hour for record in range(2) for day in days})]
        for hour in range(producers)
    ]
    stream = Stream(shared_tables, uuid.uuid4().hex)
    # The first writes come late, so that all have read before anybody wrote.
    proxy.plan({"operation": "BatchExecuteStatement", "latency": 500, "times": producers})
    counts = stream.deliver_all(sandboxes(producers), lanes)
    assert counts == [[(2 * len(days), 0, 0, 0, 0)]] * producers
    stream.assert_complete([request for lane in lanes for request in lane])
    rounds = [answer.metric("Rounds") for answer in stream.answers]
    assert min(rounds) >= 1
    assert 2 <= max(rounds) <= 3 * producers, rounds
