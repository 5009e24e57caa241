"""Calendars in time zones: days have as many hours as clocks show, and offsets of no whole hour are found."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from unitstream.periods import Timeframe
from unitstream.zones import Calendar, offset_not_hourly, zone_names, zone_of

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(("day", "hours"), [("2023-03-26", 23), ("2023-10-29", 25), ("2023-06-01", 24)])
def test_a_day_has_the_hours_that_its_clock_shows(day: str, hours: int) -> None:
    """23 where an hour is skipped, 25 where one comes twice, each with a name of its own."""
    calendar = Calendar(Timeframe(day, day), "hour", BERLIN)
    shown = [calendar.shown(period) for period in calendar.periods()]
    assert len({*shown}) == len(shown) == calendar.count() == hours
    assert shown[0][:13] == f"{day}T00"
    assert shown[-1][:13] == f"{day}T23"


def test_a_day_in_utc_has_hours_of_two_days() -> None:
    """Those outside the range belong to none."""
    calendar = Calendar(Timeframe("2023-06-01", "2023-06-01"), "day", BERLIN)
    assert calendar.days == ("2023-05-31", "2023-06-01")
    assert calendar.periods_of("2023-05-31") == {"22": "2023-06-01", "23": "2023-06-01"}
    assert calendar.periods_of("2023-06-02") == {}
    assert len(calendar.periods_of("2023-06-01")) == 22


def test_a_whole_day_of_one_period_is_taken_as_a_whole() -> None:
    """Which is cheaper than hour by hour: in UTC, and within a longer period of a zone."""
    assert Calendar(Timeframe("2023-06-01", "2023-06-30"), "day").periods_of("2023-06-02") == "2023-06-02"
    assert Calendar(Timeframe("2023-06-01", "2023-06-30"), "month", BERLIN).periods_of("2023-06-02") == "2023-06-01"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Pacific/Apia", "2011-12-30", 0), ("America/Santiago", "2023-09-03", 23), ("America/Santiago", "2023-04-01", 25)],
)
def test_days_that_a_zone_skips_or_that_begin_at_one(zone: str, day: str, hours: int) -> None:
    """Samoa had no 30 December in 2011; in Chile the clock changes at midnight."""
    calendar = Calendar(Timeframe(day, day), "day", ZoneInfo(zone))
    found = [calendar.periods_of(f"{date.fromisoformat(day) + timedelta(count)}") for count in (-1, 0, 1)]
    assert sum(24 if isinstance(periods, str) else len(periods) for periods in found) == hours


def test_the_ends_of_the_calendar_are_no_errors() -> None:
    """The first day in the east begins in 1969, and the last in the west ends in the year 10000."""
    for zone in ("Pacific/Auckland", "America/Los_Angeles"):
        for day in ("1970-01-01", "9999-12-31"):
            calendar = Calendar(Timeframe(day, day), "hour", ZoneInfo(zone))
            assert list(calendar.periods())
            assert calendar.periods_of(day)
            assert offset_not_hourly(ZoneInfo(zone), Timeframe("0001-01-01", day)) is None


@pytest.mark.parametrize(
    ("zone", "start", "end", "offset"),
    [
        ("Asia/Kolkata", "2022-10-01", "2022-10-01", "+05:30"),
        ("Australia/Lord_Howe", "2022-01-01", "2022-02-01", None),
        ("Australia/Lord_Howe", "2022-01-01", "2022-05-01", "+10:30"),
        ("America/Caracas", "2017-01-01", "2022-10-01", None),
        ("America/Caracas", "2015-01-01", "2022-10-01", "-04:30"),
        ("Africa/Monrovia", "1971-01-01", "1971-01-01", "-00:44:30"),
        ("Europe/Berlin", "1970-01-01", "9999-12-31", None),
        ("UTC", "1970-01-01", "9999-12-31", None),
    ],
)
def test_an_offset_of_no_whole_hour_is_found(zone: str, start: str, end: str, offset: str | None) -> None:
    """In the range that is asked for: offsets change over the years."""
    assert offset_not_hourly(zone_of(zone), Timeframe(start, end)) == offset


def test_no_such_offset_lies_between_two_months() -> None:
    """In any zone since 1970: the first of each month tells them all, looked at on every fifth day."""
    noon = datetime(1970, 1, 1, 12, tzinfo=UTC)
    days = [noon + timedelta(count) for count in range(0, 365 * 70, 5)]
    firsts = sorted({day.replace(day=1) for day in days})
    hour = timedelta(hours=1)
    # As clocks went wherever people live: one name of each rule is enough.
    for name in sorted(available_timezones() & {*_INHABITED}):
        zone = ZoneInfo(name)
        odd = [day for day in days if (day.astimezone(zone).utcoffset() or hour) % hour]
        months = {(one.year, one.month) for one in firsts if (one.astimezone(zone).utcoffset() or hour) % hour}
        assert all({(day.year, day.month), _next(day)} & months for day in odd), name


def _next(day: datetime) -> tuple[int, int]:
    after = day.replace(day=28) + timedelta(days=4)
    return after.year, after.month


# Those that had an offset of no whole hour at any time since 1970.
_INHABITED = (
    "Africa/Monrovia",
    "America/Caracas",
    "America/Guyana",
    "America/Montevideo",
    "America/Paramaribo",
    "America/Santo_Domingo",
    "America/St_Johns",
    "Asia/Colombo",
    "Asia/Kabul",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Kuala_Lumpur",
    "Asia/Pyongyang",
    "Asia/Singapore",
    "Asia/Tehran",
    "Asia/Yangon",
    "Australia/Adelaide",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Marquesas",
    "Pacific/Nauru",
    "Pacific/Norfolk",
    "Pacific/Pitcairn",
    "Pacific/Rarotonga",
)


_BESIDE_THEM = ["localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/UTC", "right/Europe/Berlin"]


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlni", "", "Europe", "../etc/passwd", "/etc/localtime", "A" * 5_000, "\0", *_BESIDE_THEM],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    """Whatever it is: a file that is none, a directory, a path, or what systems keep beside the IANA's zones."""
    with pytest.raises(ValueError, match="is no time zone"):
        zone_of(name)


def test_every_name_that_is_known_is_a_zone() -> None:
    """So that what is proposed for a name that resembles it is accepted."""
    names = zone_names()
    assert {"Europe/Berlin", "Etc/GMT+5", "US/Eastern", "EST5EDT"} <= names
    assert not names & {*_BESIDE_THEM}
    assert all(zone_of(name) for name in names - {"UTC"})
