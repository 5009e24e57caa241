"""Whatever fails between the function and DynamoDB: nothing is lost, nothing undone, no more claimed than is saved."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from delivery import (
    ANSWER_HELD,
    FAILED,
    HELD,
    SHORT_READ_TIMEOUT,
    THROTTLED,
    WIRE_FAULTS,
    SandboxEnded,
    Stream,
    schedule,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from model import Deletion, Place, Request, deletions, is_some_serial_order, model
from worker import REFUSALS

import unitstream_http
from ingest import app
from unitstream.days import DELETED
from unitstream.dynamodb import READ_TIMEOUT
from unitstream.table import STATEMENTS_PER_WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from delivery import FaultProxy, Sandbox
    from model import Delivered
    from support import Tables

GATEWAY_TIMEOUT_SECONDS = 29
DAYS = [f"2022-{month:02}-{day:02}" for month in (10, 11, 12) for day in range(1, 29)]
# One request of 84 days, three calls to write them.
QUARTER = Request(0, {Place(0, day, hour): 1.0 for day in DAYS for hour in (3, 4)})
CORRECTION = Request(1, {Place(0, day, 4): 2.0 for day in DAYS[::3]})
# Of those that were not corrected.
GONE = Deletion(2, 0, DAYS[0], DAYS[-1], received_before=1)

places = st.builds(Place, st.integers(0, 1), st.sampled_from(DAYS[:2]), st.integers(0, 1))
requests = st.builds(
    Request,
    st.integers(0, 3),
    st.dictionaries(places, st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=4),
)
delivered = requests | deletions(DAYS[:2])


def statement_faults(*kinds: str) -> st.SearchStrategy[dict[str, float]]:
    """Few kinds at a time: a statement that is refused 20 times in a row outlasts the function."""
    return st.dictionaries(st.sampled_from(kinds), st.sampled_from([0.1, 0.3]), max_size=2)


on_shared_servers = settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def stream(shared_tables: Tables) -> Stream:
    return Stream(shared_tables, uuid.uuid4().hex)


@pytest.fixture
def sandbox(sandboxes: Callable[[int], list[Sandbox]]) -> Sandbox:
    return sandboxes(1)[0]


@on_shared_servers
@given(
    lanes=st.lists(st.lists(delivered, min_size=1, max_size=2), min_size=1, max_size=3),
    rates=statement_faults(*REFUSALS, "UnprocessedKeys", "Stale"),
    kinds=st.lists(st.sampled_from([None, *THROTTLED]), max_size=8),
    seed=st.integers(0, 9),
    single_days=st.booleans(),
)
def test_what_dynamodb_refuses_is_tried_again_and_counted_once(
    *,
    lanes: list[list[Delivered]],
    rates: dict[str, float],
    kinds: list[str | None],
    seed: int,
    single_days: bool,
    sandboxes: Callable[[int], list[Sandbox]],
    shared_tables: Tables,
    proxy: FaultProxy,
) -> None:
    """Throttled statements and calls, unprocessed keys and stale reads: the same end state, and counts as without."""
    stream = Stream(shared_tables, uuid.uuid4().hex)
    proxy.plan(*schedule(kinds))
    counts = stream.deliver_all(sandboxes(len(lanes)), lanes, rates=rates, seed=seed, single_days=single_days)
    assert all(answer.status != 503 for answer in stream.answers)
    stream.repeat(sandboxes(1)[0], [request for lane in lanes for request in lane])
    stream.assert_complete([request for lane in lanes for request in lane])
    assert is_some_serial_order(lanes, counts), counts


@on_shared_servers
@given(
    lane=st.lists(delivered, min_size=1, max_size=3),
    executed=st.sampled_from([0.0, 0.5]),
    kinds=st.lists(st.sampled_from([None, *FAILED]), max_size=4),
    seed=st.integers(0, 9),
    single_days=st.booleans(),
)
@example(lane=[QUARTER, CORRECTION, QUARTER, GONE], executed=0.1, kinds=list(FAILED), seed=0, single_days=False)
def test_a_write_whose_outcome_is_unknown_is_counted_as_what_it_was(
    *,
    lane: list[Delivered],
    executed: float,
    kinds: list[str | None],
    seed: int,
    single_days: bool,
    sandboxes: Callable[[int], list[Sandbox]],
    shared_tables: Tables,
    proxy: FaultProxy,
) -> None:
    """500s, timeouts and resets before and after the work was done: the same end state, and the same counts."""
    stream = Stream(shared_tables, uuid.uuid4().hex)
    proxy.plan(*schedule(kinds))
    how: dict[str, Any] = {"read_timeout": SHORT_READ_TIMEOUT, "rates": {"Executed": executed}, "seed": seed}
    counts = stream.deliver_all(sandboxes(1), [lane], **how, single_days=single_days)
    assert all(answer.status != 503 for answer in stream.answers)
    stream.repeat(sandboxes(1)[0], lane)
    stream.assert_complete(lane)
    assert is_some_serial_order([lane], [counts[0]]), counts


@on_shared_servers
@given(
    lanes=st.lists(st.lists(delivered, min_size=1, max_size=2), min_size=2, max_size=3),
    rates=statement_faults(*REFUSALS, "Executed", "UnprocessedKeys", "Stale"),
    kinds=st.lists(st.sampled_from([None, *WIRE_FAULTS]), max_size=8),
    seed=st.integers(0, 9),
    single_days=st.booleans(),
)
def test_everything_at_once_still_converges(
    *,
    lanes: list[list[Delivered]],
    rates: dict[str, float],
    kinds: list[str | None],
    seed: int,
    single_days: bool,
    sandboxes: Callable[[int], list[Sandbox]],
    shared_tables: Tables,
    proxy: FaultProxy,
) -> None:
    """All faults, several sandboxes: the same end state, and no answer claims more than is saved."""
    stream = Stream(shared_tables, uuid.uuid4().hex)
    proxy.plan(*schedule(kinds))
    how: dict[str, Any] = {"read_timeout": SHORT_READ_TIMEOUT, "rates": rates, "seed": seed}
    stream.deliver_all(sandboxes(len(lanes)), lanes, **how, single_days=single_days)
    stream.repeat(sandboxes(1)[0], [request for lane in lanes for request in lane])
    stream.assert_complete([request for lane in lanes for request in lane])


def test_every_kind_of_fault_happens(
    stream: Stream, sandboxes: Callable[[int], list[Sandbox]], proxy: FaultProxy
) -> None:
    """The faults by themselves: each kind is seen to be injected, on writes, and is survived."""
    (sandbox,) = sandboxes(1)
    stream.complete(sandbox, CORRECTION)
    rules = [rule | {"operation": "BatchExecuteStatement"} for rule in schedule(list(WIRE_FAULTS))]
    proxy.plan(*rules)
    rates = dict.fromkeys([*REFUSALS, "Executed", "UnprocessedKeys"], 0.1) | {"Stale": 0.5}
    stream.complete(sandbox, QUARTER, read_timeout=SHORT_READ_TIMEOUT, rates=rates)
    assert proxy.fired() == [1] * len(WIRE_FAULTS)
    injected = sum((answer.faults for answer in stream.answers), Counter[str]())
    assert injected.keys() == rates.keys()
    stream.assert_complete([QUARTER, CORRECTION])


def test_a_long_throttle_is_answered_in_time_with_true_counts(
    stream: Stream, sandboxes: Callable[[int], list[Sandbox]], proxy: FaultProxy
) -> None:
    """503 with Retry-After before the function's time is over, and the same request, sent again, completes it."""
    (sandbox,) = sandboxes(1)
    stream.complete(sandbox, CORRECTION)
    write = {"operation": "BatchExecuteStatement"}
    proxy.plan(write | {"times": 2}, write | THROTTLED["ThrottlingException"])
    timeout_seconds = app.RESERVED_SECONDS + 2
    started = time.monotonic()
    answer = stream.deliver(sandbox, QUARTER, timeout_seconds=timeout_seconds)
    assert time.monotonic() - started < timeout_seconds < GATEWAY_TIMEOUT_SECONDS
    assert answer.status == 503
    assert answer.headers["Retry-After"] == [str(unitstream_http.RETRY_AFTER_SECONDS)]
    assert proxy.fired()[1] >= 1
    saved = {place for place, version in stream.stored().items() if version in model([QUARTER])[place]}
    assert 0 < answer.body["created"] == len(saved) < len(QUARTER.values)
    assert answer.body["updated"] == answer.body["unchanged"] == 0

    proxy.plan()
    again = stream.deliver(sandbox, QUARTER)
    assert again.status == 201
    assert answer.body["superseded"] <= again.body["superseded"] == len(CORRECTION.values)
    assert (again.body["created"], again.body["unchanged"]) == (
        len(QUARTER.values) - len(CORRECTION.values) - len(saved),
        len(saved),
    )
    stream.assert_complete([QUARTER, CORRECTION])


