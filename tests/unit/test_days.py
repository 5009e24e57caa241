"""The merge rule: any order, repetition and interleaving of the same requests ends in the same table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from unitstream.days import Counts, Version, is_large, merge

if TYPE_CHECKING:
    from collections.abc import Iterable

# One request's points for a day: when it was received, and its values by hour.
Request = tuple[int, dict[int, float]]
Day = dict[int, Version]

# Few different receipts, values and hours, so that ties and repetitions come up.
values = st.sampled_from([0.0, -1.5, 1.0, 2.0]) | st.floats(allow_nan=False, allow_infinity=False)
requests: st.SearchStrategy[Request] = st.tuples(
    st.integers(0, 3) | st.integers(0, 2**53), st.dictionaries(st.integers(0, 4) | st.integers(0, 23), values)
)


def apply(day: Day, request: Request) -> tuple[Day, Counts]:
    """Return what a day holds after `request`, as the table keeps it, and the counts of the answer."""
    received_at, incoming = request
    winners, counts = merge(day, incoming, received_at)
    return day | {hour: (received_at, value) for hour, value in winners.items()}, counts


def apply_all(day: Day, several: Iterable[Request]) -> Day:
    for request in several:
        day, _ = apply(day, request)
    return day


@settings(max_examples=80)
@given(st.lists(requests, max_size=6), st.data())
def test_any_order_and_any_repetition_ends_in_the_same_day(several: list[Request], data: st.DataObject) -> None:
    """Whatever is delivered late, twice or in disorder, each hour ends with its largest (received_at, value)."""
    model: Day = {}
    for received_at, incoming in several:
        for hour, value in incoming.items():
            model[hour] = max(model.get(hour, (received_at, value)), (received_at, value))

    repeated = data.draw(st.lists(st.sampled_from(several), max_size=6)) if several else []
    delivered = data.draw(st.permutations(several + repeated))
    assert apply_all({}, delivered) == model


@settings(max_examples=80)
@given(st.lists(requests, max_size=4), requests)
def test_the_counts_say_what_happened(before: list[Request], request: Request) -> None:
    """The four counts are what one sees when comparing the day before and after, and add up to the points."""
    old = apply_all({}, before)
    new, counts = apply(old, request)
    created = updated = unchanged = superseded = 0
    for hour, sent in request[1].items():
        if hour not in old:
            created += 1
        elif old[hour][1] == sent:
            unchanged += 1
        elif new[hour][1] == sent:
            updated += 1
        else:
            superseded += 1
            assert new[hour] == old[hour]
    assert counts == Counts(created, updated, unchanged, superseded)
    assert counts.total == len(request[1])


@settings(max_examples=80)
@given(st.lists(requests, max_size=4), requests)
def test_the_same_request_again_changes_and_writes_nothing(before: list[Request], request: Request) -> None:
    """A request that is sent again costs no write, and updates and creates nothing."""
    day, _ = apply(apply_all({}, before), request)
    winners, counts = merge(day, request[1], request[0])
    assert winners == {}
    assert counts.created == counts.updated == 0


@settings(max_examples=80)
@given(st.lists(requests, max_size=4), requests)
def test_only_hours_that_were_sent_are_written(before: list[Request], request: Request) -> None:
    """A request leaves the other hours of the day alone."""
    winners, _ = merge(apply_all({}, before), request[1], request[0])
    assert winners.items() <= request[1].items()


def test_each_outcome() -> None:
    """A new hour, a correction, a value that is there already and one that a later one replaced, in one request."""
    stored = {1: (100, 5.0), 2: (100, 5.0), 3: (300, 5.0)}
    winners, counts = merge(stored, {0: 1.0, 1: 6.0, 2: 5.0, 3: 6.0}, 200)
    assert counts == Counts(created=1, updated=1, unchanged=1, superseded=1)
    assert winners == {0: 1.0, 1: 6.0, 2: 5.0}


def test_an_old_request_does_not_undo_a_correction() -> None:
    """What was received earlier and arrives later is superseded."""
    assert merge({7: (200, 5.0)}, {7: 4.0}, 100) == ({}, Counts(superseded=1))


def test_of_two_values_received_at_once_the_larger_stays() -> None:
    """Two requests of the same millisecond end the same way in both orders."""
    assert merge({7: (100, 5.0)}, {7: 6.0}, 100) == ({7: 6.0}, Counts(updated=1))
    assert merge({7: (100, 6.0)}, {7: 5.0}, 100) == ({}, Counts(superseded=1))


def test_the_same_value_received_later_is_written_again() -> None:
    """The value counts as unchanged, yet the time of its receipt moves: what was received in between must not win.

    At 100 someone sends 5, at 200 someone sends 6, at 300 someone confirms 5. If the one of 200 arrives last, it must
    lose against the confirmation, of which nothing would be known if only its value had been compared.
    """
    winners, counts = merge({7: (100, 5.0)}, {7: 5.0}, 300)
    assert (winners, counts) == ({7: 5.0}, Counts(unchanged=1))

    day = apply_all({}, [(100, {7: 5.0}), (300, {7: 5.0}), (200, {7: 6.0})])
    assert day == {7: (300, 5.0)}


def test_the_same_value_received_earlier_is_not_written() -> None:
    """A repetition that arrives late counts as unchanged and costs no write."""
    assert merge({7: (300, 5.0)}, {7: 5.0}, 100) == ({}, Counts(unchanged=1))


def test_the_merge_leaves_its_arguments_alone() -> None:
    """What was read from the table can be merged again after a lost race."""
    stored: Day = {1: (100, 5.0)}
    incoming = {0: 1.0, 1: 6.0}
    merge(stored, incoming, 200)
    assert stored == {1: (100, 5.0)}
    assert incoming == {0: 1.0, 1: 6.0}


def test_a_large_change_is_one_by_the_factor_as_decimals_have_it() -> None:
    """In any direction, also where floats are a little off; from zero and to zero is none."""
    assert is_large(285.85, 28585.0)
    assert is_large(-28585.0, 285.85)
    assert not is_large(285.85, 28584.99)
    assert not is_large(0.0, 1e6)
    assert not is_large(1e6, 0.0)


def test_counts_add_up() -> None:
    """The counts of a request are the sums over its days."""
    assert Counts(1, 2, 3, 4) + Counts(10, 20, 30, 40) == Counts(11, 22, 33, 44)
    assert Counts(1, 2, 3, 4).total == 10
