"""Views and unit metrics beside earlier periods, in any zone, with totals: what pandas computes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_pandas import Calendar, Table, aggregated, compared

from unitstream.aggregating import halves_of
from unitstream.comparisons import Compare, Comparison
from unitstream.decimals import difference, exactly, ratio
from unitstream.filters import Filter
from unitstream.identity import AggFunc, Metric
from unitstream.periods import Granularity, Timeframe
from unitstream.view_questions import UnitMetricQuestion, ViewQuestion, cautions
from unitstream.views import ComparedCell, unit_metric, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unitstream.aggregating import ReadHalf
    from unitstream.views import UnitMetric, View

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
COMPARISONS: tuple[Compare, ...] = get_args(Compare)
AGG_FUNCS: tuple[AggFunc, ...] = get_args(AggFunc)
# Both changes of the clock, at midnight too, and zones on both sides of the date line.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Pacific/Auckland", "Asia/Tokyo"]
MOST = 200_000


class Point(NamedTuple):
    day: date
    hour: int
    value: float
    region: str | None
    service: str | None


# Around changes of the clock and ends of months and years.
days = st.sampled_from(["2023-03-24", "2023-10-27", "2024-02-27", "2024-03-09", "2023-12-28", "2020-12-26"]).flatmap(
    lambda day: st.integers(0, 7).map(lambda count: date.fromisoformat(day) + timedelta(count))
) | st.dates(date(2022, 1, 1), date(2024, 12, 31))
values = st.integers(-1_000, 1_000).map(lambda cents: cents / 4)
regions = st.sampled_from(["eu", "us", None])
services = st.sampled_from(["compute", "storage", None])
points = st.lists(st.builds(Point, days, st.integers(0, 23), values, regions, services), max_size=60)
lengths = st.sampled_from([0, 0, 1, 6, 27, 30]) | st.integers(0, 500)
filters = st.sampled_from(
    [(), (Filter("region", ("eu",), excludes=False),), (Filter("service", ("compute",), excludes=True),)]
)


class Asked(NamedTuple):
    """What views and unit metrics have in common."""

    timeframe: Timeframe
    granularity: Granularity
    compare: Compare
    zone: str

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.timeframe, self.granularity, self.zone)

    def view(self, agg_func: AggFunc = "Sum", by: tuple[str, ...] = (), kept: tuple[Filter, ...] = ()) -> ViewQuestion:
        return ViewQuestion(
            Metric("costs", agg_func),
            self.timeframe,
            self.granularity,
            by,
            kept,
            compare=self.compare,
            timezone=self.zone,
            totals=True,
        )


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    start, granularity = draw(days), draw(st.sampled_from(GRANULARITIES))
    length = draw(st.integers(0, 3) if granularity == "hour" else lengths)
    timeframe = Timeframe(str(start), str(start + timedelta(length)))
    return Asked(timeframe, granularity, draw(st.sampled_from(COMPARISONS)), draw(st.sampled_from(ZONES)))


def frame_of(several: Sequence[Point], kept: Sequence[Filter] = ()) -> pd.DataFrame:
    frame = pd.DataFrame(several, columns=list(Point._fields))
    frame["time"] = pd.to_datetime(frame["day"]).dt.tz_localize("UTC") + pd.to_timedelta(frame["hour"], unit="h")
    for one in kept:
        frame = frame[frame[one.key].isin(one.values) != one.excludes]
    return frame


def fill(half: ReadHalf, several: Sequence[Point]) -> None:
    """Add points to the aggregates of a half, as reading does."""
    with exactly():
        for one in several:
            named = {"region": one.region, "service": one.service}
            group = half.group_of({key: value for key, value in named.items() if value is not None})
            if group is None:
                continue
            for aggregates in half.aggregates:
                aggregates.add(group, str(one.day), [f"{one.hour:02}"], [repr(one.value)])


def view_of(question: ViewQuestion, several: Sequence[Point]) -> View:
    (half,) = halves_of(question, MOST)
    fill(half, several)
    return view(question, half.table)


def unit_metric_of(
    question: UnitMetricQuestion, numerators: Sequence[Point], denominators: Sequence[Point]
) -> UnitMetric:
    halves = halves_of(question, MOST)
    for half, several in zip(halves, (numerators, denominators), strict=True):
        fill(half, several)
    return unit_metric(question, *(half.table for half in halves))


class Expected(NamedTuple):
    """What pandas computes: now, and before by the periods that are compared with it."""

    now: Table
    before: Table


def expected(frame: pd.DataFrame, asked: Asked, by: Sequence[str], func: AggFunc) -> Expected:
    calendar = asked.calendar
    found = compared(calendar, asked.compare)
    earlier = calendar._replace(timeframe=Timeframe(*(f"{day:%Y-%m-%d}" for day in found.days))).cut(frame)
    later = {then: now for now, then in found.counterparts.items()}
    earlier = earlier[earlier["period"].isin(list(later))]
    return Expected(
        aggregated(calendar.cut(frame), by, func, calendar.name),
        aggregated(earlier, by, func, lambda period: calendar.name(later[period])),
    )


def number(found: tuple[float, int] | None) -> float | None:
    return found[0] if found else None


def close(value: float | None) -> object:
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(max_examples=20)
@given(
    points,
    questions(),
    st.sampled_from([(), ("region",), ("service", "region")]),
    st.sampled_from(AGG_FUNCS),
    filters,
)
def test_a_view_beside_earlier_periods_is_what_pandas_computes(
    several: list[Point], asked: Asked, by: tuple[str, ...], agg_func: AggFunc, kept: tuple[Filter, ...]
) -> None:
    """Any range, granularity, comparison, zone, grouping and function; with the totals of both."""
    now, before = expected(frame_of(several, kept), asked, by, agg_func)
    answer = view_of(asked.view(agg_func, by, kept), several)
    places = set()
    for row in answer.series:
        group = tuple(value or "none" for value in row.dimensions.values())
        for cell in row.data:
            assert isinstance(cell, ComparedCell)
            place = (group, cell.date)
            places.add(place)
            value, count = now.cells.get(place, (None, 0))
            assert (cell.value, cell.points) == (close(value), count)
            assert cell.previous_timeframe_value == close(number(before.cells.get(place)))
        assert row.total
        assert row.total.value == close(number(now.totals.get(group)))
        assert isinstance(row.total, ComparedCell)
        assert row.total.previous_timeframe_value == close(number(before.totals.get(group)))
    assert places == now.cells.keys() | before.cells.keys()
    assert isinstance(answer.total, ComparedCell)
    assert answer.total.value == close(number(now.of_all))
    assert answer.total.previous_timeframe_value == close(number(before.of_all))
    assert answer.points == answer.total.points == (now.of_all[1] if now.of_all else 0)


@settings(max_examples=20)
@given(
    points,
    points,
    questions(),
    st.sampled_from([(), ("region",), ("service",), ("region", "service")]),
    st.tuples(filters, filters),
)
def test_halves_of_their_own_are_what_pandas_computes(
    costs: list[Point],
    orders: list[Point],
    asked: Asked,
    shared: tuple[str, ...],
    kept: tuple[tuple[Filter, ...], tuple[Filter, ...]],
) -> None:
    """Each service and region is divided by the denominator of the values it shares; each half has its own filters."""
    by = ("region", "service")
    above = expected(frame_of(costs, kept[0]), asked, by, "Sum")
    below = expected(frame_of(orders, kept[1]), asked, shared, "Average")
    question = UnitMetricQuestion(
        Metric("costs", "Sum"),
        Metric("orders", "Average"),
        asked.timeframe,
        asked.granularity,
        by,
        compare=asked.compare,
        timezone=asked.zone,
        totals=True,
        numerator_filters=kept[0],
        denominator_filters=kept[1],
        denominator_group_by=shared,
    )
    answer = unit_metric_of(question, costs, orders)
    groups = {group for table in above for group in table.totals}
    if shared == by:
        groups |= {group for table in below for group in table.totals}
    assert {tuple(value or "none" for value in row.dimensions.values()) for row in answer.series} == groups
    for row in answer.series:
        group = tuple(value or "none" for value in row.dimensions.values())
        its = tuple(group[by.index(key)] for key in shared)
        for cell in row.data:
            n, n_before = (number(table.cells.get((group, cell.date))) for table in above)
            d, d_before = (number(table.cells.get((its, cell.date))) for table in below)
            assert cell.current_timeframe_numerator == close(n)
            assert cell.current_timeframe_denominator == close(d)
            assert cell.previous_timeframe_numerator == close(n_before)
            assert cell.previous_timeframe_denominator == close(d_before)
            assert cell.current_timeframe_unit_metric == ratio(
                cell.current_timeframe_numerator, cell.current_timeframe_denominator
            )
        assert row.total
        assert row.total.current_timeframe_numerator == close(number(above.now.totals.get(group)))
        assert row.total.current_timeframe_denominator == close(number(below.now.totals.get(its)))
        assert row.total.previous_timeframe_denominator == close(number(below.before.totals.get(its)))
    assert answer.total
    assert answer.total.current_timeframe_numerator == close(number(above.now.of_all))
    assert answer.total.previous_timeframe_denominator == close(number(below.before.of_all))


def test_the_rows_of_a_shared_denominator_add_up() -> None:
    """Each service per all orders: together they are the costs per order."""
    costs = [Point(date(2022, 10, 1), 0, cost, "eu", service) for service, cost in (("compute", 6.0), ("storage", 3.0))]
    orders = [Point(date(2022, 10, 1), hour, 2.0, "eu", None) for hour in range(3)]
    question = UnitMetricQuestion(
        Metric("costs", "Sum"),
        Metric("orders", "Sum"),
        Timeframe("2022-10-01", "2022-10-01"),
        group_by=("service",),
        denominator_group_by=(),
        totals=True,
    )
    answer = unit_metric_of(question, costs, orders)
    units = [row.data[0].current_timeframe_unit_metric for row in answer.series]
    assert units == [1.0, 0.5]
    assert answer.total
    assert answer.total.current_timeframe_unit_metric == 1.5
    assert answer.points == 5


def test_a_total_is_of_all_points_and_of_totals() -> None:
    """A mean of 1, and of 2 and 6, is 3 and not 2.5; a ratio of totals is no mean of ratios."""
    several = [
        Point(date(2022, 10, day), hour, value, None, None)
        for day, hour, value in ((1, 0, 1.0), (2, 0, 2.0), (2, 1, 6.0))
    ]
    question = ViewQuestion(Metric("costs", "Average"), Timeframe("2022-10-01", "2022-10-02"), totals=True)
    answer = view_of(question, several)
    assert answer.total
    assert [cell.value for cell in answer.series[0].data] == [1.0, 4.0]
    assert (answer.total.value, answer.total.points) == (3.0, 3)
    assert view_of(question, []).total == ("total", None, 0)


@pytest.mark.parametrize(
    ("compare", "granularity", "start", "end", "previous"),
    [
        ("period", "month", "2022-10-15", "2022-12-10", ("2022-09-15", "2022-11-10")),
        ("period", "month", "2022-03-01", "2022-03-31", ("2022-02-01", "2022-02-28")),
        ("period", "month", "2022-03-29", "2022-03-31", ("2022-02-28", "2022-02-28")),
        ("period", "day", "2022-10-01", "2022-10-07", ("2022-09-30", "2022-10-06")),
        ("period", "hour", "2022-10-01", "2022-10-01", ("2022-09-30", "2022-10-01")),
        ("period", "week", "2022-10-05", "2022-10-20", ("2022-09-28", "2022-10-13")),
        ("period", "quarter", "2022-04-01", "2022-06-30", ("2022-01-01", "2022-03-31")),
        ("year", "month", "2023-02-01", "2024-02-29", ("2022-02-01", "2023-02-28")),
        ("year", "day", "2024-02-29", "2024-03-02", ("2023-03-01", "2023-03-02")),
        ("year", "day", "2024-02-27", "2024-02-29", ("2023-02-27", "2023-02-28")),
        ("year", "day", "2024-02-29", "2024-02-29", None),
        ("year", "day", "2025-02-01", "2025-02-28", ("2024-02-01", "2024-02-28")),
        ("year", "week", "2021-01-04", "2021-01-17", ("2019-12-30", "2020-01-12")),
        ("year", "week", "2021-01-06", "2021-01-12", ("2020-01-01", "2020-01-07")),
        ("year", "week", "2020-12-21", "2021-01-03", ("2019-12-23", "2019-12-29")),
        ("year", "week", "2020-12-29", "2021-01-10", ("2019-12-30", "2020-01-05")),
        ("year", "week", "2020-12-28", "2021-01-03", None),
    ],
)
def test_the_days_that_are_compared_with(
    compare: Compare, granularity: Granularity, start: str, end: str, previous: tuple[str, str] | None
) -> None:
    """By the calendar: the same dates, the same weekdays of an ISO week, the ends of months."""
    assert Comparison(compare, Timeframe(start, end), granularity).previous == previous


@settings(max_examples=25)
@given(questions())
def test_no_period_is_compared_with_twice(asked: Asked) -> None:
    """The way back and the way forth are one: each earlier period has one that is compared with it."""
    question = asked.view()
    comparison = question.comparison
    assert comparison
    (half,) = halves_of(question, MOST)
    for period in list(half.table.now.calendar.periods())[:200]:
        earlier = comparison.earlier(period)
        assert earlier is None or (earlier < period and comparison.later(earlier) == period)


def complete(question: ViewQuestion) -> dict[str, bool]:
    comparison = question.comparison
    (half,) = halves_of(question, MOST)
    assert comparison
    return {period: comparison.is_complete(period) for period in half.table.now.calendar.periods()}


def test_parts_of_periods_say_so() -> None:
    """The first and the last, where the range has not all of their days."""
    question = ViewQuestion(Metric("costs", "Sum"), Timeframe("2022-10-15", "2022-12-10"), "month", compare="period")
    assert complete(question) == {"2022-10-01": False, "2022-11-01": True, "2022-12-01": False}
    whole = ViewQuestion(Metric("costs", "Sum"), Timeframe("2022-10-01", "2022-12-31"), "month", compare="period")
    assert all(complete(whole).values())


@pytest.mark.parametrize(
    ("granularity", "start", "end", "compare", "details"),
    [
        ("month", "2022-03-01", "2022-03-30", "period", ["30 days of the range, and is compared with 28 of"]),
        ("month", "2022-03-29", "2022-03-31", "timeframe", ["3 days of the range, and is compared with 1 of"]),
        ("month", "2022-10-15", "2022-12-10", "period", ["17 days of the range, and is compared with 16 of"]),
        ("quarter", "2022-04-01", "2022-05-31", "period", ["61 days of the range, and is compared with 59 of"]),
        ("month", "2022-03-31", "2022-03-31", "period", []),
        ("month", "2022-03-01", "2022-03-31", "period", []),
        ("week", "2022-10-05", "2022-10-20", "period", []),
        ("day", "2022-10-05", "2022-10-20", "year", []),
    ],
)
def test_parts_of_another_length_are_noticed(
    granularity: Granularity, start: str, end: str, compare: Compare, details: list[str]
) -> None:
    """Days of equal number are compared, or it is said that they are not."""
    question = ViewQuestion(Metric("costs", "Sum"), Timeframe(start, end), granularity, compare=compare)
    found = cautions(question)
    assert [one.code for one in found] == ["unequal_days"] * len(details)
    assert all(detail in one.detail for one, detail in zip(found, details, strict=True))


@pytest.mark.parametrize(
    ("granularity", "days", "compare", "zone", "alone"),
    [
        ("week", "2020-12-21/2021-01-10", "year", "UTC", "2020-12-28"),
        ("week", "2021-12-20/2022-01-09", "year", "UTC", None),
        ("day", "2024-02-01/2024-03-31", "year", "UTC", "2024-02-29"),
        ("hour", "2024-02-28/2024-03-01", "year", "UTC", "2024-02-29T00:00:00Z"),
        ("day", "2025-02-01/2025-03-31", "year", "UTC", None),
        ("month", "2024-02-01/2024-02-29", "year", "UTC", None),
        ("week", "2020-12-21/2021-01-10", "timeframe", "UTC", None),
        ("hour", "2023-10-27/2023-10-29", "timeframe", "Europe/Berlin", "2023-10-29T02:00:00+01:00"),
        ("hour", "2023-10-30/2023-10-31", "timeframe", "Europe/Berlin", None),
        ("hour", "2023-10-27/2023-10-29", "period", "Europe/Berlin", None),
    ],
)
def test_totals_of_more_periods_than_they_are_compared_with_are_noticed(
    granularity: Granularity, days: str, compare: Compare, zone: str, alone: str | None
) -> None:
    """With the first that has no counterpart; without totals each period says so itself."""
    start, _, end = days.partition("/")
    with_totals = Asked(Timeframe(start, end), granularity, compare, zone).view()
    assert cautions(replace(with_totals, totals=False)) == ()
    found = cautions(with_totals)
    assert [(one.code, one.parameter) for one in found] == ([("unequal_totals", "totals")] if alone else [])
    assert all(f"the {granularity} of {alone} is in the totals" in one.detail for one in found)


def test_a_change_from_nothing_is_none() -> None:
    """As in unit metrics: a difference needs two values, a share one that is not zero."""
    several = [Point(date(2022, 10, 1), 0, -2.0, None, None), Point(date(2022, 10, 2), 0, 4.0, None, None)]
    question = ViewQuestion(Metric("costs", "Sum"), Timeframe("2022-10-01", "2022-10-02"), compare="period")
    first, second = view_of(question, several).series[0].data
    assert isinstance(first, ComparedCell)
    assert isinstance(second, ComparedCell)
    assert (first.pop_diff, first.pop_change, first.previous_date) == (None, None, "2022-09-30")
    assert (second.pop_diff, second.pop_change) == (difference(4.0, -2.0), 3.0)
