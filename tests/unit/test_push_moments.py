"""`unitstream push` reads timestamps of any form and zone as what they say, or says why it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from unitstream.timestamps import parse_hour
from unitstream_cli.push.moments import Ambiguous, Clock, Floor, check_form, check_zone

BERLIN = "Europe/Berlin"


def read(clock: Clock, text: str) -> str:
    """The hour that a timestamp is read as, in UTC."""
    return datetime.fromtimestamp(clock.hour(text) * 3600, UTC).strftime("%Y-%m-%d %H")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%m/%d/%Y %H:%M %p", "%p is read and then ignored, so timestamps would become other ones. %I goes with %p"),
        ("%p %Y-%m-%d %H", "%p is read and then ignored"),
        ("%m/%d/%Y %I:%M", "as 2023-11-29 06:47:00. %I needs %p, or is %H."),
        ("%Y week %W", "%W is read and then ignored"),
        ("%Y week %U", "%U is read and then ignored"),
        ("%Y-%m-%d, week %W", "%W is read and then ignored"),
        ("%Y-%m-%d (%j)", "%m is read and then ignored"),
        ("%Y %H:%M", "reads 2023-11-29 18:47:53 as 2023-01-01 18:47:00"),
        ("%Y-%m-%d %M", "reads 2023-11-29 18:47:53 as 2023-11-29 00:47:00"),
        ("%d.%m. %H:%M", "does not say the date"),
        ("%A %H:%M", "does not say the date"),
        ("%H:%M", "does not say the date"),
        ("day", "does not say the date"),
        ("%Y-%m-%d %H:%M %Z", "offsets (%z)"),
        ("%d.%m.%Y %H:%d", "has a letter twice"),
        ("%d.%Q.%Y", "is not a form of strptime: 'Q' is a bad directive"),
        ("%d.%m.%Y %", "is not a form of strptime"),
        ("%G-W%V", "is not a form of strptime"),
    ],
)
def test_forms_that_would_be_read_as_another_moment(form: str, said: str) -> None:
    """Whatever strptime reads and then ignores, or leaves out in the middle, is said before a row is read."""
    with pytest.raises(ValueError, match="--timestamp-format") as failure:
        check_form(form)
    assert said in str(failure.value)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%Y", "2022", "2022-01-01 00"),
        ("%Y-%m", "2022-10", "2022-10-01 00"),
        ("%d %b %Y", "01 Oct 2022", "2022-10-01 00"),
        ("%a, %d %b %Y %H:%M:%S", "Sat, 01 Oct 2022 06:00:00", "2022-10-01 06"),
        ("%x", "10/01/22", "2022-10-01 00"),
        ("%Y%m%d%H", "2022100106", "2022-10-01 06"),
        ("%Y %j", "2022 274", "2022-10-01 00"),
        ("%G-W%V-%u", "2022-W39-6", "2022-10-01 00"),
        ("%Y %W %w", "2022 39 6", "2022-10-01 00"),
        ("%d.%m.%y %I %p", "01.10.22 06 PM", "2022-10-01 18"),
        ("%d.%m.%y %I %p", "01.10.22 12 AM", "2022-10-01 00"),
        ("100%% %Y-%m-%d", "100% 2022-10-01", "2022-10-01 00"),
        ("%Y-%m-%d %H:%M:%S.%f %z", "2022-10-01 02:00:00.000000 +0200", "2022-10-01 00"),
        ("%d-%m-%Y", " 1-10-2022 ", "2022-10-01 00"),
    ],
)
def test_forms_that_are_right(form: str, text: str, expected: str) -> None:
    """Whatever says a date is a form: also a year or a month, which begins then."""
    check_form(form)
    assert read(Clock(form), text) == expected


DATES = (
    ["%Y"],
    ["%Y", "%m", "%d"],
    ["%y", "%b", "%d"],
    ["%Y", "%j"],
    ["%G", "%V", "%u"],
    ["%Y", "%W", "%w"],
    ["%B", "%Y"],
)
MORE = ("%H", "%I", "%p", "%M", "%S", "%U", "%W", "%w", "%j", "%d", "%m", "%z")
moments = st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # they have one


@given(
    date=st.sampled_from(DATES),
    more=st.lists(st.sampled_from(MORE), max_size=4, unique=True),
    moment=moments,
    others=st.lists(moments, min_size=8, max_size=8),
)
def test_no_form_that_passes_ignores_anything(
    date: list[str], more: list[str], moment: datetime, others: list[datetime]
) -> None:
    """Two timestamps that differ to a person are never read as the same, whatever the form."""
    directives = [*date, *more]
    form = " ".join(directives)
    try:
        check_form(form)
    except ValueError:
        return
    text = moment.strftime(form)
    read = datetime.strptime(text, form)  # noqa: DTZ007  # compared with another one
    assert read.strftime(form) == text
    for directive, other in zip(directives, others, strict=False):
        changed = [other.strftime(part) if part == directive else moment.strftime(part) for part in directives]
        if changed == text.split():
            continue
        try:
            assert datetime.strptime(" ".join(changed), form) != read  # noqa: DTZ007  # the form says the offset
        except ValueError:
            continue


def test_weekday_that_is_another_one() -> None:
    """A weekday beside the date is no mistake, but a wrong one is."""
    clock = Clock("%A %Y-%m-%d")
    check_form("%A %Y-%m-%d")
    assert read(clock, "saturday 2022-10-01") == "2022-10-01 00"
    with pytest.raises(PydanticCustomError, match="does not have the form"):
        clock.hour("Sunday 2022-10-01")


@pytest.mark.parametrize(
    ("clock", "text", "expected"),
    [
        (Clock(zone=BERLIN), "2022-07-01 02:00:00", "2022-07-01 00"),
        (Clock(zone=BERLIN), "2022-12-01T02:00", "2022-12-01 01"),
        (Clock(zone=BERLIN), "2022-07-01", "2022-06-30 22"),
        (Clock(zone=BERLIN), "20220701020000", "2022-07-01 00"),
        (Clock(zone=BERLIN), "2022-07-01T02:00:00Z", "2022-07-01 02"),
        (Clock(zone=BERLIN), "2022-07-01 02:00:00+00:00", "2022-07-01 02"),
        (Clock(zone=BERLIN), "1656633600", "2022-07-01 00"),
        (Clock("%d.%m.%Y %H:%M", BERLIN), "01.07.2022 02:00", "2022-07-01 00"),
        (Clock("%d.%m.%Y %H:%M %z", BERLIN), "01.07.2022 02:00 +0000", "2022-07-01 02"),
        (Clock(zone="Asia/Kolkata", floor=Floor.HOUR), "2022-07-01 06:00", "2022-07-01 00"),
        (Clock(zone=BERLIN, floor=Floor.DAY), "2022-07-01 01:30", "2022-06-30 00"),
        (Clock(zone=BERLIN, ambiguous=Ambiguous.FIRST), "2022-10-30 02:00", "2022-10-30 00"),
        (Clock(zone=BERLIN, ambiguous=Ambiguous.SECOND), "2022-10-30 02:00", "2022-10-30 01"),
        (Clock("%d.%m.%Y %H", BERLIN, Ambiguous.SECOND), "30.10.2022 02", "2022-10-30 01"),
    ],
)
def test_time_zones(clock: Clock, text: str, expected: str) -> None:
    """Timestamps without an offset are of the zone; those that have one, or are an epoch, say it themselves."""
    assert read(clock, text) == expected


@pytest.mark.parametrize("clock", [Clock(zone=BERLIN), Clock("%Y-%m-%d %H:%M", BERLIN)])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2022-10-30 02:30", "'2022-10-30 02:30' occurs twice in Europe/Berlin; --ambiguous first|second says which"),
        ("2022-03-27 02:00", "'2022-03-27 02:00' does not exist in Europe/Berlin"),
    ],
)
def test_hours_that_occur_twice_or_never(clock: Clock, text: str, said: str) -> None:
    """They are named, rather than guessed at."""
    with pytest.raises(PydanticCustomError) as failure:
        clock.hour(text)
    assert said in failure.value.message()


@given(
    zone=st.sampled_from([BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2036, 1, 1)),  # noqa: DTZ001  # the zone follows
)
def test_every_local_time_is_its_hour(zone: str, moment: datetime) -> None:
    """Written without its offset, and read again, a moment lies in the same hour."""
    moment = moment.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    local = moment.astimezone(ZoneInfo(zone))
    ambiguous = Ambiguous.SECOND if local.fold else Ambiguous.FIRST
    clock = Clock(zone=zone, ambiguous=ambiguous, floor=Floor.HOUR)
    assert read(clock, local.strftime("%Y-%m-%d %H:%M:%S")) == moment.strftime("%Y-%m-%d %H")


@pytest.mark.parametrize(
    ("zone", "said"), [("Europe/Berlni", "did you mean Europe/Berlin?"), ("", "of IANA"), ("../x", "of IANA")]
)
def test_no_such_zone(zone: str, said: str) -> None:
    """A zone that is misspelt is named with the near miss."""
    with pytest.raises(ValueError, match="is no time zone") as failure:
        check_zone(zone)
    assert said in str(failure.value)


def test_the_api_has_the_same_hours() -> None:
    """Without options, timestamps are what the API takes them for."""
    for text in ("2022-10-01", "2022-10-01 13:00:00", "2022-10-01T13:00:00+02:00", "20221001130000", "1664582400"):
        assert Clock().hour(text) == Clock(zone="UTC").hour(text)
        assert read(Clock(), text) == "{} {:02}".format(*parse_hour(text))
