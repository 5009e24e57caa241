"""Views are what pandas computes from the same points, sums are exact, and a unit metric is never infinite."""

from __future__ import annotations

import math
import operator
import random
import tracemalloc
from datetime import date, timedelta
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple, get_args

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_pandas import FREQUENCIES, FUNCTIONS

from unitstream.aggregates import MAX_CELLS, Aggregates, Cell, group_of
from unitstream.decimals import exactly, ratio
from unitstream.identity import AggFunc, Metric
from unitstream.periods import Granularity, Timeframe, hour_of, previous_timeframe
from unitstream.problems import TooMuch
from unitstream.view_questions import UnitMetricQuestion, ViewQuestion
from unitstream.views import Half, unit_cell, unit_metric, view
from unitstream.zones import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unitstream.aggregates import Group
    from unitstream.views import UnitMetric, View

AGG_FUNCS: tuple[AggFunc, ...] = get_args(AggFunc)
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
TIMEFRAME = Timeframe("2022-10-01", "2022-10-31")
ORDERS, COSTS = Metric("orders", "Sum"), Metric("costs", "Sum")


class Point(NamedTuple):
    day: str
    hour: int
    value: float
    group: Group = ()


# Of any magnitude that can be stored, and often the same or the opposite.
magnitudes = st.floats(1e-130, 9.99e125) | st.floats(0.01, 1e6)
values = st.sampled_from([0.0, 1.0, -1.0, 1e100, -1e100, 0.1]) | magnitudes | magnitudes.map(lambda value: -value)
days = st.integers(0, 800).map(lambda count: str(date(2021, 11, 15) + timedelta(count)))
points = st.builds(Point, days, st.integers(0, 23), values, st.tuples(st.sampled_from(["eu", "us", None])))


def question_of(
    agg_func: AggFunc = "Sum",
    granularity: Granularity = "day",
    timeframe: Timeframe = TIMEFRAME,
    group_by: tuple[str, ...] = (),
    *,
    fill: bool = False,
) -> ViewQuestion:
    return ViewQuestion(Metric("orders", agg_func), timeframe, granularity, group_by, fill=fill)


def aggregated(question: ViewQuestion, several: Iterable[Point]) -> Aggregates:
    calendar = Calendar(question.timeframe, question.granularity)
    aggregates = Aggregates(question.metric.metric_agg_func, calendar, fill=question.fill)
    with exactly():
        for day, hour, value, group in several:
            aggregates.add(group, day, [f"{hour:02}"], [repr(value)])
    return aggregates


def view_of(question: ViewQuestion, several: Iterable[Point]) -> View:
    return view(question, Half(aggregated(question, several)))


def sum_of(several: Sequence[float], agg_func: AggFunc = "Sum") -> float:
    (row,) = view_of(question_of(agg_func), [Point("2022-10-01", 0, value) for value in several]).series
    (cell,) = row.data
    assert cell.value is not None
    return cell.value


def decimals(several: Iterable[float]) -> list[Fraction]:
    """Return what was sent, exactly: the shortest decimals that the floats stand for."""
    return [Fraction(repr(value)) for value in several]


@given(st.lists(values, min_size=1, max_size=400))
def test_sums_and_means_are_those_of_the_decimals_rounded_once(several: list[float]) -> None:
    """Computed with fractions from what was sent, of any length, they are the same to the last bit."""
    exact = sum(decimals(several))
    assert sum_of(several) == float(exact)
    assert sum_of(several, "Average") == float(exact / len(several))


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_cents_that_net_to_zero_are_zero(one: int, other: int) -> None:
    """As floats, two of three such sums are some 1e-15, and what is divided by them is anything; here it is null."""
    assert sum_of([one / 100, other / 100, -(one + other) / 100]) == 0
    assert ratio(1.0, sum_of([19.99, 5.01, -25.0])) is None


@given(st.lists(points, min_size=1, max_size=300), st.sampled_from(AGG_FUNCS), st.data())
def test_the_order_of_reads_does_not_matter(several: list[Point], agg_func: AggFunc, data: st.DataObject) -> None:
    """Shards are read side by side, so that points come in any order: the view stays the same, to the last bit."""
    question = question_of(agg_func, "month", Timeframe("2021-01-01", "2024-12-31"), ("region",))
    shuffled = data.draw(st.permutations(several))
    assert repr(view_of(question, several)) == repr(view_of(question, shuffled))


