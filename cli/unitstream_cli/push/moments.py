"""The timestamps of files: forms of their own, time zones, and the hour or day that they lie in."""

from __future__ import annotations

import itertools
import re
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from unitstream.problems import near_miss
from unitstream.timestamps import COMPACT, DATETIME, floor_hour, parse_hour
from unitstream.zones import zone_names, zone_of

if TYPE_CHECKING:
    from unitstream.timestamps import Hour

# Epoch seconds and milliseconds as text, in more forms than the API takes. Not those that could as well be yyyyMMdd or
# yyyyMMddHHmm: read as an epoch these are other dates, some of which are on the hour.
_EPOCH_TEXT = re.compile(r"(?:[0-9]{9}|[1-9][0-9]{9}|[0-9]{13})(?:\.0*)?")
_HOURS_A_DAY = 24
# They say again what the date says. Others that strptime reads and ignores would say more.
_WEEKDAYS = ("%a", "%A")
# Moments that differ in everything that a form can say. The first begins everything that can be left out.
_MOMENTS = (
    datetime(2022, 1, 1, tzinfo=UTC),
    datetime(2023, 11, 29, 18, 47, 53, 123_456, timezone(timedelta(hours=2))),
)
_DIRECTIVE = re.compile(r"%.", re.DOTALL)
_LEFT_OUT = ({"microsecond": 0}, {"second": 0}, {"minute": 0}, {"hour": 0}, {"day": 1}, {"month": 1})


class Floor(StrEnum):
    HOUR = "hour"
    DAY = "day"


class Ambiguous(StrEnum):
    """Which of two hours is meant that have the same name, when clocks are set back."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True)
class Clock:
    """How timestamps are read. `form` is strptime's; those without an offset are of the time zone `zone`, or UTC."""

    form: str | None = None
    zone: str | None = None
    ambiguous: Ambiguous | None = None
    floor: Floor | None = None

    def hour(self, timestamp: Any) -> int:
        """Return the hour that `timestamp` names, counted since 1970. Raises `PydanticCustomError`."""
        if isinstance(timestamp, str):
            timestamp = _understood(self, timestamp)
        if self.floor is None:
            return _hours_since_1970(parse_hour(timestamp))
        hour = _hours_since_1970(floor_hour(timestamp))
        return hour - hour % _HOURS_A_DAY if self.floor is Floor.DAY else hour


# Files have many rows of few hours.
@lru_cache(maxsize=16_384)
def _understood(clock: Clock, text: str) -> str | float:
    """Return the timestamp that the API understands."""
    if clock.form is not None:
        moment = _strptime(text.strip(), clock.form)
        return (moment if moment.tzinfo else _in_zone(clock, moment, text)).isoformat()
    text = text.strip()
    if _EPOCH_TEXT.fullmatch(text):
        return float(text)
    if clock.zone is None:
        return text
    match, compact = DATETIME.fullmatch(text), COMPACT.fullmatch(text)
    if not compact and (not match or match["offset"]):
        return text
    try:
        moment = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*compact.groups()) if compact else text)
    except ValueError:
        return text
    return _in_zone(clock, moment, text).isoformat()


# Of what strptime reads as numbers, by the digits that they have in full.
_DIGITS = {"Y": 4, "G": 4, "j": 3, "u": 1, "w": 1} | dict.fromkeys("dmyHIMSUWV", 2)


@lru_cache(maxsize=16)
def _adjacent_numbers(form: str) -> re.Pattern[str] | None:
    """Return what a text of a form has to look like in which numbers follow each other without a mark between them.

    Without a zero, strptime reads such numbers as others: 1122024 as 11 February by %d%m%Y.
    """
    parts = re.findall(r"%.|\s+|[^%\s]+", form)
    digits = [_DIGITS.get(part[1:], 0) if part[0] == "%" else 0 for part in parts]
    adjacent = [bool(before and after) for before, after in itertools.pairwise([0, *digits, 0])]
    if not any(adjacent):
        return None
    pattern = ""
    for part, most, before, after in zip(parts, digits, adjacent, adjacent[1:], strict=False):
        if most:
            pattern += f"[0-9]{{{most}}}" if before or after else f"[0-9]{{1,{most}}}"
        elif part[0] == "%":
            pattern += "%" if part == "%%" else ".+?"
        else:
            pattern += r"\s+" if part.isspace() else re.escape(part)
    return re.compile(pattern, re.IGNORECASE)


