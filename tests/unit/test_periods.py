"""Periods are the calendar's, and a timeframe's previous one lies just before it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unitstream.periods import (
    Granularity,
    Timeframe,
    count_periods,
    hour_of,
    period_of,
    periods,
    previous_timeframe,
)

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
BY_CALENDAR: dict[Granularity, str] = {"week": "W-SUN", "month": "M", "quarter": "Q-DEC", "year": "Y-DEC"}

granularities = st.sampled_from(GRANULARITIES)


@st.composite
def timeframes(draw: st.DrawFn, latest: date = date.max, longest: int = 3_000_000) -> Timeframe:
    start = draw(st.dates(date(1970, 1, 1), latest))
    end = min(date.max.toordinal(), start.toordinal() + draw(st.integers(0, 90) | st.integers(0, longest)))
    return Timeframe(str(start), str(date.fromordinal(end)))


@settings(max_examples=80)
@given(st.dates(date(1970, 1, 1), date(2200, 12, 31)), st.sampled_from(list(BY_CALENDAR)))
def test_a_period_begins_where_pandas_says(day: date, granularity: Granularity) -> None:
    """Weeks begin on Monday, quarters in January, April, July and October."""
    assert period_of(str(day), granularity) == f"{pd.Period(day, BY_CALENDAR[granularity]).start_time:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("day", "granularity", "expected"),
    [
        ("1970-01-01", "week", "1969-12-29"),
        ("2021-01-03", "week", "2020-12-28"),
        ("9999-12-31", "week", "9999-12-27"),
        ("9999-12-31", "quarter", "9999-10-01"),
        ("2024-02-29", "month", "2024-02-01"),
    ],
)
def test_periods_at_the_edges_of_the_calendar(day: str, granularity: Granularity, expected: str) -> None:
    """A week may begin in another year, the first one before 1970."""
    assert period_of(day, granularity) == expected


@settings(max_examples=80)
@given(timeframes(longest=900), granularities)
def test_a_timeframe_has_the_periods_of_its_days(timeframe: Timeframe, granularity: Granularity) -> None:
    """Every period that a day belongs to, once and in order, also up to the end of the year 9999."""
    first, last = map(date.fromisoformat, timeframe)
    every_day = [str(first + timedelta(count)) for count in range((last - first).days + 1)]
    if granularity == "hour":
        expected = [hour_of(day, hour) for day in every_day for hour in range(24)]
    else:
        expected = sorted({period_of(day, granularity) for day in every_day})
    assert list(periods(timeframe, granularity)) == expected
    assert count_periods(timeframe, granularity) == len(expected)


@pytest.mark.parametrize(
    ("start", "end", "granularity", "previous"),
    [
        ("2022-10-01", "2022-10-07", "day", ("2022-09-24", "2022-09-30")),
        ("2022-10-01", "2022-10-01", "hour", ("2022-09-30", "2022-09-30")),
        ("2022-10-03", "2022-10-09", "week", ("2022-09-26", "2022-10-02")),
        ("2022-10-03", "2022-10-12", "week", ("2022-09-19", "2022-09-28")),
        ("2022-03-01", "2022-03-31", "month", ("2022-02-01", "2022-02-28")),
        ("2024-02-01", "2024-02-29", "month", ("2024-01-01", "2024-01-31")),
        ("2022-01-15", "2022-02-14", "month", ("2021-12-15", "2022-01-14")),
        ("2022-01-15", "2022-02-15", "month", ("2021-11-15", "2021-12-15")),
        ("2022-03-31", "2022-03-31", "month", ("2022-02-28", "2022-02-28")),
        ("2022-01-01", "2022-06-30", "month", ("2021-07-01", "2021-12-31")),
        ("2022-01-01", "2022-03-31", "quarter", ("2021-10-01", "2021-12-31")),
        ("2022-02-01", "2022-02-28", "quarter", ("2021-11-01", "2021-11-30")),
        ("2024-01-01", "2024-12-31", "year", ("2023-01-01", "2023-12-31")),
        ("2024-02-29", "2024-02-29", "year", ("2023-02-28", "2023-02-28")),
        ("2021-05-01", "2023-04-30", "year", ("2019-05-01", "2021-04-30")),
        ("1970-01-01", "1970-01-31", "month", ("1969-12-01", "1969-12-31")),
        ("1970-01-01", "9999-12-31", "year", ("0001-01-01", "1969-12-31")),
        ("5000-01-01", "9999-12-31", "year", ("0001-01-01", "4999-12-31")),
        ("1970-01-01", "9999-12-31", "hour", ("0001-01-01", "1969-12-31")),
        ("9999-12-01", "9999-12-31", "month", ("9999-11-01", "9999-11-30")),
    ],
)
def test_the_previous_timeframe(start: str, end: str, granularity: Granularity, previous: tuple[str, str]) -> None:
    """Whole days, weeks, months, quarters or years earlier; what lies before the year 1 is the calendar's first day."""
    assert previous_timeframe(Timeframe(start, end), granularity)[0] == previous


@settings(max_examples=80)
@given(timeframes(), granularities)
def test_the_previous_timeframe_never_overlaps(timeframe: Timeframe, granularity: Granularity) -> None:
    """However long a timeframe is, the previous one ends before it."""
    previous, _ = previous_timeframe(timeframe, granularity)
    assert previous.start <= previous.end < timeframe.start


@settings(max_examples=80)
@given(timeframes(latest=date(2200, 1, 1), longest=1_500), granularities)
def test_no_shorter_shift_would_do(timeframe: Timeframe, granularity: Granularity) -> None:
    """The shift is a whole number of steps, and with one step less the two timeframes would overlap."""
    _, shift = previous_timeframe(timeframe, granularity)
    step = {"hour": 1, "day": 1, "week": 7, "month": 1, "quarter": 3, "year": 12}[granularity]
    steps, rest = divmod(shift.days or shift.months, step)
    assert rest == 0
    end = pd.Timestamp(timeframe.end)
    if shift.days:
        nearer = end - pd.DateOffset(days=(steps - 1) * step)
    else:
        nearer = end - pd.DateOffset(months=(steps - 1) * step)
        nearer += pd.offsets.MonthEnd(0) if end.is_month_end else pd.DateOffset(0)
    assert f"{nearer:%Y-%m-%d}" >= timeframe.start


@settings(max_examples=80)
@given(timeframes(longest=400), granularities)
def test_each_period_is_compared_with_one_of_the_previous_timeframe(
    timeframe: Timeframe, granularity: Granularity
) -> None:
    """The n-th period of a timeframe is compared with the n-th of the previous one, and back again."""
    previous, shift = previous_timeframe(timeframe, granularity)
    earlier, now = list(periods(previous, granularity)), list(periods(timeframe, granularity))
    assert [shift.back(period) for period in now] == earlier
    assert [shift.forth(period) for period in earlier] == now