def test_a_database_that_does_not_answer_is_reported_in_time(
    stream: Stream, sandboxes: Callable[[int], list[Sandbox]], proxy: FaultProxy
) -> None:
    """Also when every single write hangs until its time is over, the answer is 503 and comes in time."""
    (sandbox,) = sandboxes(1)
    stream.complete(sandbox, CORRECTION)
    proxy.plan({"operation": "BatchExecuteStatement"} | HELD)
    timeout_seconds = app.RESERVED_SECONDS + 1
    started = time.monotonic()
    answer = stream.deliver(sandbox, QUARTER, timeout_seconds=timeout_seconds, read_timeout=READ_TIMEOUT)
    assert time.monotonic() - started < timeout_seconds
    assert (answer.status, answer.counts[:3]) == (503, (0, 0, 0))
    assert proxy.fired()[0] >= 1


def test_a_deletion_that_runs_out_of_time_counts_and_goes_on(
    stream: Stream, sandboxes: Callable[[int], list[Sandbox]], proxy: FaultProxy
) -> None:
    """503 with what is deleted so far, and the same request does the rest: together all, each point once."""
    (sandbox,) = sandboxes(1)
    stream.complete(sandbox, QUARTER)
    everything = Deletion(1, 0, DAYS[0], DAYS[-1])
    write = {"operation": "BatchExecuteStatement"}
    proxy.plan(write | {"times": 2}, write | THROTTLED["ThrottlingException"])
    first = stream.deliver(sandbox, everything, timeout_seconds=app.RESERVED_SECONDS + 1)
    assert (first.status, first.body["type"]) == (503, "urn:unitstream:problem:out-of-time")
    proxy.plan()
    second = stream.deliver(sandbox, everything)
    assert (second.status, second.body["series"]) == (200, 1)
    assert 0 < first.body["deleted"] < len(QUARTER.values)
    assert first.body["deleted"] + second.body["deleted"] == len(QUARTER.values)
    stream.assert_complete([QUARTER, everything])


