"""Periods: hours, days, ISO weeks, months, quarters and years. Pure.

A period is named by its first day, `2022-10-01`, an hour by itself, `2022-10-01T13:00:00Z`. Names sort as time passes.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_DAY = "1970-01-01"

Granularity = Literal["hour", "day", "week", "month", "quarter", "year"]

_DAYS_A_STEP = {"hour": 1, "day": 1, "week": 7}
_MONTHS_A_STEP = {"month": 1, "quarter": 3, "year": 12}


class Timeframe(NamedTuple):
    """Days from `start` to `end`, both included, as `YYYY-MM-DD`."""

    start: str
    end: str


class Shift(NamedTuple):
    """A way in the calendar: so many days, or so many months. Between periods of the same kind, it can be gone back."""

    days: int
    months: int

    def back(self, period: str) -> str:
        """Return the name of the period so much before `period`. The calendar begins at 0001-01-01: so does this."""
        return self._moved(period, 1)

    def forth(self, period: str) -> str:
        """Return the name of the period so much after `period`."""
        return self._moved(period, -1)

    def _moved(self, period: str, direction: int) -> str:
        day, hour = date.fromisoformat(period[:10]), period[10:]
        if self.months:
            return f"{_months_before(day, self.months * direction)}{hour}"
        return f"{_days_before(day, self.days * direction)}{hour}"


def period_of(day: str, granularity: Granularity) -> str:
    """Return the first day of the period that `day` belongs to. For hours, which are parts of a day: `day`."""
    match granularity:
        case "hour" | "day":
            return day
        case "week":
            monday = date.fromisoformat(day)
            return str(monday - timedelta(monday.weekday()))
        case "month":
            return f"{day[:7]}-01"
        case "quarter":
            return f"{day[:5]}{(int(day[5:7]) - 1) // 3 * 3 + 1:02}-01"
        case "year":
            return f"{day[:4]}-01-01"


def hour_of(day: str, hour: int) -> str:
    """Return the name of an hour."""
    return f"{day}T{hour:02}:00:00Z"


def periods(timeframe: Timeframe, granularity: Granularity) -> Iterator[str]:
    """Yield the periods that have a day in `timeframe`, in order."""
    if granularity == "hour":
        for day in periods(timeframe, "day"):
            yield from (hour_of(day, hour) for hour in range(24))
        return
    last = period_of(timeframe.end, granularity)
    period = period_of(timeframe.start, granularity)
    while period < last:
        yield period
        first = date.fromisoformat(period)
        if granularity in _DAYS_A_STEP:
            period = str(first + timedelta(_DAYS_A_STEP[granularity]))
        else:
            period = str(_months_before(first, -_MONTHS_A_STEP[granularity]))
    yield last


def count_periods(timeframe: Timeframe, granularity: Granularity) -> int:
    """Return how many periods have a day in `timeframe`."""
    first, last = map(date.fromisoformat, (period_of(day, granularity) for day in timeframe))
    if granularity in _MONTHS_A_STEP:
        return _months_between(first, last) // _MONTHS_A_STEP[granularity] + 1
    count = (last - first).days // _DAYS_A_STEP[granularity] + 1
    return count * 24 if granularity == "hour" else count


def last_day(period: str, granularity: Granularity) -> str:
    """Return the last day of a period that begins with the day `period`."""
    first = date.fromisoformat(period)
    if granularity in _MONTHS_A_STEP:
        last = _months_before(first, 1 - _MONTHS_A_STEP[granularity])
        return str(last.replace(day=_days_in_month(last.year, last.month)))
    return str(date.fromordinal(min(date.max.toordinal(), first.toordinal() + _DAYS_A_STEP[granularity] - 1)))


def count_days(timeframe: Timeframe) -> int:
    """Return how many days `timeframe` has."""
    start, end = map(date.fromisoformat, timeframe)
    return (end - start).days + 1


def step_of(granularity: Granularity) -> Shift:
    """Return the way from one period to the next; from an hour, that of a day."""
    return Shift(_DAYS_A_STEP.get(granularity, 0), _MONTHS_A_STEP.get(granularity, 0))


def shifted(timeframe: Timeframe, shift: Shift) -> Timeframe:
    """Return `timeframe` so much earlier. The last day of a month stays the last one, at the end of the timeframe."""
    start, end = map(date.fromisoformat, timeframe)
    if shift.months:
        return Timeframe(str(_months_before(start, shift.months)), str(_end_before(end, shift.months)))
    return Timeframe(str(_days_before(start, shift.days)), str(_days_before(end, shift.days)))


def previous_timeframe(timeframe: Timeframe, granularity: Granularity) -> tuple[Timeframe, Shift]:
    """Return the timeframe that `timeframe` is compared with, and how far back it lies.

    It is `timeframe` shifted back by the smallest whole number of steps (hour and day: 1 day; week: 7 days; month,
    quarter, year: 1, 3, 12 calendar months) such that it ends before `timeframe` starts. The last day of a month stays
    the last day of its month at the end of the timeframe.
    """
    start, end = map(date.fromisoformat, timeframe)
    if granularity in _DAYS_A_STEP:
        step = _DAYS_A_STEP[granularity]
        shift = Shift(((end - start).days // step + 1) * step, 0)
        return shifted(timeframe, shift), shift
    step = _MONTHS_A_STEP[granularity]
    months = max(step, -(-_months_between(start, end) // step) * step)
    while _end_before(end, months) >= start:
        months += step
    return shifted(timeframe, Shift(0, months)), Shift(0, months)


def overlap(timeframe: Timeframe, other: Timeframe) -> Timeframe | None:
    """Return the days that both have, if any."""
    start, end = max(timeframe.start, other.start), min(timeframe.end, other.end)
    return Timeframe(start, end) if start <= end else None


def _days_before(day: date, days: int) -> date:
    return date.fromordinal(max(1, day.toordinal() - days))


def _months_before(day: date, months: int) -> date:
    """Return the same day of another month, or that month's last when it is shorter."""
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    if years < 1:
        return date.min
    return date(years, month + 1, min(day.day, _days_in_month(years, month + 1)))


def _end_before(end: date, months: int) -> date:
    moved = _months_before(end, months)
    if end.day == _days_in_month(end.year, end.month) and moved > date.min:
        return moved.replace(day=_days_in_month(moved.year, moved.month))
    return moved


def _days_in_month(year: int, month: int) -> int:
    return 31 if month == 12 else (date(year, month + 1, 1) - timedelta(1)).day


def _months_between(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month