def test_a_million_values_do_not_drift() -> None:
    """Adding them one by one would: a tenth is not a float."""
    aggregates = Aggregates("Sum", Calendar(TIMEFRAME, "year"), fill=False)
    for _ in range(50_000):
        aggregates.add((), "2022-10-01", (), ["0.1"] * 20)
    ((cell,),) = (cells.values() for cells in aggregates.results().values())
    assert (cell.value, cell.points) == (100_000.0, 1_000_000)
    assert reduce(operator.add, [0.1] * 1_000_000) != 100_000.0


def test_values_of_any_magnitude_do_not_drift() -> None:
    """What is small is not lost beside what is large, even where the large values cancel out."""
    numbers = random.Random(6)  # noqa: S311  # reproducible, on purpose
    mixed = [numbers.uniform(-1, 1) * 10 ** numbers.randint(-20, 20) for _ in range(20_000)]
    assert sum_of(mixed) == float(sum(decimals(mixed)))
    assert sum_of([*mixed, *(-value for value in mixed), 1e-20]) == 1e-20


@pytest.mark.parametrize("agg_func", AGG_FUNCS)
def test_memory_does_not_grow_with_the_points(agg_func: AggFunc) -> None:
    """A sum has as many digits as it takes to be exact, whatever the number of points."""
    numbers = random.Random(7)  # noqa: S311  # reproducible, on purpose
    aggregates = Aggregates(agg_func, Calendar(TIMEFRAME, "year"), fill=False)
    tracemalloc.start()
    with exactly():
        for _ in range(1_500):
            aggregates.add((), "2022-10-01", ["00"] * 10, [repr(numbers.uniform(-1e9, 1e9)) for _ in range(10)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert aggregates.results()[()]["2022-01-01"].points == 15_000
    assert peak < 100_000


@given(st.lists(points, min_size=1, max_size=100), st.sampled_from(AGG_FUNCS), st.sampled_from(GRANULARITIES))
def test_a_view_is_what_pandas_computes(several: list[Point], agg_func: AggFunc, granularity: Granularity) -> None:
    """By period and group: the extremes to the last bit, sums and means but for pandas' own roundings."""
    frame = pd.DataFrame([one._asdict() | {"group": one.group[0] or "none"} for one in several])
    hours = pd.to_datetime(frame["day"]) + pd.to_timedelta(frame["hour"], unit="h")
    frame["period"] = hours.dt.to_period(FREQUENCIES[granularity]).dt.start_time
    grouped = frame.groupby(["group", "period"])["value"]
    expected, counts = grouped.agg(FUNCTIONS[agg_func]), grouped.count()
    scale = frame["value"].abs().groupby([frame["group"], frame["period"]]).sum()

    timeframe = Timeframe("2021-01-01", "2024-12-31")
    found = view_of(question_of(agg_func, granularity, timeframe, ("region",)), several)
    cells = {(row.dimensions["region"] or "none", cell.date): cell for row in found.series for cell in row.data}
    shown = "%Y-%m-%dT%H:00:00Z" if granularity == "hour" else "%Y-%m-%d"
    assert {(group, f"{period:{shown}}") for group, period in expected.index} == cells.keys()
    for (group, period), value in expected.items():
        cell = cells[group, f"{period:{shown}}"]
        assert cell.points == counts[group, period]
        tolerance = 0.0 if agg_func in {"Maximum", "Minimum"} else 1e-12 * scale[group, period]
        assert cell.value == pytest.approx(value, rel=0, abs=tolerance)


def test_groups_and_periods_are_in_order() -> None:
    """Groups by their values, those that lack a dimension last; dimensions as the question names them."""
    groups: list[Group] = [("us", "b"), (None, "a"), ("eu", None), ("eu", "b"), ("", "b"), ("eu", "a")]
    several = [Point(f"2022-10-{day:02}", 0, 1.0, group) for group in groups for day in (20, 3)]
    found = view_of(question_of(group_by=("region", "plan")), several)
    assert [tuple(row.dimensions.items()) for row in found.series] == [
        (("region", region), ("plan", plan))
        for region, plan in (("", "b"), ("eu", "a"), ("eu", "b"), ("eu", None), ("us", "b"), (None, "a"))
    ]
    assert all([cell.date for cell in row.data] == ["2022-10-03", "2022-10-20"] for row in found.series)


def test_a_period_is_named_by_its_first_day_even_when_the_range_begins_later() -> None:
    """The week of Saturday, 1 October, begins on Monday, 26 September; its points are those in the range."""
    found = view_of(question_of(granularity="week"), [Point("2022-10-01", 5, 2.0), Point("2022-10-02", 5, 3.0)])
    assert found.series[0].data == [Cell("2022-09-26", 5.0, 2)]


def test_periods_without_points_are_absent_or_null() -> None:
    """Only with `fill` are they part of the answer, and so are groups without points; without series there is none."""
    question = question_of(timeframe=Timeframe("2022-10-01", "2022-10-03"), group_by=("region",))
    aggregates = aggregated(question, [Point("2022-10-02", 0, 1.5, ("eu",))])
    assert [(row.dimensions, row.data) for row in view(question, Half(aggregates)).series] == [
        ({"region": "eu"}, [Cell("2022-10-02", 1.5, 1)])
    ]
    question = question_of(timeframe=question.timeframe, group_by=("region",), fill=True)
    aggregates = aggregated(question, [Point("2022-10-02", 0, 1.5, ("eu",))])
    aggregates.know([("us",)])
    first, second, third = (Cell(f"2022-10-0{day}", None, 0) for day in (1, 2, 3))
    assert [(row.dimensions, row.data) for row in view(question, Half(aggregates)).series] == [
        ({"region": "eu"}, [first, Cell("2022-10-02", 1.5, 1), third]),
        ({"region": "us"}, [first, second, third]),
    ]
    assert view_of(question, []).series == []


def test_zeros_have_no_sign() -> None:
    """The table knows no negative zero, so that no view has one."""
    for agg_func in AGG_FUNCS:
        (row,) = view_of(question_of(agg_func), [Point("2022-10-01", hour, -0.0) for hour in range(2)]).series
        assert repr(row.data[0].value) == "0.0"


def test_more_periods_than_an_answer_holds_are_refused_with_what_to_narrow() -> None:
    """As soon as there are too many, and with `fill` before anything was read."""
    with pytest.raises(TooMuch, match="choose a shorter range of days, a coarser granularity or fewer dimensions"):
        Aggregates("Sum", Calendar(Timeframe("1970-01-01", "9999-12-31"), "hour"), fill=True).know([()])
    aggregates = Aggregates("Sum", Calendar(Timeframe("1970-01-01", "9999-12-31"), "hour"), fill=False)
    hours = [f"{hour:02}" for hour in range(20)]
    for count in range(MAX_CELLS // 20):
        aggregates.add((), str(date(1970, 1, 1) + timedelta(count)), hours, ["1.0"] * 20)
    with pytest.raises(TooMuch):
        aggregates.add((), "9999-12-31", ["23"], ["1.0"])


def test_the_group_of_a_series_has_a_gap_where_a_dimension_is_missing() -> None:
    """A missing dimension is not an empty one."""
    assert group_of({"region": "eu", "plan": ""}, ("plan", "country", "region")) == ("", None, "eu")


# --- unit metrics -----------------------------------------------------------------------------------------------------


def unit_metric_of(
    numerators: Iterable[Point],
    denominators: Iterable[Point],
    timeframe: Timeframe = TIMEFRAME,
    granularity: Granularity = "day",
    *,
    fill: bool = False,
) -> UnitMetric:
    question = UnitMetricQuestion(COSTS, ORDERS, timeframe, granularity, ("region",), fill=fill)
    previous, _ = previous_timeframe(timeframe, granularity)
    parts = [question_of("Sum", granularity, frame, ("region",), fill=fill) for frame in (timeframe, previous)]
    halves = [Half(*(aggregated(part, several) for part in parts)) for several in (numerators, denominators)]
    return unit_metric(question, *halves)


def test_a_unit_metric_beside_its_previous_timeframe() -> None:
    """Cost per order today and yesterday, the difference and the relative change."""
    costs = [
        Point("2022-10-01", 0, 10.0, ("eu",)),
        Point("2022-10-02", 1, 20.0, ("eu",)),
        Point("2022-10-02", 2, 4.0, ("eu",)),
    ]
    orders = [Point("2022-10-01", 3, 5.0, ("eu",)), Point("2022-10-02", 4, 8.0, ("eu",))]
    found = unit_metric_of(costs, orders, Timeframe("2022-10-02", "2022-10-02"))
    assert found.previous == ("2022-10-01", "2022-10-01")
    (row,) = found.series
    assert row.dimensions == {"region": "eu"}
    assert [cell._asdict() for cell in row.data] == [
        {
            "date": "2022-10-02",
            "current_timeframe_numerator": 24.0,
            "current_timeframe_denominator": 8.0,
            "current_timeframe_unit_metric": 3.0,
            "previous_timeframe_numerator": 10.0,
            "previous_timeframe_denominator": 5.0,
            "previous_timeframe_unit_metric": 2.0,
            "pop_diff": 1.0,
            "pop_change": 0.5,
            "n_agg_func": "Sum",
            "d_agg_func": "Sum",
            "points": 3,
            "complete": True,
            "previous_date": "2022-10-01",
        }
    ]


@given(st.none() | values, st.none() | values)
def test_a_ratio_is_a_finite_number_or_nothing(numerator: float | None, denominator: float | None) -> None:
    """The quotient of the decimals that people read; a zero or missing denominator gives nothing."""
    found = ratio(numerator, denominator)
    if numerator is None or not denominator:
        assert found is None
    else:
        assert found == float(Fraction(repr(numerator)) / Fraction(repr(denominator)))


def test_what_did_not_change_has_no_difference() -> None:
    """0.3 / 0.1 is 3, as 3 / 1 is, and 0.61 - 0.59 is 0.02: by floats neither is."""
    same = unit_cell(COSTS, ORDERS, "2022-10-01", (0.3, 0.1, 3.0, 1.0), 2)
    assert (same.current_timeframe_unit_metric, same.pop_diff, same.pop_change) == (3.0, 0.0, 0.0)
    assert unit_cell(COSTS, ORDERS, "2022-10-01", (0.61, 1.0, 0.59, 1.0), 2).pop_diff == 0.02


def test_a_quotient_beyond_all_floats_is_nothing() -> None:
    """It would be infinite."""
    assert ratio(1e300, 1e-300) is None
    assert ratio(-1e300, 1e-300) is None
    assert ratio(0.0, 0.0) is None


@given(st.lists(points, max_size=40), st.lists(points, max_size=40), st.sampled_from(GRANULARITIES), st.booleans())
def test_no_answer_has_an_infinity(
    numerators: list[Point],
    denominators: list[Point],
    granularity: Granularity,
    fill: bool,  # noqa: FBT001  # a draw
) -> None:
    """Whatever is divided by whatever: each figure is finite or nothing, and follows from the others."""
    timeframe = Timeframe("2022-11-15", "2022-12-20")
    for row in unit_metric_of(numerators, denominators, timeframe, granularity, fill=fill).series:
        for cell in row.data:
            figures = [figure for figure in cell if isinstance(figure, float)]
            assert all(map(math.isfinite, figures))
            assert "-0.0" not in map(repr, figures)
            now, before = cell.current_timeframe_unit_metric, cell.previous_timeframe_unit_metric
            assert now == ratio(cell.current_timeframe_numerator, cell.current_timeframe_denominator)
            if now is None or before is None:
                assert cell.pop_diff is None
            assert cell.pop_change == ratio(cell.pop_diff, None if before is None else abs(before))


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [(-2.0, 4.0, 3.0), (-2.0, -3.0, -0.5), (-2.0, -2.0, 0.0), (2.0, -4.0, -3.0), (0.0, 1.0, None), (None, 1.0, None)],
)
def test_a_rise_is_positive_whatever_it_rises_from(before: float | None, now: float, change: float | None) -> None:
    """Credits are negative costs. From nothing there is no change that could be told as a share."""
    cell = unit_cell(Metric("costs", "Sum"), Metric("orders", "Sum"), "2022-10-01", (now, 1.0, before, 1.0), 2)
    assert cell.pop_change == change


def test_what_only_the_previous_timeframe_has_is_part_of_the_answer() -> None:
    """A group or a period that went away is shown as such, not left out."""
    found = unit_metric_of(
        [Point("2022-09-30", 7, 6.0, ("eu",))], [Point("2022-09-30", 7, 3.0, ("eu",))], granularity="hour"
    )
    assert found.previous == ("2022-08-31", "2022-09-30")
    ((cell,),) = (row.data for row in found.series)
    assert cell.date == hour_of("2022-10-31", 7)
    assert (cell.current_timeframe_unit_metric, cell.previous_timeframe_unit_metric) == (None, 2.0)
    assert (cell.pop_diff, cell.pop_change, cell.points) == (None, None, 0)


def test_with_fill_each_group_has_every_period() -> None:
    """Also a group that only the denominator has."""
    found = unit_metric_of([], [Point("2022-10-02", 0, 3.0, ("us",))], Timeframe("2022-10-01", "2022-10-03"), fill=True)
    assert [cell.current_timeframe_denominator for cell in found.series[0].data] == [None, 3.0, None]
    assert all(cell.current_timeframe_unit_metric is None for cell in found.series[0].data)
