"""Timestamps with hourly granularity, in every form that the API accepts.

A point belongs to an hour in UTC. It is kept as `Hour`: the day it falls on and the hour of that day, which is how the
Metrics table is laid out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from pydantic_core import PydanticCustomError

FORMS = (
    "send 'YYYY-MM-DD HH:00:00', ISO 8601 with T, Z or an offset, 'YYYY-MM-DD', 'yyyyMMddHH0000', "
    "or epoch seconds or milliseconds"
)
# The threshold that pydantic documents: so many seconds are in the year 2603, so many milliseconds in August 1970.
_LARGEST_EPOCH_SECONDS = 20_000_000_000
_FIRST_HOUR = datetime(1970, 1, 1, tzinfo=UTC)
DATETIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour_minute>(?:[01][0-9]|2[0-3]):[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?: ?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?))?)?"
)
COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")
# Seconds or milliseconds as text.
EPOCH = re.compile(r"[1-9][0-9]{9}(?:[0-9]{3})?")
# Digits that are a date to a person, of the years 1970 to 2049, and another one as an epoch: 2022102000 is in 2034. Ten
# digits that begin with 19 are no such date, but the epoch of an hour before May 2033.
_DATE_IN_DIGITS = re.compile(
    r"(?!19[0-9]{8}\Z)(19[7-9][0-9]|20[0-4][0-9])([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})?)?"
)
_FORM_BY_DIGITS = {8: "yyyyMMdd", 10: "yyyyMMddHH", 12: "yyyyMMddHHmm"}


class Hour(NamedTuple):
    """An hour in UTC: `day` is `YYYY-MM-DD`, `hour` is 0 to 23."""

    day: str
    hour: int


def parse_hour(timestamp: object) -> Hour:
    """Return the hour in UTC that `timestamp` names.

    Raises `PydanticCustomError` with the code `timestamp_invalid` (no form that is accepted, or no such date),
    `timestamp_out_of_range` (outside the years 1970 to 9999) or `timestamp_not_hourly`.
    """
    return _parse_hour(_accepted(timestamp))


def floor_hour(timestamp: object) -> Hour:
    """Return the hour in UTC in which `timestamp` lies. Raises as `parse_hour` does, save `timestamp_not_hourly`."""
    return _hour(*_read(_accepted(timestamp)))


def _accepted(timestamp: object) -> str | float:
    # `str | int | float` would be made anew at each call
    if not isinstance(timestamp, (str, int, float)) or isinstance(timestamp, bool):
        raise _invalid(f"is neither a string nor a number; {FORMS}")
    return timestamp


# A request names few distinct hours and many points.
@lru_cache(maxsize=16_384)
def _parse_hour(timestamp: str | float) -> Hour:
    moment, read_as = _read(timestamp)
    if moment.minute or moment.second or moment.microsecond:
        raise PydanticCustomError(
            "timestamp_not_hourly",
            "{reason}",
            {"reason": f"is not on the hour in UTC: {read_as} is {_utc_text(moment)}"},
        )
    return _hour(moment, read_as)


def _hour(moment: datetime, read_as: str) -> Hour:
    if moment < _FIRST_HOUR:
        raise _out_of_range(read_as)
    return Hour(moment.strftime("%Y-%m-%d"), moment.hour)


def _read(timestamp: str | float) -> tuple[datetime, str]:
    return _read_text(timestamp) if isinstance(timestamp, str) else _read_number(timestamp)


def _read_text(text: str) -> tuple[datetime, str]:
    read_as = f"'{text[:40]}'"
    if compact := COMPACT.fullmatch(text):
        return _read_compact([int(part) for part in compact.groups()], read_as), read_as
    if EPOCH.fullmatch(text) or _date_in_digits(text):
        return _read_number(int(text))
    match = DATETIME.fullmatch(text)
    if not match:
        raise _invalid(f"{read_as} has no form that is accepted; {FORMS}")
    # The fraction is looked at below: `fromisoformat` drops its digits after the sixth.
    time_of_day = f"{match['hour_minute'] or '00:00'}:{match['second'] or '00'}"
    try:
        local = datetime.fromisoformat(f"{match['date']}T{time_of_day}{(match['offset'] or 'Z').upper()}")
    except ValueError as exc:
        raise _invalid(f"{read_as} is not a date and time that exists") from exc
    try:
        moment = local.astimezone(UTC)
    except OverflowError as exc:
        raise _out_of_range(read_as) from exc
    if (match["fraction"] or "").strip("0"):
        moment += timedelta(microseconds=1)
    return moment, read_as


def _read_compact(parts: list[int], read_as: str) -> datetime:
    year, month, day, hour, minute, second = parts
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as exc:
        raise _invalid(f"{read_as}, read as yyyyMMddHHmmss, is not a date and time that exists") from exc


def _read_number(number: float) -> tuple[datetime, str]:
    text = f"{number:.0f}" if number == number // 1 and abs(number) < 1e18 else f"{number}"[:40]
    # As milliseconds these would be the years 2286 to 5138, and some would fall on the hour: a silent misreading.
    if len(text) == len("yyyyMMddHHmmss") and (compact := COMPACT.fullmatch(text)):
        return _read_compact([int(part) for part in compact.groups()], text), text
    if abs(number) <= _LARGEST_EPOCH_SECONDS:
        milliseconds, unit = number * 1000, "epoch seconds"
    else:
        milliseconds, unit = number, "epoch milliseconds"
    read_as = f"{text}, read as {unit},"
    try:
        whole = int(milliseconds)
        moment = _FIRST_HOUR + timedelta(milliseconds=whole)
    except (ValueError, OverflowError) as exc:
        raise _out_of_range(read_as) from exc
    if milliseconds != whole:
        moment += timedelta(microseconds=1)
    if date := _date_in_digits(text):
        raise _invalid(
            f"{text} can be {_utc_text(date)} as {_FORM_BY_DIGITS[len(text)]} or {_utc_text(moment)} as {unit}: "
            "send the one that is meant as 'YYYY-MM-DD HH:00:00'"
        )
    return moment, read_as


def _date_in_digits(digits: str) -> datetime | None:
    """The date that was likely meant by eight, ten or twelve digits."""
    match = _DATE_IN_DIGITS.fullmatch(digits)
    if not match:
        return None
    year, month, day, hour, minute = (int(part or 0) for part in match.groups())
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None


def _utc_text(moment: datetime) -> str:
    return (
        moment.isoformat(" ", "seconds")[: len("YYYY-MM-DD HH:MM:SS")]
        + (" and a fraction" if moment.microsecond else "")
        + " UTC"
    )


def _invalid(reason: str) -> PydanticCustomError:
    return PydanticCustomError("timestamp_invalid", "{reason}", {"reason": reason})


def _out_of_range(read_as: str) -> PydanticCustomError:
    return PydanticCustomError(
        "timestamp_out_of_range", "{reason}", {"reason": f"{read_as} is outside the years 1970 to 9999"}
    )
