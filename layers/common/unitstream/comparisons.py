"""What each period of a timeframe is compared with: the earlier periods, and the days of them that count. Pure.

    timeframe   the timeframe is shifted back by its own length, as `periods.previous_timeframe` has it
    period      each period is compared with the one before it
    year        with the same one a year earlier: the same date or month, and of weeks the same ISO week

A period of which the timeframe has only a part is compared with the same part of the earlier one, by the calendar: from
the same day on, or up to the same day, and from or up to the end of a month where it is one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from unitstream.periods import (
    Shift,
    Timeframe,
    count_days,
    hour_of,
    last_day,
    overlap,
    period_of,
    periods,
    previous_timeframe,
    shifted,
    step_of,
)
from unitstream.zones import Calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from unitstream.periods import Granularity

Compare = Literal["timeframe", "period", "year"]

_YEAR = Shift(0, 12)


class Unequal(NamedTuple):
    """A period of which the timeframe has `days`, and which is compared with `earlier_days` of another."""

    period: str
    days: int
    earlier_days: int


class Comparison:
    """The way between the periods of a timeframe and earlier ones, in `previous`: None where there are no such days.

    Hours are named in UTC; in a zone those are compared that its clock shows alike.
    """

    def __init__(
        self, compare: Compare, timeframe: Timeframe, granularity: Granularity, zone: ZoneInfo | None = None
    ) -> None:
        self._timeframe = timeframe
        self._granularity = granularity
        self._zone = zone
        self._before_each = compare == "period" and granularity == "hour"
        self._back: Callable[[str], str | None]
        self._forth: Callable[[str], str | None]
        self.previous: Timeframe | None
        match compare, granularity:
            case "year", "week":
                self._back, self._forth = (lambda week: _same_week(week, -1)), (lambda week: _same_week(week, 1))
                self.previous = _weeks_a_year_before(timeframe)
            case "year", "hour" | "day":
                self._back, self._forth = (lambda day: _same_date(day, -1)), (lambda day: _same_date(day, 1))
                self.previous = _days_a_year_before(timeframe)
            case _:
                self.previous, shift = _shifted(compare, timeframe, granularity)
                self._back, self._forth = shift.back, shift.forth
        if self._before_each:
            self.previous = Timeframe(self._back(timeframe.start) or timeframe.start, timeframe.end)
        ends = period_of(timeframe.start, granularity), period_of(timeframe.end, granularity)
        self._first, self._last = ends
        self._partial = {self._first} if self._first < timeframe.start else set[str]()
        if last_day(self._last, granularity) > timeframe.end:
            self._partial.add(self._last)

    def earlier(self, period: str) -> str | None:
        """Return the period that one of the timeframe is compared with; 29 February and week 53 may have none."""
        return self._moved(period, self._back, -1)

    def later(self, period: str) -> str | None:
        """Return the period of the timeframe that is compared with an earlier one, None where there is none."""
        later = self._moved(period, self._forth, 1)
        return later if later and self._first <= self._day_of(later) <= self._last else None

    def is_complete(self, period: str) -> bool:
        """Whether the timeframe has all days of a period."""
        return period not in self._partial

    def unequal(self) -> list[Unequal]:
        """Return the parts of periods that are compared with a part of another length."""
        found = []
        for period in sorted(self._partial):
            earlier = self.earlier(period)
            if earlier is None or self.previous is None:
                continue
            days, others = self._days_in(period, self._timeframe), self._days_in(earlier, self.previous)
            if days != others:
                found.append(Unequal(period, days, others))
        return found

    def first_alone(self) -> str | None:
        """Return the first period of the timeframe that is compared with none, while others are."""
        if self.previous is None or self._before_each:
            return None
        return next((period for period in self._candidates() if self.earlier(period) is None), None)

    def _candidates(self) -> Iterator[str]:
        """Yield the periods, of hours only those of days that, or whose earlier day, have not 24: there are many."""
        if self._granularity != "hour":
            yield from periods(self._timeframe, self._granularity)
            return
        for day in periods(self._timeframe, "day"):
            earlier = self._back(day)
            hours, others = (Calendar(Timeframe(one, one), "hour", self._zone) for one in (day, earlier or day))
            if earlier is None or (hours.count(), others.count()) != (24, 24):
                yield from hours.periods()

    def _days_in(self, period: str, timeframe: Timeframe) -> int:
        part = overlap(Timeframe(period, last_day(period, self._granularity)), timeframe)
        return count_days(part) if part else 0

    def _moved(self, period: str, move: Callable[[str], str | None], direction: int) -> str | None:
        if self._granularity != "hour":
            return move(period)
        if self._before_each:
            return _hour_named(datetime.fromisoformat(period) + timedelta(hours=direction))
        if self._zone is None:
            day = move(period[:10])
            return day and f"{day}{period[10:]}"
        return _same_clock(datetime.fromisoformat(period).astimezone(self._zone), move)

    def _day_of(self, period: str) -> str:
        if self._granularity != "hour" or self._zone is None:
            return period[:10]
        return str(datetime.fromisoformat(period).astimezone(self._zone).date())


def _shifted(compare: Compare, timeframe: Timeframe, granularity: Granularity) -> tuple[Timeframe, Shift]:
    if compare == "timeframe":
        return previous_timeframe(timeframe, granularity)
    shift = step_of(granularity) if compare == "period" else _YEAR
    return shifted(timeframe, shift), shift


def _same_date(day: str, years: int) -> str | None:
    """Return the same date of another year: of 29 February, none."""
    same = date.fromisoformat(day)
    try:
        return str(same.replace(year=same.year + years))
    except ValueError:
        return None


def _days_a_year_before(timeframe: Timeframe) -> Timeframe | None:
    start, end = (
        _same_date(day, -1) or f"{int(day[:4]) - 1:04}-{beside}"
        for day, beside in zip(timeframe, ("03-01", "02-28"), strict=True)
    )
    return Timeframe(start, end) if start <= end else None


def _same_week(monday: str, years: int) -> str | None:
    """Return the ISO week of the same number in another year: of week 53, often none."""
    year, week, _ = date.fromisoformat(monday).isocalendar()
    try:
        return str(date.fromisocalendar(year + years, week, 1))
    except ValueError:
        return None


def _weeks_a_year_before(timeframe: Timeframe) -> Timeframe | None:
    days = []
    for day, week_beside in zip(map(date.fromisoformat, timeframe), (0, -1), strict=True):
        year, week, weekday = day.isocalendar()
        try:
            days.append(date.fromisocalendar(year - 1, week, weekday))
        except ValueError:  # there was no week 53: from the week after it on, or up to the one before it
            first = date.fromisocalendar(year, 1, 1)
            days.append(first + timedelta(days=week_beside))
    start, end = days
    return Timeframe(str(start), str(end)) if start <= end else None


def _same_clock(local: datetime, move: Callable[[str], str | None]) -> str | None:
    """Return the hour of another day at which the clock shows the same, None where a change of the clock leaves none.

    Of two hours that the clock shows alike, the first belongs to the first, and the second to a second.
    """
    day = move(str(local.date()))
    if day is None:
        return None
    other = datetime.combine(date.fromisoformat(day), local.timetz()).replace(fold=local.fold)
    try:
        moment = other.astimezone(UTC)
        shown = moment.astimezone(local.tzinfo)
    except OverflowError:  # at the ends of the calendar
        return None
    same = shown.replace(tzinfo=None) == other.replace(tzinfo=None) and shown.fold == other.fold
    return _hour_named(moment) if same else None


def _hour_named(moment: datetime) -> str:
    return hour_of(str(moment.date()), moment.hour)