def test_a_write_that_was_on_its_way_for_long_undoes_nothing(
    stream: Stream, sandboxes: Callable[[int], list[Sandbox]], proxy: FaultProxy
) -> None:
    """Somebody else saves a later value between the read and the write: the write changes nothing, and is no update."""
    slow, other = sandboxes(2)
    at = Place(0, DAYS[0], 0)
    first, late, correction = (Request(received, {at: float(received)}) for received in range(3))
    for sandbox in (slow, other):
        stream.complete(sandbox, first)
    proxy.plan({"operation": "BatchExecuteStatement", "times": 1, "latency": 1_000})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(stream.complete, slow, late)
        proxy.wait_until_fired(0)
        assert stream.complete(other, correction) == (0, 1, 0, 0, 0)
    assert answer.result() == (0, 0, 0, 1, 0)
    stream.assert_complete([first, late, correction])


@pytest.mark.parametrize(("call", "moment"), [(1, HELD), (3, ANSWER_HELD)], ids=["before", "after"])
def test_a_function_that_is_killed_while_it_deletes_leaves_what_the_same_deletion_completes(
    call: int, moment: dict[str, Any], stream: Stream, sandbox: Sandbox, proxy: FaultProxy
) -> None:
    """SIGKILL before or after a call that writes: what is marked stays so, and the rest follows."""
    stream.complete(sandbox, QUARTER)
    stream.complete(sandbox, CORRECTION)
    write = {"operation": "BatchExecuteStatement"}
    proxy.plan(write | {"times": call}, write | {"times": 1} | moment)
    killed = ThreadPoolExecutor(1).submit(sandbox.invoke, GONE.event(stream.token))
    proxy.wait_until_fired(1)
    sandbox.kill()
    with pytest.raises(SandboxEnded):
        killed.result()
    marked = [place for place, (_, value) in stream.stored().items() if value == DELETED]

    sandbox.stop()
    sandbox.start()
    # What was marked already is not counted again. What was under way, two hours a day, may have been marked since.
    left = len(QUARTER.values) - len(CORRECTION.values) - len(marked)
    assert left - 2 * STATEMENTS_PER_WRITE <= stream.complete(sandbox, GONE)[-1] <= left
    stream.repeat(sandbox, [QUARTER, CORRECTION, GONE])
    stream.assert_complete([QUARTER, CORRECTION, GONE])


# Before a call the table is as it was after the one before.
@pytest.mark.parametrize(("call", "moment"), [(0, HELD), *((call, ANSWER_HELD) for call in range(4))])
def test_a_function_that_is_killed_leaves_what_a_replay_completes(
    call: int, moment: dict[str, Any], stream: Stream, sandbox: Sandbox, proxy: FaultProxy
) -> None:
    """SIGKILL before or after a call that writes: what is saved is right and found, and the replay completes."""
    write = {"operation": "BatchExecuteStatement"}
    proxy.plan(write | {"times": call}, write | {"times": 1} | moment)
    event = QUARTER.event(stream.token)
    killed = ThreadPoolExecutor(1).submit(sandbox.invoke, event)
    proxy.wait_until_fired(1)
    sandbox.kill()
    with pytest.raises(SandboxEnded):
        killed.result()
    saved = stream.stored().items()
    assert all(version in model([QUARTER])[place] for place, version in saved)
    stream.assert_catalogued()

    sandbox.stop()
    sandbox.start()
    replayed = stream.deliver(sandbox, QUARTER)
    assert replayed.status == 201
    assert replayed.body["unchanged"] >= len(saved)
    assert replayed.body["created"] + replayed.body["unchanged"] == len(QUARTER.values)
    stream.assert_complete([QUARTER])
