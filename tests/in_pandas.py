"""Views as pandas computes them: its names for functions and periods, and an independent model of what is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unitstream.comparisons import Compare
    from unitstream.identity import AggFunc
    from unitstream.periods import Granularity, Timeframe

    # The values of the dimensions that are grouped by, "none" where one is missing; and a period.
    Place = tuple[tuple[str, ...], str]

FUNCTIONS: dict[AggFunc, str] = {"Sum": "sum", "Average": "mean", "Maximum": "max", "Minimum": "min"}
FREQUENCIES: dict[Granularity, str] = {
    "hour": "h",
    "day": "D",
    "week": "W-SUN",
    "month": "M",
    "quarter": "Q-DEC",
    "year": "Y-DEC",
}
_STEPS: dict[Granularity, pd.DateOffset] = {
    "hour": pd.DateOffset(days=1),
    "day": pd.DateOffset(days=1),
    "week": pd.DateOffset(weeks=1),
    "month": pd.DateOffset(months=1),
    "quarter": pd.DateOffset(months=3),
    "year": pd.DateOffset(years=1),
}


class Table(NamedTuple):
    """Values and counts by place, and of the whole range by group and of all groups."""

    cells: dict[Place, tuple[float, int]]
    totals: dict[tuple[str, ...], tuple[float, int]]
    of_all: tuple[float, int] | None


class Calendar(NamedTuple):
    """A range of days in a zone, cut into periods."""

    timeframe: Timeframe
    granularity: Granularity
    zone: str

    def cut(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `frame` whose `time` (UTC) lies in the range, with their `period`."""
        local = frame["time"].dt.tz_convert(self.zone).dt.tz_localize(None)
        periods = local.dt.to_period(FREQUENCIES[self.granularity]).dt.start_time
        if self.granularity == "hour":
            periods = frame["time"].dt.tz_localize(None)
        days = local.dt.normalize()
        return frame.assign(period=periods)[(days >= self.timeframe.start) & (days <= self.timeframe.end)]

    def name(self, period: pd.Timestamp) -> str:
        if self.granularity != "hour":
            return f"{period:%Y-%m-%d}"
        shown = period.tz_localize("UTC")
        return f"{shown:%Y-%m-%dT%H:00:00Z}" if self.zone == "UTC" else shown.tz_convert(self.zone).isoformat()

    def periods(self) -> pd.Index:
        start, end = (pd.Timestamp(day) for day in self.timeframe)
        if self.granularity == "hour":
            midnights = (_midnight(day, self.zone) for day in (start, end + pd.Timedelta(days=1)))
            return pd.date_range(*midnights, freq="h", inclusive="left").tz_localize(None)
        return pd.period_range(start, end, freq=FREQUENCIES[self.granularity]).start_time


class Compared(NamedTuple):
    """What the periods of a range are compared with: their counterparts, and the days of those that count."""

    days: tuple[pd.Timestamp, pd.Timestamp]
    counterparts: dict[pd.Timestamp, pd.Timestamp]


def compared(calendar: Calendar, compare: Compare) -> Compared:
    """Return what a range is compared with."""
    start, end = (pd.Timestamp(day) for day in calendar.timeframe)
    back = pd.DateOffset(years=1) if compare == "year" else _STEPS[calendar.granularity]
    steps = 1
    while compare == "timeframe" and _end_before(end, back, steps, calendar.granularity) >= start:
        steps += 1
    found = {}
    for period in calendar.periods():
        earlier = _counterpart(calendar, compare, period, back * steps)
        if earlier is not None:
            found[period] = earlier
    if compare == "period" and calendar.granularity == "hour":
        return Compared((start - pd.Timedelta(days=1), end), found)
    if compare == "year" and calendar.granularity in {"hour", "day", "week"}:
        first = found.get(calendar.periods()[0], start - pd.DateOffset(years=2))
        last = found.get(calendar.periods()[-1], end)
        if calendar.granularity == "week":
            # The same days of the two weeks.
            first += pd.Timedelta(days=start.weekday())
            last += pd.Timedelta(days=end.weekday() if calendar.periods()[-1] in found else 0)
            return Compared((first, last), found)
        return Compared((start - pd.DateOffset(years=2), end), found)
    return Compared((start - back * steps, _end_before(end, back, steps, calendar.granularity)), found)


def aggregated(
    frame: pd.DataFrame, group_by: Sequence[str], function: AggFunc, name: Callable[[pd.Timestamp], str]
) -> Table:
    """Aggregate the rows of a range that is cut into periods."""
    if frame.empty:
        return Table({}, {}, None)
    keys = [frame[key].fillna("none") for key in group_by]

    def found(by: list[pd.Series]) -> pd.DataFrame:
        return frame.groupby(by)["value"].agg([FUNCTIONS[function], "count"])

    cells: dict[Place, tuple[float, int]] = {}
    for place, value, count in found([*keys, frame["period"]]).itertuples():
        *group, period = place if keys else (place,)
        cells[tuple(map(str, group)), name(period)] = float(value), int(count)
    whole = frame["value"].agg(FUNCTIONS[function]), len(frame)
    totals: dict[tuple[str, ...], tuple[float, int]] = {(): whole}
    if keys:
        totals = {
            tuple(map(str, group if isinstance(group, tuple) else (group,))): (float(value), int(count))
            for group, value, count in found(keys).itertuples()
        }
    return Table(cells, totals, whole)


def _midnight(day: pd.Timestamp, zone: str) -> pd.Timestamp:
    """Return, in UTC, when a day begins: where the clock skips midnight, after that."""
    return day.tz_localize(zone, nonexistent="shift_forward").tz_convert("UTC")


def _hours_shown_as(wall: pd.Timestamp, zone: str) -> list[pd.Timestamp]:
    """Return the hours of a day, in UTC, at which the clock shows so: none, one or two."""
    hours = pd.date_range(_midnight(wall.normalize(), zone), periods=26, freq="h")
    shown = hours.tz_convert(zone).tz_localize(None)
    return list(hours[shown == wall].tz_localize(None))


def _end_before(end: pd.Timestamp, step: pd.DateOffset, steps: int, granularity: Granularity) -> pd.Timestamp:
    moved = end - step * steps
    by_month = granularity in {"month", "quarter", "year"}
    return moved + pd.offsets.MonthEnd(0) if by_month and end.is_month_end else moved


def _counterpart(
    calendar: Calendar, compare: Compare, period: pd.Timestamp, back: pd.DateOffset
) -> pd.Timestamp | None:
    if calendar.granularity == "hour":
        if compare == "period":
            return period - pd.Timedelta(hours=1)
        wall = period.tz_localize("UTC").tz_convert(calendar.zone).tz_localize(None)
        if (wall.month, wall.day) == (2, 29) and compare == "year":
            return None
        # Which hours of that day the clock shows so: none, one or two, of which the same one is meant.
        alike = _hours_shown_as(wall - back, calendar.zone)
        place = _hours_shown_as(wall, calendar.zone).index(period)
        return alike[place] if place < len(alike) else None
    if compare == "year" and calendar.granularity == "week":
        year, week, _ = period.isocalendar()
        weeks = pd.date_range(f"{year - 1}-01-01", f"{year}-01-07", freq="W-MON")
        same = [one for one in weeks if (one.isocalendar().year, one.isocalendar().week) == (year - 1, week)]
        return same[0] if same else None
    earlier = period - back
    if compare == "year" and calendar.granularity == "day" and earlier.day != period.day:
        return None
    return earlier
