"""Calendars: which period an hour belongs to, in UTC or in a time zone. Pure.

Hours are stored in UTC. In a zone days begin at local midnight and have 23 to 25 hours, so that a day in UTC has hours
of two of them. An hour belongs to the period in which it begins; hours are named in UTC here, whatever the zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from unitstream.periods import FIRST_DAY, Granularity, Timeframe, count_periods, hour_of, period_of, periods

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HOUR = timedelta(hours=1)
_LAST_YEAR = 2100
_HOURS = [f"{hour:02}" for hour in range(24)]
# What systems keep beside the IANA's zones: copies of them, the zone of the machine, and one that stands for none.
_NO_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory")


def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone of that name, None for UTC. Raises `ValueError` where there is none."""
    if name == "UTC":
        return None
    if name.startswith(_NO_ZONES):
        raise ValueError("is no time zone")
    try:
        return ZoneInfo(name)
    # Also what names a directory, or no file at all.
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("is no time zone") from exc


def zone_names() -> set[str]:
    """Return the names of all zones. It looks through hundreds of files."""
    return {name for name in available_timezones() if not name.startswith(_NO_ZONES)}


def offset_not_hourly(zone: ZoneInfo | None, timeframe: Timeframe) -> str | None:
    """Return an offset from UTC that is no whole hour and that `zone` has in `timeframe`, such as +05:30.

    The first of each month is looked at, beside the ends: since 1970 no zone had such an offset for a shorter time, and
    what the years after `_LAST_YEAR` are to have is that year's rule.
    """
    if zone is None:
        return None
    start = max(timeframe.start, FIRST_DAY)
    firsts = periods(Timeframe(start, max(start, min(timeframe.end, f"{_LAST_YEAR}-12-31"))), "month")
    for day in (start, *(first for first in firsts if first > start), timeframe.end):
        noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=zone)
        if (noon.utcoffset() or timedelta(0)) % _HOUR:
            return noon.isoformat()[len("2022-10-01T12:00:00") :]
    return None


class Calendar:
    """The periods of a timeframe. `days` are the days in UTC on which it has hours."""

    def __init__(self, timeframe: Timeframe, granularity: Granularity, zone: ZoneInfo | None = None) -> None:
        self.timeframe = timeframe
        self.granularity = granularity
        self._zone = zone
        self._first = _moment(timeframe.start, zone)
        self._last = _moment(timeframe.end, zone, hour=23)
        self.days = Timeframe(str(self._first.date()), str(self._last.date()))
        self._known: dict[str, str | Mapping[str, str]] = {}

    def periods_of(self, day: str) -> str | Mapping[str, str]:
        """Return the period of a day in UTC, or where its hours have several the period of each, by its two digits.

        Hours that lie outside the timeframe have none.
        """
        found = self._known.get(day)
        if found is None:
            found = self._known[day] = self._periods_of(day)
        return found

    def periods(self) -> Iterator[str]:
        """Yield the periods of the timeframe, in order."""
        if self.granularity != "hour" or self._zone is None:
            yield from periods(self.timeframe, self.granularity)
            return
        for count in range(self.count()):
            yield _named(self._first + count * _HOUR)

    def count(self) -> int:
        """Return how many periods there are."""
        if self.granularity != "hour" or self._zone is None:
            return count_periods(self.timeframe, self.granularity)
        return (self._last - self._first) // _HOUR + 1

    def shown(self, period: str) -> str:
        """Return what an answer calls a period: hours by the zone's clock."""
        if self._zone is None or self.granularity != "hour":
            return period
        return datetime.fromisoformat(period).astimezone(self._zone).isoformat()

    def _periods_of(self, day: str) -> str | Mapping[str, str]:
        start, end = self.timeframe
        if self._zone is None:
            if not start <= day <= end:
                return {}
            if self.granularity == "hour":
                return {hour: hour_of(day, int(hour)) for hour in _HOURS}
            return period_of(day, self.granularity)
        by_hour: dict[str, str] = {}
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
        for number, hour in enumerate(_HOURS):
            local = local_day(midnight + number * _HOUR, self._zone)
            if start <= local <= end:
                by_hour[hour] = hour_of(day, number) if self.granularity == "hour" else _period(local, self.granularity)
        several = {*by_hour.values()}
        return by_hour if len(by_hour) < len(_HOURS) or len(several) > 1 else several.pop()


# Of the same few days again and again.
_period = lru_cache(maxsize=64)(period_of)


def _moment(day: str, zone: ZoneInfo | None, hour: int = 0) -> datetime:
    """Return an hour of a local day, in UTC; at the ends of the calendar, where that leaves it, the same in UTC."""
    local = datetime.fromisoformat(day).replace(hour=hour, tzinfo=zone or UTC, fold=int(hour > 0))
    try:
        return local.astimezone(UTC)
    except OverflowError:
        return local.replace(tzinfo=UTC)


def local_day(moment: datetime, zone: ZoneInfo) -> str:
    """Return the day that a calendar in `zone` shows at a moment."""
    try:
        return str(moment.astimezone(zone).date())
    except OverflowError:  # it would lie in the year 10000
        return str(date.max)


def _named(moment: datetime) -> str:
    return hour_of(str(moment.date()), moment.hour)