def _read_by(form: str, text: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007  # the form says whether there is an offset


def _strptime(text: str, form: str) -> datetime:
    adjacent = _adjacent_numbers(form)
    if adjacent and not adjacent.fullmatch(text):
        raise _invalid(f"'{text[:40]}' does not have all the digits of the form {form}")
    try:
        moment = _read_by(form, text)
        for weekday in _WEEKDAYS:
            if weekday in form:
                _read_by(form.replace(weekday, moment.strftime(weekday)), text)
    except ValueError as exc:
        raise _invalid(f"'{text[:40]}' does not have the form {form}") from exc
    return moment


def _in_zone(clock: Clock, moment: datetime, text: str) -> datetime:
    if clock.zone is None:
        return moment.replace(tzinfo=UTC)
    first, second = (moment.replace(tzinfo=ZoneInfo(clock.zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(first.tzinfo).replace(tzinfo=None) != moment:
        raise _invalid(f"'{text[:40]}' does not exist in {clock.zone}, where clocks are set forward then")
    if clock.ambiguous is None:
        raise PydanticCustomError(
            "timestamp_ambiguous",
            "{reason}",
            {"reason": f"'{text[:40]}' occurs twice in {clock.zone}; --ambiguous first|second says which is meant"},
        )
    return first if clock.ambiguous is Ambiguous.FIRST else second


@lru_cache(maxsize=16_384)
def _hours_since_1970(hour: Hour) -> int:
    return (date.fromisoformat(hour.day).toordinal() - date(1970, 1, 1).toordinal()) * _HOURS_A_DAY + hour.hour


def _invalid(reason: str) -> PydanticCustomError:
    return PydanticCustomError("timestamp_invalid", "{reason}", {"reason": reason})


# --- options ----------------------------------------------------------------------------------------------------------


def check_zone(zone: str) -> None:
    """Raise `ValueError` unless there is a time zone of this name."""
    try:
        zone_of(zone)
    except ValueError as exc:
        close = near_miss(zone, zone_names(), cutoff=0.6)
        hint = f"; did you mean {close}?" if close else "; names are those of IANA, such as Europe/Berlin."
        raise ValueError(f"--timezone {zone} is no time zone{hint}") from exc


def check_form(form: str) -> None:
    """Raise `ValueError` for a form by which no timestamp could be read, or which would be read as another moment."""
    directives = [found.group() for found in _DIRECTIVE.finditer(form)]
    if "%Z" in directives:
        raise ValueError(
            "--timestamp-format has %Z, but the names of time zones are ambiguous. Use offsets (%z), or convert the "
            "timestamps to UTC."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of days without a year, which are refused
        try:
            read = [_read_by(form, moment.strftime(form)) for moment in _MOMENTS]
        except re.error as exc:
            raise ValueError(f"--timestamp-format {form} has a letter twice.") from exc
        except ValueError as exc:
            raise ValueError(f"--timestamp-format {form} is not a form of strptime: {exc}.") from exc
        _check_read(form, read)
        for directive in directives:
            if directive not in _WEEKDAYS and _is_ignored(form, directive):
                raise ValueError(
                    f"--timestamp-format {form}: {directive} is read and then ignored, so timestamps would become "
                    f"other ones.{' %I goes with %p, and %H without.' if directive == '%p' else ''}"
                )


def _check_read(form: str, read: list[datetime]) -> None:
    """Raise `ValueError` unless each moment is read as itself, or as the beginning of its minute, hour, …."""
    for moment, found in zip(_MOMENTS, read, strict=True):
        begin = moment if found.tzinfo else moment.replace(tzinfo=None)
        begins = [begin]
        for left_out in _LEFT_OUT:
            begin = begin.replace(**left_out)  # type: ignore[arg-type]  # none of them is the time zone
            begins.append(begin)
        if found in begins:
            continue
        if found.year != moment.year:
            raise ValueError(f"--timestamp-format {form} does not say the date.")
        hint = " %I needs %p, or is %H." if "%I" in form else ""
        raise ValueError(
            f"--timestamp-format {form} reads {moment:%Y-%m-%d %H:%M:%S} as {found:%Y-%m-%d %H:%M:%S}.{hint}"
        )


def _is_ignored(form: str, directive: str) -> bool:
    """Whether a timestamp is the same whatever stands for `directive` in it."""
    first, other = _MOMENTS
    if first.strftime(directive) == other.strftime(directive):
        return False
    mixed = "".join(
        (other if part == directive else first).strftime(part) for part in re.findall(r"%.|[^%]+", form, re.DOTALL)
    )
    try:
        return _read_by(form, mixed) == _read_by(form, first.strftime(form))
    except ValueError:
        return False
